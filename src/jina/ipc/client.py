"""A worker of this machine as seen from a gateway, over a local link."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import AbstractEventLoop, CancelledError, Future, Task, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from socket import socket

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import BytesPayload
from jina.errors import DeadlineExceeded, JinaError
from jina.ipc import protocol as frames
from jina.ipc.protocol import (
    Buffer,
    LinkConnection,
    StartedBitmap,
    connect,
    read_endpoints,
    read_error,
    read_reply,
    send_handshake,
    write_request,
)
from jina.net.service import EndpointInfo, Load, UpstreamUnavailable

WINDOW = 256 * 1024
"""Bytes of replies that may be on their way or wait to be read; the worker then pauses."""
ITEM_COST = 2048
"""What a reply counts for at least."""


class Incoming:
    """What has come of a stream, kept by the upstream until the worker is done with it.

    `held` is the number of bytes of the request that count as being in work.
    """

    __slots__ = ("error", "held", "items", "loop", "number", "over", "timer", "waiter")

    def __init__(self, number: int, held: int, loop: AbstractEventLoop) -> None:
        self.number = number
        self.held = held
        self.loop = loop
        self.timer: TimerHandle | None = None
        self.items: deque[tuple[Reply, int]] = deque()
        self.waiter: Future[None] | None = None
        self.over = False
        self.error: BaseException | None = None

    def add(self, reply: Reply, size: int) -> None:
        """Count a received reply of so many bytes."""
        self.items.append((reply, max(size, ITEM_COST)))
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """The stream has ended."""
        self.over = True
        self.error = error
        self._wake()

    async def changed(self) -> None:
        """Wait for one of these."""
        waiter: Future[None] = self.loop.create_future()
        self.waiter = waiter
        await waiter

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class LinkUpstream:
    """One worker at the other end of a connected Unix stream socket, which the upstream owns; see `Upstream`.

    Connects with the first use. `max_message_size` bounds the documents of a request and of a reply, in bytes. At
    most twice that is under way to the worker or in work there; further requests wait here.
    """

    def __init__(self, name: str, sock: socket, max_message_size: int) -> None:
        self.name = name
        self._sock = sock
        self._marks: StartedBitmap | None = None
        self._limit = min(max_message_size, frames.MAX_BODY)
        self._connection: LinkConnection | None = None
        self._connecting: Task[LinkConnection] | None = None
        self.up = True
        """See `Upstream`; an attribute, since it is read for each request."""
        self._down = ""
        """Why it is not up."""
        self._last = 0
        self._flushed = 0
        """The last stream whose first bytes may have left."""
        self._calls: dict[int, Future[list[Reply]]] = {}
        self._streams: dict[int, Incoming] = {}
        self._questions: set[int] = set()
        """Which of the calls are none of Executors."""
        self._held = 0
        self._waiting: deque[tuple[Future[None], int]] = deque()
        try:
            self._marks = send_handshake(sock)
        except OSError:
            self._give_up("went away")

    @property
    def received(self) -> int:
        """See `Upstream`."""
        return 0 if self._connection is None else self._connection.received

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Upstream`."""
        await self._connect()
        reply = await self._answer(frames.DESCRIBE, 0, b"", b"", None)
        assert isinstance(reply.payload, BytesPayload)
        return read_endpoints(reply.payload.to_bytes())

    async def ready(self) -> list[Route]:
        """See `Upstream`."""
        await self._connect()
        await self._answer(frames.PROBE, 0, b"", b"", None)
        return []

    @property
    def waiting(self) -> int:
        """See `Upstream`: those that wait here to be sent, and those that the worker has not marked as begun."""
        waiting, marks = len(self._waiting), self._marks
        if marks is None:
            return waiting
        last, questions = self._last, self._questions
        open_ones = [number for number in (*self._calls, *self._streams) if number not in questions]
        return waiting + sum(not marks.begun(number, last) for number in open_ones)

    async def load(self) -> Load | None:
        """See `Upstream`."""
        return None

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Upstream`."""
        await self._connect()
        reply = await self._answer(frames.METRICS, 0 if openmetrics else frames.OLDER, b"", b"", None)
        return reply.payload.to_bytes()

    async def call(self, request: Request) -> Reply:
        """See `Upstream`; raises `TooLarge` naming `max_message_size` for a request above it."""
        if self._connection is None:
            await self._connect()
        flags, meta, body = write_request(request, self._limit)
        size = len(body)
        if self._waiting or (self._held and self._held + size > 2 * self._limit):
            await self._room_for(size, request.deadline)
        else:
            self._held += size
        try:
            reply = await self._answer(frames.REQUEST, flags, meta, body, request.deadline)
            if request.handed_over is not None:
                request.handed_over += reply.payload.uploads
            return reply
        finally:
            self._held -= size
            if self._waiting:
                self._let_in()

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `Upstream`; the request is sent when the first reply is asked for.

        One that is neither read to its end nor closed is closed by its loop when it is collected, so that no generator
        of the worker runs without a reader.
        """
        incoming = await self._begin(request)
        read, items = 0, incoming.items
        try:
            while True:
                while not (items or incoming.over):
                    await incoming.changed()
                if not items:
                    break
                reply, cost = items.popleft()
                read += cost
                if read >= WINDOW // 2 and not incoming.over and self._connection is not None:
                    self._connection.send(frames.CREDIT, 0, incoming.number, read.to_bytes(4, "little"))
                    read = 0
                yield reply
            if incoming.error is not None:
                raise incoming.error
        finally:
            self._leave(incoming)

    def flush(self, *, on: bool = True) -> None:
        """See `Upstream`; the worker itself takes it back when the link is lost."""
        if on and self._connection is not None:
            self._connection.send(frames.FLUSH, 0, 0)

    def throttle(self, *, on: bool = True) -> None:
        """See `Upstream`: nothing is read of the link, and so the worker makes no more than the link holds."""
        if self._connection is not None:
            self._connection.throttle(on=on)

    async def close(self) -> None:
        """See `Upstream`."""
        self._give_up(self._down or "the link is closed")
        if self._connecting is None:
            self._sock.close()
            self._marks = None
            return
        with contextlib.suppress(UpstreamUnavailable):
            connection = await asyncio.shield(self._connecting)
            connection.abort()
            await connection.lost()

    async def lost(self) -> None:
        """Return when the link is closed, from either end."""
        if self._connection is not None:
            await self._connection.lost()

    # One stream.

    async def _begin(self, request: Request) -> Incoming:
        """Send the request; raises what `call` would."""
        connection = self._connection or await self._connect()
        flags, meta, body = write_request(request, self._limit)
        await self._room_for(len(body), request.deadline)
        try:
            number = self._number(request.deadline)
        except BaseException:
            self._release(len(body))
            raise
        loop = asyncio.get_running_loop()
        incoming = self._streams[number] = Incoming(number, len(body), loop)
        connection.send(frames.STREAM, flags, number, meta, body)
        if request.deadline is not None:
            remaining = request.deadline - time.monotonic()
            incoming.timer = loop.call_later(max(0.0, remaining), self._expire, number)
        return incoming

    def _leave(self, incoming: Incoming) -> None:
        """Read no more of it; the worker is told so if it is not done."""
        incoming.items.clear()
        if self._streams.pop(incoming.number, None) is not None:
            self._settle(incoming)
            self._cancel(incoming.number)

    # One request.

    async def _answer(self, kind: int, flags: int, meta: bytes, body: Buffer, deadline: float | None) -> Reply:
        number = self._number(deadline)
        loop = asyncio.get_running_loop()
        future: Future[list[Reply]] = loop.create_future()
        self._calls[number] = future
        if kind != frames.REQUEST:
            self._questions.add(number)
        assert self._connection is not None
        self._connection.send(kind, flags, number, meta, body)
        timer = None
        if deadline is not None:
            timer = loop.call_later(max(0.0, deadline - time.monotonic()), self._expire, number)
        try:
            # The loop keeps the future for as long as what it wakes here runs, and must not keep the documents.
            return (await future).pop()
        except CancelledError:
            if self._calls.pop(number, None) is not None:
                self._cancel(number)
            elif future.done() and not future.cancelled():
                future.exception()  # seen: asyncio would log that it was never retrieved
            raise
        finally:
            if kind != frames.REQUEST:
                self._questions.discard(number)
            if timer is not None:
                timer.cancel()

    def _number(self, deadline: float | None) -> int:
        """The number of the next stream; raises where the request need not be sent."""
        if self._down:
            raise UpstreamUnavailable(f"{self.name}: {self._down}", started=False)
        if deadline is not None and deadline <= time.monotonic():
            raise DeadlineExceeded(f"the deadline of the request passed before it was sent to {self.name}")
        self._last += 1
        if self._marks is not None:
            self._marks.forget(self._last)
        return self._last

    def _cancel(self, number: int) -> None:
        """Tell the worker that the caller waits no more."""
        if self._connection is None:
            return
        self._connection.drop_incoming(number)
        if not self._connection.send_queue.drop(number):
            self._connection.send(frames.CANCEL, 0, number)

    def _expire(self, number: int) -> None:
        error = DeadlineExceeded(f"{self.name} did not answer before the deadline of the request")
        if self._fail(number, error):
            self._cancel(number)

    def _fail(self, number: int, error: JinaError) -> bool:
        """End a request with an error; returns whether it was known."""
        future = self._calls.pop(number, None)
        if future is not None:
            if not future.done():
                future.set_exception(error)
            return True
        return self._end(number, error)

    def _end(self, number: int, error: JinaError | None = None) -> bool:
        """End a stream; returns whether it was known."""
        incoming = self._streams.pop(number, None)
        if incoming is None:
            return False
        self._settle(incoming)
        incoming.end(error)
        return True

    def _settle(self, incoming: Incoming) -> None:
        """The worker owes this stream nothing more."""
        if incoming.timer is not None:
            incoming.timer.cancel()
        self._release_request(incoming)

    # Bytes in work.

    async def _room_for(self, size: int, deadline: float | None) -> None:
        """Count the bytes of a request as being in work, as soon as there is room."""
        if not self._waiting and (not self._held or self._held + size <= 2 * self._limit):
            self._held += size
            return
        waiter: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((waiter, size))
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                await waiter
        except BaseException as error:
            if (waiter, size) in self._waiting:
                self._waiting.remove((waiter, size))
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(size)
            if isinstance(error, TimeoutError):
                late = f"the deadline of the request passed while {self.name} had no room for it"
                raise DeadlineExceeded(late) from None
            raise

    def _release(self, size: int) -> None:
        self._held -= size
        self._let_in()

    def _let_in(self) -> None:
        """Let those in that wait, as far as there is room."""
        while self._waiting:
            waiter, wanted = self._waiting[0]
            if self._held and self._held + wanted > 2 * self._limit:
                break
            self._waiting.popleft()
            if not waiter.done():
                self._held += wanted
                waiter.set_result(None)

    def _release_request(self, incoming: Incoming) -> None:
        held, incoming.held = incoming.held, 0
        if held:
            self._release(held)

    # The connection.

    async def _connect(self) -> LinkConnection:
        if self._connecting is None:
            if self._down:
                raise UpstreamUnavailable(f"{self.name}: {self._down}", started=False)
            # A task of its own: the first caller may be cancelled.
            self._connecting = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._connecting)

    async def _open(self) -> LinkConnection:
        connection = LinkConnection(self.name, self._limit, self._deliver, self._on_lost)
        connection.on_flush = self._on_flush
        try:
            await connect(self._sock, connection)
        except OSError as error:
            self._give_up(f"the link cannot be used: {error}")
            raise UpstreamUnavailable(f"{self.name}: {self._down}", started=False) from None
        self._connection = connection
        return connection

    def _on_flush(self) -> None:
        self._flushed = self._last

    def _deliver(self, kind: int, flags: int, number: int, meta: Buffer, body: Buffer) -> None:
        if kind == frames.REPLY:
            future = self._calls.pop(number, None)
            if future is not None and not future.done():
                future.set_result([read_reply(flags, meta, body)])
        elif kind == frames.ITEM:
            incoming = self._streams.get(number)
            if incoming is not None:
                self._release_request(incoming)
                incoming.add(read_reply(flags, meta, body), len(meta) + len(body))
        elif kind == frames.END:
            self._end(number)
        elif kind == frames.ERROR:
            self._fail(number, self._naming(read_error(body)))
        elif kind == frames.REFUSED:
            self._fail(number, UpstreamUnavailable(f"{self.name} is stopping", started=False))
        elif kind == frames.CANCEL:
            self._forget(number)
        elif kind == frames.BYE:
            self._give_up(self._down or "is stopping")
        else:
            raise frames.LinkBroken(f"a worker does not send messages of the kind {kind}")

    def _give_up(self, reason: str) -> None:
        """No request would arrive any more."""
        self.up, self._down = False, reason

    def _forget(self, number: int) -> None:
        """The rest of a message that no caller waits for will not come."""
        if self._connection is not None:
            self._connection.drop_incoming(number)

    def _naming(self, error: JinaError) -> JinaError:
        """The error; one about time says which worker took it."""
        if isinstance(error, DeadlineExceeded) and self.name not in error.message:
            return DeadlineExceeded(f"{self.name}: {error.message}", help=error.help)
        return error

    def _on_lost(self) -> None:
        reason = self._down if self._down == "the link is closed" else "went away"
        self._give_up(reason)
        send_queue = self._connection.send_queue if self._connection is not None else frames.SendQueue()
        for number in (*self._calls, *self._streams):
            begun = number <= self._flushed and not send_queue.untouched(number)
            if self._marks is not None:
                begun = begun and self._marks.begun(number, self._last)
            self._fail(number, UpstreamUnavailable(f"{self.name}: {reason} before it answered", started=begun))
        self._marks = None
        waiting, self._waiting = self._waiting, deque()
        for waiter, _ in waiting:
            if not waiter.done():
                waiter.set_exception(UpstreamUnavailable(f"{self.name}: {reason}", started=False))
