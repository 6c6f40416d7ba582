"""The connection of a worker to its consensus agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

from jina.errors import JinaError, Unavailable
from jina.replication import frames
from jina.replication.frames import Frame


class Refused(JinaError):
    """The agent's answer to what it cannot do; `code` is `unavailable`, `unknown` or `refused`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Fault(msgspec.Struct):
    code: str
    text: str


class AgentLink(asyncio.Protocol):
    """Questions and answers with the agent; `told` gets every frame that is no answer, and None at the end."""

    def __init__(self, told: Callable[[Frame | None], None]) -> None:
        self._told = told
        self._reader = frames.Reader()
        self._transport: asyncio.Transport | None = None
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

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        for frame in self._reader.feed(data):
            if frame.kind not in {frames.OK, frames.ERROR}:
                self._told(frame)
            elif (refused := self._proposed.pop(frame.id, None)) is not None:
                refused(_refusal(frame))
            elif (asked := self._asked.pop(frame.id, None)) is not None and not asked.done():
                if frame.kind == frames.OK:
                    asked.set_result(frame.body)
                else:
                    asked.set_exception(_refusal(frame))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self._transport = None
        self.fail("the consensus agent went away")
        self._told(None)

    def write(self, kind: int, body: bytes = b"", ident: int = 0) -> None:
        """Send a frame; nothing happens when the agent is gone, which `told` hears of."""
        if self._transport is not None:
            self._transport.writelines((frames.head(kind, ident, len(body)), body))

    def write_json(self, kind: int, value: Any, ident: int = 0) -> None:
        """Send a frame with a JSON body."""
        self.write(kind, msgspec.json.encode(value), ident)

    async def ask(self, kind: int, body: bytes = b"") -> bytes:
        """The agent's answer; raises `Refused`, and `Unavailable` when it is not there."""
        if not self.up:
            raise Unavailable("the consensus agent is not there")
        self._next += 1
        ident = self._next
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[ident] = future
        self.write(kind, body, ident)
        try:
            return await future
        finally:
            self._asked.pop(ident, None)

    def propose(self, operation: bytes, refused: Callable[[JinaError], None]) -> int:
        """Have an operation appended to the log, which will bring it back; `refused` hears where that does not work."""
        self._next += 1
        self._proposed[self._next] = refused
        self.write(frames.WRITE, operation, self._next)
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
