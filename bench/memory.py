"""How much memory a server takes for one large request."""

from __future__ import annotations

import os

from bench.cases import UNARY
from bench.report import Check, Section
from bench.runs import Arm, bench_server, run_load
from bench.stats import interval
from jina.codec import pb

SIZE = 16 * 2**20


def echo_request(blob: bytes) -> bytes:
    """A DataRequestProto with one blob."""
    message = pb.DataRequestProto()
    message.header.exec_endpoint = "/echo"
    doc = message.data.docs.docs.add()
    doc.data["id"].text = "a"
    doc.data["blob"].blob = blob
    return message.SerializeToString()


def grpc_16mib(rounds: int) -> Section:
    """Fresh servers each round: a small echo, then 10 of 16 MiB, one after another; the growth of the peaks.

    The peak is VmHWM of all processes of a server.
    """
    blob = os.urandom(SIZE)
    small, large = echo_request(b"small"), echo_request(blob)
    scripts = {"ours-grpc": "ours.py", "bare-grpc": "bare_grpc.py"}
    grown: dict[str, list[float]] = {name: [] for name in scripts}
    turns = max(3, rounds // 2)
    for _ in range(turns):
        for name, script in scripts.items():
            arm = Arm(bench_server(name, script), "grpc", small, b"small", UNARY)
            arm.server.start()
            try:
                run_load(arm, 5, 1)
                before = arm.server.peak_mb()
                arm.request, arm.expected = large, blob[-64:]
                if run_load(arm, 10, 1)["bad"]:
                    raise RuntimeError(f"grpc_16mib: {name} gave wrong answers")
                grown[name].append((arm.server.peak_mb() - before) * 2**20 / SIZE)
            finally:
                arm.server.stop()
    more = [ours - bare for ours, bare in zip(*grown.values(), strict=True)]
    rows = [[name, interval(values).median, len(values)] for name, values in grown.items()]
    return Section(
        "gRPC, echo of 16 MiB: growth of the peak memory",
        ["server", "growth (payloads)", "fresh servers"],
        rows,
        [Check("ours minus bare (payloads)", interval(more), 2.0)],
        f"10 requests on each of {turns} fresh servers, concurrency 1. A payload is 16 MiB.",
        "payloads",
        {row[0]: row[1] for row in rows},
        {"grown": grown},
    )
