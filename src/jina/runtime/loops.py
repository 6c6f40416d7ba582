"""Event loops and the thread that the protocol loop has for its own."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from jina.observe.logs import get_logger

T = TypeVar("T")
_log = get_logger("jina.runtime")

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes in Python lets another one run; the interpreter's default is ten
times that, and the protocol loop would wait for it at each of its system calls."""

_NESTING = ("nest_asyncio", "nest_asyncio2")


def new_loop() -> AbstractEventLoop:
    """A loop of uvloop where it is installed and `JINA_DISABLE_UVLOOP` is unset, else of asyncio.

    Of asyncio too where `nest_asyncio.apply()` was called, which makes loops run inside themselves: uvloop's cannot.
    """
    nested: list[Any] = [sys.modules[name] for name in _NESTING if name in sys.modules]
    if nested and hasattr(asyncio, "_nest_patched"):
        loop = asyncio.new_event_loop()
        nested[0].apply(loop)
        return loop
    if not os.environ.get("JINA_DISABLE_UVLOOP"):
        try:
            fast: AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        except ImportError:
            pass
        else:
            return fast
    return asyncio.new_event_loop()


class Life(Protocol):
    """What a process does on its main loop."""

    def signals(self) -> AbstractContextManager[None]:
        """Handles signals while it runs."""
        ...

    def run(self) -> Coroutine[Any, Any, int]:
        """Does it; gives the exit code."""
        ...


def run_life(life_on: Callable[[AbstractEventLoop], Life]) -> int:
    """Run a life on a new loop of the main thread; gives its exit code.

    Where the user's code calls `nest_asyncio.apply()` while it is imported or constructed, which uvloop's loops refuse,
    the life begins once more on asyncio's: nothing was served until then.
    """
    again = True
    while True:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            life = life_on(loop)
            with life.signals():
                code = loop.run_until_complete(life.run())
                finish(loop)
                return code
        except Exception as error:
            if not again or not _nesting_refused(error):
                raise
            again = False
            _log.info("nest_asyncio: runs on asyncio's event loop instead of uvloop's")
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _nesting_refused(error: BaseException | None) -> bool:
    """Whether `nest_asyncio.apply()` raised it, or what it comes from, because the loop is not asyncio's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if isinstance(error, ValueError) and trace and trace.tb_frame.f_globals.get("__name__") in _NESTING:
            return True
        error = error.__cause__ or error.__context__
    return False


class LoopThread:
    """A running loop in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = new_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it here, on another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def stop(self, seconds: float = 5.0) -> None:
        """Cancel what is left on the loop, close it, and wait for the thread at most `seconds`."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            finish(self.loop)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


class LoopHere:
    """The running loop in the place of a `LoopThread`."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine."""
        return await work

    def stop(self) -> None:
        """The loop ends with its thread."""


def finish(loop: AbstractEventLoop, seconds: float = 1.0) -> None:
    """Cancel the tasks of a loop that no longer runs and let them end, at most `seconds`."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=seconds))
    loop.run_until_complete(loop.shutdown_asyncgens())
