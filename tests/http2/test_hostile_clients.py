"""Clients that attack a server of gRPC: their connection is ended or bounded, and others do not notice."""

import asyncio
import contextlib
import gzip
import sys

import pytest

from tests.certificates import certificate
from tests.http2 import frames
from tests.http2.frames import PREFACE, Speaker, frame, framed, head, request, reset, settings, window
from tests.http2.programs import serving
from tests.http2.test_garbage import beside, settled

MORE = 50 * 1024
"""KiB that the server may hold more while it is attacked, and of which nothing is to be left afterwards."""
LEFT = 2 * 1024
ROUNDS = 5
"""Attacks after which memory has to stay as it is."""
TAKEN = 20
"""Seconds in which the server takes an attack, if it does."""
ANSWERED = 20
"""Seconds in which it answers afterwards on the same connection, if it did not end it."""
CALL = b"/jina.JinaRPC/Call"


@pytest.fixture(scope="module", params=["ngh2", pytest.param("h2", marks=pytest.mark.slow)])
def server(request):
    with serving(request.param, "notes") as started:
        asyncio.run(under(started, rapid_reset, reads=True, at_once=1))  # what is loaded and kept with the first
        yield started


@pytest.fixture(scope="module", params=["ngh2", pytest.param("h2", marks=pytest.mark.slow)])
def encrypted(request, tmp_path_factory):
    with serving(request.param, "notes", certificate(tmp_path_factory.mktemp("tls"))) as started:
        asyncio.run(under(started, rapid_reset, reads=True, at_once=1))
        yield started


def rapid_reset():
    """CVE-2023-44487."""
    speaker = Speaker()
    for _ in range(200):
        yield b"".join(speaker.headers(head()) + reset(speaker.last) for _ in range(100))


def rapid_reset_of_calls_in_work():
    speaker = Speaker()
    for _ in range(200):
        calls = (speaker.call(request("/echo", "x")) + reset(speaker.last) for _ in range(100))
        yield b"".join(calls)


def resets_by_the_server():
    """CVE-2025-8671: the client makes the server reset what it has begun."""
    speaker = Speaker()
    for _ in range(200):
        yield b"".join(
            speaker.call(request("/slow", "x")) + frame(frames.WINDOW_UPDATE, speaker.last, bytes(4))
            for _ in range(100)
        )


def continuations():
    """CVE-2024-27316: a block of headers without an end, in small frames."""
    yield frame(frames.HEADERS, 1, Speaker().block(head()))
    for _ in range(1000):
        yield b"".join(frame(frames.CONTINUATION, 1, b"\x00\x01x\x01y") for _ in range(100))


def large_continuations():
    yield frame(frames.HEADERS, 1, Speaker().block(head()))
    for number in range(300):
        yield frame(frames.CONTINUATION, 1, b"\x00\x05n%04d\x7f\x81\x7d" % number + bytes(16_000))


def empty_continuations():
    yield frame(frames.HEADERS, 1, b"")
    for _ in range(1000):
        yield frame(frames.CONTINUATION, 1) * 100


def table_of_headers():
    """A large entry of the table, named again and again: each time it counts for the limit."""
    speaker = Speaker()
    yield speaker.headers(head(frames.UNARY, (b"x", b"v" * 4000)))
    entry = speaker.block([(b"x", b"v" * 4000)])
    for _ in range(300):
        yield b"".join(speaker.headers(head(frames.UNARY, *[(b"x", b"v" * 4000)] * 1000)) for _ in range(10))
    assert len(entry) == 1


def pings():
    for _ in range(1000):
        yield frame(frames.PING, payload=b"are you?") * 1000


def flood_of_settings():
    for _ in range(1000):
        yield settings((4, 65_535)) * 1000


def many_settings():
    yield settings(*((number % 65_536, 1) for number in range(2_000)))
    for _ in range(2000):
        yield settings(*((6, 100) for _ in range(1_000)))


def empty_data():
    """CVE-2019-9518."""
    speaker = Speaker()
    yield speaker.headers(head(CALL))
    for _ in range(1000):
        yield frame(frames.DATA, 1) * 1000


def priorities():
    """CVE-2019-9513."""
    speaker = Speaker()
    yield speaker.headers(head(CALL))
    for number in range(300):
        yield b"".join(frame(frames.PRIORITY, 2 * number + 1, bytes(4) + b"\x01") for _ in range(100))


def unknown_frames():
    for _ in range(1000):
        yield frame(200, payload=b"x" * 100) * 100


def windows_of_one_byte():
    speaker = Speaker()
    yield speaker.headers(head(CALL))
    for _ in range(300):
        yield (window(1, 1) + window(0, 1)) * 100


def half_messages():
    """Of more calls than the server takes at a time, none is ever complete."""
    speaker = Speaker()
    for _ in range(1500):
        begun = speaker.headers(head())
        yield begun + frames.body(speaker.last, framed(bytes(900_000))[:60_000])


