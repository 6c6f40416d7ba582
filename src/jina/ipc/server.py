"""A service offered to a gateway of this machine over a local link."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future, Task
from socket import socket

import msgspec

from jina.codec.messages import Request
from jina.errors import BadRequest, Cancelled, JinaError, Unavailable
from jina.ipc import protocol as frames
from jina.ipc.client import ITEM_COST, WINDOW
from jina.ipc.protocol import (
    Buffer,
    LinkConnection,
    StartedBitmap,
    connect,
    read_request,
    receive_handshake,
    write_endpoints,
    write_error,
    write_reply,
)
from jina.net.messages import as_jina_error
from jina.net.service import LocalService
from jina.observe.logs import get_logger

_log = get_logger("jina.net.link")
_CALLS = frozenset({frames.REQUEST, frames.STREAM})
_QUESTIONS = frozenset({frames.DESCRIBE, frames.PROBE, frames.METRICS})
_NOT_READY_YET = 0.01
"""Seconds between two looks whether the service is ready."""
_FINAL_FRAMES = 1.0
"""Seconds that a gateway has to read what waits for it when the server stops."""


class LinkServer:
    """Answers the peer's requests with a service; owns the connected Unix stream socket.

    Requests may come before the service is ready: they wait in the socket until `start`. `max_message_size` bounds
    the documents of a request and of a reply, in bytes. Nothing more is read while twice that waits to be sent.
    """

    def __init__(self, sock: socket, service: LocalService, max_message_size: int) -> None:
        self._sock = sock
        self._service = service
        self._limit = min(max_message_size, frames.MAX_BODY)
        self._marks: StartedBitmap | None = None
        self._opening: Task[None] | None = None
        self._connection: LinkConnection | None = None
        self._tasks: dict[int, Task[None]] = {}
        self._leaving: set[Task[None]] = set()
        """Tasks that were cancelled because no caller waits for them."""
        self._credits: dict[int, _Credit] = {}
        self._stopping = False
        self._flushing = False
        self._idle: Future[None] | None = None

    async def start(self) -> None:
        """Serve, on the running loop, as soon as the gateway is there; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            self._sock.setblocking(False)  # noqa: FBT003 - its only parameter
            await _readable(self._loop, self._sock)
            self._marks = receive_handshake(self._sock)
            connection = LinkConnection("the gateway", self._limit, self._deliver, self._on_lost)
            connection.limit_replies(2 * self._limit)
            connection.on_full = self._throttle
            self._connection = connection
            self._send, self._room = connection.send, connection.room
            await connect(self._sock, connection)
        except OSError as error:
            self._connection = None
            self._sock.close()
            if not isinstance(error, ConnectionResetError):
                _log.error("the link with the gateway cannot be used: %s", error)

    async def stop(self, grace: float) -> None:
        """Refuse what is new, let what is in work finish within `grace` seconds, close."""
        self._stopping = True
        if self._opening is not None:
            if self._connection is None:
                self._opening.cancel()
            await asyncio.wait([self._opening])
        connection = self._connection
        if connection is None:
            self._sock.close()
            return
        connection.send(frames.BYE, 0, 0)
        if self._tasks or self._leaving:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace)
        await self._cancel_all()
        try:
            async with asyncio.timeout(_FINAL_FRAMES):
                await connection.drain()
                connection.close()
                await connection.lost()
        except TimeoutError:
            connection.abort()
            await connection.lost()

    def abort(self) -> None:
        """Close at once, without a word: for the gateway the worker is lost."""
        if self._connection is not None:
            self._connection.abort()

    async def lost(self) -> None:
        """Return when the link is closed, from either end."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._connection is not None:
            await self._connection.lost()

    def _deliver(self, kind: int, flags: int, number: int, meta: Buffer, body: Buffer) -> None:
        if kind in _CALLS and not self._stopping:
            self._begin(kind, flags, number, meta, body)
        elif kind == frames.CANCEL:
            self._drop(number)
        elif kind == frames.CREDIT:
            credit = self._credits.get(number)
            if credit is not None:
                credit.add(int.from_bytes(meta, "little"))
        elif kind == frames.FLUSH:
            self._flush(on=True)
        elif kind not in _CALLS and kind not in _QUESTIONS:
            raise frames.LinkBroken(f"a gateway does not send messages of the kind {kind}")
        elif self._stopping:
            self._send(frames.REFUSED, 0, number)
        else:
            self._tasks[number] = self._loop.create_task(self._serve(kind, flags, number, None))

    def _throttle(self, full: bool) -> None:
        self._service.throttle(on=full)
        if not full:
            self._service.freed()

    def _begin(self, kind: int, flags: int, number: int, meta: Buffer, body: Buffer) -> None:
        """A request came."""
        try:
            request = read_request(flags, meta, body)
        except (msgspec.MsgspecError, ValueError) as error:
            self._refuse(number, BadRequest(f"a request over the link cannot be read: {error}"))
            return
        if self._marks is not None:
            request.began = self._marks.setter(number)
        self._tasks[number] = self._loop.create_task(self._serve(kind, flags, number, request))

    async def _serve(self, kind: int, flags: int, number: int, request: Request | None) -> None:
        """Answer a request, or what the gateway asks for itself."""
        try:
            if request is None:
                self._send(frames.REPLY, 0, number, b"", await self._asked(kind, flags))
            elif kind == frames.REQUEST:
                if self._connection is not None and self._connection.full:
                    await self._room()
                reply = await self._service.call(request)
                flags, meta, body = write_reply(reply, request, self._limit)
                self._send(frames.REPLY, flags, number, meta, body)
            else:
                await self._send_items(number, request)
        except CancelledError:
            if request is None:
                raise
            self._given_up(number)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            self._refuse(number, as_jina_error(error))
        finally:
            self._ended(number)

    async def _asked(self, kind: int, flags: int) -> bytes:
        service = self._service
        if kind == frames.METRICS:
            return await service.metrics(openmetrics=not flags & frames.OLDER)
        if kind == frames.PROBE:
            if not service.up:
                raise Unavailable(f"{service.name} is not ready")
            await service.ready()
            return b""
        while not service.up:  # noqa: ASYNC110 - a service has no event for it
            await asyncio.sleep(_NOT_READY_YET)
        return write_endpoints(await service.describe())

    async def _send_items(self, number: int, request: Request) -> None:
        credit = self._credits[number] = _Credit(self._loop)
        replies = self._service.stream(request)
        try:
            await self._room()
            async for reply in replies:
                flags, meta, body = write_reply(reply, request, self._limit)
                self._send(frames.ITEM, flags, number, meta, body)
                if credit.spend(len(meta) + len(body)):
                    await credit.more()
                await self._room()
            self._send(frames.END, 0, number)
        finally:
            self._credits.pop(number, None)
            try:
                await replies.aclose()
            except Exception as error:  # noqa: BLE001 - a generator's `finally` is user code, and the gateway has gone on
                _log.error("a stream could not be closed", exc_info=error)

    def _refuse(self, number: int, error: JinaError) -> None:
        self._send(frames.ERROR, 0, number, b"", write_error(error))

    def _given_up(self, number: int) -> None:
        """A task was cancelled: tell the gateway, unless it asked for that."""
        if number in self._tasks:
            name = self._service.name
            stopped = Unavailable(f"{name} stopped before it answered")
            self._refuse(number, stopped if self._stopping else Cancelled(f"{name} cancelled the request"))

    def _drop(self, number: int) -> None:
        """The gateway does not wait for this one any more."""
        assert self._connection is not None
        self._connection.drop_incoming(number)
        send_queue = self._connection.send_queue
        if number in send_queue:
            send_queue.drop(number)
            self._send(frames.CANCEL, 0, number)
        self._leave(number)

    def _leave(self, number: int) -> None:
        """Cancel a task for which no caller waits."""
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()
            self._leaving.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: Task[None]) -> None:
        self._leaving.discard(task)
        self._ended(0)

    def _ended(self, number: int) -> None:
        self._tasks.pop(number, None)
        if self._idle is not None and not self._tasks and not self._leaving and not self._idle.done():
            self._idle.set_result(None)

    async def _cancel_all(self) -> None:
        tasks = [*self._tasks.values(), *self._leaving]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _flush(self, *, on: bool) -> None:
        """Tell the service that requests need not wait for a batch to fill, or that they may again."""
        if self._flushing != on:
            self._flushing = on
            self._service.flush(on=on)

    def _on_lost(self) -> None:
        self._marks = None
        self._flush(on=False)
        for number in list(self._tasks):
            self._leave(number)


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket) -> None:
    """Wait until a socket that no transport serves has something to read."""
    waiter: Future[None] = loop.create_future()

    def there() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(sock, there)
    try:
        await waiter
    finally:
        loop.remove_reader(sock)


class _Credit:
    """How many bytes of a stream may still be sent."""

    __slots__ = ("_left", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = WINDOW
        self._loop = loop
        self._waiter: Future[None] | None = None

    def spend(self, size: int) -> bool:
        """A reply of so many bytes was sent; returns whether more has to wait."""
        self._left -= max(size, ITEM_COST)
        return self._left <= 0

    def add(self, amount: int) -> None:
        """The gateway has read so much."""
        self._left += amount
        if self._left > 0 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def more(self) -> None:
        """Wait until more may be sent."""
        while self._left <= 0:
            self._waiter = self._loop.create_future()
            await self._waiter
