"""What `grpc_server_options` change on a real port, which client and server do about silence, and how a server ends."""

import asyncio
import contextlib
import socket
import struct
import time

import grpc
import pytest

from jina.config.grpc_options import _SERVER
from jina.server.grpc_protocol import ConnectionSettings
from tests.server.sample_service import SampleService, authority, run, served
from tests.server.test_grpc_calls import document_message, message_of, stream, stream_doc, texts_of, unary, with_channel

pytestmark = pytest.mark.usefixtures("engine")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7


def frame(kind, flags, number, content=b""):
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + content


class Peer:
    """A client that says what a test tells it to, and nothing else."""

    def __init__(self, server):
        self.server = server
        self.frames = []

    async def __aenter__(self):
        host, port = authority(self.server).split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def say(self, data):
        self.writer.write(data)

    def call(self, number, path, content=b"", *, size=None, end=True):
        def literal(text):
            return bytes([len(text)]) + text.encode()

        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "content-type": "application/grpc",
        }
        self.say(
            frame(HEADERS, 4, number, b"".join(b"\0" + literal(one) + literal(two) for one, two in fields.items()))
        )
        message = b"\0" + struct.pack("!I", len(content) if size is None else size) + content
        parts = [message[at : at + 16_384] for at in range(0, len(message), 16_384)]
        for part in parts:
            self.say(frame(DATA, int(end and part is parts[-1]), number, part))

    async def next(self, *kinds):
        """The next frame of one of the kinds; None where the connection ends."""
        while True:
            try:
                head = await self.reader.readexactly(9)
                content = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if head[3] in kinds:
                return head[3], head[4], int.from_bytes(head[5:], "big"), content

    async def goaway(self):
        """The code and the words with which the server leaves."""
        found = await self.next(GOAWAY)
        assert found is not None
        return int.from_bytes(found[3][4:8], "big"), found[3][8:]

    async def ended(self):
        """The seconds until the server closes the connection."""
        started = time.monotonic()
        while await self.next(-1) is not None:
            pass
        return time.monotonic() - started


def with_peer(use, options=None, service=None, **more):
    async def main():
        async with (
            served(service or SampleService(), "grpc", grpc_options=options or {}, **more) as server,
            Peer(server) as peer,
        ):
            return await use(peer)

    return run(main())


def test_each_field_has_an_option():
    fields = {argument.field for argument in _SERVER.values()}
    assert fields == set(ConnectionSettings._fields) - {"arrival"}  # which is `timeout_read`


def code_of(error):
    return error.value.code(), error.value.details()


def test_streams():
    async def use(channel, service):
        slow = [asyncio.ensure_future(unary(channel)(message_of("/slow", "a"), timeout=30)) for _ in range(3)]
        while len(service.requests) < 2:
            await asyncio.sleep(0.01)
        quick = asyncio.ensure_future(unary(channel)(message_of("/echo", "b"), timeout=30))
        done, _ = await asyncio.wait([quick], timeout=0.3)
        assert (done, len(service.requests)) == (set(), 2)
        service.release.set()
        assert texts_of(await quick) == ["b"]
        await asyncio.gather(*slow)

    with_channel(use, grpc_options={"grpc.max_concurrent_streams": 2})


def test_message():
    async def use(channel, _service):
        assert texts_of(await unary(channel)(message_of("/echo", "x" * 5000), timeout=30))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await unary(channel)(message_of("/echo", "x" * 10_000), timeout=30)
        code, words = code_of(error)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert words.startswith("Received message larger than max (")
        assert words.endswith("vs. 10000)")

    with_channel(use, grpc_options={"grpc.max_receive_message_length": 10_000})


def test_answer():
    async def use(channel, _service):
        assert texts_of(await unary(channel)(message_of("/echo", "x" * 5000), timeout=30))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await unary(channel)(message_of("/echo", "x" * 10_000), timeout=30)
        code, words = code_of(error)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert words.startswith("Sent message larger than max (")

    with_channel(use, grpc_options={"grpc.max_send_message_length": 10_000})


