"""Clients that do not send what they began, or not in time: their connections end, those of others do not."""

import asyncio
import json
import socket
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jina.net.sockets import bind
from jina.net.unread import LEAST_RATE
from jina.plan.plans import ListenerPlan
from jina.server.http_protocol import ReadDeadline
from tests.server.sample_service import SampleService, authority, run, served

LIMIT = 0.3
HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n[]"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


async def connected(server, index=0):
    host, port = authority(server, index).split(":")
    return await asyncio.open_connection(host, int(port))


async def talked(server, chunks, pause=0.0, index=0):
    """What came back until the server closed, and after how many seconds."""
    reader, writer = await connected(server, index)
    began = time.monotonic()

    async def talk():
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)

    talking = asyncio.create_task(talk())
    heard = b""
    try:
        while data := await reader.read(65536):
            heard += data
    except ConnectionError:
        pass  # the server closed while we were talking
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.close()
    return heard, time.monotonic() - began


def conversation(*arguments, listener="http", timeout_read=LIMIT, **options):
    async def main():
        async with served(SampleService(), listener, timeout_read=timeout_read) as server:
            return await talked(server, *arguments, **options)

    return run(main())


@pytest.mark.slow
@pytest.mark.parametrize("listener", ["http", "websocket"])
@pytest.mark.parametrize(
    ("chunks", "pause"),
    [
        ([b"POST /echo HT"], 0),
        ([HEAD], 0),
        ([HEAD, *[b"a: b\r\n"] * 100], 0.02),
        ([HEAD + b"Content-Length: 50\r\n\r\n["], 0),
        ([HEAD + b"Content-Length: 500\r\n\r\n", *[b" "] * 100], 0.02),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 100], 0.02),
    ],
    ids=["a line", "half a head", "head in drops", "half a body", "body in drops", "chunks in drops"],
)
def test_a_request_that_does_not_arrive(listener, chunks, pause):
    heard, seconds = conversation(chunks, pause, listener=listener)
    assert heard.startswith(b"HTTP/1.1 408")
    assert 0.9 * LIMIT < seconds < 25


def test_silence_is_not_answered():
    heard, seconds = conversation([])
    assert heard == b""
    assert 0.9 * LIMIT < seconds < 25


def test_an_endless_head():
    heard, seconds = conversation([HEAD + b"X: " + b"x" * 300_000], timeout_read=30)
    assert b" 431 " in heard or not heard  # the rest of the head may have reset the connection
    assert seconds < 25


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("fields", [[b"x: " + b"x" * 66_000], [b"x: " + b"x" * 1000] * 70], ids=["one", "many"])
def test_a_head_over_the_limit_is_refused_in_one_piece_too(pieces, fields):
    whole = b"\r\n".join([b"GET /livez HTTP/1.1", b"Host: x", b"Connection: close", *fields]) + b"\r\n\r\n"
    size = len(whole) // pieces + 1
    heard, _ = conversation([whole[at : at + size] for at in range(0, len(whole), size)], 0.05, timeout_read=20)
    assert heard.startswith(b"HTTP/1.1 431")
    assert error_of(heard)["code"] == "TooLarge"


def test_a_large_body_in_one_piece_with_its_head_is_no_large_head():
    body = b'[{"text": "%b"}]' % (b"x" * 200_000)
    whole = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert conversation([whole], timeout_read=20)[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "BadRequest"),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "BadRequest",
        ),
        (b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400, "BadRequest"),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "MethodNotAllowed"),
        (HEAD + b"Content-Length: 50\r\n\r\n[", 408, "BadRequest"),
    ],
    ids=["no line", "two lengths", "no path", "CONNECT", "half a body"],
)
def test_what_does_not_reach_the_application_is_refused_as_everything_is(sent, status, code):
    heard, _ = conversation([sent])
    error = error_of(heard)
    assert heard.startswith(b"HTTP/1.1 %d " % status)
    assert (error["status"], error["code"]) == (status, code)
    assert error["title"]
    assert b"\r\ndate: " in heard  # as every answer has


def error_of(heard):
    return json.loads(heard.partition(b"\r\n\r\n")[2])


