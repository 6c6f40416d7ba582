"""The cases of Flows: a gateway and its Executors, each a process, beside the same Flow on Jina 3."""

from __future__ import annotations

import os
import statistics
import sys

import numpy as np

from bench.cases import TEXT, UNARY, Case, text_request, vector_request
from bench.environments import python_of, versions
from bench.memory import SIZE, echo_request
from bench.procs import Server
from bench.report import Check, Section
from bench.runs import Arm, bench_server, http_get, http_request, run_load, warm_up
from bench.starts import first_answers
from bench.stats import interval, ratio


def flow_server(side: str, protocol: str, steps: int = 2) -> Server:
    """A Flow of a side: `ours` or `jina3`."""
    name = f"{side}-flow-{protocol}" + ("" if steps == 2 else f"-{steps}")
    options = {"protocol": protocol, "steps": str(steps)} | ({"ours": "1"} if side == "ours" else {})
    return bench_server(name, "flow.py", sys.executable if side == "ours" else python_of(side), **options)


def pair(protocol: str, kind: str, request: bytes, expected: bytes, *, share: float, method: str = "") -> list[Arm]:
    """Ours and Jina 3's."""
    ours, theirs = flow_server("ours", protocol), flow_server("jina3", protocol)
    return [
        Arm(ours, kind, request, expected, method),
        Arm(theirs, kind, request, expected, method, share=share),
    ]


def flow_grpc() -> list[Arm]:
    """One short text through two Executors, gRPC, beside a bare server without a gateway."""
    request = text_request()
    bare = Arm(bench_server("bare-grpc", "bare_grpc.py"), "grpc", request, b"HELLO WORLD", UNARY)
    return [*pair("grpc", "grpc", request, b"HELLO WORLD", share=0.2, method=UNARY), bare]


def flow_http() -> list[Arm]:
    """One short text through two Executors, HTTP JSON, beside a bare server without a gateway."""
    request = http_request("/upper", TEXT)
    bare = Arm(bench_server("bare-http", "bare_http.py"), "http", request, b"HELLO WORLD")
    return [*pair("http", "http", request, b"HELLO WORLD", share=0.1), bare]


def flow_vectors() -> list[Arm]:
    """100 documents of 768 float32 through two Executors that double them, gRPC."""
    expected = (np.random.default_rng(0).random((100, 768), dtype=np.float32)[-1] * 4).tobytes()
    return pair("grpc", "grpc", vector_request(), expected, share=0.1, method=UNARY)


def flow_sse() -> list[Arm]:
    """1,000 tokens through the gateway."""
    request = http_get("/tokens?id=a&text=x")
    return [
        Arm(flow_server("ours", "http", 1), "http", request, b"token ", times=1000),
        Arm(flow_server("jina3", "http", 1), "http", request, b"token ", share=0.2, times=1000),
    ]


FLOWS = {
    "flow_grpc": Case(
        "A Flow of two Executors, gRPC unary, one short text", flow_grpc,
        (("jina3-flow-grpc", 1 / 5), ("bare-grpc", 0.7)), 1000, 32,
    ),
    "flow_http": Case(
        "A Flow of two Executors, HTTP JSON, one short text", flow_http,
        (("jina3-flow-http", 1 / 15), ("bare-http", 2.5)), 1000, 32,
    ),
    "flow_vectors": Case(
        "A Flow of two Executors, gRPC, 100 documents of 768 float32", flow_vectors, (("jina3-flow-grpc", 1 / 8),),
        300, 4,
    ),
    "flow_sse": Case(
        "A Flow of one Executor, server-sent events, 1,000 tokens without a pause", flow_sse,
        (("jina3-flow-http-1", 1 / 10),), 20, 4, items=1000,
    ),
}  # fmt: skip


