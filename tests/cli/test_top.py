"""`jina top` and `jina status --watch`: what is computed, how it is shown, and that the terminal is left as it was."""

from __future__ import annotations

import io
import json
import shlex
import sys
import urllib.request

import msgspec
import pytest
from rich.console import Console
from tests.cli.running import JINA, call
from tests.terminal.tmux import Pane, needs_tmux

from jina import Deployment, Executor, requests
from jina.cli.main import main
from jina.cli.top import Look, Usage, loads, overview, quantile, usage_of
from jina.observe.metrics import BUCKETS, Metrics
from jina.supervisor.status import ProcessStatus, ServiceStatus


def process(name, pid, answered, failed=0, took=None, **more):
    counts = [0] * (len(BUCKETS) + 1)
    for place, count in (took or {}).items():
        counts[place] = count
    options = {"deployment": "shop", "state": "ready", "seconds": 9.0, "latencies": counts, **more}
    return ProcessStatus(name=name, pid=pid, answered=answered, failed=failed, **options)


def service(*processes):
    addresses = [address for one in processes for address in one.addresses]
    return ServiceStatus(
        name="shop", state="ready", pid=1, version="4", python="3", addresses=addresses, processes=list(processes)
    )


FRONT = {"addresses": ["grpc://0.0.0.0:51000"]}
BEFORE = Look(
    10.0,
    [service(process("shop/rep-0", 7, 100, took={2: 100}), process("gateway", 8, 100, took={5: 100}, **FRONT))],
    {7: Usage(5.0, 1000), 8: Usage(1.0, 1000)},
)
AFTER = Look(
    12.0,
    [
        service(
            process("shop/rep-0", 7, 140, 4, took={2: 140}, in_flight=3, queued=2),
            process("shop/rep-1", 9, 6, took={1: 6}),
            process("gateway", 8, 160, 4, took={5: 130, 8: 30}, in_flight=5, **FRONT),
        )
    ],
    {7: Usage(6.0, 50 << 20), 8: Usage(1.5, 60 << 20), 9: Usage(0.5, 10 << 20)},
)


def test_what_happened_between_two_looks():
    (shop,) = loads(BEFORE, AFTER)
    first, second, gateway = shop.processes
    assert (first.requests_per_second, first.failures_per_second, first.cpu) == (20, 2, 0.5)
    assert (first.in_flight, first.queued, first.memory) == (3, 2, 50 << 20)
    assert (second.requests_per_second, second.cpu) == (3, None)  # it is new
    assert BUCKETS[4] < gateway.p50 <= BUCKETS[5]
    assert BUCKETS[7] < gateway.p99 <= BUCKETS[8]
    # The requests of a service are those of its gateway: each passes a worker as well.
    assert (shop.requests_per_second, shop.in_flight, shop.p99) == (30, 5, gateway.p99)
    assert (shop.cpu, shop.memory) == (0.75, 120 << 20)


def test_a_process_that_began_anew_counts_from_none():
    began = service(process("gateway", 8, 5, took={5: 5}, **FRONT))
    (shop,) = loads(BEFORE, Look(11.0, [began], {}))
    assert shop.requests_per_second == 5


def test_quantiles():
    assert quantile([0] * 16, 0.5) is None
    assert quantile([0, 10, *[0] * 14], 0.5) == pytest.approx((BUCKETS[0] + BUCKETS[1]) / 2)
    assert quantile([*[0] * 15, 3], 0.99) == BUCKETS[-1]


def test_the_counts_of_a_process():
    metrics = Metrics("gateway")
    metrics.endpoint("/a").ended(0.003)
    metrics.endpoint("/b").ended(0.003, "ValueError")
    metrics.endpoint("/b").ended(1000.0, "KeyError")
    assert metrics.totals() == {"answered": 3, "failed": 2, "took:2": 2, f"took:{len(BUCKETS)}": 1}


