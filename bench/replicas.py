"""Replicas: clients of a handler that waits 50 ms, and a handler that computes on one replica and on two."""

from __future__ import annotations

from bench.cases import TEXT
from bench.environments import python_of, versions
from bench.procs import Server
from bench.report import Check, Section
from bench.runs import Arm, bench_server, compare, http_request
from bench.stats import ratio

HEAD = ["server", "requests/s", "us of CPU per request", "p50 (ms)", "p99 (ms)", "PSS (MB)", "requests"]


CLIENTS, MANY = 256, 1024
CEILING = CLIENTS / 0.05
"""Answers a second that `CLIENTS` can get at most from a handler that waits 50 ms."""


def waiting(rounds: int) -> Section:
    """`await asyncio.sleep(0.05)` for 256 clients at once and for 1,024, HTTP JSON."""
    jina3 = python_of("jina3")

    def arms(suffix: str = "") -> list[Arm]:
        alone = bench_server(f"jina3-1{suffix}", "jina3.py", jina3, protocol="http", include_gateway="false")
        theirs = bench_server(f"jina3-2{suffix}", "jina3.py", jina3, protocol="http", replicas="2")
        return [
            _waiting(bench_server(f"ours-1{suffix}", "ours.py", protocol="http")),
            _waiting(bench_server(f"ours-2{suffix}", "ours.py", protocol="http", replicas="2")),
            _waiting(alone, 0.5),
            _waiting(theirs, 0.25),
        ]

    few, many = arms(), arms("-many")
    rows = compare("waiting", few, rounds=rounds, requests=8192, concurrency=CLIENTS).rows
    rows += compare("waiting_many", many, rounds=rounds, requests=8192, concurrency=MANY).rows
    checks = []
    for one, two, jina_one, jina_two in (few, many):
        for ours, theirs, bound in ((one, jina_one, 2.0), (two, jina_two, 5.0)):
            name = f"throughput of {ours.server.name} / {theirs.server.name}"
            checks.append(Check(name, ratio(_speed(ours), _speed(theirs)), bound, least=True))
    for theirs in few[2:]:
        name = f"the most that the load allows / {theirs.server.name}"
        checks.append(Check(name, ratio([CEILING] * rounds, _speed(theirs)), None))
    note = (
        f"{CLIENTS} clients, which get {CEILING:.0f} answers a second at most; with `-many` {MANY}."
        f" One replica of {versions('jina3')} has no gateway before it; two of either have one."
    )
    return _section("A handler that waits 50 ms, one replica and two", rows, checks, note)


def _waiting(server: Server, share: float = 1.0) -> Arm:
    return Arm(server, "http", http_request("/wait", TEXT), b"hello world", share=share)


def computing(rounds: int) -> Section:
    """A handler of pure Python that computes for some milliseconds, on one replica and on two."""

    def arm(server: Server) -> Arm:
        return Arm(server, "http", http_request("/compute", TEXT), b"hello world")

    arms = [
        arm(bench_server("ours-2", "ours.py", protocol="http", replicas="2")),
        arm(bench_server("ours-1", "ours.py", protocol="http")),
    ]
    rows = compare("computing", arms, rounds=rounds, requests=400, concurrency=16).rows
    checks = [Check("throughput of two replicas / one", ratio(_speed(arms[0]), _speed(arms[1])), 1.6, least=True)]
    note = "16 clients. The load is made on the same two cores, so that two replicas never have both for themselves."
    return _section("A handler that computes, one replica and two", rows, checks, note)


def _speed(arm: Arm) -> list[float]:
    return [load["requests"] / load["seconds"] for load in arm.loads]


def _section(title: str, rows: list[dict], checks: list[Check], note: str) -> Section:
    table = [
        [row["name"], row["per_second"], row["cpu_us"], row["p50_ms"], row["p99_ms"], row["pss_mb"], row["requests"]]
        for row in rows
    ]
    return Section(
        title, HEAD, table, checks, note, "requests/s", {row["name"]: row["per_second"] for row in rows}, {"rows": rows}
    )


REPLICAS = {"waiting": waiting, "computing": computing}
