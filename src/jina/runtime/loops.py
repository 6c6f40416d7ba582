"""Event loops and the thread that the protocol loop has for its own."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes in Python lets another one run; the interpreter's default is ten
times that, and the protocol loop would wait for it at each of its system calls."""


def new_loop() -> AbstractEventLoop:
    """A loop of uvloop where it is installed and `JINA_DISABLE_UVLOOP` is unset, else of asyncio."""
    if not os.environ.get("JINA_DISABLE_UVLOOP"):
        try:
            loop: AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        except ImportError:
            pass
        else:
            return loop
    return asyncio.new_event_loop()


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
