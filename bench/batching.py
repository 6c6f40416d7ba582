"""Dynamic batching: 64 clients, at most 32 texts a batch, a model that takes 5 ms and 0.1 ms a text."""

from __future__ import annotations

import statistics
import urllib.request
from collections import Counter

from bench.cases import TEXT
from bench.environments import python_of, versions
from bench.procs import Server
from bench.report import Check, Section
from bench.runs import Arm, bench_server, http_request, warm_up
from bench.stats import interval, ratio

CLIENTS = 64
REQUESTS = 1000
"""A round and arm."""

LIMIT = "0.01"
"""Seconds that 99 of 100 requests wait at most: the timeout of 5 ms and 5 ms more. A bound of the histogram."""


def batching(rounds: int) -> Section:
    """All servers in turns: throughput, CPU, the sizes of batches, and how long our requests waited."""
    arms = batching_arms()
    waited: list[float] = []
    try:
        for arm in arms:
            arm.server.start()
        for arm in arms:
            warm_up(arm, max(4 * CLIENTS, int(REQUESTS * arm.share) // 2), CLIENTS)
        for turn in range(rounds):
            for arm in arms if turn % 2 == 0 else arms[::-1]:
                before = _waits(arm.server) if arm is arms[0] else None
                arm.round(REQUESTS, CLIENTS)
                if before is not None:
                    within, count = (now - then for now, then in zip(_waits(arm.server), before, strict=True))
                    waited.append(within / count)
        rows = [arm.row() for arm in arms]
    finally:
        for arm in arms:
            arm.server.stop()
    peers = ", ".join(versions(peer) for peer in ("mosec", "litserve", "jina3"))
    note = f"{CLIENTS} clients, HTTP JSON. {peers}. Mean batch: documents for each call of the model."
    head = ["server", "requests/s", "us of CPU per request", "mean batch", "p50 (ms)", "p99 (ms)", "wrong", "requests"]
    table = [
        [row["name"], row["per_second"], row["cpu_us"], _mean_batch(arm), row["p50_ms"], row["p99_ms"], row["bad"],
         row["requests"]]
        for arm, row in zip(arms, rows, strict=True)
    ]  # fmt: skip
    bars = {row["name"]: row["per_second"] for row in rows}
    raw = {"rows": rows, "waited": waited, "sizes": {arm.server.name: _counted(_sizes(arm)) for arm in arms}}
    title = "Dynamic batching, at most 32 texts, 5 ms + 0.1 ms a text"
    return Section(title, head, table, _checks(arms, waited), note, "requests/s", bars, raw)


def batching_arms() -> list[Arm]:
    """All servers; the first is ours."""

    def arm(server: Server, path: str = "/gathered", share: float = 1.0) -> Arm:
        return Arm(server, "http", http_request(path, TEXT), b"HELLO WORLD", share=share, sizes=True)

    jina3 = python_of("jina3")
    direct = bench_server("jina3-http-direct", "jina3.py", jina3, protocol="http", include_gateway="false")
    return [
        arm(bench_server("ours-async", "ours.py", protocol="http")),
        arm(bench_server("ours-sync", "ours.py", protocol="http"), "/gathered_sync"),
        arm(bench_server("bare", "batching_bare.py")),
        arm(bench_server("mosec", "batching_mosec.py", python_of("mosec")), "/inference"),
        arm(bench_server("litserve", "batching_litserve.py", python_of("litserve")), share=0.3),
        arm(direct, share=0.3),
    ]


def _checks(arms: list[Arm], waited: list[float]) -> list[Check]:
    ours, sync, bare, mosec, litserve, jina3 = arms

    def faster(one: Arm, other: Arm, bound: float | None) -> Check:
        speed = [[load["requests"] / load["seconds"] for load in arm.loads] for arm in (one, other)]
        what = f"throughput of {one.server.name} / {other.server.name}"
        return Check(what, ratio(*speed), bound, least=True)

    def cheaper(other: Arm, bound: float) -> Check:
        return Check(f"our CPU / {other.server.name}", ratio(ours.cpu_us, other.cpu_us), bound)

    return [
        faster(ours, bare, 0.9),
        faster(ours, mosec, 1.0),
        faster(sync, bare, None),
        faster(sync, mosec, None),
        cheaper(mosec, 1.2),
        cheaper(litserve, 1 / 4),
        cheaper(jina3, 1 / 4),
        Check("part of our requests that waited at most timeout + 5 ms", interval(waited), 0.99, least=True),
    ]


def _waits(server: Server) -> tuple[float, float]:
    """How many requests waited at most `LIMIT`, and how many there were."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as page:
        rows = [row for row in page.read().decode().splitlines() if '"/gathered"' in row]
    found = {
        row.partition("{")[0] + ("" if f'le="{LIMIT}"' in row else "?" if "le=" in row else ""): row for row in rows
    }
    names = ("jina_batch_wait_seconds_bucket", "jina_batch_wait_seconds_count")
    within, count = (float(found[name].rpartition(" ")[2]) for name in names)
    return within, count


def _sizes(arm: Arm) -> list[int]:
    return [size for load in arm.loads for size in load["sizes"]]


def _counted(sizes: list[int]) -> dict[int, int]:
    """How many answers came of batches of each size."""
    return dict(sorted(Counter(sizes).items()))


def _mean_batch(arm: Arm) -> float:
    """Each answer tells the size of its batch, so that a batch of n is told n times."""
    return statistics.harmonic_mean(_sizes(arm))
