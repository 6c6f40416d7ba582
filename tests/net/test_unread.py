"""Clients that do not take their answers: what waits for them is bounded and given back, others are served."""

import asyncio
import contextlib
import socket
import struct

import pytest
from tests.server.sample_service import Note, SampleService, authority, run, served
from tests.server.test_slow_clients import UPGRADE

from jina.codec import pb
from jina.net.limits import Limits
from jina.net.unread import Bounds, Unread, Waiting

MB = 1_000_000
TEXT = "x" * MB
BODY = b'[{"text": "x"}]'


class Large(SampleService):
    """Answers with a megabyte whatever it is asked, or with one after another."""

    async def _answer(self, request):
        return self._tokens([TEXT])

    async def stream(self, request):
        try:
            for number in range(10**9):
                self.produced = number
                yield self._tokens([TEXT])
        finally:
            self.closed.set()


def message(endpoint):
    from docarray import DocList

    made = pb.DataRequestProto()
    made.header.exec_endpoint = endpoint
    made.data.docs.ParseFromString(DocList[Note]([Note(text="x")]).to_protobuf().SerializeToString())
    return made


def frame(kind, flags, stream, body):
    """A frame of HTTP/2."""
    return struct.pack("!I", len(body))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + body


def grpc_call(stream, path, content, *, end=True):
    def literal(text):
        return bytes([len(text)]) + text.encode()

    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x",
              "te": "trailers",  # codespell:ignore te
              "content-type": "application/grpc"}  # fmt: skip
    head = b"".join(b"\0" + literal(name) + literal(value) for name, value in fields.items())
    body = b"\0" + struct.pack("!I", len(content)) + content
    parts = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    last = len(parts) - 1
    frames = [frame(0, int(end and number == last), stream, part) for number, part in enumerate(parts)]
    return frame(1, 4, stream, head) + b"".join(frames)


# No byte of an answer may be sent: the window of each call is 0.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack("!HI", 4, 0))


def http(path, accept="*/*"):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    body = BODY if path != "/forever" else b'{"text": "x"}'
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def websocket(path):
    text = b'{"data": [{"text": "x"}]}'
    return bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text


def attacks():
    single = "/jina.JinaSingleDataRequestRPC/process_single_data"
    stream = "/jina.JinaSingleDocumentRequestRPC/stream_doc"
    echo, forever = message("/echo"), message("/forever")
    document = pb.SingleDocumentRequestProto(header=forever.header, document=forever.data.docs.docs[0])
    unary = [grpc_call(1 + 2 * number, single, echo.SerializeToString()) for number in range(40)]
    streams = [grpc_call(1 + 2 * number, stream, document.SerializeToString()) for number in range(10)]
    call = b"\0" + struct.pack("!I", len(echo.SerializeToString())) + echo.SerializeToString()
    call = b"".join(frame(0, 0, 1, call[at : at + 16384]) for at in range(0, len(call), 16384))
    bidirectional = grpc_call(1, "/jina.JinaRPC/Call", echo.SerializeToString(), end=False)
    return {
        "http": ("http", b"", [http("/echo")] * 40),
        "events": ("http", b"", [http("/forever", "text/event-stream")]),
        "lines": ("http", b"", [http("/forever", "application/x-ndjson")]),
        "websocket": ("websocket", UPGRADE.replace(b"GET / ", b"GET /echo "), [websocket("/echo")] * 40),
        "websocket stream": ("websocket", UPGRADE.replace(b"GET / ", b"GET /forever "), [websocket("/forever")]),
        "grpc": ("grpc", PREFACE, unary),
        "grpc stream": ("grpc", PREFACE, streams),
        "grpc call": ("grpc", PREFACE, [bidirectional, *[call] * 40]),
    }


ATTACKS = attacks()


async def attack(server, greeting, pieces):
    """Send until nothing more is taken, read nothing; gives the socket."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = authority(server).split(":")
        await loop.sock_connect(sock, (host, int(port)))
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(sock, greeting)
            if greeting.startswith(b"GET"):
                assert (await loop.sock_recv(sock, 12)).endswith(b" 101")
            for piece in pieces:
                await loop.sock_sendall(sock, piece)
    except BaseException:
        sock.close()
        raise
    return sock


async def ended(sock):
    """Return once the server has closed the connection."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(sock, 1 << 20):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_a_connection_whose_answers_are_not_taken_is_closed(name):
    listener, greeting, pieces = ATTACKS[name]

    async def main():
        service = Large()
        async with served(service, listener, limits=Limits(unread=Bounds(4 * MB, 64 * MB, 1.0))) as server:
            attacking = asyncio.create_task(attack(server, greeting, pieces))
            unread = server.unread
            await until(lambda: unread.closed, "the server closes it")
            sock = await attacking
            await ended(sock)
            sock.close()
            if "stream" in name or name in {"events", "lines"}:
                await service.closed.wait()
            await until(lambda: not unread.waiting and not service.running, "nothing waits")

    run(main())


