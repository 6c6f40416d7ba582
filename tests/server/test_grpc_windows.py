"""Bytes of calls that ended before they were read: the connection has room for others afterwards."""

import asyncio

import pytest

from jina.net import http2_h2, http2_ngh2
from jina.net.http2 import CANCEL, Settings
from tests.http2.frames import UNARY, framed, head, request
from tests.server.sample_service import SampleService, authority, run, served

WINDOW = 256 * 1024
"""Of a connection, in bytes; it is 8,000 times larger where no test makes it smaller."""
PATIENCE = 10


@pytest.fixture(autouse=True)
def small_windows(engine, monkeypatch):
    for library in (http2_ngh2, http2_h2):
        monkeypatch.setattr(library, "LARGEST_WINDOW", WINDOW)
    monkeypatch.setattr(http2_h2, "_TOLD_AT", WINDOW // 4)


class Client(asyncio.Protocol):
    """A connection, and what came on it."""

    def __init__(self):
        self.engine = http2_ngh2.Connection(self, Settings(), client=True)
        self.statuses = {}
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.flush()

    def data_received(self, data):
        self.engine.receive(data)
        self.flush()
        self.changed.set()

    def flush(self):
        while data := self.engine.output(65_536):
            self.transport.write(data)

    async def until(self, what):
        """Wait for what must come to pass."""
        async with asyncio.timeout(PATIENCE):
            while not what():
                self.changed.clear()
                await self.changed.wait()

    def begin(self, path, data, *, ended=False):
        """Begin a call; gives its stream."""
        stream = self.engine.request(head(path))
        self.engine.send(stream, data, ended=ended)
        self.flush()
        return stream

    def on_headers(self, stream, headers, *, ended):
        found = dict(headers)
        if b"grpc-status" in found:
            self.statuses[stream] = int(found[b"grpc-status"])

    def on_data(self, stream, data, *, ended):
        self.engine.taken(stream, len(data))

    def on_closed(self, stream, code): ...

    def on_window(self): ...

    def on_settings(self): ...

    def on_ping(self): ...

    def on_pong(self): ...

    def on_goaway(self, last, code, text): ...


def given_up(client, stream):
    client.engine.reset(stream, CANCEL)
    client.flush()


def refused(client, _stream):
    """The server ended the call itself, at its head."""


ENDS = {
    "half a message, given up": (UNARY, framed(bytes(900_000))[:60_000], given_up),
    "a stream that nobody reads, given up": (
        b"/jina.JinaRPC/Call",
        framed(request("/slow", "x" * 50_000)) * 1,
        given_up,
    ),
    "of no method": (b"/nothing/At", framed(bytes(900_000))[:60_000], refused),
    "of a message that is too large": (UNARY, b"\0\xff\xff\xff\xff" + bytes(60_000), refused),
}


@pytest.mark.parametrize(("path", "data", "end"), ENDS.values(), ids=ENDS)
def test_what_came_of_ended_calls_is_told(path, data, end):
    async def main():
        async with served(SampleService(), "grpc") as server:
            host, _, port = authority(server).rpartition(":")
            _, client = await asyncio.get_running_loop().create_connection(Client, host, int(port))
            for _ in range(20):
                stream = client.begin(path, data)
                await client.until(lambda: not client.engine.queued())
                end(client, stream)
            last = client.begin(UNARY, framed(request("/upper", "a")), ended=True)
            await client.until(lambda: last in client.statuses)
            assert client.statuses[last] == 0
            client.transport.close()

    run(main())
