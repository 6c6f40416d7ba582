"""HTTP/2 without I/O: each library as server and as client, connected in memory."""

import contextlib
import hashlib
import itertools
import struct

import pytest
from tests.http2 import frames

from jina.net import http2_h2, http2_ngh2
from jina.net.http2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INTERNAL_ERROR,
    LARGEST_WINDOW,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Http2Error,
    Settings,
)

ENGINES = {"ngh2": http2_ngh2.Connection, "h2": http2_h2.Connection}
PAIRS = [(server, client) for server in ENGINES for client in ENGINES]
HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"x"), (b"k", b"v")]
ANSWER = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_SETTINGS = bytes(3) + b"\x04" + bytes(5)


class Side:
    """One side of a connection, which notes what comes, and takes what it is told to."""

    def __init__(self, engine, *, client=False, takes=True, **settings):
        self.log = []
        self.heads = {}
        self.bodies = {}
        self.ended = set()
        self.closed = {}
        self.takes = takes
        self.engine = ENGINES[engine](self, Settings(**settings), client=client)

    def on_headers(self, stream, headers, *, ended):
        self.heads.setdefault(stream, []).append([(bytes(name), bytes(value)) for name, value in headers])
        if ended:
            self.ended.add(stream)

    def on_data(self, stream, data, *, ended):
        self.bodies[stream] = self.bodies.get(stream, b"") + data
        if self.takes:
            self.engine.taken(stream, len(data))
        if ended:
            self.ended.add(stream)

    def on_closed(self, stream, code):
        assert stream not in self.closed
        self.closed[stream] = code

    def on_window(self):
        self.log.append("window")

    def on_settings(self):
        self.log.append("settings")

    def on_ping(self):
        self.log.append("ping")

    def on_pong(self):
        self.log.append("pong")

    def on_goaway(self, last, code, text):
        self.log.append(("goaway", last, code, text))

    @property
    def goaways(self):
        return [one for one in self.log if one[0] == "goaway"]


def exchange(*sides, amount=65_536):
    """Carry bytes both ways until neither has any."""
    one, other = sides
    for _ in range(10_000):
        there, back = one.engine.output(amount), other.engine.output(amount)
        if there:
            other.engine.receive(there)
        if back:
            one.engine.receive(back)
        if not there and not back:
            return
    raise AssertionError("the two sides do not come to rest")


@pytest.fixture(params=PAIRS, ids=[f"{server} serves {client}" for server, client in PAIRS])
def pair(request):
    """Makes a server and a client that know each other's settings."""
    server_engine, client_engine = request.param

    def make(server=None, client=None):
        ours = Side(server_engine, **(server or {}))
        theirs = Side(client_engine, client=True, **(client or {}))
        exchange(theirs, ours)
        return ours, theirs

    return make


@pytest.fixture(params=list(ENGINES))
def engine(request):
    return request.param


def body(size):
    return hashlib.shake_128(b"body").digest(size)


def test_requests_and_answers(pair):
    server, client = pair()
    assert "settings" in server.log
    assert "settings" in client.log
    streams = [client.engine.request(HEAD, ended=True), client.engine.request(HEAD), client.engine.request(HEAD)]
    assert streams == [1, 3, 5]
    client.engine.send(3, b"abc", ended=True)
    client.engine.send(5, b"de")
    client.engine.send(5, b"f")
    exchange(client, server)
    assert server.heads == {1: [HEAD], 3: [HEAD], 5: [HEAD]}
    assert (server.bodies, server.ended) == ({3: b"abc", 5: b"def"}, {1, 3})
    client.engine.end(5)
    exchange(client, server)
    assert server.ended == {1, 3, 5}
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    server.engine.respond(3, ANSWER)
    server.engine.send(3, b"xyz", ended=True)
    server.engine.respond(5, ANSWER)
    server.engine.send(5, b"12")
    server.engine.send(5, b"34")
    server.engine.trailers(5, TRAILERS)
    exchange(client, server)
    assert client.heads == {1: [[*ANSWER, *TRAILERS]], 3: [ANSWER], 5: [ANSWER, TRAILERS]}
    assert (client.bodies, client.ended) == ({3: b"xyz", 5: b"1234"}, {1, 3, 5})
    assert client.closed == server.closed == {1: NO_ERROR, 3: NO_ERROR, 5: NO_ERROR}


