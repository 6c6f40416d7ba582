"""A server of gRPC under very many calls: what it holds does not grow with them.

`JINA_CALLS` is the number of calls for each library (10,000; by `make chaos` a million), over `JINA_CONNECTIONS`
connections (100; 1,000) one after another, a few at a time.
"""

import asyncio
import itertools
import os
import statistics
import sys
import time
from collections import Counter

import pytest

from jina.codec import pb
from jina.net import http2_ngh2
from jina.net.http2 import CANCEL, Settings
from tests.http2 import frames
from tests.http2.programs import serving

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
CALLS = int(os.environ.get("JINA_CALLS", "1000000" if AT_LENGTH else "10000"))
CONNECTIONS = int(os.environ.get("JINA_CONNECTIONS", "1000" if AT_LENGTH else "100"))
AT_ONCE, IN_FLIGHT = 4, 64
LOOKS = 20
PROGRESS = 60
"""Seconds in which something must come of a connection that has calls in flight."""
GROWTH = 1024
"""KiB that a million calls may leave behind, and what any number of them may."""
MIB = 1024


class Client(asyncio.Protocol):
    """One connection with so many calls of several kinds, of which some are in flight at any time."""

    ECHO = frames.framed(frames.request("/echo", "ABC", number=3))
    KINDS = ("unary",) * 44 + ("stream",) * 2 + ("unknown",) * 2 + ("given up", "garbled")

    def __init__(self, calls):
        self.left = calls
        self.answers = Counter()
        self.heard = time.monotonic()
        self.done = asyncio.get_running_loop().create_future()
        self._kinds = itertools.cycle(self.KINDS)
        self._open = {}
        self._engine = http2_ngh2.Connection(self, Settings(), client=True)

    def connection_made(self, transport):
        self._transport = transport
        self._go_on()

    def data_received(self, data):
        self.heard = time.monotonic()
        self._engine.receive(data)
        self._go_on()

    def connection_lost(self, exc):
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError(f"{len(self._open)} calls were in flight, {self.left} left"))

    def _go_on(self):
        while self.left and len(self._open) < IN_FLIGHT:
            self.left -= 1
            self._begin(next(self._kinds))
        while data := self._engine.output(65_536):
            self._transport.write(data)
        if not self._open and not self.left and not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def _begin(self, kind):
        path = b"/jina.JinaRPC/Call" if kind == "stream" else frames.UNARY
        stream = self._engine.request(
            frames.head(path, (b"grpc-timeout", b"600S"), (b"x-request-id", b"%d" % self.left))
        )
        self._open[stream] = [kind, b""]
        match kind:
            case "stream":
                self._engine.send(stream, self.ECHO * 3, ended=True)
            case "unknown":
                self._engine.send(stream, frames.framed(frames.request("/nothing", "a")), ended=True)
            case "garbled":
                self._engine.send(stream, frames.framed(b"\xff" * 30), ended=True)
            case "given up":
                self._engine.send(stream, self.ECHO[:20])
                self._transport.write(self._engine.output(65_536))
                self._engine.reset(stream, CANCEL)
            case _:
                self._engine.send(stream, self.ECHO, ended=True)

    def on_headers(self, stream, headers, *, ended):
        if ended:
            kind, body = self._open[stream]
            found = dict(headers)
            assert found[b"grpc-status"] == {"unknown": b"5", "garbled": b"3"}.get(kind, b"0"), (kind, headers)
            if kind in {"unary", "stream"}:
                size = int.from_bytes(body[1:5], "big")
                answer = pb.DataRequestProto.FromString(body[5 : 5 + size])
                assert answer.data.docs.docs[0].data["text"].text == "ABC"
                assert len(body) > (2 * size if kind == "stream" else size)
            self.answers[kind] += 1

    def on_data(self, stream, data, *, ended):
        self._open[stream][1] += data
        self._engine.taken(stream, len(data))

    def on_closed(self, stream, code):
        kind, _ = self._open.pop(stream)
        assert code == (CANCEL if kind == "given up" else 0), (kind, code)

    def on_window(self): ...

    def on_settings(self): ...

    def on_ping(self): ...

    def on_pong(self): ...

    def on_goaway(self, last, code, text):
        raise AssertionError(f"the server goes away: {code} {text!r}")


async def connection(port, calls):
    """Make so many calls on a connection of their own; gives how many were answered, by kind."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(calls), "127.0.0.1", port)
    while not client.done.done():
        await asyncio.wait([client.done], timeout=PROGRESS)
        assert client.done.done() or time.monotonic() - client.heard < PROGRESS, "nothing comes any more"
    await client.done
    return client.answers


async def soak(server):
    """All calls; gives the answers and what the server held from time to time, as pairs of calls and KiB."""
    each = max(1, CALLS // CONNECTIONS)
    left, made = iter(range(CONNECTIONS)), 0
    answers, held = Counter(), []
    step = max(1, CONNECTIONS // LOOKS)

    async def some():
        nonlocal made
        for _ in left:
            answers.update(await connection(server.port, each))
            made += 1
            if made % step == 0:
                held.append((made * each, (await asyncio.to_thread(server.look))["memory"]))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    async with asyncio.timeout(PROGRESS):
        while (found := await asyncio.to_thread(server.look))["connections"]:
            await asyncio.sleep(0.1)
    assert found["tasks"] == 0
    return answers, held


@pytest.mark.timeout(0)
@pytest.mark.parametrize("engine", ["ngh2", "h2"])
def test_memory_does_not_grow_with_calls(engine):
    with serving(engine, "notes") as server:
        began = time.monotonic()
        answers, held = asyncio.run(soak(server))
        assert server.process.poll() is None
        assert "Traceback" not in server.said(), server.said()
    later = held[len(held) // 4 :]
    slope, _ = statistics.linear_regression([calls / 1e6 for calls, _ in later], [kib for _, kib in later])
    grown = statistics.mean(kib for _, kib in later[-3:]) - statistics.mean(kib for _, kib in later[:3])
    sys.stdout.write(
        f"{engine}: {CALLS} calls over {CONNECTIONS} connections in {time.monotonic() - began:.0f} s, {dict(answers)}; "
        f"{slope / MIB:.3f} MiB more per million calls, {grown:.0f} KiB in all; {held}\n"
    )
    assert sum(answers.values()) >= CALLS * 0.97  # the others were given up
    assert grown <= GROWTH or slope <= GROWTH, held