def heads_alone():
    speaker = Speaker()
    for _ in range(3000):
        yield speaker.headers(head())


def streams_of_half_messages():
    speaker = Speaker()
    for _ in range(1500):
        begun = speaker.headers(head(CALL))
        yield begun + frames.body(speaker.last, framed(bytes(900_000))[:60_000])


def streams_of_small_messages():
    """Behind requests that are in work for ever: each takes more memory than it has bytes."""
    speaker = Speaker()
    for _ in range(200):
        begun = speaker.headers(head(CALL, (b"__prefetch__", b"1")))
        yield begun + frames.body(speaker.last, framed(request("/slow", "x")) * 3 + framed(b"ab") * 9_000)


def compressed_zeros():
    """Small messages that become large: what they become is bounded too."""
    speaker, bomb = Speaker(), gzip.compress(bytes(50_000_000), 9)
    for _ in range(20):
        begun = speaker.headers(head(frames.UNARY, (b"grpc-encoding", b"gzip")))
        yield begun + frames.body(speaker.last, framed(bomb, 1), frames.END_STREAM)


def no_window():
    """All is answered, and nothing may be sent."""
    speaker = Speaker()
    yield settings((4, 0))
    for _ in range(3000):
        yield speaker.call(request("/echo", "x" * 5_000))


def a_window_that_comes_and_goes():
    speaker = Speaker()
    for _ in range(200):
        yield settings((4, 0)) + b"".join(speaker.call(request("/echo", "x" * 5_000)) for _ in range(5))
        yield settings((4, 1))


ATTACKS = [
    rapid_reset, rapid_reset_of_calls_in_work, resets_by_the_server, continuations, large_continuations,
    empty_continuations, table_of_headers, pings, flood_of_settings, many_settings, empty_data, priorities,
    unknown_frames, windows_of_one_byte, half_messages, heads_alone, streams_of_half_messages,
    streams_of_small_messages, compressed_zeros,
    no_window, a_window_that_comes_and_goes,
]  # fmt: skip

QUICK = {rapid_reset, continuations, pings, flood_of_settings, half_messages, no_window}

OVER_TLS = [rapid_reset, continuations, pings, half_messages, streams_of_small_messages, no_window]
"""Those in which memory or time may go to TLS."""


async def attacked(server, attack, *, reads):
    """Send all of an attack, as far as it is taken. The server ends the connection, or is still there afterwards."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
    if not reads:
        writer.transport.pause_reading()

    async def pong():
        said = b""
        while frames.PONG not in said:
            part = await reader.read(65_536)
            if not part:
                return
            said = said[-len(frames.PONG) :] + part

    reading = asyncio.create_task(pong())
    try:
        writer.write(PREFACE + settings())
        async with asyncio.timeout(TAKEN):
            for part in attack():
                writer.write(part)
                await writer.drain()
        writer.write(frame(frames.PING, payload=frames.SEEN))
        if reads:
            async with asyncio.timeout(ANSWERED):
                await reading
    except ConnectionError:
        pass  # it was ended
    except TimeoutError:
        assert not reads, "the server neither ends the connection nor answers on it"
    finally:
        writer.transport.abort()
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await reading


async def under(server, attack, *, reads, at_once):
    """KiB that the server held more at most during an attack, and afterwards."""
    before = await settled(server)
    held = server.peak(begin=True)
    stop = asyncio.Event()
    calm = asyncio.create_task(beside(server, stop))
    try:
        await asyncio.gather(*(attacked(server, attack, reads=reads) for _ in range(at_once)))
    finally:
        stop.set()
    assert await calm > 0
    most = server.peak() - held
    after = await settled(server)
    assert after["tasks"] <= before["tasks"]
    return most, after["memory"] - before["memory"]


@pytest.mark.parametrize("reads", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["reads", "does not read"])
@pytest.mark.parametrize(
    "attack",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in ATTACKS],
    ids=lambda one: one.__name__,
)
def test_attacks(server, attack, reads):
    endure(server, attack, reads=reads)


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does not read"])
@pytest.mark.parametrize("attack", OVER_TLS, ids=lambda one: one.__name__)
def test_attacks_over_tls(encrypted, attack, reads):
    endure(encrypted, attack, reads=reads)


def endure(server, attack, *, reads):
    most, left = 0, []
    # What many small parts leave in between is used again: a leak leaves as much each time.
    while len(left) < ROUNDS and (not left or left[-1] > LEFT):
        more, rest = asyncio.run(under(server, attack, reads=reads, at_once=1))
        most, left = max(most, more), [*left, rest]
    sys.stdout.write(f"{attack.__name__}: {most} KiB more, {left} KiB left\n")
    assert "Traceback" not in server.said(), server.said()
    assert server.process.poll() is None
    assert most <= MORE
    assert left[-1] <= LEFT
