"""Spans and numbers as a real collector gets them."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tests.observe.collectors import collector, needs, wait_for
from tests.observe.steps import TracedBatch, TracedFirst, TracedSecond, TracedToken

from jina import Client, Deployment, Flow
from jina.supervisor.ports import PortReservations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), needs("rotel")]

TRACE = "0af7651916cd43dd8448eb211c80319{}"
PROTOCOLS = ["grpc", "http", "websocket"]


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    with closing(PortReservations()) as ports:
        numbers = ports.port(), ports.port()
    with collector(tmp_path_factory.mktemp("collector"), *numbers) as running:
        yield running


@pytest.fixture(scope="module")
def line(collected):
    """A Flow of two steps on all protocols, whose spans are collected."""
    to = {"traces_exporter_host": "127.0.0.1", "traces_exporter_port": collected.port}
    soon = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    flow = Flow(protocol=PROTOCOLS, host="127.0.0.1", quiet=True, tracing=True, env=soon, **to)
    with flow.add(name="first", uses=TracedFirst).add(name="second", uses=TracedSecond) as running:
        yield running


HANDLED = [
    ("/x", [
        ("first /x", [("/x", [("TracedFirst.x", [("inner", [])])])]),
        ("second /x", [("/x", [("TracedSecond.x", [])])]),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_through_a_flow_is_one_tree(collected, line, protocol):
    trace = TRACE.format(PROTOCOLS.index(protocol))
    port = line.port[PROTOCOLS.index(protocol)]
    # The program has an SDK of its own and a span: what the client sends is a child of that.
    code = f"""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
    from jina import Client
    trace.set_tracer_provider(TracerProvider())
    context = SpanContext(0x{trace}, 0xb7ad6b7169203331, is_remote=True, trace_flags=TraceFlags(1))
    client = Client(port={port}, host="127.0.0.1", protocol="{protocol}")
    with trace.use_span(NonRecordingSpan(context)), client:
        print(client.post("/x", inputs=[{{"text": "a"}}])[0].text)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "a12\n"), done.stderr
    wait_for(lambda: len(collected.of(trace)) >= 8)
    assert collected.tree(trace) == HANDLED
    kinds = {one["name"]: one["kind"] for one in collected.of(trace)}
    assert kinds["first /x"] == "SPAN_KIND_CLIENT"
    assert kinds["TracedSecond.x"] == "SPAN_KIND_INTERNAL"


def test_a_client_sends_the_spans_of_its_program(collected, line):
    code = f"""
    from opentelemetry import trace
    from jina import Client
    options = {{"tracing": True, "traces_exporter_host": "127.0.0.1", "traces_exporter_port": {collected.port}}}
    with Client(port={line.port[1]}, host="127.0.0.1", protocol="http", **options) as client:
        with trace.get_tracer("mine").start_as_current_span("whole program") as span:
            client.post("/x", inputs=[{{"text": "a"}}])
            client.post("/x", inputs=[{{"text": "b"}}])
    print(f"{{span.get_span_context().trace_id:032x}}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    trace = done.stdout.strip()
    wait_for(lambda: len(collected.of(trace)) >= 17)
    assert collected.tree(trace) == [("whole program", HANDLED * 2)]
    assert "service.name: Str(client)" in collected.text


def test_a_stream_is_one_tree(collected, line):
    trace = TRACE.format("a")
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    with Client(port=line.port[1], host="127.0.0.1", protocol="http") as client:
        asked = client.stream_doc("/tokens", inputs=TracedToken(text="t"), return_type=TracedToken, headers=headers)
        assert [one.text for one in asked] == ["t0", "t1", "t2"]
    wait_for(lambda: len(collected.of(trace)) >= 4)
    assert collected.tree(trace) == [("/tokens", [("first /tokens", [("/tokens", [("TracedFirst.tokens", [])])])])]


def test_a_failure_is_told_by_each_span_on_the_way(collected, line):
    trace = TRACE.format("b")
    with Client(port=line.port[0], host="127.0.0.1") as client, pytest.raises(Exception, match="not today"):
        client.post("/fail", inputs=[{"text": "a"}], metadata={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    found = wait_for(lambda: (spans := collected.of(trace)) and len(spans) >= 4 and spans)
    assert {one["name"] for one in found} == {"/fail", "first /fail", "TracedFirst.fail"}
    assert all("STATUS_CODE_ERROR" in one["rest"] and "not today" in one["rest"] for one in found)


def test_requests_that_share_a_batch_are_whole_trees_with_a_link(collected):
    to = {"traces_exporter_host": "127.0.0.1", "traces_exporter_port": collected.port}
    soon = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    flow = Flow(protocol="http", host="127.0.0.1", quiet=True, tracing=True, env=soon, **to)
    traces = [TRACE.format("c"), TRACE.format("d")]
    with flow.add(name="batch", uses=TracedBatch).add(name="second", uses=TracedSecond) as running:

        def ask(trace):
            headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            return running.post("/x", inputs=[{"text": "a"}], headers=headers)[0].text

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(ask, traces)) == ["ab2", "ab2"]
        wait_for(lambda: sum(len(collected.of(trace)) for trace in traces) >= 14)
    batch = ("batch /x", [("TracedBatch.x", [])])
    after = ("second /x", [("/x", [("TracedSecond.x", [])])])
    found = [collected.tree(trace) for trace in traces]
    assert sorted(found) == sorted([
        [("/x", [("batch /x", [("/x", [batch])]), after])],
        [("/x", [("batch /x", [("/x", [])]), after])],
    ])  # fmt: skip


def test_numbers_of_all_processes_arrive(collected):
    to = {"metrics_exporter_host": "127.0.0.1", "metrics_exporter_port": collected.port}
    flow = Flow(host="127.0.0.1", quiet=True, metrics=True, **to).add(name="first", uses=TracedFirst)
    with flow:
        flow.post("/x", inputs=[{"text": "a"}])
    # What was counted last is sent when a process ends.
    for name in ("jina_first_seconds", "jina_sending_request_seconds", "jina_request_seconds", "users_own"):
        wait_for(lambda name=name: f"Name: {name}\n" in collected.text)
    for name in ("gateway", "first/rep-0"):
        assert f"service.name: Str({name})" in collected.text


def test_a_collector_that_is_not_there_costs_a_line_not_a_request(tmp_path):
    with closing(PortReservations()) as ports:
        nobody = ports.port()
    with Deployment(
        uses=TracedFirst, protocol="http", host="127.0.0.1", quiet=True, tracing=True,
        traces_exporter_host="127.0.0.1", traces_exporter_port=nobody,
    ) as served:  # fmt: skip
        assert served.post("/x", inputs=[{"text": "a"}])[0].text == "a1"


def test_without_the_extra_the_message_names_it(tmp_path):
    (tmp_path / "opentelemetry").mkdir()
    code = """
    import sys
    sys.modules["opentelemetry.exporter"] = None
    from jina.errors import ConfigError
    from jina.observe import exporters
    from jina.plan.plans import TelemetryPlan
    for option in ("tracing", "metrics"):
        try:
            exporters.start(TelemetryPlan(**{option: True}), "w")
        except ConfigError as error:
            assert option in str(error) and "rejina[otel]" in str(error), error
        else:
            raise SystemExit("no error")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