def test_an_answer_before_the_request_has_ended(pair):
    server, client = pair()
    stream = client.engine.request(HEAD)
    client.engine.send(stream, b"ask")
    exchange(client, server)
    server.engine.respond(stream, ANSWER)
    server.engine.send(stream, b"answer")
    exchange(client, server)
    assert (client.bodies, client.ended) == ({1: b"answer"}, set())
    client.engine.send(stream, b" more", ended=True)
    server.engine.trailers(stream, TRAILERS)
    exchange(client, server)
    assert (server.bodies[1], client.heads[1]) == (b"ask more", [ANSWER, TRAILERS])
    assert client.closed == server.closed == {1: NO_ERROR}


def test_an_answer_without_a_body_and_with_trailers(pair):
    server, client = pair()
    client.engine.request(HEAD, ended=True)
    exchange(client, server)
    server.engine.respond(1, ANSWER)
    server.engine.trailers(1, TRAILERS)
    exchange(client, server)
    assert (client.heads[1], client.closed) == ([ANSWER, TRAILERS], {1: NO_ERROR})


@pytest.mark.parametrize(("size", "window"), [(200_000, 1000), (3_000_000, 65_535)])
def test_bodies_go_through_small_windows(pair, size, window):
    server, client = pair({"window": window, "frame": 16_384}, {"window": window, "frame": 16_384})
    client.engine.request(HEAD)
    client.engine.send(1, body(size), ended=True)
    exchange(client, server)
    assert (server.bodies[1] == body(size), server.ended) == (True, {1})
    server.engine.respond(1, ANSWER)
    server.engine.send(1, body(size))
    server.engine.trailers(1, TRAILERS)
    exchange(client, server)
    assert (client.bodies[1] == body(size), client.heads[1]) == (True, [ANSWER, TRAILERS])


def test_what_is_not_taken_stops_a_stream_and_no_other(pair):
    server, client = pair({"window": 1000, "takes": False})
    for stream in (1, 3):
        assert client.engine.request(HEAD) == stream
        client.engine.send(stream, body(5000), ended=True)
    exchange(client, server)
    assert {stream: len(part) for stream, part in server.bodies.items()} == {1: 1000, 3: 1000}
    assert [client.engine.queued(stream) for stream in (1, 3, None)] == [4000, 4000, 8000]
    client.log.clear()
    server.engine.taken(3, 1000)
    exchange(client, server)
    assert "window" in client.log
    assert [len(server.bodies[stream]) for stream in (1, 3)] == [1000, 2000]
    assert [client.engine.queued(stream) for stream in (1, 3, None)] == [4000, 3000, 7000]
    server.takes = True
    for stream, taken in ((1, 1000), (3, 1000)):
        server.engine.taken(stream, taken)
    exchange(client, server)
    assert server.bodies == {1: body(5000), 3: body(5000)}
    assert client.engine.queued() == 0


def test_what_is_not_taken_of_many_streams_does_not_stop_the_connection(pair):
    server, client = pair({"takes": False})
    streams = [client.engine.request(HEAD) for _ in range(50)]
    for stream in streams:
        client.engine.send(stream, body(100_000), ended=True)
    exchange(client, server)
    assert {len(part) for part in server.bodies.values()} == {65_535}
    assert len(server.bodies) == 50


def test_a_stream_may_be_given_a_larger_window(pair):
    server, client = pair({"window": 1000, "takes": False})
    client.engine.request(HEAD)
    client.engine.send(1, body(300_000), ended=True)
    exchange(client, server)
    assert len(server.bodies[1]) == 1000
    server.engine.widen(1, 200_000)
    exchange(client, server)
    assert len(server.bodies[1]) == 201_000
    server.engine.taken(1, 201_000)
    exchange(client, server)
    assert server.bodies[1] == body(300_000)


