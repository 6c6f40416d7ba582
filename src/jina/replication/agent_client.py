"""The connection of a worker to its consensus agent, and its frames: length, kind, id, body (see `consensus/`)."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, cast

import msgspec

from jina.errors import InternalError, JinaError, Unavailable

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

    log_index: int
    term: int
    payload: Buffer


class Batch(NamedTuple):
    """Operations in order, and how far the log is through with them; `resume` is the oldest entry still needed."""

    upto: int
    resume: int
    operations: list[Operation]


def frame_head(kind: int, ident: int, size: int) -> bytes:
    """What stands before a body of `size` bytes."""
    return HEAD.pack(size + HEAD.size - 4, kind, ident)


def frame_size(buffer: Buffer | bytearray, at: int) -> tuple[int, int, int]:
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
            size, kind, ident = frame_size(buffer, at)
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


_SCRATCH: Final = 128 * 1024
_LARGE: Final = 32 * 1024
"""Bytes from which a body is not copied out of the scratch buffer."""


class FrameDecoder:
    """`buffer` is where the next bytes belong, `advance` takes note of them and delivers the frames that are whole."""

    def __init__(self, deliver: Callable[[Frame], None]) -> None:
        self._deliver = deliver
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._end = 0
        self._large: memoryview | None = None
        self._kind = (0, 0)
        self._at = 0

    def buffer(self) -> memoryview:
        """Where the next bytes belong."""
        return self._scratch[self._end :] if self._large is None else self._large[self._at :]

    def advance(self, count: int) -> None:
        """So many bytes came; raises `InternalError` for garbage."""
        if self._large is not None:
            self._at += count
            if self._at == len(self._large):
                body, self._large = self._large, None
                self._deliver(Frame(*self._kind, body))
            return
        self._end += count
        scratch, end, start = self._scratch, self._end, 0
        while end - start >= HEAD.size:
            size, kind, ident = frame_size(scratch, start)
            start += HEAD.size
            if end - start >= size:
                self._deliver(Frame(kind, ident, scratch[start : start + size].tobytes()))
                start += size
            elif size >= _LARGE:
                self._kind, self._at = (kind, ident), end - start
                self._large = memoryview(bytearray(size))
                self._large[: self._at] = scratch[start:end]
                start = end
            else:
                start -= HEAD.size
                break
        if start:
            scratch[: end - start] = scratch[start:end].tobytes()
        self._end = end - start


class Refused(JinaError):
    """The agent's answer to what it cannot do; `code` is `unavailable`, `unknown` or `refused`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Fault(msgspec.Struct):
    code: str
    text: str


_PIECE = 128 * 1024
"""Bytes that are handed to the transport at once, which would copy what the system does not take."""


class AgentLink(asyncio.BufferedProtocol):
    """Questions and answers with the agent; `told` gets every frame that is no answer, and None at the end."""

    def __init__(self, on_frame: Callable[[Frame | None], None]) -> None:
        self._on_frame = on_frame
        self._decoder = FrameDecoder(self._on_received)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[memoryview] = deque()
        self._paused = False
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._proposed: dict[int, Callable[[JinaError], None]] = {}
        self._next = 0

    @property
    def up(self) -> bool:
        """Whether the agent is there."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._decoder.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._decoder.advance(nbytes)

    def _on_received(self, frame: Frame) -> None:
        if frame.kind not in {OK, ERROR}:
            self._on_frame(frame)
        elif (refused := self._proposed.pop(frame.id, None)) is not None:
            refused(_refusal(frame))
        elif (asked := self._asked.pop(frame.id, None)) is not None and not asked.done():
            if frame.kind == OK:
                asked.set_result(bytes(frame.body))
            else:
                asked.set_exception(_refusal(frame))

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = False
        while self._waiting and not self._paused and self._transport is not None:
            self._transport.write(self._waiting.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self._transport = None
        self._waiting.clear()
        self.fail("the connection to the consensus agent was lost")
        self._on_frame(None)

    def write(self, kind: int, *parts: Buffer, ident: int = 0) -> None:
        """Send a frame; nothing happens when the connection is lost, which `told` is called for."""
        if self._transport is None:
            return
        size = sum(map(len, parts))
        head = frame_head(kind, ident, size)
        if size <= _PIECE and not self._waiting and not self._paused:
            self._transport.write(b"".join((head, *parts)))
            return
        for part in (head, *parts):
            view = memoryview(part)
            self._waiting.extend(view[at : at + _PIECE] for at in range(0, len(view), _PIECE))
        if not self._paused:
            self.resume_writing()

    def write_json(self, kind: int, value: Any, ident: int = 0) -> None:
        """Send a frame with a JSON body."""
        self.write(kind, msgspec.json.encode(value), ident=ident)

    async def ask(self, kind: int, *parts: Buffer) -> bytes:
        """The agent's answer; raises `Refused`, and `Unavailable` without a connection."""
        if not self.up:
            raise Unavailable("there is no connection to the consensus agent")
        self._next += 1
        ident = self._next
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[ident] = future
        self.write(kind, *parts, ident=ident)
        try:
            return await future
        finally:
            self._asked.pop(ident, None)

    def propose(self, operation: Iterable[Buffer], refused: Callable[[JinaError], None]) -> int:
        """Append an operation to the log, which delivers it later; `refused` is called where that fails."""
        self._next += 1
        self._proposed[self._next] = refused
        self.write(WRITE, *operation, ident=self._next)
        return self._next

    def forget(self, ident: int) -> None:
        """The outcomes of what was proposed are not wanted any more."""
        self._proposed.pop(ident, None)

    def fail(self, text: str) -> None:
        """Fail all pending questions; late answers are ignored."""
        proposed, self._proposed = self._proposed, {}
        for refused in proposed.values():
            refused(Refused("unknown", text))
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Refused("unknown", text))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


def _refusal(frame: Frame) -> Refused:
    fault = msgspec.json.decode(frame.body, type=_Fault)
    return Refused(fault.code, fault.text)
