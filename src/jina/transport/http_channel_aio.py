"""HTTP on the caller's event loop, with aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson

from jina.errors import BadServer, DeadlineExceeded, JinaError, TooLarge, Unavailable
from jina.transport import http_channel_body as bodies
from jina.transport.base_channel import Answer, CallOptions, ChannelSettings, Target
from jina.transport.http_channel_routes import LARGE, Outgoing, Routes, call_headers, stream_requests
from jina.transport.tls import client_context
from jina.wire.messages import Request

if TYPE_CHECKING:
    import aiohttp

Received = tuple[int, bodies.Headers, bytes]


class AsyncHttpChannel:
    """A session of keep-alive connections to `target`, for the loop that is running on its first use."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._routes = Routes(target)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """POST one request to the path of its endpoint."""
        while True:
            outgoing = self._routes.outgoing(request, options)
            if len(outgoing.body) > LARGE and self._routes.asks_for_forms:
                asking = Outgoing(outgoing.path, call_headers(options), b"")
                self._routes.heard((await self._exchange("OPTIONS", asking, options))[1])
                continue
            status, headers, body = await self._exchange("POST", outgoing, options)
            if status < 400:
                return self._routes.answer(request, headers, body)
            if not self._routes.unknown(request.endpoint, status, body):
                raise bodies.http_error(status, body, self._target, headers)
            status, _, document = await self.get("/openapi.json", options)
            self._routes.learn(request.endpoint, status, document)

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[bodies.JsonDocument]:
        """Send one document, get many as server-sent events."""
        for method, outgoing in stream_requests(request, options):
            try:
                async with self._request(method, outgoing, options, streams=True) as response:
                    if response.status == 405 and method == "POST":
                        continue
                    if response.status >= 400:
                        failed = await response.read()
                        raise bodies.http_error(response.status, failed, self._target, response.headers)
                    bodies.need_stream(response.headers, outgoing.path)
                    events = bodies.Events(self._target)
                    async for line in response.content:
                        if (document := events.feed(line)) is not None:
                            yield document
                    events.finish()
                    return
            except Exception as error:
                raise self._failure(error, options) from error

    async def get(self, path: str, options: CallOptions) -> Received:
        """GET a path."""
        return await self._exchange("GET", Outgoing(path, call_headers(options), b""), options)

    async def post_json(self, path: str, value: object, options: CallOptions) -> Received:
        """POST a value as JSON."""
        headers = {**call_headers(options), "content-type": bodies.JSON}
        return await self._exchange("POST", Outgoing(path, headers, orjson.dumps(value)), options)

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none needs to answer at all."""
        status, _, body = await self.get("/dry_run", options)
        bodies.check_dry_run(status, body, self._target)

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        try:
            async with self._request(method, outgoing, options) as response:
                bodies.refuse_stream(response.headers, outgoing.path)
                limit = self._settings.max_message_size
                body = await response.read() if (response.content_length or 0) <= limit else None
                if body is None or len(body) > limit:
                    raise TooLarge(f"the answer of {self._target} is over max_message_size, {limit} bytes")
                return response.status, response.headers, body
        except Exception as error:
            raise self._failure(error, options) from error

    def _request(self, method: str, outgoing: Outgoing, options: CallOptions, *, streams: bool = False) -> Any:
        import aiohttp
        from yarl import URL

        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls()),
                trust_env=self._settings.use_proxy,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=1 << 20,
            )
        timeout = (
            aiohttp.ClientTimeout(total=None, sock_read=options.timeout, sock_connect=options.timeout)
            if streams
            else aiohttp.ClientTimeout(total=options.timeout)
        )
        return session.request(
            method,
            URL(f"{self._target}{outgoing.path}", encoded=True),
            data=outgoing.body or None,
            headers=outgoing.headers,
            timeout=timeout,
            **options.extra,
        )

    def _tls(self) -> ssl.SSLContext | bool:
        # aiohttp's own context is made when it is imported and never sees SSL_CERT_FILE set later.
        return client_context(self._settings.tls) if self._target.tls else True

    def _failure(self, error: Exception, options: CallOptions) -> Exception:
        """The error for a failure of the exchange."""
        import aiohttp

        match error:
            case JinaError():
                return error
            case asyncio.TimeoutError():
                return DeadlineExceeded(f"{self._target} did not answer within {options.timeout} s")
            case aiohttp.ClientResponseError():
                return BadServer(f"{self._target} does not speak HTTP/1.1 ({error.message}); is it a port for gRPC?")
            case aiohttp.ServerDisconnectedError():
                return Unavailable(f"{self._target} closed the connection before it answered")
            case aiohttp.ClientPayloadError():
                return Unavailable(f"{self._target} closed the connection in the middle of its answer")
            case aiohttp.ClientError() | OSError():
                return Unavailable.unreached(f"cannot reach {self._target}: {error}")
        return error
