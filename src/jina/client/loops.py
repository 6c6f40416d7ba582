"""One resource for each event loop that uses a client, closed together with its loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a loop holds."""

    async def close(self, *, abruptly: bool = False) -> None:
        """Close it; `abruptly` when its loop is about to end. Closing twice is allowed."""
        ...


Resource = TypeVar("Resource", bound=Closable)


class PerLoop(Generic[Resource]):
    """Makes a resource for the running loop on its first use.

    Each resource is held by a paused async generator that closes it. `asyncio.run` closes the paused generators
    of its loop before it ends, so nothing outlives its loop unclosed, however the client is used.
    """

    def __init__(self, make: Callable[[], Resource]) -> None:
        self._make = make
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
            keeper = _keep(resource)
            await keeper.asend(None)
            with self._lock:
                held = self._held[loop] = (resource, keeper)
        return held[0]

    async def close(self) -> None:
        """Close the resources of all loops; those of other loops by those loops."""
        with self._lock:
            held = list(self._held.items())
            self._held = weakref.WeakKeyDictionary()
        for loop, (resource, keeper) in held:
            if loop is asyncio.get_running_loop():
                await _finish(resource, keeper)
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(_finish(resource, keeper), loop)


async def _keep(resource: Closable) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await resource.close(abruptly=True)


async def _finish(resource: Closable, keeper: AsyncGenerator[None, None]) -> None:
    await resource.close()
    await keeper.aclose()
