"""Frames on the control socket between an orchestrator and its child: four bytes of length, then the bytes.

The orchestrator sends two frames, the plan (JSON) and a pickle (empty when nothing needs one), and then, at any
time, words: `{"link": name}` hands over the socket of a local link, a descriptor beside the bytes (SCM_RIGHTS,
https://man7.org/linux/man-pages/man7/unix.7.html), `{"unlink": name}` takes a worker out of use, and `{"ask": number}`
wants to know how the child is. The child sends reports, JSON objects: with a `phase`, or `linked`, the name of a worker
whose link is in use, or `answer`, the number of a question, with the `vitals`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 20
MAX_FRAME = (1 << 32) - 1
_MOST_AT_ONCE = 253
"""Descriptors that the kernel puts into one message."""


def send_frame(sock: socket.socket, data: bytes) -> None:
    """Send one frame; blocks. Raises ValueError for more than 4 GiB."""
    if len(data) > MAX_FRAME:
        raise ValueError(f"a frame of {len(data)} bytes is over the limit of {MAX_FRAME}")
    sock.sendall(_LENGTH.pack(len(data)))
    sock.sendall(data)


def recv_frame(sock: socket.socket) -> bytes | None:
    """Read one frame from a blocking socket; None when the peer closed it before or within the frame."""
    head = _recv_exactly(sock, _LENGTH.size)
    if head is None:
        return None
    return _recv_exactly(sock, _LENGTH.unpack(head)[0])


def _recv_exactly(sock: socket.socket, size: int) -> bytes | None:
    buffer = bytearray()
    while len(buffer) < size:
        chunk = sock.recv(min(size - len(buffer), _CHUNK))
        if not chunk:
            return None
        buffer += chunk
    return bytes(buffer)


class FrameReader:
    """Cuts frames out of what arrives in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete with `data`."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return frames


def send_link(sock: socket.socket, name: str, link: socket.socket) -> None:
    """Hand over a copy of a socket under a name; blocks."""
    data = msgspec.json.encode({"link": name})
    frame = _LENGTH.pack(len(data)) + data
    # The descriptor arrives with the first byte; the rest may follow.
    sent = socket.send_fds(sock, [frame], [link.fileno()])
    sock.sendall(frame[sent:])


def send_word(sock: socket.socket, word: dict[str, Any]) -> None:
    """Say something to a child; blocks."""
    send_frame(sock, msgspec.json.encode(word))


def received_words(sock: socket.socket) -> Iterator[tuple[dict[str, Any], socket.socket | None]]:
    """What `send_link` and `send_word` send, with the sockets of links, as it comes.

    Ends when the peer closed or its process ended.
    """
    reader = FrameReader()
    descriptors: deque[int] = deque()
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    while True:
        try:
            data, received, _, _ = socket.recv_fds(sock, 1 << 16, _MOST_AT_ONCE, flags)
        except OSError:
            return
        if not data:
            return
        for descriptor in received:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
        descriptors.extend(received)
        for frame in reader.feed(data):
            word = msgspec.json.decode(frame)
            yield word, socket.socket(fileno=descriptors.popleft()) if "link" in word else None
