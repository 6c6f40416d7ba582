"""One HTTP request and its response over ASGI (https://asgi.readthedocs.io)."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from jina.errors import (
    BadRequest,
    Cancelled,
    JinaError,
    MethodNotAllowed,
    Overloaded,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from jina.transport.http_bodies import JSON, PROBLEM, error_body
from jina.transport.server_access import Caller
from jina.transport.unread import Waiting

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON_HEADER = (b"content-type", JSON.encode())
CORS_HEADERS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-request-id, x-jina-parameters, retry-after"),
]
_WATCH_AFTER = 0.05
"""Seconds between two looks at the running requests."""
_PIECE = 64 * 1024
_MOST_MEMBERS = 1000
_PARTS_ABOVE = 64 * 1024
"""Bodies above this many bytes leave in parts instead of being joined."""


class Terms:
    """What holds for all requests of an application; `max_body` is in bytes."""

    __slots__ = ("headers", "max_body", "watches")

    def __init__(self, max_body: int, headers: Iterable[Header] = ()) -> None:
        self.max_body = max_body
        self.headers = list(headers)
        self.watches = ClientWatches()


class Exchange:
    """What the handlers read of a request, and how they answer it."""

    __slots__ = (
        "_receive", "_send", "_waiting", "caller", "headers", "method", "path", "request_id", "scope", "started",
        "terms",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, terms: Terms) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.request_id = self.headers.get("x-request-id", "")
        self.terms = terms
        self.started = False
        self.caller: Caller | None = scope.get("jina.caller")
        self._receive = receive
        self._send = send
        self._waiting: Waiting | None = scope.get("jina.waiting")

    def query(self) -> dict[str, str]:
        """The query parameters; the last of equal names wins."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    def check(self, endpoint: str) -> None:
        """Raise `PermissionDenied` where the caller may not call the endpoint."""
        if self.caller is not None:
            self.caller.check(endpoint)

    def accepts(self, media_type: str) -> bool:
        """Whether the client names the media type in Accept."""
        return media_type in self.headers.get("accept", "")

    async def body(self) -> bytes:
        """The whole body, decompressed.

        Raises `TooLarge` as soon as the limit is passed, and `Cancelled` when the client leaves.
        """
        limit = self.terms.max_body
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise self._too_large(declared)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the client left before the body was complete")
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._rest_of_body(body)
        elif len(body) > limit:
            raise self._too_large(len(body))
        encoding = self.headers.get("content-encoding")
        return self._decompressed(body, encoding) if encoding else body

    async def _rest_of_body(self, first: bytes) -> bytes:
        chunks, size, more = [first], len(first), True
        while more:
            if size > self.terms.max_body:
                raise self._too_large(f"more than {self.terms.max_body}")
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Cancelled("the client left before the body was complete")
            chunk = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            more = message.get("more_body", False)
        if size > self.terms.max_body:
            raise self._too_large(size)
        return b"".join(chunks)

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding.strip().lower() == "identity":
            return body
        if encoding.strip().lower() not in {"gzip", "deflate"}:
            raise BadRequest(f"content-encoding {encoding!r} is not known here", help="use gzip or deflate, or none")
        try:
            data = _unpacked(body, self.terms.max_body + 1)
        except (zlib.error, ValueError) as error:
            raise BadRequest(f"the body is not {encoding}: {error}") from None
        if len(data) > self.terms.max_body:
            raise self._too_large(f"more than {self.terms.max_body}")
        return data

    def _too_large(self, size: object) -> TooLarge:
        return TooLarge(
            f"the body has {size} bytes; max_message_size is {self.terms.max_body}",
            help="send fewer documents per request, or raise max_message_size of the server",
        )

    async def respond_json(self, body: bytes, *, status: int = 200, headers: Iterable[Header] = ()) -> None:
        """Answer with a JSON body."""
        await self.respond((body,), JSON_HEADER, status=status, headers=headers)

    async def respond(
        self,
        parts: tuple[bytes, ...],
        content_type: Header | None,
        *,
        status: int = 200,
        headers: Iterable[Header] = (),
    ) -> None:
        """Answer with the parts in a row as the body."""
        size = sum(map(len, parts))
        all_headers = self._response_headers(content_type)
        all_headers.append((b"content-length", b"%d" % size))
        all_headers.extend(headers)
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        if self.method == "HEAD":
            parts = ()
        elif size > _PARTS_ABOVE:
            await self._write_large(parts, size)
            return
        await self._send({"type": "http.response.body", "body": b"".join(parts)})

    async def _write_large(self, parts: tuple[bytes, ...], size: int) -> None:
        waiting = self._waiting
        if waiting is not None:
            waiting.add(size)
        try:
            for part in parts[:-1]:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            await self._send({"type": "http.response.body", "body": parts[-1]})
        finally:
            if waiting is not None:
                waiting.take(size)

    async def start_stream(self, content_type: bytes) -> None:
        """Begin a response of unknown length."""
        self.started = True
        headers = [
            *self._response_headers((b"content-type", content_type)),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """The next bytes of a stream."""
        waiting = self._waiting if len(data) > _PARTS_ABOVE else None
        if waiting is not None:
            waiting.add(len(data))
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            if waiting is not None:
                waiting.take(len(data))

    async def fail(self, error: JinaError, headers: Iterable[Header] = ()) -> None:
        """Answer with an error, unless a response has begun."""
        if self.started:
            return
        problem = self.accepts(PROBLEM)
        extra = list(headers)
        if isinstance(error, Overloaded):
            extra.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        elif isinstance(error, Unavailable):
            extra.append((b"retry-after", b"1"))
        elif isinstance(error, Unauthenticated):
            extra.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, TooLarge):
            extra.append((b"connection", b"close"))  # the rest of the body is not worth reading
        content_type = (b"content-type", PROBLEM.encode()) if problem else JSON_HEADER
        await self.respond((error_body(error, problem=problem),), content_type, status=error.http_status, headers=extra)

    async def refuse_method(self, allowed: Iterable[str]) -> None:
        """Answer that the path exists, but not for this method."""
        names = ", ".join(sorted(allowed))
        error = MethodNotAllowed(f"{self.method} {self.path} is not possible", help=f"use {names}")
        await self.fail(error, [(b"allow", names.encode())])

    async def disconnected(self) -> None:
        """Return when the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _response_headers(self, content_type: Header | None) -> list[Header]:
        headers = self.terms.headers.copy()
        if content_type is not None:
            headers.append(content_type)
        if ident := self.request_id:
            headers.append((b"x-request-id", _printable(ident)))
        return headers


def _printable(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text[:200].encode()
    return "".join(letter for letter in text[:200] if " " <= letter <= "~").encode()


class ClientWatch:
    """Cancels the current task when the client leaves."""

    __slots__ = ("_exchange", "_main", "_watching", "left")

    def __init__(self, exchange: Exchange) -> None:
        self.left = False
        self._exchange = exchange
        self._main = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """The task has its answer, or gave up."""
        if self._watching is not None:
            self._watching.cancel()

    def begin(self) -> None:
        """Watch from now on, in a task."""
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self._exchange.disconnected()
        self.left = True
        if self._main is not None:
            self._main.cancel()


class ClientWatches:
    """The watches of one application, on whichever loop it runs.

    Most requests are answered soon and never cost a second task: one timer for all looks which are still there.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh: set[ClientWatch] = set()
        self._aging: set[ClientWatch] = set()
        self._ticking = False

    def add(self, watch: ClientWatch) -> None:
        """Begin to watch unless the request is removed within 0.05 to 0.1 seconds."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._fresh, self._aging, self._ticking = loop, set(), set(), False
        self._fresh.add(watch)
        if not self._ticking:
            self._ticking = True
            loop.call_later(_WATCH_AFTER, self._tick)

    def remove(self, watch: ClientWatch) -> None:
        """The request is answered."""
        self._fresh.discard(watch)
        self._aging.discard(watch)
        watch.stop()

    def _tick(self) -> None:
        for watch in self._aging:
            watch.begin()
        self._aging, self._fresh = self._fresh, set()
        self._ticking = bool(self._aging)
        if self._ticking and self._loop is not None:
            self._loop.call_later(_WATCH_AFTER, self._tick)


def _unpacked(body: bytes, limit: int) -> bytes:
    """All members of a gzip or deflate body (RFC 1952, section 2.2), at most `limit` bytes of them.

    Raises `zlib.error`, or `ValueError` for one that is cut short or has more than `_MOST_MEMBERS`.
    """
    parts: list[bytes] = []
    unpack = None
    members = 0
    # In pieces: at the end of each member zlib copies what is left of its input.
    for start in range(0, len(body), _PIECE):
        rest = body[start : start + _PIECE]
        while rest:
            if unpack is None:
                members += 1
                if members > _MOST_MEMBERS:
                    raise ValueError(f"it has more than {_MOST_MEMBERS} members")
                unpack = zlib.decompressobj(47)  # both formats, told apart by their headers
            parts.append(unpack.decompress(rest, limit))
            limit -= len(parts[-1])
            if limit <= 0:
                return b"".join(parts)
            rest = unpack.unused_data
            if unpack.eof:
                unpack = None
    if unpack is not None or not members:
        raise ValueError("it is cut short")
    return b"".join(parts)
