"""The page with a large service, one message a second: of 50 steps of 2 replicas, and of 100, which are 5,000.

The messages are made up, for no machine of ours runs 5,000 processes; they change each process in each second.
"""

from __future__ import annotations

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from jina.console.feed import delta_events, event
from jina.console.page import page as console_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
STEPS = 50
FRAME = 16.0
"""Milliseconds of processor time that a frame may take."""


def numbers(dice: random.Random) -> dict:
    times = sorted(dice.random() / 50 for _ in range(3))
    return {
        "rate": round(dice.random() * 100, 2), "errors": 0.0, "p50": times[0], "p90": times[1], "p99": times[2],
        "in_flight": dice.randrange(9), "count": dice.randrange(10**6), "failed": 0,
    }  # fmt: skip


class Large:
    """The state of a service of many processes, and what changes in it."""

    def __init__(self, replicas: int) -> None:
        self._dice = random.Random(7)
        self.names = [f"step{index:02}" for index in range(STEPS)]
        self.processes = [f"{name}/rep-{number}" for name in self.names for number in range(replicas)]
        self._replicas = replicas

    def state(self) -> dict:
        edges = [("gateway" if index < 5 else self.names[index - 5], name) for index, name in enumerate(self.names)]
        return {
            "seq": 1,
            "time": time.time(),
            "service": {"name": "large", "state": "ready", "pid": 1, "version": "4", "python": "3", "addresses": [],
                        "log_dir": "", "steps": {}},
            "processes": {name: self._process(name) for name in self.processes},
            "total": numbers(self._dice),
            "deployments": {
                name: {"state": "ready", "replicas": self._replicas, "ready": self._replicas, "shards": 1,
                       "external": False, "stateful": False, "numbers": numbers(self._dice)}
                for name in self.names
            },
            "graph": {
                "nodes": {"gateway": {"kind": "gateway"}, **{name: {"kind": "deployment"} for name in self.names}},
                "edges": {f"{one}>{other}": {"from": one, "to": other, **self._edge()} for one, other in edges},
            },
            "groups": {},
            "slow": [],
        }  # fmt: skip

    def delta(self, number: int) -> dict:
        whole = self.state()
        return {
            "seq": number,
            "time": time.time(),
            "processes": {
                name: {"cpu": self._dice.random(), "rss": self._dice.randrange(10**8),
                       "numbers": numbers(self._dice), "endpoints": {"/": numbers(self._dice)}}
                for name in self.processes
            },
            "total": whole["total"],
            "deployments": {name: {"numbers": one["numbers"]} for name, one in whole["deployments"].items()},
            "graph": {"edges": whole["graph"]["edges"]},
        }  # fmt: skip

    def _process(self, name: str) -> dict:
        deployment, _, number = name.rpartition("/rep-")
        return {
            "deployment": deployment, "replica": int(number), "shard": 0, "gateway": False, "pid": 1, "state": "ready",
            "in_flight": 0, "queued": 0, "restarts": 0, "since": time.time(), "place": {"kind": "process"},
            "cpu": 0.1, "rss": 10**7, "numbers": numbers(self._dice), "endpoints": {"/": numbers(self._dice)},
        }  # fmt: skip

    def _edge(self) -> dict:
        return {"rate": self._dice.random() * 100, "latency": self._dice.random() / 50, "errors": 0.0,
                "up": self._replicas, "of": self._replicas}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    large: Large
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/console":
            found = console_page()
            self.send_response(200)
            for name, value in found.headers:
                self.send_header(name.decode(), value.decode())
            self.end_headers()
            self.wfile.write(found.body)
        elif path == "/console/info":
            services = [{"id": "this", "name": "large", "state": "ready"}]
            self._json({"version": "4", "mode": "service", "services": services, "rights": ["view"], "why_not": {}})
        elif path == "/console/feed":
            self._feed()
        else:
            self._json({"track": "total", "step": 5, "columns": ["time"], "points": []})

    def _json(self, content: object) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def _feed(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        pause = threading.Event()
        try:
            self._write(event("state", self.large.state()))
            for number in range(2, 40):
                began = time.monotonic()
                content = self.large.delta(number)
                pause.wait(max(0.0, 1.0 - (time.monotonic() - began)))
                self._write(delta_events(content))
        except OSError:
            pass  # the page left

    def _write(self, events: bytes) -> None:
        self.wfile.write(events)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port_of():
    servers = []

    def started(replicas: int) -> int:
        handler = type("LargeHandler", (Handler,), {"large": Large(replicas)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def scripts_of(browser, look, seconds: int) -> list[float]:
    """Milliseconds of processor time of each task of the page that ran script, over so many seconds."""
    browser.start_tracing(page=look.page, categories=["devtools.timeline", "v8.execute"])
    look.page.wait_for_timeout(seconds * 1000)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mine = {one["tid"] for one in events if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"}
    names = {"FunctionCall", "EvaluateScript", "RunMicrotasks", "v8.run", "TimerFire", "FireAnimationFrame"}
    ran = sorted(
        (one["ts"], one["ts"] + one["dur"], one.get("tdur", one["dur"]))
        for one in events
        if one.get("ph") == "X" and one["name"] in names and one["tid"] in mine
    )
    assert ran
    outer: list[float] = []
    end = -1
    for start, stop, used in ran:
        if start >= end:  # one inside another counts once
            outer.append(used / 1000)
            end = stop
    return outer


@pytest.mark.parametrize("view", ["overview", "performance"])
@pytest.mark.parametrize("replicas", [2, 100])
def test_script_fits_into_a_frame(browser, open_console, port_of, view, replicas, record_property):
    look = open_console(port_of(replicas)).go(view)
    look.page.get_by_role("status").get_by_text("live").wait_for()
    look.page.locator({"overview": ".node", "performance": ".curve"}[view]).first.wait_for()
    look.page.wait_for_timeout(3000)
    # Other work on the machine makes single tasks longer: the calmest of some seconds counts.
    found = [scripts_of(browser, look, 3) for _ in range(4)]
    least = min(max(window) for window in found)
    told = f"{view}, {replicas} replicas a step: {least:.1f} ms, {sum(map(sum, found)) / 12:.1f} ms in a second"
    record_property("script", told)
    assert least < FRAME, told
