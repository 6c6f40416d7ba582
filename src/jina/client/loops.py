"""One resource for each event loop that uses a client, closed together with its loop."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar, cast


class Closable(Protocol):
    """What a loop holds."""

    async def close(self, *, abruptly: bool = False) -> None:
        """Close it; `abruptly` when its loop is about to end. Closing twice is allowed."""
        ...


Resource = TypeVar("Resource", bound=Closable)
Item = TypeVar("Item")
T = TypeVar("T")


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


class Held(Generic[Item]):
    """An async generator held by another one, which closes it: `async with Held(generator) as items`.

    `asyncio.run` ends with closing every async generator of its loop at the same time, and complains about an
    inner one that its outer one is closing already. So the loop is not told of the inner ones.
    """

    def __init__(self, generator: AsyncIterator[Item]) -> None:
        self._generator = cast("AsyncGenerator[Item, None]", generator)
        self._known = False

    async def __aenter__(self) -> Held[Item]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Held[Item]:
        return self

    def __anext__(self) -> Awaitable[Item]:
        return self._untold(self._generator.__anext__)

    def aclose(self) -> Awaitable[None]:
        """Close the generator."""
        return self._untold(self._generator.aclose)

    def _untold(self, step: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        if self._known:
            return step()
        self._known = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return step()
        finally:
            sys.set_asyncgen_hooks(*hooks)


async def _keep(resource: Closable) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await resource.close(abruptly=True)


async def _finish(resource: Closable, keeper: AsyncGenerator[None, None]) -> None:
    await resource.close()
    await keeper.aclose()