@pytest.mark.parametrize(
    "sizes", [(300_000, 140_000, 290_000), (100_000,) * 9, (70_000, 80_000, 500_000, 66_000, 499_000)]
)
def test_each_of_several_large_parts_finds_room(pair, sizes):
    """None is taken before it is there as a whole, so that the other side must not wait for that."""
    server, client = pair({"takes": False})
    client.engine.request(HEAD)
    came = 0
    for size in sizes:
        client.engine.send(1, body(size))
        exchange(client, server)
        server.engine.widen(1, size)
        exchange(client, server)
        assert len(server.bodies[1]) - came == size
        came += size
        server.engine.taken(1, size)
        server.engine.widen(1, 1000)
        exchange(client, server)
    server.engine.widen(1, 2**31 - 1)
    server.engine.widen(1, 2**32)
    exchange(client, server)


def test_output_gives_about_as_much_as_it_is_asked_for(pair):
    server, client = pair({"window": 10_000_000, "frame": 16_384})
    client.engine.request(HEAD)
    client.engine.send(1, body(1_000_000), ended=True)
    parts = []
    while part := client.engine.output(50_000):
        parts.append(len(part))
        server.engine.receive(part)
    assert max(parts) <= 50_000 + 16_384 + 1000
    assert len(parts) >= 1_000_000 // 67_000
    assert server.bodies[1] == body(1_000_000)


@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_frames_are_as_large_as_the_other_side_takes(pair, size):
    server, client = pair({"window": 10_000_000, "frame": size})
    client.engine.request(HEAD)
    client.engine.send(1, body(3_000_000), ended=True)
    sent = b""
    while part := client.engine.output(10_000_000):
        sent += part
    assert max(sizes_of(sent, 0)) <= size
    if client.engine.__class__ is http2_h2.Connection:  # the other one's are of 16 KiB always
        assert max(sizes_of(sent, 0)) == size
    server.engine.receive(sent)
    assert server.bodies[1] == body(3_000_000)


