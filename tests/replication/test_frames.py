import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.errors import InternalError
from jina.replication.agent_client import Batch, Frame, FrameDecoder, Operation, Reader, frame_head, read_batch


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=50)), max_size=8),
    st.lists(st.integers(1, 40), min_size=1, max_size=10),
)
def test_frames_are_cut_out_of_any_pieces(sent, sizes):
    data = b"".join(frame_head(kind, ident, len(body)) + body for kind, ident, body in sent)
    reader, got, at = Reader(), [], 0
    while at < len(data):
        for size in sizes:
            got += reader.feed(data[at : at + size])
            at += size
    assert got == [Frame(*one) for one in sent]


@pytest.mark.parametrize("seed", range(20))
def test_large_and_small_frames_are_taken_in_as_they_come(seed):
    rng = random.Random(seed)
    sizes = [rng.choice([0, 5, 30_000, 33_000, 70_000, 200_000]) for _ in range(8)]
    wanted = [Frame(kind, rng.getrandbits(64), bytes([kind]) * size) for kind, size in enumerate(sizes)]
    data = b"".join(frame_head(*one[:2], len(one.body)) + one.body for one in wanted)
    got = []
    decoder, at = FrameDecoder(got.append), 0
    while at < len(data):
        room = decoder.buffer()
        piece = data[at : at + min(rng.choice([1, 12, 13, 14, 20_000, 150_000]), len(room))]
        room[: len(piece)] = piece
        decoder.advance(len(piece))
        at += len(piece)
    assert [(one.kind, one.id, bytes(one.body)) for one in got] == wanted


def test_garbage_is_refused():
    with pytest.raises(InternalError, match="a frame of"):
        list(Reader().feed(b"\xff" * 13))
    decoder = FrameDecoder(pytest.fail)
    decoder.buffer()[:13] = b"\xff" * 13
    with pytest.raises(InternalError, match="a frame of"):
        decoder.advance(13)


def test_a_batch():
    operations = [Operation(4, 1, b"abc"), Operation(9, 2, b"")]
    body = struct.pack("<QQI", 10, 11, 2)
    body += b"".join(struct.pack("<QQI", one.log_index, one.term, len(one.payload)) + one.payload for one in operations)
    assert read_batch(body) == Batch(10, 11, operations)
