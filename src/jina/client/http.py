"""HTTP for threads, which wait on sockets, and for event loops: what is asked is written once, as steps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

import orjson

from jina.client import http_messages as bodies
from jina.client.http_connection import AsyncConnection, AsyncPool, Connection, Inbound, Lines, Outbound, Pool, Routing
from jina.client.http_messages import LARGE, Outgoing, Routes, call_headers, stream_requests
from jina.codec.messages import Request, Route
from jina.errors import DeadlineExceeded, JinaError
from jina.net.channel import Answer, CallOptions, ChannelSettings, Target

Received = tuple[int, bodies.Headers, bytes]
"""Status, headers and body."""
Steps = Generator[tuple[str, Outgoing], Received, Answer]
"""Exchanges of a call: gives what to send, takes what came, and returns the answer."""


class _Channel:
    """What both kinds of channels know of the server at `target`."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._limit = settings.max_message_size
        self._routing = Routing(target, settings)
        self._routes = Routes(target)

    def _steps(self, request: Request, options: CallOptions) -> Steps:
        """POST one request to the path of its endpoint."""
        routes = self._routes
        while True:
            outgoing = routes.outgoing(request, options)
            if len(outgoing.body) > LARGE and routes.asks_for_forms:
                routes.heard((yield "OPTIONS", Outgoing(outgoing.path, call_headers(options), b""))[1])
                continue
            status, headers, body = yield "POST", outgoing
            if status < 400:
                return routes.answer(request, headers, body)
            if not routes.unknown(request.endpoint, status, body):
                raise bodies.http_error(status, body, self._target, headers)
            status, _, document = yield "GET", Outgoing("/openapi.json", call_headers(options), b"")
            routes.learn(request.endpoint, status, document)

    def _outbound(self, method: str, outgoing: Outgoing, options: CallOptions) -> Outbound:
        return Outbound(method, outgoing, options, self._routing)


def _json(path: str, value: object, options: CallOptions) -> Outgoing:
    return Outgoing(path, {**call_headers(options), "content-type": bodies.JSON}, orjson.dumps(value))


