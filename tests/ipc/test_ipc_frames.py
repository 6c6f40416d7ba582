"""Messages cut into frames and put together again."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.ipc import protocol as frames
from jina.ipc.protocol import CHUNK, HEAD, Inbox, LinkBroken, SendQueue

LIMIT = 32 * CHUNK
LARGE = 16 * CHUNK
EDGES = [
    0,
    1,
    CHUNK - HEAD.size - 1,
    CHUNK - HEAD.size,
    CHUNK - HEAD.size + 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    5 * CHUNK + 7,
]


def content(size, seed):
    return random.Random(seed).randbytes(size)


def collecting():
    """An inbox, and what it delivers."""
    events = []
    inbox = Inbox(
        LIMIT, lambda kind, flags, stream, meta, body: events.append((kind, flags, stream, bytes(meta), body))
    )
    return inbox, events


def feed(inbox, data, cut=lambda room: room):
    """Write bytes as a socket would, at most `cut` of the room at a time."""
    view = memoryview(data)
    while view:
        room = inbox.buffer()
        assert len(room) > 0
        count = max(1, min(len(view), len(room), cut(len(room))))
        room[:count] = view[:count]
        inbox.advance(count)
        view = view[count:]


def drained(send_queue):
    """All that waits, as bytes."""
    parts = []
    while send_queue.size:
        batch, size = send_queue.take()
        assert size > 0
        parts += batch
    return b"".join(parts)


@pytest.mark.parametrize("meta", EDGES)
@pytest.mark.parametrize("body", EDGES)
def test_any_size_arrives(meta, body):
    message = (frames.REQUEST, frames.JSON, 2**40, content(meta, 1), content(body, 2))
    send_queue = SendQueue()
    send_queue.put(*message)
    inbox, received = collecting()
    feed(inbox, drained(send_queue))
    assert received == [message]
    assert type(received[0][4]) is bytes


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, LARGE + CHUNK])
@pytest.mark.parametrize("flags", [0, frames.JSON])
def test_large_documents_arrive_as_views_and_json_as_bytes(size, flags):
    sent = content(size, 3)
    send_queue = SendQueue()
    send_queue.put(frames.REQUEST, flags, 1, b"meta", sent)
    send_queue.put(frames.CANCEL, 0, 2)
    inbox, received = collecting()
    feed(inbox, drained(send_queue))
    body = next(body for kind, *_, body in received if kind == frames.REQUEST)
    assert body == sent
    assert type(body) is (memoryview if size >= LARGE and not flags else bytes)
    assert type(body) is bytes or body.readonly


sizes = st.one_of(st.sampled_from(EDGES), st.integers(0, 200))
messages = st.lists(
    st.tuples(st.sampled_from([frames.REQUEST, frames.ITEM]), st.integers(1, 4), sizes, sizes, st.integers(0, 3)),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(sent=messages, seed=st.integers(0, 2**16), most=st.sampled_from([1, 7, 1000, CHUNK, 10 * CHUNK]))
def test_streams_interleave_and_keep_their_order(sent, seed, most):
    rng = random.Random(seed)
    send_queue = SendQueue()
    expected, parts = [], []
    for place, (kind, stream, meta, body, rounds) in enumerate(sent):
        expected.append((kind, 0, stream, content(meta, place), content(body, -place)))
        send_queue.put(*expected[-1])
        for _ in range(rounds):
            batch, _ = send_queue.take()
            parts += batch
    data = b"".join(parts) + drained(send_queue)
    inbox, received = collecting()
    if most < 1000:
        # A byte at a time through the heads and the ends, in one go through the rest.
        data, rest = data[: 40 * most], data[40 * most :]
        feed(inbox, data, lambda room: rng.randint(1, most))
        data, most = rest, 10 * CHUNK
    feed(inbox, data, lambda room: rng.randint(1, most))
    for stream in range(1, 5):
        assert [one for one in received if one[2] == stream] == [one for one in expected if one[2] == stream]
    assert len(received) == len(expected)


def test_small_message_overtakes_large_one_of_another_stream():
    send_queue = SendQueue()
    send_queue.put(frames.REQUEST, 0, 1, b"", bytes(6 * CHUNK))
    send_queue.take()
    send_queue.put(frames.CANCEL, 0, 2)
    send_queue.put(frames.END, 0, 1)
    inbox, received = collecting()
    batch, _ = send_queue.take()
    feed(inbox, HEAD.pack(0x6A, frames.REQUEST, 0, 0, 6 * CHUNK, 1) + b"".join(batch))
    assert [kind for kind, *_ in received] == [frames.CANCEL]
    feed(inbox, drained(send_queue))
    assert [kind for kind, *_ in received] == [frames.CANCEL, frames.REQUEST, frames.END]


def test_large_messages_take_turns():
    send_queue = SendQueue()
    for stream in range(1, 9):
        send_queue.put(frames.REPLY, 0, stream, b"", bytes(3 * CHUNK))
    ends = []
    inbox = Inbox(LIMIT, lambda kind, flags, stream, meta, body: ends.append(stream))
    taken = 0
    while send_queue.size:
        batch, size = send_queue.take()
        taken += size
        feed(inbox, b"".join(batch))
        if taken < 8 * 3 * CHUNK * 0.7:
            assert not ends, "one was served while others waited"
    assert sorted(ends) == list(range(1, 9))


def test_dropped_message_leaves_no_trace():
    send_queue = SendQueue()
    inbox, received = collecting()
    send_queue.put(frames.REQUEST, 0, 1, b"", bytes(5 * CHUNK))
    send_queue.put(frames.REQUEST, 0, 2, b"", b"x" * 5 * CHUNK)
    for _ in range(3):
        feed(inbox, b"".join(send_queue.take()[0]))
    assert not send_queue.drop(1), "a part of it has left"
    inbox.drop(1)
    send_queue.put(frames.CANCEL, 0, 1)
    feed(inbox, drained(send_queue))
    assert [(kind, stream) for kind, _, stream, *_ in received] == [(frames.CANCEL, 1), (frames.REQUEST, 2)]
    assert send_queue.size == 0


def test_dropping_what_has_not_begun_to_leave():
    send_queue = SendQueue()
    send_queue.put(frames.REQUEST, 0, 1, b"", bytes(2 * CHUNK))
    assert send_queue.untouched(1)
    assert send_queue.drop(1)
    assert not send_queue.drop(1)
    assert send_queue.size == 0
    assert send_queue.take() == ([], 0)


def test_parts_of_a_dropped_message_are_skipped():
    send_queue = SendQueue()
    send_queue.put(frames.REPLY, 0, 1, b"", bytes(5 * CHUNK))
    send_queue.put(frames.REPLY, 0, 2, b"", b"small")
    data = drained(send_queue)
    inbox, received = collecting()
    half = len(data) // 2 + 11
    feed(inbox, data[:half])
    inbox.drop(1)
    feed(inbox, data[half:])
    assert [(stream, body) for _, _, stream, _, body in received] == [(2, b"small")]


def head(kind, meta=0, body=0, stream=1, magic=0x6A):
    return HEAD.pack(magic, kind, 0, meta, body, stream)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        head(0),
        head(frames.METRICS + 1),
        head(frames.REQUEST, magic=0),
        head(frames.REQUEST, body=LIMIT + 1),
        head(frames.REQUEST, meta=LIMIT + 1),
        head(frames.PART, meta=CHUNK + 1),
        head(frames.REQUEST, body=CHUNK + 10)
        + head(frames.PART, meta=CHUNK)
        + bytes(CHUNK)
        + head(frames.PART, meta=11),
    ],
    ids=["text", "kind 0", "unknown kind", "magic", "body", "meta", "part", "too many parts"],
)
def test_garbage_breaks_the_link(data):
    inbox, received = collecting()
    with pytest.raises(LinkBroken):
        feed(inbox, data)
    assert not received


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 15).map(head)), max_size=6))
def test_no_bytes_do_worse_than_break_the_link(pieces):
    inbox, _ = collecting()
    with contextlib.suppress(LinkBroken):
        feed(inbox, b"".join(pieces))


def test_a_receiver_makes_room_for_a_few_large_messages_at_a_time():
    """However many wait: room for a whole message is made when its first part comes."""
    send_queue, (inbox, events) = SendQueue(), collecting()
    bodies = {number: content(5 * CHUNK, number) for number in range(1, 101)}
    for number, body in bodies.items():
        send_queue.put(frames.REPLY, 0, number, b"", body)
    most = 0
    while send_queue.size:
        batch, _ = send_queue.take()
        feed(inbox, b"".join(batch))
        most = max(most, len(inbox._sinks))
    assert most <= 8
    assert {stream: bytes(body) for _, _, stream, _, body in events} == bodies
