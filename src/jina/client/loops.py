"""How coroutines of the client wait, on an event loop and in blocking code; one resource for each loop.

The client is written once, in coroutines. On an event loop they run as others do. For blocking code `run` and
`iterate` run them in the caller's thread, without a loop: all that they await comes from `Blocking` and from
connections that block, so that they never suspend.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar, cast


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
        return self._generator.__anext__() if self._known else self._untold(self._generator.__anext__)

    def aclose(self) -> Awaitable[None]:
        """Close the generator."""
        return self._generator.aclose() if self._known else self._untold(self._generator.aclose)

    def _untold(self, step: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        self._known = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return step()
        finally:
            sys.set_asyncgen_hooks(*hooks)


def run(work: Awaitable[T]) -> T:
    """The result of a coroutine that never suspends."""
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("a coroutine of blocking code waits for an event loop")


def iterate(generator: AsyncIterator[Item]) -> Generator[Item, None, None]:
    """The items of an async generator that never suspends."""
    held = Held(generator)
    try:
        while True:
            try:
                item = run(held.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(held.aclose())


Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Pool(Generic[Key, Kept]):
    """Idle connections, each lent to one call at a time; equal keys mean equal use. Threads may share it."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[tuple[Key, Kept]] = []

    def is_fresh(self, connection: Kept) -> bool:
        """Whether a connection can be used, as far as can be said without asking the system."""
        raise NotImplementedError

    def drop(self, connection: Kept) -> None:
        """End a connection that is not used again."""
        raise NotImplementedError

    def take(self, key: Key) -> Kept | None:
        """The one that was used last, which the caller gives back or drops; None without one."""
        found, old = None, []
        with self._lock:
            for position in range(len(self._idle) - 1, -1, -1):
                if self._idle[position][0] == key:
                    found = self._idle.pop(position)[1]
                    break
            while self._idle and not self.is_fresh(self._idle[0][1]):
                old.append(self._idle.pop(0)[1])
        for connection in old:
            self.drop(connection)
        return found

    def keep(self, key: Key, connection: Kept) -> None:
        """Take one back; the one that was used longest ago ends where there are too many."""
        surplus = None
        with self._lock:
            self._idle.append((key, connection))
            if self._most is not None and len(self._idle) > self._most:
                surplus = self._idle.pop(0)[1]
        if surplus is not None:
            self.drop(surplus)

    def clear(self) -> list[Kept]:
        """Those that were idle, which the caller ends."""
        with self._lock:
            idle, self._idle = self._idle, []
        return [connection for _, connection in idle]


class Window(Generic[Item]):
    """The items of a stream, each when there is room: at most `size` are unanswered.

    In blocking code one thread takes them, and another one says what was answered.
    """

    def __init__(self, items: AsyncIterator[Item], waits: Waits, size: int) -> None:
        self._items = items
        self._slots = waits.semaphore(size)
        self._stopped = False

    async def next(self) -> Item | None:
        """The next one; None at the end."""
        await self._slots.acquire()
        return None if self._stopped else await anext(self._items, None)

    def answered(self) -> None:
        """One more was answered."""
        self._slots.release()

    def stop(self) -> None:
        """Give out nothing more."""
        self._stopped = True
        self._slots.release()


class BlockingSemaphore:
    """As `asyncio.Semaphore`, for threads."""

    def __init__(self, value: int) -> None:
        self._semaphore = threading.Semaphore(value)
        self.release = self._semaphore.release

    async def acquire(self) -> None:
        """Take one of the slots; wait for one."""
        self._semaphore.acquire()


class BlockingEvent:
    """As `asyncio.Event`, for threads."""

    def __init__(self) -> None:
        event = threading.Event()
        self.set, self.clear, self._wait = event.set, event.clear, event.wait

    async def wait(self) -> None:
        """Wait until it is set."""
        self._wait()


