"""One resource for each event loop that uses a client, closed together with its loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

Resource = TypeVar("Resource")


class PerLoop(Generic[Resource]):
    """Makes a resource for the running loop on its first use.

    Each resource is held by a paused async generator that closes it. `asyncio.run` closes the paused generators
    of its loop before it ends, so nothing outlives its loop unclosed, however the client is used.
    """

    def __init__(self, make: Callable[[], Resource], close: Callable[[Resource], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._held: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[Resource, AsyncGenerator[None, None]]
        ] = weakref.WeakKeyDictionary()

    async def get(self) -> Resource:
        """The resource of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            resource = self._make()
            keeper = _keep(resource, self._close)
            await keeper.asend(None)
            with self._lock:
                held = self._held[loop] = (resource, keeper)
        return held[0]

    async def close(self) -> None:
        """Close the resources of all loops; those of other loops by those loops."""
        with self._lock:
            held = list(self._held.items())
            self._held = weakref.WeakKeyDictionary()
        for loop, (_, keeper) in held:
            if loop is asyncio.get_running_loop():
                await keeper.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(_finish(keeper), loop)


async def _keep(resource: Resource, close: Callable[[Resource], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close(resource)


async def _finish(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()
