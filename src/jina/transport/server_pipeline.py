"""Several requests of one connection at a time, within a window.

Shared by the bidirectional gRPC call and the WebSocket face: nothing is read while the window is full, so a
slow handler or a slow reader slows the sender down instead of filling the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from jina.transport.unread import Waiting

Item = TypeVar("Item")
Frame = TypeVar("Frame", bound=str | bytes)
Emit = Callable[[Frame], Awaitable[None]]

DEFAULT_WINDOW = 1000
"""Requests of one connection in work at a time; Jina 3's default of `prefetch`."""


def window_of(text: str | None, most: int = DEFAULT_WINDOW) -> int:
    """The window that a client asks for by `__prefetch__`; the server's own where that is less, 0 or no number."""
    try:
        asked = int(text) if text else 0
    except ValueError:
        asked = 0
    return min(asked, most) if asked > 0 else most


class Pipeline(Generic[Item, Frame]):
    """Reads items, works on up to `window` of them at once, and writes the frames that they give.

    `work(item, emit)` must turn its own failures into frames. With `in_order` the frames of an item leave
    after those of all earlier items. No further item is read while those in work, and the frames that wait to be
    written, add up to `max_bytes`. `waiting` is what waits for the client, as far as that is counted.
    """

    def __init__(
        self,
        work: Callable[[Item, Emit[Frame]], Coroutine[Any, Any, None]],
        write: Callable[[Frame], Awaitable[None]],
        *,
        window: int = DEFAULT_WINDOW,
        max_bytes: int,
        in_order: bool = False,
        waiting: Waiting | None = None,
    ) -> None:
        self._waiting = waiting
        self._work = work
        self._write = write
        self._window = window
        self._max_bytes = max_bytes
        self._in_order = in_order
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._writing = asyncio.Lock()
        self._last_written: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._main: asyncio.Task[None] | None = None

    async def run(self, read: Callable[[], Awaitable[tuple[Item, int] | None]]) -> None:
        """Work until `read`, which gives an item and its size in bytes, gives None and all is written.

        When `read` raises or this task is cancelled, the items in work are cancelled.
        """
        self._main = asyncio.current_task()
        try:
            while self._failure is None and (incoming := await self._read_when_room(read)) is not None:
                self._start(*incoming)
            while self._tasks and self._failure is None:
                self._room.clear()
                await self._room.wait()
            if self._failure is not None:
                raise self._failure
        except asyncio.CancelledError:
            if self._failure is None or self._main is None or self._main.uncancel():
                raise
            raise self._failure from None
        finally:
            self._main = None
            await self._cancel_all()
            # Its traceback has this frame: a cycle, which keeps what the frames hold until the next collection.
            self._failure = None

    async def _read_when_room(self, read: Callable[[], Awaitable[tuple[Item, int] | None]]) -> tuple[Item, int] | None:
        while self._tasks and (len(self._tasks) >= self._window or self._bytes >= self._max_bytes):
            self._room.clear()
            await self._room.wait()
        return await read()

    def _start(self, item: Item, size: int) -> None:
        if self._in_order:
            before, self._last_written = self._last_written, asyncio.Event()
            task = asyncio.create_task(self._work_in_order(item, before, self._last_written))
        else:
            task = asyncio.create_task(self._work(item, self._emit))
        self._tasks.add(task)
        self._bytes += size

        def finished(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._bytes -= size
            self._room.set()
            # Asked of each task: an exception that is not asked for is logged, and keeps what its frames hold.
            failure = None if task.cancelled() else task.exception()
            if failure is not None and self._failure is None:
                self._failure = failure
                if self._main is not None:
                    self._main.cancel()  # which may be reading, for ever

        task.add_done_callback(finished)

    async def _emit(self, frame: Frame) -> None:
        waiting = self._waiting
        if waiting is None or not (waiting.paused or self._writing.locked()):
            async with self._writing:
                await self._write(frame)
            return
        size = self._wait(frame, waiting)
        try:
            async with self._writing:
                await self._write(frame)
        finally:
            self._waited(size, waiting)

    def _wait(self, frame: Frame, waiting: Waiting) -> int:
        size = len(frame)
        self._bytes += size
        waiting.add(size)
        return size

    def _waited(self, size: int, waiting: Waiting) -> None:
        self._bytes -= size
        waiting.take(size)
        self._room.set()

    async def _work_in_order(self, item: Item, before: asyncio.Event | None, written: asyncio.Event) -> None:
        async def emit(frame: Frame) -> None:
            waiting = self._waiting
            size = 0 if waiting is None else self._wait(frame, waiting)
            try:
                if before is not None:
                    await before.wait()
                await self._write(frame)
            finally:
                if waiting is not None:
                    self._waited(size, waiting)

        try:
            await self._work(item, emit)
            if before is not None:
                await before.wait()
        finally:
            written.set()

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
