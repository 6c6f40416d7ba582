"""What our synchronous client adds to a call."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable

import grpc
from docarray import BaseDoc, DocList

from bench.cases import TEXT, UNARY, text_request
from bench.report import Check, Section
from bench.runs import bench_server
from bench.stats import ratio
from jina import Client
from jina.codec import pb

CALLS = 200


class Text(BaseDoc):
    """What is sent."""

    text: str = ""


def client_latency(rounds: int) -> Section:
    """One call at a time against the same server: our client, and a bare stub or connection, in turns."""
    rows, checks, raw, bars = [], [], {}, {}
    for protocol, bare, bound in (("grpc", _grpc_bare, 2.0), ("http", _http_bare, 2.0)):
        server = bench_server(f"ours-{protocol}", "ours.py", protocol=protocol)
        server.start()
        try:
            with contextlib.ExitStack() as stack:
                mine = _ours(server.port, protocol)
                other = bare(server.port, stack)
                series = [[_p50(call) for call in (mine, other)] for _ in range(rounds + 1)][1:]
        finally:
            server.stop()
        ours, theirs = (list(values) for values in zip(*series, strict=True))
        for name, values in ((f"client-{protocol}", ours), (f"bare-{protocol}", theirs)):
            rows.append([name, statistics.median(values), len(values) * CALLS])
            bars[name] = rows[-1][1]
            raw[name] = values
        checks.append(Check(f"{protocol}: our client / bare", ratio(ours, theirs), bound))
    note = "The bare sides are a grpcio stub with a message that is made once, and `http.client` kept alive."
    head = ["client", "p50 (us)", "calls"]
    return Section("One call of the synchronous client", head, rows, checks, note, "p50, us", bars, raw)


def _p50(call: Callable[[], bool]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        right = call()
        times.append(time.perf_counter() - began)
        if not right:
            raise RuntimeError("client_latency: a wrong answer")
    return statistics.median(times) * 1e6


def _ours(port: int, protocol: str) -> Callable[[], bool]:
    client = Client(host="127.0.0.1", port=port, protocol=protocol)
    docs = DocList[Text]([Text(id="a", text="hello world")])

    def call() -> bool:
        answer = client.post("/upper", docs, return_type=DocList[Text])
        return bool(answer[0].text == "HELLO WORLD")

    return call


def _grpc_bare(port: int, stack: contextlib.ExitStack) -> Callable[[], bool]:
    channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
    stub = channel.unary_unary(UNARY, pb.DataRequestProto.SerializeToString, pb.DataRequestProto.FromString)
    message = pb.DataRequestProto.FromString(text_request())

    def call() -> bool:
        answer = stub(message)
        return bool(answer.data.docs.docs[0].data["text"].text == "HELLO WORLD")

    return call


def _http_bare(port: int, stack: contextlib.ExitStack) -> Callable[[], bool]:
    connection = stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)))

    def call() -> bool:
        connection.request("POST", "/upper", TEXT, {"Content-Type": "application/json"})
        return b"HELLO WORLD" in connection.getresponse().read()

    return call
