"""HTTP: the channel of a client, and its connections: sockets for blocking code, transports of an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import AsyncGenerator
from typing import Self, cast

from jina.client import http_messages as bodies
from jina.client.http_messages import (
    LARGE,
    Destination,
    Inbound,
    Lines,
    Outbound,
    Outgoing,
    Routes,
    Routing,
    call_headers,
    check_tunnel,
    failure_of,
    stream_requests,
)
from jina.client.loops import Pool, Waits, run
from jina.codec.messages import Request, Route
from jina.errors import DeadlineExceeded, JinaError, Unavailable
from jina.net.channel import Answer, CallOptions, ChannelSettings, Target
from jina.net.peers import UNTAKEN_FOR, notice_loss

IDLE_CONNECTIONS = 32
"""Connections that blocking code keeps; more are opened when more calls run at once, and closed afterwards."""
_IDLE = 15.0
"""Seconds that a connection may have been idle and is still used: some servers close theirs soon."""
_AHEAD = 1024 * 1024
"""Bytes of a stream that are read ahead of the caller."""
_GOODBYE = 1.0
"""Seconds that connections may take to close."""
Received = tuple[int, bodies.Headers, bytes]
"""Status, headers and body."""


class BlockingConnection:
    """A socket, for one exchange at a time; each of its operations has the timeout."""

    def __init__(self, to: Destination, sock: socket.socket) -> None:
        self.to = to
        self._socket = sock
        self._response: Inbound | None = None
        self._idle_since = 0.0

    @classmethod
    async def opened(cls, to: Destination, timeout: float | None) -> BlockingConnection:  # noqa: ASYNC109 - of sockets
        """A new one."""
        made = cls(to, socket.create_connection(to.address, timeout))
        try:
            made._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            notice_loss(made._socket, untaken=UNTAKEN_FOR)
            if to.tunnel:
                await _open_tunnel(made)
            if to.context is not None:
                made._socket = to.context.wrap_socket(made._socket, server_hostname=to.target.host)
        except BaseException:
            made.close()
            raise
        return made

    @property
    def is_fresh(self) -> bool:
        """Whether it was used a moment ago, and is not known to be closed."""
        return time.monotonic() - self._idle_since <= _IDLE

    def usable(self, timeout: float | None) -> bool:
        """Whether the peer has left it open; with this timeout for each operation from now on."""
        if not self.is_fresh or readable(self._socket):
            return False
        if self._socket.gettimeout() != timeout:
            self._socket.settimeout(timeout)
        return True

    def send(self, pieces: tuple[bytes, ...], response: Inbound) -> None:
        """Send a request; `receive` reads its response."""
        self._response = response
        for piece in pieces:
            self._socket.sendall(piece)

    async def receive(self) -> None:
        """Read once what there is of the response. Raises what ended it."""
        response = self._response
        assert response is not None
        if data := self._socket.recv(response.wanted):
            response.feed(data)
        else:
            response.finish()

    def released(self) -> bool:
        """Whether it may carry another request now that its response was read."""
        response, self._response = self._response, None
        self._idle_since = time.monotonic()
        return response is not None and response.complete and response.reusable

    def detach(self) -> socket.socket:
        """The socket, for another use."""
        return self._socket

    def close(self) -> None:
        """End it at once."""
        self._socket.close()


def readable(sock: socket.socket) -> bool:
    """Whether there is something to read, which on an idle connection of HTTP/1.1 is its end."""
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # `select` knows only numbers below 1024
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class LoopConnection(asyncio.Protocol):
    """A transport of the running loop, for one exchange at a time."""

    def __init__(self, to: Destination) -> None:
        self.to = to
        self._idle_since = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._response: Inbound | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    @classmethod
    async def opened(cls, to: Destination, timeout: float | None) -> LoopConnection:  # noqa: ARG003, ASYNC109 - as BlockingConnection
        """A new one."""
        loop = asyncio.get_running_loop()
        direct = to.context if not to.tunnel else None
        host, port = to.address
        name = to.target.host if direct is not None else None
        transport, made = await loop.create_connection(lambda: cls(to), host, port, ssl=direct, server_hostname=name)
        notice_loss(transport.get_extra_info("socket"), untaken=UNTAKEN_FOR)
        if to.tunnel:
            try:
                await _open_tunnel(made)
                await made.begin_tls()
            except BaseException:
                made.close()
                raise
        return made

    def notice_loss(self, idle: int, interval: int, probes: int) -> None:
        """See `net.peers.notice_loss`."""
        assert self._transport is not None
        notice_loss(self._transport.get_extra_info("socket"), idle, interval, probes)

    async def begin_tls(self) -> None:
        """Speak TLS from now on."""
        assert self._transport is not None
        assert self.to.context is not None
        self._response = None
        loop = asyncio.get_running_loop()
        safe = await loop.start_tls(self._transport, self, self.to.context, server_hostname=self.to.target.host)
        self._transport = cast("asyncio.Transport", safe)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        response = self._response
        if response is None or response.complete:  # nothing was asked
            self.close()
            return
        try:
            response.feed(data)
        except JinaError as error:
            self._error = error
            self.close()
        if response.size > _AHEAD and response.streams and not self._paused:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if not self.lost.done():
            self.lost.set_result(None)
        if self._response is not None and self._error is None:
            try:
                if exc is not None and not self._response.complete:
                    raise exc
                self._response.finish()
            except Exception as error:  # noqa: BLE001 - the task that reads raises it
                self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def is_fresh(self) -> bool:
        """See `BlockingConnection`."""
        closing = self._transport is None or self._transport.is_closing()
        return not closing and not self.lost.done() and time.monotonic() - self._idle_since <= _IDLE

    def usable(self, timeout: float | None) -> bool:  # noqa: ARG002 - as BlockingConnection
        """See `BlockingConnection`."""
        return self.is_fresh

    def send(self, pieces: tuple[bytes, ...], response: Inbound) -> None:
        """Begin to send a request."""
        assert self._transport is not None
        self._response = response
        for piece in pieces:
            self._transport.write(piece)

    async def receive(self) -> None:
        """See `BlockingConnection`."""
        response = self._response
        assert response is not None
        if self._error is None and not (response.streams and (response.size or response.complete)):
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    def released(self) -> bool:
        """See `BlockingConnection`."""
        response, self._response = self._response, None
        transport = self._transport
        unsent = transport is None or transport.is_closing() or transport.get_write_buffer_size() > 0
        self._idle_since = time.monotonic()
        return response is not None and response.complete and response.reusable and not unsent

    def close(self) -> None:
        """See `BlockingConnection`."""
        if self._transport is not None:
            self._transport.abort()


async def _open_tunnel(connection: Connection) -> None:
    opened = Inbound(connection.to.target, None)
    connection.send((connection.to.opening,), opened)
    while not opened.begun:
        await connection.receive()
    check_tunnel(opened, connection.to)


def tunnelled(to: Destination, timeout: float) -> socket.socket:
    """A socket to the target through the proxy of the destination, in blocking code."""
    connection = BlockingConnection(to, socket.create_connection(to.address, timeout))
    try:
        run(_open_tunnel(connection))
    except BaseException:
        connection.close()
        raise
    return connection.detach()


Connection = BlockingConnection | LoopConnection


class Connections(Pool[Destination, Connection]):
    """The connections of one channel."""

    def __init__(self, waits: Waits) -> None:
        super().__init__(IDLE_CONNECTIONS if waits.blocking else None)
        self.waits = waits
        self._kind = BlockingConnection if waits.blocking else LoopConnection
        self._of_loop: set[Connection] = set()

    def is_fresh(self, connection: Connection) -> bool:
        """See `Pool`."""
        return connection.is_fresh

    def drop(self, connection: Connection) -> None:
        """End a connection."""
        connection.close()
        self._of_loop.discard(connection)

    def idle(self, to: Destination, timeout: float | None) -> Connection | None:
        """An idle one that may be used."""
        while (found := self.take(to)) is not None:
            if found.usable(timeout):
                return found
            self.drop(found)
        return None

    async def open(self, to: Destination, timeout: float | None) -> Connection:  # noqa: ASYNC109 - of sockets
        """A new one."""
        connection = await self._kind.opened(to, timeout)
        if not self.waits.blocking:
            self._of_loop.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next exchange, if there can be one."""
        if connection.released():
            self.keep(connection.to, connection)
        else:
            self.drop(connection)

    def close_idle(self) -> None:
        """Close those that are not lent."""
        for connection in self.clear():
            connection.close()

    async def close(self) -> None:
        """Close the idle ones, and all of a loop, which may be about to end."""
        self.close_idle()
        connections, self._of_loop = self._of_loop, set()
        for connection in connections:
            connection.close()
        lost = [connection.lost for connection in connections if isinstance(connection, LoopConnection)]
        if waiting := [one for one in lost if not one.done()]:
            await asyncio.wait(waiting, timeout=_GOODBYE)

    def __del__(self) -> None:
        if self.waits.blocking:
            self.close_idle()


