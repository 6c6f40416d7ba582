"""Whether event loops still turn, and what the Executor says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from asyncio import AbstractEventLoop, Future, Handle, Task
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from jina.observe.logs import JinaLogger

INTERVAL = 0.5
"""Seconds between two ticks of a watchdog."""
LIMIT = 5.0
"""Seconds that the user loop, or the user's `health()`, may stay silent."""


class LoopTimer:
    """A timer on an event loop, whose age other threads read. `start` and `stop` may be called by any thread."""

    def __init__(self, loop: AbstractEventLoop, interval: float = 1.0) -> None:
        self._loop = loop
        self._interval = interval
        self._last = time.monotonic()
        self._handle: Handle | None = None
        self._stopped = False

    @property
    def silent(self) -> float:
        """Seconds for which the loop has not turned, beyond the interval of the timer."""
        return max(0.0, time.monotonic() - self._last - self._interval)

    def start(self) -> None:
        """Begin to look."""
        self._last = time.monotonic()
        self._loop.call_soon_threadsafe(self._turned)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._turned)

    def _turned(self) -> None:
        self._last = time.monotonic()
        if self._handle is not None:
            self._handle.cancel()
        if not self._stopped:
            self._handle = self._loop.call_later(self._interval, self._turned)


class LoopWatchdog:
    """A timer on the user loop. An async handler that blocks the loop for `limit` seconds makes it silent; a sync
    handler that computes does not. `start` and `stop` run on the user loop, `healthy` is read from anywhere.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        log: JinaLogger,
        hook: Callable[[], Awaitable[Any]] | None = None,
        *,
        limit: float = LIMIT,
        interval: float = INTERVAL,
    ) -> None:
        self._loop = loop
        self._log = log
        self._hook = hook
        self._limit = limit
        self._interval = interval
        self._last = time.monotonic()
        self._handle: Handle | None = None
        self._asking: Task[None] | None = None
        self._well = True

    @property
    def silent(self) -> float:
        """Seconds for which the user loop has not turned, beyond the interval of the timer."""
        return max(0.0, time.monotonic() - self._last - self._interval)

    @property
    def checks(self) -> dict[str, bool]:
        """What `healthy` is made of, by name."""
        found = {"handlers-loop": time.monotonic() - self._last < self._limit}
        return found if self._hook is None else {**found, "health": self._well}

    @property
    def healthy(self) -> bool:
        """True while the loop answers and `health()` does not return False."""
        return self._well and time.monotonic() - self._last < self._limit

    def start(self) -> None:
        """Start the timer."""
        self._last = time.monotonic()
        self._handle = self._loop.call_later(self._interval, self.start)
        if self._hook is not None and (self._asking is None or self._asking.done()):
            self._asking = self._loop.create_task(self._ask(self._hook))

    def stop(self) -> None:
        """Stop the timer."""
        if self._handle is not None:
            self._handle.cancel()
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, hook: Callable[[], Awaitable[Any]]) -> None:
        try:
            async with asyncio.timeout(self._limit):
                # None is content: a hook that only raises when something is wrong.
                well, why = await hook() is not False, "it returned False"
        except TimeoutError:
            well, why = False, f"no answer within {self._limit:g} s"
        except Exception as error:  # noqa: BLE001 - user code
            well, why = False, repr(error)
        if well != self._well:
            self._well = well
            if well:
                self._log.success("health() succeeds again")
            else:
                self._log.warning("not ready: health(): %s", why)


def health_hook(executor: Any, served: set[str]) -> Callable[[], Awaitable[Any]] | None:
    """The Executor's `health(self)`, unless the method of that name is an endpoint.

    A `def` runs on a thread of its own, where it may take its time; an `async def` on the user loop.
    """
    hook = getattr(executor, "health", None)
    if "health" in served or not inspect.ismethod(hook):
        return None
    required = [one for one in inspect.signature(hook).parameters.values() if one.default is one.empty]
    if any(one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in required):
        return None
    return hook if inspect.iscoroutinefunction(hook) else partial(_on_thread, hook)


async def _on_thread(hook: Callable[[], Any]) -> Any:
    """What a blocking function says; one that never returns keeps its thread, and the process does not wait for it."""
    loop = asyncio.get_running_loop()
    outcome: Future[Any] = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(value)
        else:
            outcome.set_exception(error)

    def work() -> None:
        value, failure = None, None
        try:
            value = hook()
        except Exception as error:  # noqa: BLE001 - user code
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=work, name="health", daemon=True).start()
    return await outcome
