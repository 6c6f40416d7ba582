"""Frames on the control socket between an orchestrator and its worker: four bytes of length, then the bytes.

The orchestrator sends two frames, the worker plan (JSON) and a pickle (empty when nothing needs one); the
worker sends reports, JSON objects with a `phase` each.
"""

from __future__ import annotations

import socket
import struct

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 20
MAX_FRAME = (1 << 32) - 1


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