def test_the_second_request_of_a_connection():
    heard, _ = conversation([b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /li"])
    assert [line.split()[1] for line in heard.split(b"\r\n") if b"HTTP/1.1 " in line] == [b"200", b"408"]


def test_slow_but_steady_is_welcome():
    """More than 1 KiB a second, for longer than the limit."""
    body = [b" " * 400] * 9 + [b" " * 398 + b"[]"]
    heard, seconds = conversation([HEAD + b"Connection: close\r\nContent-Length: 4000\r\n\r\n", *body], 0.06)
    assert heard.startswith(b"HTTP/1.1 200")
    assert seconds > LIMIT


def test_a_connection_that_is_kept_is_not_a_slow_one():
    async def main():
        async with served(SampleService(), "http", timeout_read=0.5) as server:
            reader, writer = await connected(server)
            for _ in range(3):
                writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(0.7)
            writer.close()

    run(main())


def test_work_that_takes_longer_is_not_late():
    async def main():
        service = SampleService()
        async with served(service, "http", timeout_read=0.5) as server:
            answer = asyncio.create_task(talked(server, [WHOLE.replace(b"/echo", b"/slow")]))
            await asyncio.sleep(1)
            assert not answer.done()
            service.release.set()
            assert (await answer)[0].startswith(b"HTTP/1.1 200")

    run(main())


@pytest.mark.parametrize(
    "frames",
    [
        [b"\x81\xfe\x04\x00abcd{"],
        [b"\x81\xfe\x04\x00abcd", *[b"x"] * 100],
        [b"\x01\x81abcd\x1a", b"\x00\xfe\x04"],
        [b"\x01\x81abcd\x1a"],
    ],
    ids=["half a frame", "in drops", "half a continuation", "no continuation"],
)
def test_a_frame_that_does_not_arrive(frames):
    heard, seconds = conversation([UPGRADE, *frames], 0.02, listener="websocket")
    assert heard.startswith(b"HTTP/1.1 101")
    assert b"the message did not arrive in time" in heard
    assert 0.9 * LIMIT < seconds < 25


@pytest.mark.parametrize(
    ("listener", "said", "timeout_read"), [("websocket", UPGRADE, 0.5), ("http", HEAD, 0)], ids=["socket", "no limit"]
)
def test_what_may_be_silent_stays_open(listener, said, timeout_read):
    async def main():
        async with served(SampleService(), listener, timeout_read=timeout_read) as server:
            reader, writer = await connected(server)
            writer.write(said)
            if listener == "websocket":
                await reader.readuntil(b"\r\n\r\n")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await reader.read(1)
            writer.close()

    run(main())


def test_grpc_without_a_handshake():
    heard, seconds = conversation([], listener="grpc")
    assert seconds < 25
    assert b"handshake" in heard


def test_others_are_served_meanwhile_and_nothing_is_left():
    async def main():
        before = asyncio.all_tasks()
        async with served(SampleService(), "http", "websocket", timeout_read=LIMIT) as server:
            waiting = asyncio.gather(*(talked(server, [HEAD], index=number % 2) for number in range(100)))
            for _ in range(20):
                heard, _ = await talked(server, [WHOLE])
                assert heard.startswith(b"HTTP/1.1 200")
            assert all(heard.startswith(b"HTTP/1.1 408") for heard, _ in await waiting)
        assert not {task for task in asyncio.all_tasks() - before if not task.done()}

    run(main())


def test_the_system_looks_after_dead_peers():
    with bind(ListenerPlan(protocol="http", host="127.0.0.1", port=0)) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            listening.settimeout(5)
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                if hasattr(socket, "TCP_KEEPIDLE"):
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


class Clock:
    """A loop's time and timers, advanced by hand."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = asyncio.TimerHandle(when, callback, (), self)
        self.timers.append(timer)
        return timer

    def get_debug(self):
        return False

    def _timer_handle_cancelled(self, handle):
        pass

    def advance(self, seconds):
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.when() <= until and not timer.cancelled()]:
            timer = min(due, key=lambda one: one.when())
            self.timers.remove(timer)
            self.now = max(self.now, timer.when())
            timer._callback()
        self.now = until


@given(st.floats(0.1, 60), st.lists(st.tuples(st.floats(0, 20), st.integers(0, 100_000)), max_size=30))
@example(15.15338307488212, [(0.0, 867), (0.0, 49152)])
def test_late_exactly_when_the_rate_is_too_low(timeout, steps):
    clock, late, size = Clock(), [], 0
    reading = ReadDeadline(clock, timeout, lambda: late.append(clock.now), lambda: False)
    reading.begin()
    for seconds, more in steps:
        clock.advance(seconds)
        due = timeout + size / LEAST_RATE
        assert bool(late) == (clock.now >= due) or abs(clock.now - due) < 1e-6
        if late:
            break
        reading.got(more)
        size += more
    else:
        clock.advance(timeout + size / LEAST_RATE + 1e-6)  # sums of floats in another order differ
    assert late == [pytest.approx(timeout + size / LEAST_RATE)]
    assert not reading.awaited
    clock.advance(1000)
    assert len(late) == 1


@given(st.floats(0.1, 60), st.integers(1, 20))
def test_while_we_do_not_read_nobody_is_late(timeout, times):
    clock, late, paused = Clock(), [], [True]
    reading = ReadDeadline(clock, timeout, lambda: late.append(clock.now), lambda: paused[0])
    reading.begin()
    clock.advance(times * timeout)
    assert not late
    paused[0] = False
    clock.advance(2.01 * timeout)
    assert late
    reading.begin()
    reading.end()
    clock.advance(1000)
    assert len(late) == 1