def sizes_of(data, kind):
    """The sizes of the frames of a kind."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] == kind:
            found.append(size)
        at += 9 + size
    return found


def test_streams_are_served_side_by_side(pair):
    """A body that is large does not keep one that is small waiting."""
    server, client = pair({"frame": 16_384}, {"window": 10_000_000})
    for _ in range(2):
        client.engine.request(HEAD, ended=True)
    exchange(client, server)
    server.engine.respond(1, ANSWER)
    server.engine.send(1, body(4_000_000), ended=True)
    server.engine.respond(3, ANSWER)
    server.engine.send(3, b"small", ended=True)
    carried = 0
    while 3 not in client.ended:
        part = server.engine.output(100_000)
        carried += len(part)
        client.engine.receive(part)
    assert carried < 1_000_000
    exchange(client, server)
    assert client.bodies == {1: body(4_000_000), 3: b"small"}


def test_a_client_ends_a_stream(pair):
    server, client = pair({"takes": False})
    client.engine.request(HEAD)
    client.engine.send(1, body(100_000))
    exchange(client, server)
    server.engine.respond(1, ANSWER)
    server.engine.send(1, body(1_000_000))
    assert server.engine.queued(1) == 1_000_000
    client.engine.reset(1, CANCEL)
    exchange(client, server)
    assert (server.closed, client.closed) == ({1: CANCEL}, {1: CANCEL})
    assert [side.engine.queued(stream) for side in (server, client) for stream in (1, None)] == [0] * 4
    for say in (
        lambda: server.engine.respond(1, ANSWER),
        lambda: server.engine.send(1, b"late"),
        lambda: server.engine.trailers(1, TRAILERS),
        lambda: server.engine.end(1),
        lambda: server.engine.reset(1, CANCEL),
        lambda: server.engine.taken(1, 65_535),
        lambda: server.engine.widen(1, 100_000),
    ):
        say()
    assert server.engine.queued() == 0
    assert client.engine.request(HEAD, ended=True) == 3
    exchange(client, server)
    assert server.heads[3] == [HEAD]


def test_a_server_ends_a_stream(pair):
    server, client = pair()
    client.engine.request(HEAD)
    exchange(client, server)
    server.engine.respond(1, ANSWER)
    server.engine.send(1, b"so far")
    exchange(client, server)
    server.engine.reset(1, INTERNAL_ERROR)
    exchange(client, server)
    assert (client.bodies, client.closed, server.closed) == ({1: b"so far"}, {1: INTERNAL_ERROR}, {1: INTERNAL_ERROR})
    client.engine.send(1, b"late")
    client.engine.end(1)
    exchange(client, server)
    assert server.bodies == {}


def test_a_whole_answer_before_all_of_the_request(pair):
    """RFC 9113, section 8.1: the rest is not wanted."""
    server, client = pair()
    client.engine.request(HEAD)
    client.engine.send(1, b"a part")
    exchange(client, server)
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.ended == {1}
    assert server.closed == {}
    server.engine.reset(1, NO_ERROR)
    exchange(client, server)
    assert (client.closed, server.closed) == ({1: NO_ERROR}, {1: NO_ERROR})


def test_requests_beyond_what_the_server_takes_at_a_time_wait(pair):
    server, client = pair({"streams": 2})
    streams = [client.engine.request(HEAD) for _ in range(5)]
    for stream in streams:
        client.engine.send(stream, b"%d" % stream, ended=True)
    exchange(client, server)
    assert sorted(server.heads) == [1, 3]
    assert client.engine.queued() == 3
    for stream in streams:
        server.engine.respond(stream, [*ANSWER, *TRAILERS], ended=True)
        exchange(client, server)
        assert client.closed[stream] == NO_ERROR
    assert server.bodies == {stream: b"%d" % stream for stream in streams}
    assert client.engine.queued() == 0


def test_a_request_that_waits_may_be_given_up(pair):
    server, client = pair({"streams": 1})
    for _ in range(3):
        client.engine.request(HEAD, ended=True)
    exchange(client, server)
    client.engine.reset(3, CANCEL)
    exchange(client, server)
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.closed == {1: NO_ERROR, 3: CANCEL}
    assert sorted(server.heads) in ([1, 5], [1, 3, 5])  # the stream 3 may be told of, if it is ended at once
    server.engine.respond(5, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.closed[5] == NO_ERROR


@pytest.mark.parametrize(("server_engine", "client_engine"), PAIRS)
def test_a_client_may_ask_at_once(server_engine, client_engine):
    server, client = Side(server_engine), Side(client_engine, client=True)
    client.engine.request(HEAD)
    client.engine.send(1, b"at once", ended=True)
    server.engine.receive(client.engine.output(65_536))
    exchange(client, server)
    assert (server.heads, server.bodies) == ({1: [HEAD]}, {1: b"at once"})


def test_a_server_that_goes_away(pair):
    server, client = pair()
    client.engine.request(HEAD)
    client.engine.request(HEAD, ended=True)
    exchange(client, server)
    server.engine.goaway(NO_ERROR, b"good bye")
    exchange(client, server)
    assert client.goaways == [("goaway", 3, NO_ERROR, b"good bye")]
    assert not server.engine.over
    with pytest.raises(Http2Error):
        client.engine.request(HEAD)
    client.engine.send(1, b"the rest", ended=True)
    for stream in (1, 3):
        server.engine.respond(stream, ANSWER)
        server.engine.send(stream, body(200_000))
        server.engine.trailers(stream, TRAILERS)
    exchange(client, server)
    assert (client.bodies, client.ended) == ({1: body(200_000), 3: body(200_000)}, {1, 3})
    assert (client.closed, server.closed) == ({1: NO_ERROR, 3: NO_ERROR}, {1: NO_ERROR, 3: NO_ERROR})
    assert server.engine.over
    assert client.engine.over


def test_a_server_that_announces_its_end_still_takes_requests(pair):
    server, client = pair()
    client.engine.request(HEAD, ended=True)
    late = client.engine.output(65_536)
    server.engine.announce_end()
    notice = server.engine.output(65_536)
    client.engine.request(HEAD, ended=True)
    late += client.engine.output(65_536)  # on its way when the server announced its end
    client.engine.receive(notice)
    assert client.goaways == [("goaway", 2**31 - 1, NO_ERROR, b"")]
    server.engine.receive(late)
    assert sorted(server.heads) == [1, 3]
    server.engine.goaway()
    exchange(client, server)
    assert client.goaways[1:] == [("goaway", 3, NO_ERROR, b"")]
    for stream in (1, 3):
        server.engine.respond(stream, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.ended == {1, 3}
    assert server.engine.over


def test_requests_that_come_after_the_last_one_are_refused(pair):
    server, client = pair()
    client.engine.request(HEAD, ended=True)
    exchange(client, server)
    server.engine.goaway()
    server.engine.output(65_536)  # it is on its way
    client.engine.request(HEAD)
    client.engine.send(3, b"late", ended=True)
    server.engine.receive(client.engine.output(65_536))
    assert sorted(server.heads) == [1]
    assert 3 not in server.bodies
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    sent = server.engine.output(65_536)
    client.engine.receive(sent)
    assert client.ended == {1}
    assert client.closed.get(3, REFUSED_STREAM) == REFUSED_STREAM


def test_requests_that_wait_when_the_server_goes_away_are_over(pair):
    server, client = pair({"streams": 1})
    for _ in range(3):
        client.engine.request(HEAD, ended=True)
    exchange(client, server)
    server.engine.goaway()
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.goaways == [("goaway", 1, NO_ERROR, b"")]  # which tells of 3 and 5
    assert client.closed in ({1: NO_ERROR}, {1: NO_ERROR, 3: REFUSED_STREAM, 5: REFUSED_STREAM})
    assert sorted(server.heads) == [1]
    assert client.engine.over


def test_a_client_that_goes_away(pair):
    server, client = pair()
    client.engine.request(HEAD, ended=True)
    exchange(client, server)
    client.engine.goaway()
    exchange(client, server)
    assert [one[2] for one in server.goaways] == [NO_ERROR]
    server.engine.respond(1, [*ANSWER, *TRAILERS], ended=True)
    exchange(client, server)
    assert client.closed == {1: NO_ERROR}


def test_an_error_that_is_told(pair):
    server, client = pair()
    server.engine.goaway(ENHANCE_YOUR_CALM, b"too_many_pings")
    exchange(client, server)
    assert client.goaways == [("goaway", 0, ENHANCE_YOUR_CALM, b"too_many_pings")]


def test_signs_of_life(pair):
    server, client = pair()
    server.engine.ping()
    client.engine.ping()
    exchange(client, server)
    assert [[one for one in side.log if one in {"ping", "pong"}] for side in (server, client)] == [
        ["ping", "pong"],
        ["pong", "ping"],
    ] or all({"ping", "pong"} <= set(side.log) for side in (server, client))


def test_settings_are_told(engine):
    server = Side(engine, window=70_000, frame=20_000, streams=7, headers=5000)
    asked = settings_of(server.engine.output(65_536))
    assert {key: asked[key] for key in (3, 4, 5, 6)} == {3: 7, 4: 70_000, 5: 20_000, 6: 5000}
    client = Side(engine, client=True, window=70_000, frame=20_000)
    sent = client.engine.output(65_536)
    assert sent.startswith(PREFACE)
    asked = settings_of(sent[len(PREFACE) :])
    assert {key: asked[key] for key in (2, 4, 5)} == {2: 0, 4: 70_000, 5: 20_000}


def settings_of(data):
    assert data[3] == 4
    payload = data[9 : 9 + int.from_bytes(data[:3], "big")]
    return dict(struct.iter_unpack("!HI", payload))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        PREFACE[:-4] + b"XXXX",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        PREFACE + b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff",  # headers before settings
        PREFACE
        + NO_SETTINGS
        + b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",  # headers that HPACK cannot read
        PREFACE + NO_SETTINGS + b"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",  # a stream of an even number
        PREFACE + NO_SETTINGS + b"\x00\x00\x07\x06\x00\x00\x00\x00\x00" + bytes(7),  # a ping of 7 bytes
        PREFACE + NO_SETTINGS + b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4),  # a window that grows by 0
        PREFACE + NO_SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(100),  # a frame of 16 MiB
        PREFACE + NO_SETTINGS + b"\x00\x00\x01\x00\x00\x00\x00\x00\x01x",  # data of no stream
    ],
)
def test_garbage_ends_a_connection(engine, garbage):
    server = Side(engine)
    told = server.engine.output(65_536)
    try:
        server.engine.receive(garbage)
    except Http2Error as error:
        told += error.farewell
    else:
        told += server.engine.output(65_536)
    assert server.engine.over
    assert server.heads == {}
    assert server.engine.output(65_536) == b""
    assert 7 in kinds_of(told) or not garbage.startswith(PREFACE)


def kinds_of(data):
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 3])
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    assert at == len(data)
    return found


def test_bytes_one_at_a_time(pair):
    server, client = pair()
    client.engine.request(HEAD)
    client.engine.send(1, b"slowly", ended=True)
    sent = client.engine.output(65_536)
    for at in range(len(sent)):
        server.engine.receive(sent[at : at + 1])
    assert (server.heads, server.bodies, server.ended) == ({1: [HEAD]}, {1: b"slowly"}, {1})


def test_padding_counts_for_the_window(engine):
    """A client may fill frames up; what it fills them with is given back at once."""
    server, client = Side(engine), Side("h2", client=True)
    exchange(client, server)
    client.engine.request(HEAD)
    exchange(client, server)
    for _ in range(30):  # 30 x 10,000 bytes, and the window has 65,535
        padded = b"\x00" + (10_000).to_bytes(2, "big") + b"\x00\x08\x00\x00\x00\x01" + b"\xff"
        server.engine.receive(padded + b"x" * (10_000 - 256) + bytes(255))
        server.engine.output(65_536)
    assert len(server.bodies[1]) == 30 * (10_000 - 256)


def test_streams_that_are_reset_all_the_time_end_the_connection(engine):
    """CVE-2023-44487: each costs the server more than the client."""
    server, client = Side(engine, streams=100), Side("ngh2", client=True)
    exchange(client, server)

    def attack():
        for number in range(5000):
            stream = client.engine.request(HEAD)
            client.engine.output(65_536)
            client.engine.reset(stream, CANCEL)
            head = b"\x00\x00\x05\x01\x04" + stream.to_bytes(4, "big") + b"\x83\x86\x84\x41\x00"
            reset = b"\x00\x00\x04\x03\x00" + stream.to_bytes(4, "big") + CANCEL.to_bytes(4, "big")
            server.engine.receive(head + reset)
            server.engine.output(65_536)
            if server.engine.over:
                return number
        return None

    try:
        ended = attack()
    except Http2Error:
        ended = len(server.closed)
    assert 1000 <= ended <= 1100
    assert server.engine.over


def opened(stream, *, ended=False):
    """The head of a request, whole."""
    return frames.frame(frames.HEADERS, stream, b"\x83\x86\x84\x41\x01x", frames.END_HEADERS | ended)


TRAILER = frames.frame(frames.HEADERS, 1, b"\x00\x01a\x01b", frames.END_HEADERS | frames.END_STREAM)
ODD = {
    "a body after its end": (opened(1) + frames.body(1, b"a", frames.END_STREAM) + frames.body(1, b"b"), STREAM_CLOSED),
    "a body after a reset": (opened(1) + frames.reset(1) + frames.body(1, b"b"), STREAM_CLOSED),
    "a body after a request without": (opened(1, ended=True) + frames.body(1, b"b"), STREAM_CLOSED),
    "a head after the end": (opened(1, ended=True) + opened(1), STREAM_CLOSED),
    "a head after a reset": (opened(1) + frames.reset(1) + opened(1), STREAM_CLOSED),
    "a head after trailers": (opened(1) + TRAILER + opened(1), STREAM_CLOSED),
    "a number that was passed over": (opened(5) + opened(3), PROTOCOL_ERROR),
    "a priority of no stream": (frames.frame(frames.PRIORITY, 0, bytes(5)), PROTOCOL_ERROR),
    "a priority upon itself": (opened(1) + frames.frame(frames.PRIORITY, 1, b"\x80\x00\x00\x01\x00"), PROTOCOL_ERROR),
}
"""What a client may not send, and the error with which its connection ends."""


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_frames_of_streams_that_are_over(odd, step):
    sent, code = odd
    server, client = Side("ngh2"), Side("ngh2", client=True)
    server.engine.receive(PREFACE + NO_SETTINGS)
    client.engine.receive(server.engine.output(65_536))
    with pytest.raises(Http2Error) as failure:
        for at in range(0, len(sent), step):
            server.engine.receive(sent[at : at + step])
    assert server.engine.over
    client.engine.receive(failure.value.farewell)
    [(_, _, told, _)] = client.goaways
    assert told == code


ENDINGS = {
    "announced": lambda server: server.engine.announce_end(),
    "told": lambda server: server.engine.goaway(),
    "told and sent": lambda server: (server.engine.goaway(), server.engine.output(65_536)),
    "broken": lambda server: server.engine.receive(frames.body(0, b"a")),
    "broken and sent": lambda server: (server.engine.receive(frames.body(0, b"a")), server.engine.output(65_536)),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_frames_of_streams_that_are_over_on_a_connection_that_ends(engine, end):
    server = Side(engine)
    server.engine.receive(PREFACE + NO_SETTINGS + opened(1, ended=True))
    server.engine.output(65_536)
    with contextlib.suppress(Http2Error):
        end(server)
        server.engine.receive(frames.body(1, b"a"))
        server.engine.receive(frames.window(1, LARGEST_WINDOW))
    server.engine.output(65_536)
    server.engine.goaway()


@pytest.mark.parametrize(
    ("kind", "size"),
    [(frames.PRIORITY, 5), (frames.WINDOW_UPDATE, 4), (frames.RST_STREAM, 4)],
    ids=["priority", "window", "reset"],
)
def test_a_frame_that_is_too_short_is_answered_at_once(engine, kind, size):
    server = Side(engine)
    server.engine.receive(PREFACE + NO_SETTINGS + opened(1))
    server.engine.output(65_536)
    try:
        server.engine.receive(frames.frame(kind, 1, bytes(size - 1)))
        written = server.engine.output(65_536)
    except Http2Error as error:
        written = error.farewell
    assert written.endswith(FRAME_SIZE_ERROR.to_bytes(4, "big"))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_window_that_grows_too_far_ends_its_stream_alone(engine, step):
    server = Side(engine)
    server.engine.receive(PREFACE + NO_SETTINGS)
    sent = (
        opened(1)
        + opened(3)
        + frames.window(1, LARGEST_WINDOW)
        + frames.body(3, b"a", frames.END_STREAM)
        + frames.window(3, 2**30)
    )
    for at in range(0, len(sent), step):
        server.engine.receive(sent[at : at + step])
    written = server.engine.output(65_536)
    assert frames.reset(1, FLOW_CONTROL_ERROR) in written
    assert server.ended == {3}
    server.engine.answer(3, ANSWER, b"b" * 100_000, TRAILERS)
    assert len(server.engine.output(200_000)) > 65_535


@pytest.mark.parametrize("step", [1, 11, 10_000])
def test_what_is_on_its_way_to_a_stream_that_was_reset_here_is_no_error(engine, step):
    """Also where it is one of so many that it is not remembered any more."""
    server = Side(engine, streams=1000)
    server.engine.receive(PREFACE + NO_SETTINGS)
    first = b"".join(opened(2 * number + 1) for number in range(300))
    for at in range(0, len(first), step):
        server.engine.receive(first[at : at + step])
    for number in range(300):
        server.engine.reset(2 * number + 1, CANCEL)
    server.engine.output(65_536)
    rest = b"".join(frames.body(2 * number + 1, b"abc", frames.END_STREAM) for number in range(300))
    for at in range(0, len(rest), step):
        server.engine.receive(rest[at : at + step])
    server.engine.receive(opened(601) + frames.body(601, b"abc", frames.END_STREAM))
    assert server.bodies[601] == b"abc"
    assert not server.engine.over


def test_an_old_stream_may_still_end(engine):
    """However many began after it: it is not taken for one that was passed over."""
    server = Side(engine, streams=1000)
    server.engine.receive(PREFACE + NO_SETTINGS + opened(1))
    for number in range(1, 300):
        server.engine.receive(opened(2 * number + 1, ended=True))
    server.engine.receive(TRAILER)
    assert 1 in server.ended
    assert not server.engine.over


FLOODS = {
    "pings": b"\x00\x00\x08\x06" + bytes(5) + b"are you?",
    "settings": NO_SETTINGS,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
def test_what_must_be_answered_and_cannot_be_is_bounded(engine, client, flood):
    """The other side sends it, and takes nothing: the answers would wait here."""
    attacked = greeted(engine, client=client)
    taken = received(attacked, itertools.repeat(flood * 10, 1000))
    assert attacked.engine.over
    assert taken <= 200


def greeted(engine, *, client=False, **settings):
    """A side that knows the other one's settings; of a client with a stream that is open."""
    side = Side(engine, client=client, **settings)
    if client:
        side.engine.request(HEAD)
    side.engine.receive(NO_SETTINGS if client else PREFACE + NO_SETTINGS)
    side.engine.output(65_536)
    return side