class HttpChannel(_Channel):
    """HTTP/1.1 connections to `target`, kept alive and shared by all threads; no event loop anywhere."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        super().__init__(target, settings)
        self._pool = Pool()

    def call(self, request: Request, options: CallOptions) -> Answer:
        """POST one request to the path of its endpoint."""
        steps = self._steps(request, options)
        method, outgoing = next(steps)
        while True:
            try:
                method, outgoing = steps.send(self._exchange(method, outgoing, options))
            except StopIteration as end:
                answer: Answer = end.value
                return answer

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[bodies.JsonDocument]:
        """Send one document, get many as server-sent events."""
        for method, outgoing in stream_requests(request, options):
            with self._opened(method, outgoing, options, None) as (connection, response):
                if response.status == 405 and method == "POST":
                    _whole(connection, response)
                    continue
                if response.status >= 400:
                    failed = _whole(connection, response)
                    raise bodies.http_error(response.status, failed, self._target, response.headers)
                bodies.need_stream(response.headers, outgoing.path)
                yield from self._events(connection, response)
            return

    def _events(self, connection: Connection, response: Inbound) -> Iterator[bodies.JsonDocument]:
        events, lines = bodies.Events(self._target), Lines(self._target, self._limit)
        while True:
            for line in lines.feed(response.take()):
                if (document := events.feed(line)) is not None:
                    yield document
            if response.complete:
                break
            connection.receive(response)
        for line in lines.finish():
            events.feed(line)
        events.finish()

    def get(self, path: str, options: CallOptions) -> Received:
        """GET a path."""
        return self._exchange("GET", Outgoing(path, call_headers(options), b""), options)

    def post_json(self, path: str, value: object, options: CallOptions) -> Received:
        """POST a value as JSON."""
        return self._exchange("POST", _json(path, value, options), options)

    def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none needs to answer at all."""
        status, _, body = self.get("/dry_run", options)
        bodies.check_dry_run(status, body, self._target)

    def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, with its times; empty where a peer does not say so."""
        status, _, body = self.get("/dry_run?routes", options)
        return bodies.check_dry_run(status, body, self._target)

    def close(self) -> None:
        """Close the idle connections; lent ones end with their call."""
        self._pool.close()

    def _exchange(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        with self._opened(method, outgoing, options, self._limit) as (connection, response):
            bodies.refuse_stream(response.headers, outgoing.path)
            return response.status, response.headers, _whole(connection, response)

    @contextlib.contextmanager
    def _opened(
        self, method: str, outgoing: Outgoing, options: CallOptions, limit: int | None
    ) -> Generator[tuple[Connection, Inbound]]:
        """A response whose head is there, after all redirects."""
        outbound = self._outbound(method, outgoing, options)
        while True:
            with self._pool.exchange(outbound, limit, options.timeout) as (connection, response):
                if not outbound.follows(response):
                    yield connection, response
                    return
                _whole(connection, response)


def _whole(connection: Connection, response: Inbound) -> bytes:
    while not response.complete:
        connection.receive(response)
    return response.take()


class AsyncHttpChannel(_Channel):
    """HTTP/1.1 connections to `target`, kept alive, for the loop that is running on its first use."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        super().__init__(target, settings)
        self._pool = AsyncPool()

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """POST one request to the path of its endpoint."""
        steps = self._steps(request, options)
        method, outgoing = next(steps)
        while True:
            received = await self._exchange(method, outgoing, options)
            try:
                method, outgoing = steps.send(received)
            except StopIteration as end:
                answer: Answer = end.value
                return answer

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[bodies.JsonDocument]:
        """Send one document, get many as server-sent events."""
        for method, outgoing in stream_requests(request, options):
            async with self._opened(method, outgoing, options, None) as (connection, response):
                if response.status == 405 and method == "POST":
                    await _whole_async(connection, response, options.timeout)
                    continue
                if response.status >= 400:
                    failed = await _whole_async(connection, response, options.timeout)
                    raise bodies.http_error(response.status, failed, self._target, response.headers)
                bodies.need_stream(response.headers, outgoing.path)
                async with contextlib.aclosing(self._events(connection, response, options.timeout)) as documents:
                    async for document in documents:
                        yield document
            return

    async def _events(
        self, connection: AsyncConnection, response: Inbound, patience: float | None
    ) -> AsyncGenerator[bodies.JsonDocument]:
        events, lines = bodies.Events(self._target), Lines(self._target, self._limit)
        while True:
            for line in lines.feed(response.take()):
                if (document := events.feed(line)) is not None:
                    yield document
            if response.complete:
                break
            async with asyncio.timeout(patience):
                await connection.receive()
        for line in lines.finish():
            events.feed(line)
        events.finish()

    async def get(self, path: str, options: CallOptions) -> Received:
        """GET a path."""
        return await self._exchange("GET", Outgoing(path, call_headers(options), b""), options)

    async def post_json(self, path: str, value: object, options: CallOptions) -> Received:
        """POST a value as JSON."""
        return await self._exchange("POST", _json(path, value, options), options)

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none needs to answer at all."""
        status, _, body = await self.get("/dry_run", options)
        bodies.check_dry_run(status, body, self._target)

    async def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, with its times; empty where a peer does not say so."""
        status, _, body = await self.get("/dry_run?routes", options)
        return bodies.check_dry_run(status, body, self._target)

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """Close the connections."""
        await self._pool.close()

    async def _exchange(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        try:
            async with (
                asyncio.timeout(options.timeout),  # of the whole, where blocking code has one of each operation
                self._opened(method, outgoing, options, self._limit) as (connection, response),
            ):
                bodies.refuse_stream(response.headers, outgoing.path)
                return response.status, response.headers, await _whole_async(connection, response)
        except TimeoutError as error:
            if isinstance(error, JinaError):
                raise
            raise DeadlineExceeded(f"{self._target} did not answer within {options.timeout} s") from error

    @contextlib.asynccontextmanager
    async def _opened(
        self, method: str, outgoing: Outgoing, options: CallOptions, limit: int | None
    ) -> AsyncGenerator[tuple[AsyncConnection, Inbound]]:
        """A response whose head is there, after all redirects."""
        outbound = self._outbound(method, outgoing, options)
        patience = options.timeout if limit is None else None
        while True:
            async with self._pool.exchange(outbound, limit, patience) as (connection, response):
                if not outbound.follows(response):
                    yield connection, response
                    return
                await _whole_async(connection, response)


async def _whole_async(connection: AsyncConnection, response: Inbound, patience: float | None = None) -> bytes:
    async with asyncio.timeout(patience):
        while not response.complete:
            await connection.receive()
    return response.take()
