"""Interleaved rounds over several servers: CPU per request, throughput and latency of each."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.procs import ROOT, Server
from bench.stats import Ratio, ratio


@dataclass
class Arm:
    """One server with the request that it gets.

    `share` lets slow peers do a part of the requests (stated); `expected` must stand `times` times in an answer. With
    `sizes` a number follows it: with how many others the request was handled.
    """

    server: Server
    kind: str
    request: bytes
    expected: bytes
    method: str = ""
    share: float = 1.0
    times: int = 1
    sizes: bool = False
    cpu_us: list[float] = field(default_factory=list)
    loads: list[dict] = field(default_factory=list)
    requests: int = 0

    def round(self, requests: int, concurrency: int) -> None:
        """One round of load; notes CPU per request."""
        count = max(concurrency, int(requests * self.share))
        before = self.server.cpu_ns()
        load = run_load(self, count, concurrency)
        self.cpu_us.append((self.server.cpu_ns() - before) / count / 1000)
        self.loads.append(load)
        self.requests += count

    def row(self) -> dict:
        """Medians over the rounds."""

        def middle(key: str) -> float:
            return statistics.median(load[key] for load in self.loads)

        return {
            "name": self.server.name,
            "requests": self.requests,
            "bad": sum(load["bad"] for load in self.loads),
            "cpu_us": statistics.median(self.cpu_us),
            "per_second": statistics.median(load["requests"] / load["seconds"] for load in self.loads),
            "p50_ms": middle("p50_ms"),
            "p99_ms": middle("p99_ms"),
            "pss_mb": self.server.pss_mb(),
        }


def run_load(arm: Arm, requests: int, concurrency: int) -> dict:
    """One round of load against the arm's server, from the process that makes all load."""
    job = {
        "kind": arm.kind,
        "port": arm.server.port,
        "method": arm.method,
        "request": base64.b64encode(arm.request).decode(),
        "times": arm.times,
        "sizes": arm.sizes,
        "expected": base64.b64encode(arm.expected).decode(),
        "requests": requests,
        "concurrency": concurrency,
    }
    return send(job)


def send(job: dict) -> dict:
    """What came of one job of `bench.load`."""
    process = _load_process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the load generator ended with {process.wait(10)}")
    return json.loads(answer)


@functools.cache
def _load_process() -> subprocess.Popen:
    command = [sys.executable, "-m", "bench.load"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    atexit.register(process.wait, 10)
    atexit.register(process.stdin.close)
    return process


@dataclass
class Comparison:
    """What came of a case: a row for each arm, and the ratios of our CPU to each other arm's."""

    name: str
    rows: list[dict]
    ratios: dict[str, Ratio]


def compare(name: str, arms: list[Arm], *, rounds: int, requests: int, concurrency: int) -> Comparison:
    """Start all servers, warm up, run the rounds in turns. The first arm is ours."""
    try:
        for arm in arms:
            arm.server.start()
        for arm in arms:
            warm_up(arm, max(2 * concurrency, int(requests * arm.share) // 2), concurrency)
        for turn in range(rounds):
            for arm in arms if turn % 2 == 0 else arms[::-1]:
                arm.round(requests, concurrency)
        rows = [arm.row() for arm in arms]
    finally:
        for arm in arms:
            arm.server.stop()
    ratios = {arm.server.name: ratio(arms[0].cpu_us, arm.cpu_us) for arm in arms[1:]}
    return Comparison(name, rows, ratios)


def warm_up(arm: Arm, requests: int, concurrency: int) -> None:
    """Load that is not counted, repeated until all answers are right: some peers open their port before they work."""
    deadline = time.monotonic() + 60
    while True:
        load = run_load(arm, requests, concurrency)
        if not load["bad"]:
            return
        if time.monotonic() > deadline:
            break
    raise RuntimeError(f"{arm.server.name} still gives {load['bad']} of {requests} wrong answers")


def http_get(path: str) -> bytes:
    """The bytes of a keep-alive GET for events."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()


def http_request(path: str, body: bytes, content_type: str = "application/json", accept: str = "") -> bytes:
    """The bytes of a keep-alive POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return (head + (f"Accept: {accept}\r\n" if accept else "") + "\r\n").encode() + body


def bench_server(name: str, script: str, python: str | Path = sys.executable, **options: str) -> Server:
    """A server of `bench/servers` with its options."""
    return Server(name, str(python), script, [f"{key}={value}" for key, value in options.items()])