async def left(attacking):
    """Close what the attacks have opened."""
    for one in attacking:
        one.cancel()
    for found in await asyncio.gather(*attacking, return_exceptions=True):
        if isinstance(found, socket.socket):
            found.close()


async def until(condition, what):
    try:
        async with asyncio.timeout(45):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"waited for: {what}")


@pytest.mark.parametrize("name", ["websocket", "grpc call"])
def test_no_more_requests_are_taken_than_may_wait(name):
    """Of 40 requests whose answers have a megabyte, with a limit of 4."""
    listener, greeting, pieces = ATTACKS[name]

    async def main():
        service = Large()
        async with served(service, listener, limits=Limits(unread=Bounds(4 * MB, 64 * MB, 0))) as server:
            attacking = asyncio.create_task(attack(server, greeting, pieces))
            await until(lambda: server.unread.waiting, "an answer waits")
            seen = -1
            while seen != len(service.requests):  # until nothing more comes for a while
                seen = len(service.requests)
                await asyncio.sleep(0.5)
            assert seen < 20
            await left([attacking])

    run(main())


@pytest.mark.parametrize("listener", ["http", "websocket", "grpc"])
def test_where_all_wait_for_too_much_those_that_take_least_are_closed(listener):
    """Ten connections with 2 MB each, and 8 MB for all: some are closed at once, without any time limit."""
    name = {"http": "http", "websocket": "websocket", "grpc": "grpc"}[listener]
    _, greeting, pieces = ATTACKS[name]

    async def main():
        service = Large()
        async with served(service, listener, limits=Limits(unread=Bounds(40 * MB, 8 * MB, 0))) as server:
            attacking = [asyncio.create_task(attack(server, greeting, pieces)) for _ in range(10)]
            await until(lambda: server.unread.closed >= 2, "some are closed")
            await until(lambda: server.unread.held <= 16 * MB, "not much more waits than may")
            await left(attacking)

    run(main())


@pytest.mark.slow
def test_a_client_that_reads_slowly_stays():
    """A few KiB at a time, with pauses: longer than the time for one without progress, and more than 1 KiB a second."""

    async def main():
        async with served(Large(), "http", limits=Limits(unread=Bounds(MB, 64 * MB, 1.0))) as server:
            sock = await attack(server, b"", [http("/echo")])
            heard = b""
            loop = asyncio.get_running_loop()
            while not heard.endswith(b"}") or len(heard) < MB:
                part = await loop.sock_recv(sock, 1 << 16)
                assert part, len(heard)
                heard += part
                await asyncio.sleep(0.01)
            sock.close()
            assert not server.unread.closed

    run(main())


class Client(Waiting):
    """One whose buffer is what the test says."""

    def __init__(self, unread):
        super().__init__(unread)
        self.buffer = 0
        self.closed = False

    def left(self):
        return self.buffer

    def close(self):
        self.closed = True


@pytest.mark.slow
def test_the_slowest_is_the_first_to_be_closed():
    async def main():
        given_back = []
        unread = Unread(Bounds(MB, 10 * MB, 0), lambda: given_back.append(True))
        slow, quick = Client(unread), Client(unread)
        slow.buffer, quick.buffer = 3 * MB, 6 * MB
        slow.pause()
        quick.pause()
        for _ in range(12):
            await asyncio.sleep(0.2)
            quick.buffer -= 100_000
        assert [slow.closed, quick.closed] == [False, False]
        slow.add(4 * MB)
        await until(lambda: slow.closed, "the slow one is closed")
        assert not quick.closed
        assert given_back
        quick.buffer = 0
        quick.resume()
        assert not unread.waiting

    run(main())


def test_a_single_answer_may_be_larger_than_all_that_may_wait():
    async def main():
        unread = Unread(Bounds(MB, 2 * MB, 0))
        alone = Client(unread)
        alone.add(5 * MB)
        alone.pause()
        await asyncio.sleep(1.2)
        assert not alone.closed
        alone.add(MB)
        await asyncio.sleep(1.2)
        assert alone.closed

    run(main())