def flow_hops(rounds: int) -> Section:
    """CPU per request of Flows with one, two, three and five Executors; the cost of each further one."""
    rows, checks, bars, raw = [], [], {}, {}
    for protocol, bound in (("http", 100.0), ("grpc", 200.0)):
        lengths = (1, 2, 3, 5)
        if protocol == "grpc":
            request, kind, method = text_request(), "grpc", UNARY
        else:
            request, kind, method = http_request("/upper", TEXT), "http", ""
        arms = [Arm(flow_server("ours", protocol, n), kind, request, b"HELLO WORLD", method) for n in lengths]
        try:
            for arm in arms:
                arm.server.start()
                warm_up(arm, 500, 32)
            for turn in range(rounds):
                for arm in arms if turn % 2 == 0 else arms[::-1]:
                    arm.round(1000, 32)
            for n, arm in zip(lengths, arms, strict=True):
                rows.append([arm.server.name, n, statistics.median(arm.cpu_us), arm.row()["p50_ms"]])
                bars[f"{protocol}, {n}"] = statistics.median(arm.cpu_us)
                raw[arm.server.name] = arm.cpu_us
        finally:
            for arm in arms:
                arm.server.stop()
        slopes = [float(np.polyfit(lengths, one, 1)[0]) for one in zip(*(arm.cpu_us for arm in arms), strict=True)]
        checks.append(Check(f"{protocol}: CPU of each further Executor (us)", interval(slopes), bound))
    head = ["server", "Executors", "us of CPU per request", "p50 (ms)"]
    note = "All of them are in processes of their own. Each decodes, upper-cases and encodes. Concurrency 32."
    return Section("Flows of several lengths", head, rows, checks, note, "us of CPU per request", bars, raw)


def flow_16mib(rounds: int) -> Section:
    """16 MiB through two Executors: CPU and the growth of the peak memory, one request after another."""
    blob = os.urandom(SIZE)
    small, large = echo_request(b"small"), echo_request(blob)
    grown: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    turns = max(3, rounds // 3)
    for _ in range(turns):
        for side in ("ours", "jina3"):
            arm = Arm(flow_server(side, "grpc"), "grpc", small, b"small", UNARY)
            arm.server.start()
            try:
                warm_up(arm, 5, 1)
                before, cpu = arm.server.peak_mb(), arm.server.cpu_ns()
                arm.request, arm.expected = large, blob[-64:]
                if run_load(arm, 10, 1)["bad"]:
                    raise RuntimeError(f"flow_16mib: {arm.server.name} gave wrong answers")
                grown.setdefault(arm.server.name, []).append((arm.server.peak_mb() - before) * 2**20 / SIZE)
                spent.setdefault(arm.server.name, []).append((arm.server.cpu_ns() - cpu) / 10 / 1e6)
            finally:
                arm.server.stop()
    ours_name, theirs_name = grown
    rows = [[n, interval(grown[n]).median, interval(spent[n]).median, len(grown[n])] for n in grown]
    checks = [
        Check("our CPU / jina3", ratio(spent[ours_name], spent[theirs_name]), 1 / 5),
        Check("growth of our peak memory (payloads)", interval(grown[ours_name]), 8.0),
    ]
    head = ["server", "growth (payloads)", "CPU (ms per request)", "fresh servers"]
    note = f"10 requests on each of {turns} fresh servers, concurrency 1. A payload is 16 MiB."
    bars = {row[0]: row[2] for row in rows}
    return Section("A Flow of two Executors, echo of 16 MiB", head, rows, checks, note, "ms of CPU", bars, {"g": grown})


def flow_start(rounds: int) -> Section:
    """A Flow of three Executors: process start to the first right answer over HTTP."""
    turns = max(2, rounds // 4)
    found = first_answers(
        {f"{side}-flow": (flow_server(side, "http", 3), "/upper") for side in ("ours", "jina3")}, turns
    )
    rows = []
    for name, series in found.items():
        wall, cpu, pss = (statistics.median(values) for values in zip(*series, strict=True))
        rows.append([name, versions(name.partition("-")[0]), wall, cpu, pss])
    bounds = (("wall", 0.5), ("CPU", 0.5), ("PSS", 1 / 1.5))
    ours, theirs = found.values()
    checks = [
        Check(f"our {what} / jina3", ratio([one[k] for one in ours], [one[k] for one in theirs]), bound)
        for k, (what, bound) in enumerate(bounds)
    ]
    head = ["server", "version", "wall (s)", "CPU (s)", "PSS (MB)"]
    note = f"{turns} starts each. CPU of all processes to the first answer, also ended ones."
    return Section(
        "Start of a Flow of three Executors to the first answer over HTTP", head, rows, checks, note, "s",
        {row[0]: row[2] for row in rows}, {"found": found},
    )  # fmt: skip


FLOW_OTHERS = {"flow_hops": flow_hops, "flow_16mib": flow_16mib, "flow_start": flow_start}