def test_metadata():
    async def use(channel, _service):
        fits, large = (("k", "x" * 2500),), (("k", "x" * 3500),)
        assert await unary(channel)(message_of("/echo", "a"), metadata=fits, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await unary(channel)(message_of("/echo", "a"), metadata=large, timeout=30)
        code, words = code_of(error)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert words.startswith("received metadata exceeds limit (")

    with_channel(use, grpc_options={"grpc.max_metadata_size": 3500})


def test_frame():
    async def use(peer):
        peer.say(PREFACE)
        found = await peer.next(SETTINGS)
        assert dict(struct.iter_unpack("!HI", found[3]))[5] == 20_000
        peer.say(frame(DATA, 0, 1, bytes(20_001)))
        assert (await peer.goaway())[0] in {1, 6}

    with_peer(use, {"grpc.http2.max_frame_size": 20_000})


def test_keepalive():
    """A client that does not answer is asked once, and then left."""

    async def use(peer):
        peer.say(PREFACE)
        assert (await peer.next(PING))[1] == 0
        assert 0.1 <= await peer.ended() < 20

    with_peer(use, {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 300})


@pytest.mark.slow
def test_a_client_that_answers_stays():
    async def use(peer):
        peer.say(PREFACE)
        for _ in range(4):
            asked = await peer.next(PING)
            peer.say(frame(PING, 1, 0, asked[3]))

    with_peer(use, {"grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 5000})


def test_too_many_pings():
    async def use(peer):
        peer.say(PREFACE + frame(PING, 0, 0, bytes(8)) * 4)
        assert await peer.goaway() == (11, b"too_many_pings")
        assert await peer.ended() < 20

    with_peer(use, {"grpc.http2.min_recv_ping_interval_without_data_ms": 60_000, "grpc.http2.max_ping_strikes": 2})


@pytest.mark.parametrize(
    "options",
    [
        {"grpc.http2.min_ping_interval_without_data_ms": 0},
        {"grpc.http2.min_ping_interval_without_data_ms": 60_000, "grpc.http2.max_ping_strikes": 0},
    ],
)
def test_pings_that_are_welcome(options):
    async def use(peer):
        peer.say(PREFACE)
        for _ in range(20):
            peer.say(frame(PING, 0, 0, bytes(8)))
            assert (await peer.next(PING))[1] == 1

    with_peer(use, options)


def test_pings_without_calls():
    async def use(peer):
        peer.say(PREFACE + frame(PING, 0, 0, bytes(8)) * 4)
        assert await peer.goaway() == (11, b"too_many_pings")

    options = {"grpc.http2.min_ping_interval_without_data_ms": 0, "grpc.keepalive_permit_without_calls": 0}
    with_peer(use, options)


def test_idle():
    async def use(peer):
        peer.say(PREFACE)
        assert await peer.goaway() == (0, b"")
        assert await peer.ended() < 20

    with_peer(use, {"grpc.max_connection_idle_ms": 200})


def test_handshake():
    async def use(peer):
        assert await peer.ended() < 20

    with_peer(use, {"grpc.server_handshake_timeout_ms": 200})


@pytest.mark.parametrize("grace", [300, 2**31 - 1])
def test_age(grace):
    """The calls of a connection that is old enough get the grace to end."""

    async def use(channel, service):
        call = stream_doc(channel)(document_message("/forever", "a"))
        assert await call.read()
        slow = asyncio.ensure_future(unary(channel)(message_of("/slow", "a"), timeout=30))
        while len(service.requests) < 2:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        if grace > 300:
            await asyncio.wait([slow], timeout=1)
            service.release.set()
            assert texts_of(await slow) == ["a"]
            assert await call.read()
            call.cancel()
        else:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                while await call.read():
                    pass
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - started < 20
            with pytest.raises(grpc.aio.AioRpcError):
                await slow
        service.release.set()
        assert texts_of(await unary(channel)(message_of("/echo", "b"), timeout=30, wait_for_ready=True)) == ["b"]

    with_channel(use, grpc_options={"grpc.max_connection_age_ms": 400, "grpc.max_connection_age_grace_ms": grace})


@pytest.mark.parametrize(("number", "name"), [(0, b""), (1, b"deflate"), (2, b"gzip")])
def test_compression(number, name):
    async def use(peer):
        def literal(text):
            return bytes([len(text)]) + text.encode()

        fields = {":method": "POST", ":scheme": "http", ":path": "/jina.JinaInfoRPC/_status", ":authority": "x",
                  "content-type": "application/grpc", "grpc-accept-encoding": "identity, deflate,gzip"}  # fmt: skip
        head = b"".join(b"\0" + literal(one) + literal(two) for one, two in fields.items())
        peer.say(PREFACE + frame(HEADERS, 4, 1, head) + frame(DATA, 1, 1, bytes(5)))
        assert (await peer.next(DATA))[3][0] == (1 if name else 0)
        peer.call(3, "/jina.JinaInfoRPC/_status")  # a client that does not say that it can read it
        assert (await peer.next(DATA))[3][0] == 0

    with_peer(use, {"grpc.default_compression_algorithm": number})


def test_clients_read_what_is_compressed():
    async def use(channel, _service):
        assert texts_of(await unary(channel)(message_of("/echo", "a" * 1000), timeout=30)) == ["a" * 1000]
        assert [texts_of(one) async for one in stream(channel)(iter([message_of("/echo", "b")]))] == [["b"]]

    with_channel(use, grpc_options={"grpc.default_compression_algorithm": 2})


def test_half_a_message_does_not_wait_for_ever():
    async def use(peer):
        peer.say(PREFACE)
        peer.call(1, "/jina.JinaSingleDataRequestRPC/process_single_data", bytes(10), size=100, end=False)
        kind, flags, number, _ = await peer.next(HEADERS)
        assert (kind, flags & 1, number) == (HEADERS, 1, 1)
        peer.call(3, "/jina.JinaInfoRPC/_status")
        assert (await peer.next(DATA))[2] == 3  # others are answered

    with_peer(use, timeout_read=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_large_messages_at_once(count):
    text = "x" * 16_000_000

    async def use(channel, _service):
        calls = [unary(channel)(message_of("/echo", text + str(number)), timeout=45) for number in range(count)]
        for number, answer in enumerate(await asyncio.gather(*calls)):
            assert texts_of(answer) == [text + str(number)]

    no_limit = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

    async def main():
        service = SampleService()
        options = {"grpc.max_receive_message_length": 40_000_000}  # two of them may be on their way at a time
        async with (
            served(service, "grpc", grpc_options=options) as server,
            grpc.aio.insecure_channel(authority(server), options=no_limit) as channel,
        ):
            await use(channel, service)

    run(main())


def test_large_messages_one_after_another_in_a_call():
    texts = ["x" * 3_000_000, "y" * 2_000_000, "z", "u" * 2_900_000, "v" * 100_000, "w" * 3_000_000]

    async def main():
        options = [("grpc.max_receive_message_length", -1)]
        async with (
            served(SampleService(), "grpc") as server,
            grpc.aio.insecure_channel(authority(server), options=options) as channel,
        ):
            call = stream(channel)(iter([message_of("/echo", text) for text in texts]), timeout=45)
            return sorted([texts_of(one)[0] async for one in call])

    assert run(main()) == sorted(texts)


def test_stopping_lets_calls_finish():
    async def main():
        service = SampleService()
        async with (
            served(service, "grpc", grace=20.0) as server,
            Peer(server) as idle,
            grpc.aio.insecure_channel(authority(server)) as channel,
        ):
            idle.say(PREFACE)
            slow = asyncio.ensure_future(unary(channel)(message_of("/slow", "a"), timeout=30))
            while not service.requests:
                await asyncio.sleep(0.01)
            stopping = asyncio.create_task(server.stop(20.0))
            assert await idle.goaway() == (0, b"")
            assert await idle.ended() < 10
            service.release.set()
            assert texts_of(await slow) == ["a"]
            await stopping

    run(main())


def test_stopping_ends_what_does_not_finish():
    async def main():
        service = SampleService()
        async with (
            served(service, "grpc") as server,
            grpc.aio.insecure_channel(authority(server)) as channel,
            Peer(server) as deaf,
        ):
            deaf.say(PREFACE)
            deaf.call(1, "/jina.JinaSingleDocumentRequestRPC/stream_doc",
                      document_message("/forever", "x" * 50_000).SerializeToString())  # fmt: skip
            call = stream_doc(channel)(document_message("/forever", "a"))
            assert await call.read()
            slow = asyncio.ensure_future(unary(channel)(message_of("/slow", "a"), timeout=30))
            while len(service.requests) < 3:
                await asyncio.sleep(0.01)
            started = time.monotonic()
            await server.stop(0.3)
            assert time.monotonic() - started < 10
            with pytest.raises(grpc.aio.AioRpcError) as error:
                while await call.read():
                    pass
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await slow
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert service.closed.is_set()

    run(main())


def test_what_is_no_http2_is_left():
    async def use(peer):
        peer.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await peer.ended() < 10
        with socket.create_connection(tuple(authority(peer.server).split(":")), 10):
            pass

    with_peer(use)