def received(side, parts, *, sends=False):
    """How many of the parts a side takes before it ends the connection."""
    for number, part in enumerate(parts):
        try:
            side.engine.receive(part)
        except Http2Error:
            return number
        if sends:
            side.engine.output(65_536)
        if side.engine.over:
            return number
    return None


BLOCK = b"\x83\x86\x84\x41\x01x"


@pytest.mark.parametrize("size", [0, 100, 16_000, 1_000_000])
@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
def test_headers_without_an_end_are_bounded(engine, client, size):
    """CVE-2024-27316, in frames of any size."""
    attacked = greeted(engine, client=client, frame=1_048_576)
    begun = (len(BLOCK)).to_bytes(3, "big") + b"\x01\x00\x00\x00\x00\x01" + BLOCK
    more = size.to_bytes(3, "big") + b"\x09\x00\x00\x00\x00\x01" + b"\x00\x01a\x01b" * (size // 5)
    taken = received(attacked, itertools.chain([begun], itertools.repeat(more, 1000)))
    assert attacked.engine.over
    assert attacked.heads == {}
    assert taken <= (70 if engine == "h2" else 10)
    assert taken * size <= 3_000_000 or engine == "ngh2"  # which reads them as they come, and keeps none


CHATTER = {
    "settings": NO_SETTINGS,
    "settings that are taken": b"\x00\x00\x00\x04\x01" + bytes(4),
    "priorities": b"\x00\x00\x05\x02\x00\x00\x00\x00\x07" + bytes(4) + b"\x01",
    "frames of no known kind": b"\x00\x00\x04\xc8" + bytes(5) + b"what",
    "data that is none": b"\x00\x00\x00\x00\x00\x00\x00\x00\x01",
}


@pytest.mark.parametrize("frame", CHATTER.values(), ids=CHATTER)
def test_h2_ends_connections_on_which_nothing_is_said(frame):
    """CVE-2019-9513, 9515 and 9518: each frame costs it time. nghttp2 takes a microsecond for one."""
    attacked = greeted("h2")
    attacked.engine.receive(len(BLOCK).to_bytes(3, "big") + b"\x01\x04\x00\x00\x00\x01" + BLOCK)
    taken = received(attacked, itertools.repeat(frame * 100, 200), sends=True)
    assert attacked.engine.over
    assert taken >= 90 or frame == CHATTER["settings that are taken"]


def test_more_headers_than_are_taken(pair):
    server, client = pair({"headers": 10_000})
    large = [*HEAD, *((b"n%d" % number, b"v" * 900) for number in range(12))]
    try:
        client.engine.request(large, ended=True)
        exchange(client, server)
    except Http2Error:
        pass  # of a library that ends the connection
    assert server.heads == {}
    assert server.engine.over or server.closed or client.closed
