"""The connection of a worker to its consensus agent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from jina.errors import JinaError, Unavailable
from jina.replication import frames
from jina.replication.frames import Frame
from jina.replication.intake import Intake


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

    def __init__(self, told: Callable[[Frame | None], None]) -> None:
        self._told = told
        self._intake = Intake(self._came)
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
        return self._intake.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._intake.advance(nbytes)

    def _came(self, frame: Frame) -> None:
        if frame.kind not in {frames.OK, frames.ERROR}:
            self._told(frame)
        elif (refused := self._proposed.pop(frame.id, None)) is not None:
            refused(_refusal(frame))
        elif (asked := self._asked.pop(frame.id, None)) is not None and not asked.done():
            if frame.kind == frames.OK:
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
        self.fail("the consensus agent went away")
        self._told(None)

    def write(self, kind: int, *parts: frames.Buffer, ident: int = 0) -> None:
        """Send a frame; nothing happens when the agent is gone, which `told` hears of."""
        if self._transport is None:
            return
        size = sum(map(len, parts))
        head = frames.head(kind, ident, size)
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

    async def ask(self, kind: int, *parts: frames.Buffer) -> bytes:
        """The agent's answer; raises `Refused`, and `Unavailable` when it is not there."""
        if not self.up:
            raise Unavailable("the consensus agent is not there")
        self._next += 1
        ident = self._next
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[ident] = future
        self.write(kind, *parts, ident=ident)
        try:
            return await future
        finally:
            self._asked.pop(ident, None)

    def propose(self, operation: Iterable[frames.Buffer], refused: Callable[[JinaError], None]) -> int:
        """Have an operation appended to the log, which will bring it back; `refused` hears where that does not work."""
        self._next += 1
        self._proposed[self._next] = refused
        self.write(frames.WRITE, *operation, ident=self._next)
        return self._next

    def forget(self, ident: int) -> None:
        """Nobody wants to hear any more of what was proposed."""
        self._proposed.pop(ident, None)

    def fail(self, text: str) -> None:
        """Let all questions that wait fail; their answers, should they come, are not waited for."""
        proposed, self._proposed = self._proposed, {}
        for refused in proposed.values():
            refused(Refused("unknown", text))
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Refused("unknown", text))

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.close()


def _refusal(frame: Frame) -> Refused:
    fault = msgspec.json.decode(frame.body, type=_Fault)
    return Refused(fault.code, fault.text)
