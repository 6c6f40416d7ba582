"""Prometheus scrapes gateway and workers for real, and its linter has nothing to say."""

import subprocess
from contextlib import closing

import pytest
from tests.observe.collectors import needs, prometheus, read, wait_for
from tests.observe.steps import TracedFirst, TracedSecond

from jina import Deployment, Flow
from jina.supervisor.ports import PortReservations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def lint(text):
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, timeout=20, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def processed(rows):
    """Documents of `/x` by worker."""
    named = [(dict(labels), value) for labels, value in rows.items()]
    return {labels["runtime_name"]: value for labels, value in named if labels["executor_endpoint"] == "/x"}


@needs("prometheus", "promtool")
def test_prometheus_scrapes_a_flow(tmp_path):
    flow = Flow(protocol="http", host="127.0.0.1", quiet=True, monitoring=True)
    flow = flow.add(name="first", uses=TracedFirst, replicas=2).add(name="second", uses=TracedSecond)
    with flow, closing(PortReservations()) as ports:
        for _ in range(4):
            flow.post("/x", inputs=[{"text": "a"}, {"text": "b"}])
        gateway = flow.plan.gateway.monitoring.port
        workers = [worker.monitoring.port for one in flow.plan.deployments for worker in one.workers]
        for port in (flow.port, gateway, *workers):
            assert lint(read(f"http://127.0.0.1:{port}/metrics", "text/plain")) == (0, "")
        own = ports.port()
        ports.close()
        with prometheus(tmp_path, [f"127.0.0.1:{port}" for port in (gateway, *workers)], own) as query:
            wait_for(lambda: sum(query("up").values()) == 4)
            whole = wait_for(lambda: query(f"jina_document_processed_total{{instance='127.0.0.1:{gateway}'}}"))
            by_worker = processed(whole)
            assert set(by_worker) == {"first/rep-0", "first/rep-1", "second/rep-0"}
            assert by_worker["second/rep-0"] == 8
            assert by_worker["first/rep-0"] + by_worker["first/rep-1"] == 8
            alone = wait_for(lambda: query(f"jina_document_processed_total{{instance='127.0.0.1:{workers[-1]}'}}"))
            assert processed(alone) == {"second/rep-0": 8}
            buckets = "jina_request_seconds_bucket{runtime_name='gateway/rep-0'}"
            latency = f"histogram_quantile(0.99, sum by (le) ({buckets}))"
            assert 0 < next(iter(query(latency).values())) < 60
            assert sum(query("jina_first_seconds_count").values()) == 8  # each worker by itself, and by the gateway


@needs("promtool")
def test_the_linter_is_silent_about_an_executor_alone(tmp_path):
    with Deployment(uses=TracedFirst, protocol=["http", "grpc"], host="127.0.0.1", quiet=True) as served:
        served.post("/x", inputs=[{"text": "a"}])
        with pytest.raises(Exception, match="not today"):
            served.post("/fail", inputs=[{"text": "a"}])
        text = read(f"http://127.0.0.1:{served.ports[0]}/metrics", "text/plain")
        assert 'error="ExecutorError"' in text
        assert lint(text) == (0, "")
