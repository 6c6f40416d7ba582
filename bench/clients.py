"""What our synchronous client adds to a call, and what it would cost to hide an event loop in a thread behind it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import statistics
import threading
import time
from collections.abc import Callable, Sequence

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
    for protocol, bare, bound in (("grpc", _grpc_bare, 0.6), ("http", _http_bare, 2.0)):
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


def portal(rounds: int) -> Section:
    """One call at a time, in turns: blocking, and by the asynchronous client on a loop in a thread of its own."""
    rows, checks, raw, bars = [], [], {}, {}
    for protocol in ("grpc", "http"):
        server = bench_server(f"ours-{protocol}", "ours.py", protocol=protocol)
        server.start()
        try:
            with contextlib.ExitStack() as stack:
                arms = (_ours(server.port, protocol), _by_portal(server.port, protocol, stack))
                series = [_in_turns(arms) for _ in range(rounds + 1)]
        finally:
            server.stop()
        blocking, hopping = ([one[arm] for one in series[1:]] for arm in (0, 1))
        for name, values in ((f"blocking-{protocol}", blocking), (f"portal-{protocol}", hopping)):
            rows.append([name, *(statistics.median(column) for column in zip(*values, strict=True)), rounds * CALLS])
            bars[name] = rows[-1][1]
            raw[name] = values
        for what, column in (("p50", 0), ("CPU", 1)):
            found = ratio([one[column] for one in hopping], [one[column] for one in blocking])
            checks.append(Check(f"{protocol}: {what}, portal / blocking", found, 1.3 if column == 0 else None))
    note = "CPU is that of the client's process. The portal's thread runs nothing but its loop."
    head = ["client", "p50 (us)", "CPU (us)", "calls"]
    return Section("A synchronous call, blocking and through a thread with a loop", head, rows, checks, note, "p50, us",
                   bars, raw)  # fmt: skip


def _in_turns(arms: Sequence[Callable[[], bool]]) -> list[tuple[float, float]]:
    """For each arm the median time and the CPU of a call, both in us; a call of each after the other."""
    times: list[list[float]] = [[] for _ in arms]
    used = [0.0 for _ in arms]
    for _ in range(CALLS):
        for number, call in enumerate(arms):
            cpu, began = time.process_time(), time.perf_counter()
            right = call()
            times[number].append(time.perf_counter() - began)
            used[number] += time.process_time() - cpu
            if not right:
                raise RuntimeError("portal: a wrong answer")
    return [(statistics.median(one) * 1e6, cpu / CALLS * 1e6) for one, cpu in zip(times, used, strict=True)]


def _by_portal(port: int, protocol: str, stack: contextlib.ExitStack) -> Callable[[], bool]:
    client = Client(host="127.0.0.1", port=port, protocol=protocol, asyncio=True)
    docs = DocList[Text]([Text(id="a", text="hello world")])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="portal", daemon=True)
    thread.start()

    def end() -> None:
        asyncio.run_coroutine_threadsafe(client.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    stack.callback(end)

    async def post() -> DocList[Text]:
        return await client.post("/upper", docs, return_type=DocList[Text])

    def call() -> bool:
        answer = asyncio.run_coroutine_threadsafe(post(), loop).result()
        return bool(answer[0].text == "HELLO WORLD")

    return call


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