class ThreadJobs(Generic[T]):
    """Coroutines that run at the same time, on threads."""

    def __init__(self, width: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(width, "jina-client")
        self._flying: set[concurrent.futures.Future[T]] = set()

    @property
    def running(self) -> int:
        """How many have not been given out by `ended`."""
        return len(self._flying)

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> None:
        """Run one more."""
        self._flying.add(self._pool.submit(lambda: run(function(*args))))

    async def ended(self, *, block: bool) -> list[T]:
        """The results of those that have ended; at least one with `block`. Raises what one of them raised."""
        timeout = None if block else 0
        done, self._flying = concurrent.futures.wait(self._flying, timeout, concurrent.futures.FIRST_COMPLETED)
        return [one.result() for one in done]

    async def cancel(self) -> None:
        """Start no more of them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class TaskJobs(Generic[T]):
    """Coroutines that run at the same time, as tasks; see `ThreadJobs`."""

    def __init__(self) -> None:
        self._flying: set[asyncio.Task[T]] = set()

    @property
    def running(self) -> int:
        """How many have not been given out by `ended`."""
        return len(self._flying)

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> None:
        """Run one more."""
        self._flying.add(asyncio.ensure_future(function(*args)))

    async def ended(self, *, block: bool) -> list[T]:
        """The results of those that have ended; at least one with `block`. Raises what one of them raised."""
        timeout = None if block else 0
        done, self._flying = await asyncio.wait(self._flying, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return [one.result() for one in done]

    async def cancel(self) -> None:
        """Stop those that run."""
        for task in self._flying:
            task.cancel()
        if self._flying:
            await asyncio.wait(self._flying)


class Waits:
    """What coroutines of the client wait by. These block their thread; those of `ON_LOOP` suspend."""

    blocking = True
    parallel = 32
    """Requests in flight at most where each needs a connection of its own."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for

    async def result(self, future: concurrent.futures.Future[T]) -> T:
        """What another thread makes; cancelled with the caller."""
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def within(self, seconds: float | None) -> contextlib.AbstractAsyncContextManager[Any]:  # noqa: ARG002 - on loops
        """A block that raises `TimeoutError` after so long; in blocking code the connections have the limit."""
        return _NO_LIMIT

    def deadline(self, seconds: float | None) -> float | None:
        """The moment in so many seconds."""
        return None if seconds is None else time.monotonic() + seconds

    def semaphore(self, value: int) -> BlockingSemaphore | asyncio.Semaphore:
        """One with so many slots."""
        return BlockingSemaphore(value)

    def event(self) -> BlockingEvent | asyncio.Event:
        """One that is not set."""
        return BlockingEvent()

    def jobs(self, width: int) -> ThreadJobs[Any] | TaskJobs[Any]:
        """For at most `width` jobs at once."""
        return ThreadJobs(width)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> Callable[[], Awaitable[Any]]:
        """Run a coroutine beside the caller; gives what stops it, where it does not end of itself as on a thread."""
        threading.Thread(target=run, args=(work,), name=name, daemon=True).start()
        return lambda: self.sleep(0)


class _OnLoop(Waits):
    blocking = False
    parallel = 100

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def result(self, future: concurrent.futures.Future[T]) -> T:
        return await asyncio.wrap_future(future)

    def within(self, seconds: float | None) -> contextlib.AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def deadline(self, seconds: float | None) -> float | None:
        return None if seconds is None else asyncio.get_running_loop().time() + seconds

    def semaphore(self, value: int) -> asyncio.Semaphore:
        return asyncio.Semaphore(value)

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def jobs(self, width: int) -> TaskJobs[Any]:  # noqa: ARG002 - tasks cost little
        return TaskJobs()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> Callable[[], Awaitable[Any]]:
        task = asyncio.create_task(work, name=name)

        def stop() -> Awaitable[Any]:
            task.cancel()
            return asyncio.wait([task])

        return stop


_NO_LIMIT = contextlib.nullcontext()
BLOCKING = Waits()
ON_LOOP: Waits = _OnLoop()


async def _keep(resource: Closable) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await resource.close(abruptly=True)


async def _finish(resource: Closable, keeper: AsyncGenerator[None, None]) -> None:
    await resource.close()
    await keeper.aclose()
