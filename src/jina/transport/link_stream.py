"""A stream of replies over a local link, as the gateway reads it."""

from __future__ import annotations

import asyncio
from asyncio import Future, TimerHandle
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

from jina.wire.messages import Reply, Request

WINDOW = 256 * 1024
"""Bytes of replies that may be on their way or wait to be read; the worker then pauses."""
ITEM_COST = 1024
"""What a reply counts for at least."""


class StreamOwner(Protocol):
    """What a stream needs of the hop that it belongs to."""

    async def begin(self, stream: LinkStream) -> None:
        """Send the request and set `number`; raises what `Hop.call` would."""
        ...

    def credit(self, number: int, amount: int) -> None:
        """Tell the worker that so much was read."""
        ...

    def leave(self, stream: LinkStream) -> None:
        """The stream is over here; the worker is told so if it does not know."""
        ...


class LinkStream(AsyncIterator[Reply]):
    """Begins with the first `__anext__`."""

    def __init__(self, owner: StreamOwner, request: Request) -> None:
        self.request = request
        self.number = 0
        self.held = 0
        """Bytes of the request that count as being in work."""
        self.timer: TimerHandle | None = None
        self._owner = owner
        self._items: deque[tuple[Reply, int]] = deque()
        self._read = 0
        self._over = False
        self._error: BaseException | None = None
        self._left = False
        self._waiter: Future[None] | None = None
        self._loop: Any = None

    async def __anext__(self) -> Reply:
        if self._left:
            raise StopAsyncIteration
        try:
            if not self.number:
                self._loop = asyncio.get_running_loop()
                await self._owner.begin(self)
            while not self._items:
                if self._over:
                    break
                waiter: Future[None] = self._loop.create_future()
                self._waiter = waiter
                await waiter
        except BaseException:
            self._leave()
            raise
        if self._items:
            reply, cost = self._items.popleft()
            self._read += cost
            if self._read >= WINDOW // 2 and not self._over:
                self._owner.credit(self.number, self._read)
                self._read = 0
            return reply
        self._leave()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the generator of the worker, if it still runs; returns without waiting for it."""
        self._leave()

    def __del__(self) -> None:
        # A reader that forgot to close must not keep a generator running for nobody.
        # It may be collected on any thread; the rest is done on the loop.
        if self.number and not self._left and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave)

    # What the hop calls.

    def add(self, reply: Reply, size: int) -> None:
        """A reply has come, of so many bytes."""
        self._items.append((reply, max(size, ITEM_COST)))
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        if not self._over:
            self._over = True
            self._error = error
            self._wake()

    @property
    def over(self) -> bool:
        """Whether the worker has nothing left to do for it."""
        return self._over

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._items.clear()
            if self.timer is not None:
                self.timer.cancel()
            if self.number:
                self._owner.leave(self)
