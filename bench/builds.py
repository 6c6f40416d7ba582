"""What is compared of two builds of this package that is no CPU per request: starts, the client, stateful groups.

Each case is called with the number of rounds and the folder that the earlier package is imported from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

from bench.batching import CLIENTS, REQUESTS, batching_arms
from bench.cases import Case
from bench.flows import flow_server
from bench.procs import ROOT, Server
from bench.report import Check, Section
from bench.runs import bench_server
from bench.starts import first_answers
from bench.stateful import SHOWN, running
from bench.stats import Ratio, ratio

BOUND = 1.05
CALLS = 200
"""Calls of a client in its turn."""

BATCHING = Case("Dynamic batching, at most 32 texts, 5 ms + 0.1 ms a text", batching_arms, (), REQUESTS, CLIENTS)


def start(rounds: int, source: str) -> Section:
    """Process start to the first right answer of a Deployment over HTTP."""
    return _starts("A Deployment", lambda name: bench_server(name, "ours.py", protocol="http"), rounds, source)


def flow_start(rounds: int, source: str) -> Section:
    """The same of a Flow of three Executors."""
    return _starts("A Flow of three Executors", lambda _: flow_server("ours", "http", 3), rounds, source)


def _starts(what: str, server: Callable[[str], Server], rounds: int, source: str) -> Section:
    servers = {
        "ours": (server("ours-start"), "/upper"),
        "before": (dataclasses.replace(server("before-start"), source=source), "/upper"),
    }
    found = first_answers(servers, rounds)
    rows = [[name, *map(statistics.median, zip(*series, strict=True))] for name, series in found.items()]
    columns = [list(zip(*series, strict=True)) for series in found.values()]
    checks = [
        Check(f"{figure}, ours / before", _ratio(columns[0][k], columns[1][k]), BOUND)
        for k, figure in enumerate(("wall", "CPU", "PSS"))
    ]
    head = ["build", "wall (s)", "CPU (s)", "PSS (MB)"]
    title = f"{what}: start to the first answer over HTTP, beside an earlier build"
    return Section(title, head, rows, checks, f"{rounds} starts each.", "s", {row[0]: row[1] for row in rows}, found)


def client_latency(rounds: int, source: str) -> Section:
    """One call at a time of the synchronous client of either build, against one server of the present one."""
    rows, checks, raw = [], [], {}
    for protocol in ("grpc", "http"):
        server = bench_server(f"ours-{protocol}", "ours.py", protocol=protocol)
        server.start()
        try:
            with _client(protocol, server.port, "") as ours, _client(protocol, server.port, source) as before:
                found: dict[str, list[float]] = {"ours": [], "before": []}
                clients = {"ours": ours, "before": before}
                for turn in range(rounds + 1):
                    for name in _in_turns(found, turn):
                        median = clients[name]()
                        if turn:
                            found[name].append(median)
        finally:
            server.stop()
        for name, values in found.items():
            rows.append([f"{name}-{protocol}", statistics.median(values), len(values) * CALLS])
            raw[f"{name}-{protocol}"] = values
        checks.append(Check(f"{protocol}: p50, ours / before", _ratio(found["ours"], found["before"]), BOUND))
    title = "One call of the synchronous client, beside an earlier build"
    head = ["client", "p50 (us)", "calls"]
    return Section(title, head, rows, checks, "One server for both.", "p50, us", {row[0]: row[1] for row in rows}, raw)


@contextlib.contextmanager
def _client(protocol: str, port: int, source: str) -> Iterator[Callable[[], float]]:
    """What makes `CALLS` calls from a process with that build, and gives their median in microseconds."""
    command = [sys.executable, str(ROOT / "bench" / "servers" / "client.py"), protocol, str(port)]
    environment = os.environ | ({"PYTHONPATH": source} if source else {})
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def calls() -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{CALLS}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        try:
            yield calls
        finally:
            process.stdin.close()


def stateful(rounds: int, source: str, seconds: float = 2.0) -> Section:
    """The figures of a stateful Deployment of three replicas, each build started anew in each round."""
    found: dict[str, list[dict[str, float | None]]] = {"ours": [], "before": []}
    errors: dict[str, int] = {}
    for turn in range(rounds):
        for name in _in_turns(found, turn):
            with running("ours", seconds, errors, source if name == "before" else "") as side:
                side.all(1_000_000)
                found[name].append(side.found)
    rows: list[list[object]] = []
    checks = []
    for figure in SHOWN:
        ours, before = ([value for one in series if (value := one.get(figure))] for series in found.values())
        if len(ours) == len(before) == rounds:
            rows.append([figure, statistics.median(ours), statistics.median(before)])
            more = figure.endswith("/s")
            bound = 1 / BOUND if more else BOUND
            checks.append(Check(f"{figure}, ours / before", _ratio(ours, before), bound, least=more))

    title = "A stateful Executor, three replicas, beside an earlier build"
    note = f"{seconds:g} s a load; 1 MB in the place of 30." + "".join(f" {n} x {text}." for text, n in errors.items())
    return Section(title, ["figure", "ours", "before"], rows, checks, note, "", {}, {"found": found})


BUILDS = {"start": start, "flow_start": flow_start, "client_latency": client_latency, "stateful": stateful}


def _in_turns(names: dict[str, list], turn: int) -> list[str]:
    return [*names] if turn % 2 == 0 else [*names][::-1]


def _ratio(ours: Iterable[float], before: Iterable[float]) -> Ratio:
    return ratio([*ours], [*before])