def shown(columns, lines=None, look=AFTER):
    out = io.StringIO()
    Console(file=out, width=columns).print(overview(loads(BEFORE, look), columns, lines))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_it_fits_every_terminal(columns):
    text = shown(columns)
    assert max(map(len, text)) <= columns
    whole = " ".join(text)
    for word in ("shop: ready", "grpc://0.0.0.0:51000", "shop/rep-0", "gateway", "ready", "30.0 req/s", "cpu", "50%"):
        assert word in whole, whole
    assert "…" not in whole, whole
    assert ("restarts" in whole) == (columns == 120)


def test_more_processes_than_lines():
    many = service(*(process(f"shop/rep-{number}", number, 1) for number in range(2, 52)))
    text = shown(80, 20, Look(12.0, [many], {}))
    assert len(text) <= 20
    listed = sum("rep-" in line for line in text)
    assert listed > 8
    assert f"and {50 - listed} more processes" in "\n".join(text)


def test_usage_of_this_process():
    import os

    used = usage_of(os.getpid())
    assert used.cpu > 0
    assert used.memory > 1 << 20
    assert usage_of(2**22 + 1) is None


def test_without_services_it_says_so(capsys):
    assert main(["top", "no-such-service"]) == 1
    assert "no service no-such-service runs" in capsys.readouterr().err


class Counting(Executor):
    @requests(on="/x")
    def x(self, docs, **kwargs):
        if docs and docs[0].text == "fail":
            raise ValueError("on purpose")


@pytest.mark.slow
def test_a_service_that_runs(tmp_path, capsys):
    with Deployment(uses=Counting, name="counting", replicas=2, protocol=["grpc", "http"], host="127.0.0.1") as served:
        for _ in range(20):
            served.post("/x", inputs=[{"text": "a"}])
        with pytest.raises(RuntimeError):
            served.post("/x", inputs=[{"text": "fail"}])
        status = served.status()
        gateway = status.processes[-1]
        assert (gateway.answered, gateway.failed, sum(gateway.latencies)) == (21, 1, 21)
        assert sum(one.answered for one in status.processes[:-1]) == 21
        assert gateway.addresses == status.addresses
        line = next(line for line in str(status).splitlines() if line.split()[:1] == ["gateway"])
        assert line.endswith(" ".join(map(str, served.ports)))
        assert main(["top", "--once", "--json", "counting"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert (found["name"], found["state"], len(found["processes"])) == ("counting", "ready", 3)
        assert all(one["memory"] > 1 << 20 for one in found["processes"])
        done = call("top", "counting")  # no terminal: as with --once
        assert done.returncode == 0
        assert "counting/rep-1" in done.stdout
        assert "\x1b" not in done.stdout
        with urllib.request.urlopen(f"http://127.0.0.1:{served.ports[1]}/readyz", timeout=10) as answer:
            assert answer.status == 200
        if not sys.platform.startswith("linux"):
            return
        on_terminals(tmp_path)


def on_terminals(folder):
    if needs_tmux.args[0]:
        return
    for number, (command, key, code, columns) in enumerate(
        [
            ("top", "q", 0, 80),
            ("top counting", "C-c", 130, 40),
            ("status --watch", "q", 0, 80),
            ("status --watch", "C-c", 130, 40),
        ]
    ):
        own = folder / str(number)
        own.mkdir()
        with Pane(own, f"{shlex.quote(JINA)} {command}", columns=columns) as pane:
            pane.until("gateway")
            pane.until("\x1b[?1049h")  # a screen of its own
            assert "counting: ready" in pane.text, pane.text
            pane.press(key)
            assert pane.end() == code
            assert "counting" not in pane.text
    own = folder / "dumb"
    own.mkdir()
    with Pane(own, f"{shlex.quote(JINA)} top", columns=80, environment={"TERM": "dumb"}) as pane:
        pane.until("gateway")
        pane.press("q")
        assert pane.end() == 0
        assert "\x1b" not in pane.raw


def test_the_status_is_plain_values():
    assert msgspec.to_builtins(AFTER.services[0])["processes"][0]["answered"] == 140
