"""Servers that attack our clients: the call fails in time, what the client holds is bounded, and the next one works."""

import asyncio
import contextlib
import gzip
import itertools
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from docarray import DocList

from jina import Client
from jina.errors import JinaError, Unavailable
from jina.net import http2_h2, http2_library, http2_ngh2
from tests.certificates import certificate
from tests.fuzz.mutations import rng
from tests.http2 import frames
from tests.http2.frames import Speaker, frame, framed, request, reset, settings, worse_frame
from tests.http2.programs import serving
from tests.server.sample_service import Note

ENGINES = {"ngh2": http2_ngh2.Connection, "h2": http2_h2.Connection}
LIMIT = 2.0
"""Seconds that a call has."""
LATE = 20
"""Seconds in which it must be over, on a machine with other work."""
MORE = 50 * 1024
LARGEST = 20_000_000
"""Bytes of the largest message."""
TALKS = 15
FUZZED = int(os.environ.get("JINA_FUZZ_FRAMES", "0")) // 30


@pytest.fixture(params=list(ENGINES))
def engine(request, monkeypatch):
    monkeypatch.setattr(http2_library, "_kind", lambda: ENGINES[request.param])
    return request.param


@contextlib.contextmanager
def server(talk, made=None):
    """The port of a server that says to each client what `talk` gives, after its first call came.

    With the certificate `made` it does so over TLS.
    """
    stop = threading.Event()
    context = None
    if made is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.file, made.key)
        context.set_alpn_protocols(["h2"])

    def serve(plain):
        with contextlib.suppress(OSError):
            plain.settimeout(TALKS)
            speak(plain if context is None else context.wrap_socket(plain, server_side=True))

    def speak(sock):
        with sock:
            sock.recv(65_536)
            sock.sendall(settings() + frame(frames.SETTINGS, flags=frames.ACK))
            reads = True
            for part in talk():
                if part is None:  # nothing that the client says is read from now on
                    reads = False
                    continue
                sock.sendall(part)
                if stop.is_set():
                    return
            while reads and sock.recv(65_536):
                pass
            stop.wait(TALKS)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listening.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            listening.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(LATE)


ANSWER = [(b":status", b"200"), (b"content-type", b"application/grpc")]


def answered(*body, trailers=((b"grpc-status", b"0"),)):
    speaker = Speaker()
    yield speaker.headers(ANSWER, 1) + b"".join(body)
    if trailers:
        yield speaker.headers(list(trailers), 1, frames.END_HEADERS | frames.END_STREAM)


def says_nothing():
    yield from ()


def is_no_http2():
    yield b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def pings():
    return itertools.repeat(frame(frames.PING, payload=b"are you?") * 1000, 3000)


def pings_unread():
    yield None
    yield from pings()


def flood_of_settings():
    yield None
    yield from itertools.repeat(settings((4, 1)) * 1000, 1000)


def empty_data():
    yield from answered(trailers=())
    yield from itertools.repeat(frame(frames.DATA, 1) * 1000, 1000)


def continuations():
    yield frame(frames.HEADERS, 1, Speaker().block(ANSWER))
    yield from itertools.repeat(frame(frames.CONTINUATION, 1, b"\x00\x01a\x01b" * 3000), 3000)


def heads_of_information():
    speaker = Speaker()
    for _ in range(20_000):
        yield speaker.headers([(b":status", b"103"), (b"link", b"x" * 1000)], 1)


def pushes():
    speaker = Speaker()
    yield frame(frames.PUSH_PROMISE, 1, (2).to_bytes(4, "big") + speaker.block(frames.head()), frames.END_HEADERS)


def half_a_message():
    yield from answered(frame(frames.DATA, 1, framed(bytes(16_000_000))[:5]), trailers=())
    yield from itertools.repeat(frame(frames.DATA, 1, bytes(16_000)), 900)


def messages_without_end():
    yield from answered(trailers=())
    yield from itertools.repeat(frames.body(1, framed(request("/upper", "x" * 1000)) * 16), 3000)


def small_messages_without_end():
    yield from answered(trailers=())
    yield from itertools.repeat(frames.body(1, framed(b"ab") * 2000), 3000)


def too_large():
    yield from answered(frames.body(1, b"\0\xff\xff\xff\xff" + bytes(1000)), trailers=())


BOMB = gzip.compress(bytes(60_000_000), 9)


def a_bomb():
    speaker = Speaker()
    head = speaker.headers([*ANSWER, (b"grpc-encoding", b"gzip")], 1)
    yield head + frames.body(1, framed(BOMB, 1))


def window_overflow():
    yield frames.window(0, 2**31 - 1) * 3


def a_reset():
    yield reset(1, 2)


def goes_away():
    yield frame(frames.GOAWAY, payload=(0).to_bytes(4, "big") + (0).to_bytes(4, "big"))


def no_status():
    yield from answered(frame(frames.DATA, 1, framed(b""), frames.END_STREAM), trailers=())


