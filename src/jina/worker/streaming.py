"""Streaming endpoints: the user's generator on its side, its documents on the protocol loop.

Between the two is a bounded buffer. The generator is resumed only while there is room, and closed where it runs
when the stream is closed. Each other place where a stream may grow has a bound of its own, of what its two ends share:
a link bytes of credit, since they are processes (`jina.ipc`); a gateway between two generators the documents in work
(`gateway.graph_runner.pipelined`); a connection of a client the requests and bytes in work (`net.messages.Pipeline`).
"""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop, CancelledError, Future, TimerHandle, get_running_loop
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, closing
from typing import Any

from jina.codec.messages import Request
from jina.executor import invoke
from jina.observe import traces
from jina.worker.handler import Handler
from jina.worker.scheduler import CallQueue, Dispatcher, Job, too_late

ROOM = 64
"""Documents that may wait for the protocol loop; more would only be memory."""
ROOM_BYTES = 256 * 1024
"""Bytes of texts, blobs and arrays that these may have; one document may always wait."""


class _Closed(Exception):
    """The consumer has left."""


class Buffer:
    """Documents on their way from one producer, on a thread or the user loop, to the protocol loop."""

    def __init__(self, dispatcher: Dispatcher, to_consumer: CallQueue, read: Callable[[], None] | None = None) -> None:
        """`read` is called, on the protocol loop, when something was taken; for producers that do not `wait`."""
        self._dispatcher = dispatcher
        self._read = read
        self._loop = dispatcher.loop
        self._to_consumer = to_consumer
        self._to_user = dispatcher.to_user
        self._items: deque[Any] = deque()
        self._bytes = 0
        self._announced = False
        self._waiter: Future[None] | None = None
        self._room = threading.Event()
        self._room.set()
        self._async_room: Future[None] | None = None
        self.closed = False

    # The producer's side.

    def put(self, item: Any) -> bool:
        """Add a document; returns whether the producer has to wait for room."""
        self._items.append(item)
        self._bytes += _bytes_in(item)
        if not self._announced:
            self._announced = True
            self._to_consumer.post(self._announce, None)
        return self.full

    @property
    def full(self) -> bool:
        """Whether a producer has to wait for room."""
        # The sum is changed by both sides, so it may be too large for a moment: where nothing waits there is room.
        return len(self._items) >= ROOM or (
            (self._bytes >= ROOM_BYTES or self._dispatcher.throttled) and bool(self._items)
        )

    def wait(self) -> None:
        """Block a producer's thread until there is room; raises `_Closed` when the consumer has left."""
        self._room.clear()
        # Looked at again: the consumer may have emptied it before it could see that the producer waits.
        if self.full and not self.closed:
            self._room.wait()
        if self.closed:
            raise _Closed

    async def wait_async(self, loop: AbstractEventLoop) -> None:
        """Suspend a producer on the user loop until there is room; closing cancels it."""
        room = self._async_room = loop.create_future()
        if self.full:
            await room
        self._async_room = None

    # The consumer's side, on the protocol loop.

    def take(self) -> list[Any]:
        """All documents that are ready."""
        items = self._items
        taken = [items.popleft() for _ in range(len(items))]
        self._bytes = 0
        if not self._room.is_set():
            self._room.set()
        if self._async_room is not None:
            self._to_user.post(self._open_async, None)
        if self._read is not None and taken:
            self._read()
        return taken

    async def changed(self) -> None:
        """Wait until a document is ready or `wake` is called."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def wake(self) -> None:
        """Wake the consumer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Nothing is taken any more."""
        self.closed = True
        self._items.clear()
        self._room.set()

    def _announce(self, _: None) -> None:
        self._announced = False
        self.wake()

    def _open_async(self, _: None) -> None:
        room = self._async_room
        if room is not None and not room.done():
            room.set_result(None)


def _bytes_in(document: Any) -> int:
    """About as many bytes as the document's own fields have; what is nested in it is not looked at."""
    if type(document) is str:
        return len(document)
    size = 0
    for value in getattr(document, "__dict__", {}).values():
        if isinstance(value, str | bytes):
            size += len(value)
        else:
            held = getattr(value, "nbytes", 0)
            size += held if isinstance(held, int) else 0
    return size


class StreamJob(Job):
    """One run of a generator; its documents go to the buffer."""

    def __init__(
        self, handler: Handler, request: Request, span: traces.RequestSpan | None, dispatcher: Dispatcher
    ) -> None:
        super().__init__(request.deadline)
        self._handler = handler
        self._request = request
        self._span = span
        self._dispatcher = dispatcher
        self._timer: TimerHandle | None = None
        self.buffer = Buffer(dispatcher, dispatcher.from_user if handler.endpoint.is_async else dispatcher.back)
        self.done = False
        self.documents = 0

    def start(self) -> None:
        """Run it; on the protocol loop, as `leave`."""
        if self.deadline is not None:
            delay = max(0.0, self.deadline - time.monotonic())
            self._timer = self._dispatcher.loop.call_later(delay, self.expire)
        self._dispatcher.submit(self, self._handler.pool)

    def leave(self) -> None:
        """Read no more: the generator is closed if it still runs, without waiting for it."""
        if self._timer is not None:
            self._timer.cancel()
        self.buffer.close()
        self._handler.pool.abandon(self)

    def work(self) -> None:
        """Run a generator; on a thread."""
        endpoint, buffer = self._handler.endpoint, self.buffer
        docs, arguments = self._prepare()
        try:
            for doc in invoke.streams_of(endpoint, docs):
                with closing(invoke.stream(endpoint, doc, arguments)) as items:  # type: ignore[type-var]
                    for item in items:
                        if buffer.put(item):
                            buffer.wait()
                        if buffer.closed:
                            raise _Closed
        except _Closed:
            return
        except BaseException as error:
            raise self._handler.owner.failed(error, endpoint.path) from error

    async def work_async(self) -> None:
        """Run an asynchronous generator; on the user loop."""
        endpoint, buffer = self._handler.endpoint, self.buffer
        docs, arguments = self._prepare()
        loop = get_running_loop()
        try:
            for doc in invoke.streams_of(endpoint, docs):
                async with aclosing(invoke.stream_async(endpoint, doc, arguments)) as items:  # type: ignore[type-var]
                    async for item in items:
                        if buffer.put(item):
                            await buffer.wait_async(loop)
                        if buffer.closed:
                            raise _Closed
        except _Closed:
            return
        except BaseException as error:
            if self.abandoned and isinstance(error, CancelledError):
                raise
            raise self._handler.owner.failed(error, endpoint.path) from error

    def settle(self) -> None:
        """The generator has ended, with or without an error."""
        self.done = True
        self.buffer.wake()

    def expire(self) -> None:
        """End the stream with `DeadlineExceeded`."""
        if not self.done:
            self.error = too_late("before the stream ended")
            self.done = True
            self.buffer.wake()

    def _prepare(self) -> tuple[Any, dict[str, Any]]:
        docs, arguments = self._handler.prepare(self._request, self._span)
        self.documents = len(docs)
        return docs, arguments
