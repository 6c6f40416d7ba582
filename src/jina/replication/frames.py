"""Frames between a worker and its consensus agent (pure): length, kind, id, body; see `consensus/frame.go`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from jina.errors import InternalError

HELLO: Final = 1
PROPOSE: Final = 2
READ: Final = 3
APPLIED: Final = 4
DONE: Final = 5
STATUS: Final = 6
ADMIN: Final = 7
PING: Final = 8
WRITE: Final = 9
OK: Final = 21
ERROR: Final = 22
APPLY: Final = 23
SNAPSHOT: Final = 24
RESTORE: Final = 25
RESET: Final = 26
READY: Final = 27
DIVERGED: Final = 28
REMOVED: Final = 29

Buffer = bytes | memoryview
LIMIT: Final = 1 << 30
HEAD: Final = struct.Struct("<IBQ")
"""Size of what follows, kind, id."""
_BATCH = struct.Struct("<QQI")
_OPERATION = struct.Struct("<QQI")
NUMBER = struct.Struct("<Q")


class Frame(NamedTuple):
    """One frame; `id` says which question an answer belongs to."""

    kind: int
    id: int
    body: Buffer


class Operation(NamedTuple):
    """A committed operation at its place in the log."""

    place: int
    term: int
    payload: Buffer


class Batch(NamedTuple):
    """Operations in order, and how far the log is through with them; `resume` is the oldest entry still needed."""

    upto: int
    resume: int
    operations: list[Operation]


def head(kind: int, ident: int, size: int) -> bytes:
    """What stands before a body of `size` bytes."""
    return HEAD.pack(size + HEAD.size - 4, kind, ident)


def size_of(buffer: Buffer | bytearray, at: int) -> tuple[int, int, int]:
    """Size of the body, kind and id of the frame that begins there; raises `InternalError` for garbage."""
    size, kind, ident = HEAD.unpack_from(buffer, at)
    if not HEAD.size - 4 <= size <= LIMIT:
        raise InternalError(f"the consensus agent sent a frame of {size} bytes")
    return size - (HEAD.size - 4), kind, ident


class Reader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now; raises `InternalError` for garbage."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= HEAD.size:
            size, kind, ident = size_of(buffer, at)
            end = at + HEAD.size + size
            if len(buffer) < end:
                break
            yield Frame(kind, ident, bytes(memoryview(buffer)[at + HEAD.size : end]))
            at = end
        del buffer[:at]


def read_batch(body: Buffer) -> Batch:
    """What an APPLY frame holds."""
    upto, resume, count = _BATCH.unpack_from(body)
    operations = []
    at = _BATCH.size
    for _ in range(count):
        index, term, size = _OPERATION.unpack_from(body, at)
        at += _OPERATION.size
        operations.append(Operation(index, term, body[at : at + size]))
        at += size
    return Batch(upto, resume, operations)