def a_wrong_status():
    yield from answered(trailers=((b"grpc-status", b"9" * 40), (b"grpc-message", b"%FF%"), (b"x-bin", b"!")))


ATTACKS = [
    says_nothing, is_no_http2, pings, pings_unread, flood_of_settings, empty_data, continuations,
    heads_of_information, pushes, half_a_message, messages_without_end, small_messages_without_end, too_large, a_bomb,
    window_overflow, a_reset, goes_away, no_status, a_wrong_status,
]  # fmt: skip

ENDED = {
    is_no_http2, pings, pings_unread, flood_of_settings, continuations, messages_without_end, window_overflow,
}  # fmt: skip
"""Those that end the connection at once, and do not wait for the deadline of a call, if it has one."""

QUICK = {is_no_http2, pings_unread, flood_of_settings, continuations, a_bomb, window_overflow, a_wrong_status}

OVER_TLS = [
    says_nothing, is_no_http2, pings_unread, flood_of_settings, half_a_message, messages_without_end, a_bomb, goes_away,
]  # fmt: skip
"""Those in which memory or time may go to TLS, and those that end without a word of TLS."""


def asked(port, *, on_loop, authority=None):
    """What a call comes to, and how long it took."""
    began = time.monotonic()
    options = {"return_type": DocList[Note], "timeout": LIMIT, "max_attempts": 1}
    made = {"port": port, "grpc_channel_options": {"grpc.max_receive_message_length": LARGEST}}
    if authority is not None:
        made |= {"host": "localhost", "tls": True, "ssl_ca_certs": authority}

    async def on_a_loop():
        async with Client(**made, asyncio=True) as client:
            return [docs.text async for docs in client.post("/upper", DocList[Note]([Note(text="a")]), **options)]

    try:
        if on_loop:
            answer = asyncio.run(on_a_loop())
        else:
            with Client(**made) as client:
                answer = client.post("/upper", DocList[Note]([Note(text="a")]), **options).text
    except (JinaError, ConnectionError) as error:
        answer = error
    return answer, time.monotonic() - began


def held():
    return int(next(one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one).split()[1])


@pytest.mark.parametrize("on_loop", [False, True], ids=["blocking", "on a loop"])
@pytest.mark.parametrize(
    "attack",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in ATTACKS],
    ids=lambda one: one.__name__,
)
def test_attacks(engine, attack, on_loop):
    endure(attack, Unavailable if attack in ENDED else JinaError, on_loop=on_loop)


@pytest.mark.slow
@pytest.mark.parametrize("on_loop", [False, True], ids=["blocking", "on a loop"])
@pytest.mark.parametrize("attack", OVER_TLS, ids=lambda one: one.__name__)
def test_attacks_over_tls(engine, attack, on_loop, tmp_path):
    """Blocking code reads a record at a time, so that a flood may last until the deadline of the call."""
    endure(attack, JinaError, on_loop=on_loop, made=certificate(tmp_path))


def endure(attack, ends, *, on_loop, made=None):
    Path("/proc/self/clear_refs").write_text("5")
    before = held()
    with server(attack, made) as port:
        answer, seconds = asked(port, on_loop=on_loop, authority=made and made.authority)
    assert isinstance(answer, ends), answer
    assert seconds < LATE
    assert held() - before <= MORE


@pytest.mark.parametrize("count", [FUZZED] if FUZZED else [20, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("on_loop", [False, True], ids=["blocking", "on a loop"])
def test_frames(engine, on_loop, count):
    """A right answer, one to three frames of which are made worse: it comes, or an error does."""
    chance = rng(f"answers {engine} {on_loop}")
    message = framed(request("/upper", "A"))

    def talk():
        speaker = Speaker()
        sent = [
            settings((3, 100)), frame(frames.SETTINGS, flags=frames.ACK), frame(frames.PING, payload=b"are you?"),
            speaker.headers(ANSWER, 1), frame(frames.DATA, 1, message[:20]), frame(frames.DATA, 1, message[20:]),
            frames.window(0, 100), speaker.headers([(b"grpc-status", b"0")], 1, 5),
        ]  # fmt: skip
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(sent))
            sent[at] = worse_frame(sent[at], chance)
        yield b"".join(sent)
        yield frame(frames.GOAWAY, payload=bytes(8)) + reset(1)

    with server(talk) as port:
        for _ in range(count):
            answer, seconds = asked(port, on_loop=on_loop)
            assert isinstance(answer, (JinaError, list, DocList)), answer
            assert seconds < LATE


@pytest.mark.slow
def test_the_next_call_is_answered(engine):
    """What one server did is no matter to another."""
    with server(is_no_http2) as bad, serving(engine, "notes") as good:
        for _ in range(3):
            assert isinstance(asked(bad, on_loop=True)[0], JinaError)
            assert asked(good.port, on_loop=True)[0] == [["A"]]
            assert asked(good.port, on_loop=False)[0] == ["A"]
