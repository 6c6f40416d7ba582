import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from jina.supervisor.control import FrameReader, recv_frame, send_frame


def test_frames_arrive_whole_and_in_order():
    ours, theirs = socket.socketpair()
    frames = [b"", b"plan", b"x" * 300_000]
    sender = threading.Thread(target=lambda: [send_frame(ours, frame) for frame in frames])
    sender.start()
    with theirs:
        assert [recv_frame(theirs) for _ in frames] == frames
        sender.join()
        ours.close()
        assert recv_frame(theirs) is None


def test_a_frame_cut_short_is_no_frame():
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"\x00\x00\x00\x05abc")
        ours.close()
        assert recv_frame(theirs) is None


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_reader_cuts_frames_out_of_any_pieces(frames, sizes):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for frame in frames:
            send_frame(ours, frame)
        ours.shutdown(socket.SHUT_WR)
        stream = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    reader, found, at = FrameReader(), [], 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        found += reader.feed(stream[at : at + size])
        at += size
    assert found == frames