class Exchange:
    """One request, after all redirects, and its response: within `async with` the head of that is there.

    `limit` is for the bytes of its body, None where that is taken in pieces. `timeout` is in seconds: for each
    operation of blocking code, on a loop for each piece of a response without limit.
    """

    response: Inbound
    _connection: Connection | None = None
    _target: Target

    def __init__(self, connections: Connections, outbound: Outbound, limit: int | None, timeout: float | None) -> None:
        self._connections = connections
        self._outbound = outbound
        self._limit = limit
        self._timeout = timeout
        self._patience = timeout if limit is None else None

    async def __aenter__(self) -> Self:
        try:
            while True:
                if self._patience is None:
                    await self._begin()
                else:
                    async with self._connections.waits.within(self._patience):
                        await self._begin()
                if not self._outbound.follows(self.response):
                    return self
                await self.rest()
                self._release()
        except BaseException as error:
            self._drop()
            failure = failure_of(error, self._target, self._timeout)
            if failure is error:
                raise
            raise failure from error

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._release()
            return
        self._drop()
        failure = failure_of(error, self._target, self._timeout)
        if failure is not error:
            raise failure from error

    async def receive(self) -> None:
        """Wait until something more of the response is there. Raises what ended it."""
        assert self._connection is not None
        async with self._connections.waits.within(self._patience):
            await self._connection.receive()

    async def rest(self) -> bytes:
        """What has not been taken of the body."""
        if not self.response.complete:
            assert self._connection is not None
            async with self._connections.waits.within(self._patience):
                while not self.response.complete:
                    await self._connection.receive()
        return self.response.take()

    async def _begin(self) -> None:
        """Send over an idle connection, else over a new one, and wait for the head of the response.

        Sending again is safe when sending failed: the peer never had the whole request.
        """
        to = self._outbound.destination
        self._target = to.target
        pieces = self._outbound.pieces()
        while (kept := self._connections.idle(to, self._timeout)) is not None:
            self._connection = kept
            self.response = Inbound(to.target, self._limit)
            try:
                kept.send(pieces, self.response)
                break
            except (BrokenPipeError, ConnectionResetError):
                self._drop()
        if self._connection is None:
            self._connection = await self._connections.open(to, self._timeout)
            self.response = Inbound(to.target, self._limit)
            # A peer that refuses a large request may answer, and close, before it has read all.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(pieces, self.response)
        while not self.response.begun:
            await self._connection.receive()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._connections.give_back(connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._connections.drop(connection)


class HttpChannel:
    """HTTP/1.1 connections to `target`, kept alive and shared by all threads, or of the loop that first uses them."""

    def __init__(self, target: Target, settings: ChannelSettings, waits: Waits) -> None:
        self._target = target
        self._limit = settings.max_message_size
        self._waits = waits
        self._routing = Routing(target, settings)
        self._routes = Routes(target)
        self._connections = Connections(waits)

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """POST one request to the path of its endpoint."""
        routes = self._routes
        while True:
            outgoing = routes.outgoing(request, options)
            if len(outgoing.body) > LARGE and routes.asks_for_forms:
                asking = Outgoing(outgoing.path, call_headers(options), b"")
                routes.heard((await self._exchange("OPTIONS", asking, options))[1])
                continue
            status, headers, body = await self._exchange("POST", outgoing, options)
            if status < 400:
                return routes.answer(request, headers, body)
            if not routes.unknown(request.endpoint, status, body):
                raise bodies.http_error(status, body, self._target, headers)
            status, _, document = await self.get("/openapi.json", options)
            routes.learn(request.endpoint, status, document)

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[bodies.JsonDocument]:
        """Send one document, get many as server-sent events; `timeout` is for each of them."""
        for method, outgoing in stream_requests(request, options):
            async with self._lent(method, outgoing, options, whole=False) as exchange:
                response = exchange.response
                if response.status == 405 and method == "POST":
                    await exchange.rest()
                    continue
                if response.status >= 400:
                    failed = await exchange.rest()
                    raise bodies.http_error(response.status, failed, self._target, response.headers)
                bodies.need_stream(response.headers, outgoing.path)
                events, lines = bodies.Events(self._target), Lines(self._target, self._limit)
                while True:
                    for line in lines.feed(response.take()):
                        if (document := events.feed(line)) is not None:
                            yield document
                    if response.complete:
                        break
                    await exchange.receive()
                for line in lines.finish():
                    events.feed(line)
                events.finish()
            return

    async def get(self, path: str, options: CallOptions) -> Received:
        """GET a path."""
        return await self._exchange("GET", Outgoing(path, call_headers(options), b""), options)

    async def post_json(self, path: str, value: object, options: CallOptions) -> Received:
        """POST a value as JSON."""
        return await self._exchange("POST", bodies.json_request(path, value, options), options)

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none needs to answer at all."""
        status, _, body = await self.get("/dry_run", options)
        bodies.check_dry_run(status, body, self._target)

    async def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, with its times; empty where a peer does not say so."""
        status, _, body = await self.get("/dry_run?routes", options)
        return bodies.check_dry_run(status, body, self._target)

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """Close the connections; those that blocking code has lent end with their call."""
        await self._connections.close()

    async def _exchange(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        try:
            if options.timeout is None or self._waits.blocking:  # which has a timeout of each operation instead
                return await self._whole(method, outgoing, options)
            async with self._waits.within(options.timeout):
                return await self._whole(method, outgoing, options)
        except (TimeoutError, Unavailable) as error:
            # The idle ones may lead to the same machine, and that may be gone.
            self._connections.close_idle()
            if isinstance(error, JinaError):
                raise
            raise DeadlineExceeded(f"{self._target} did not answer within {options.timeout} s") from error

    async def _whole(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        async with self._lent(method, outgoing, options, whole=True) as exchange:
            response = exchange.response
            bodies.refuse_stream(response.headers, outgoing.path)
            return response.status, response.headers, await exchange.rest()

    def _lent(self, method: str, outgoing: Outgoing, options: CallOptions, *, whole: bool) -> Exchange:
        outbound = Outbound(method, outgoing, options, self._routing)
        return Exchange(self._connections, outbound, self._limit if whole else None, options.timeout)
