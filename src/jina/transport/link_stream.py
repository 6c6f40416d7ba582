"""A stream of replies over a local link, as the gateway reads it."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from jina.wire.messages import Reply, Request

WINDOW = 256 * 1024
"""Bytes of replies that may be on their way or wait to be read; the worker then pauses."""
ITEM_COST = 2048
"""What a reply counts for at least."""


class Incoming:
    """What has come of a stream, kept by the hop until the worker is done with it.

    `held` is the number of bytes of the request that count as being in work.
    """

    __slots__ = ("error", "held", "items", "loop", "number", "over", "timer", "waiter")

    def __init__(self, number: int, held: int, loop: AbstractEventLoop) -> None:
        self.number = number
        self.held = held
        self.loop = loop
        self.timer: TimerHandle | None = None
        self.items: deque[tuple[Reply, int]] = deque()
        self.waiter: Future[None] | None = None
        self.over = False
        self.error: BaseException | None = None

    def add(self, reply: Reply, size: int) -> None:
        """A reply has come, of so many bytes."""
        self.items.append((reply, max(size, ITEM_COST)))
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        self.over = True
        self.error = error
        self._wake()

    async def changed(self) -> None:
        """Wait for one of these."""
        waiter: Future[None] = self.loop.create_future()
        self.waiter = waiter
        await waiter

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class StreamOwner(Protocol):
    """What a stream needs of the hop that it belongs to."""

    async def begin(self, request: Request) -> Incoming:
        """Send the request; raises what `Hop.call` would."""
        ...

    def credit(self, number: int, amount: int) -> None:
        """Tell the worker that so much was read."""
        ...

    def leave(self, incoming: Incoming) -> None:
        """Nobody reads this any more; the worker is told so if it is not done."""
        ...


class LinkStream(AsyncIterator[Reply]):
    """Begins with the first `__anext__`."""

    def __init__(self, owner: StreamOwner, request: Request) -> None:
        self._owner = owner
        self._request = request
        self._incoming: Incoming | None = None
        self._read = 0
        self._left = False

    async def __anext__(self) -> Reply:
        if self._left:
            raise StopAsyncIteration
        try:
            incoming = self._incoming
            if incoming is None:
                incoming = self._incoming = await self._owner.begin(self._request)
            while not (incoming.items or incoming.over):
                await incoming.changed()
        except BaseException:
            self._leave()
            raise
        if incoming.items:
            reply, cost = incoming.items.popleft()
            self._read += cost
            if self._read >= WINDOW // 2 and not incoming.over:
                self._owner.credit(incoming.number, self._read)
                self._read = 0
            return reply
        self._leave()
        raise incoming.error or StopAsyncIteration

    async def aclose(self) -> None:
        """Close the generator of the worker, if it still runs; returns without waiting for it."""
        self._leave()

    def __del__(self) -> None:
        # A reader that forgot to close must not keep a generator running for nobody.
        # It may be collected on any thread; the rest is done on the loop.
        incoming = self._incoming
        if incoming is not None and not self._left and not incoming.loop.is_closed():
            incoming.loop.call_soon_threadsafe(self._owner.leave, incoming)

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            if self._incoming is not None:
                self._owner.leave(self._incoming)
