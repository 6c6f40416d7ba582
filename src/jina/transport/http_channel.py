"""HTTP from blocking code, no event loop anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPResponse

import orjson

from jina.errors import TooLarge
from jina.transport import http_channel_body as bodies
from jina.transport.base_channel import Answer, CallOptions, ChannelSettings, Target
from jina.transport.http_channel_pool import Pool
from jina.transport.http_channel_routes import LARGE, Outgoing, Routes, call_headers, stream_requests
from jina.wire.messages import Request

Received = tuple[int, bodies.Headers, bytes]
"""Status, headers and body."""


class HttpChannel:
    """HTTP/1.1 connections to `target`, kept alive and shared by all threads."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._limit = settings.max_message_size
        self._pool = Pool(target, settings)
        self._routes = Routes(target)

    def call(self, request: Request, options: CallOptions) -> Answer:
        """POST one request to the path of its endpoint."""
        while True:
            outgoing = self._routes.outgoing(request, options)
            if len(outgoing.body) > LARGE and self._routes.asks_for_forms:
                asking = Outgoing(outgoing.path, call_headers(options), b"")
                self._routes.heard(self._exchange("OPTIONS", asking, options)[1])
                continue
            status, headers, body = self._exchange("POST", outgoing, options)
            if status < 400:
                return self._routes.answer(request, headers, body)
            if not self._routes.unknown(request.endpoint, status, body):
                raise bodies.http_error(status, body, self._target, headers)
            status, _, document = self.get("/openapi.json", options)
            self._routes.learn(request.endpoint, status, document)

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[bodies.JsonDocument]:
        """Send one document, get many as server-sent events."""
        for method, outgoing in stream_requests(request, options):
            with self._pool.exchange(method, outgoing, options.timeout) as response:
                if response.status == 405 and method == "POST":
                    response.read()
                    continue
                if response.status >= 400:
                    raise bodies.http_error(response.status, response.read(), self._target, response.headers)
                bodies.need_stream(response.headers, outgoing.path)
                yield from self._events(response)
            return

    def _events(self, response: HTTPResponse) -> Iterator[bodies.JsonDocument]:
        events = bodies.Events(self._target)
        while line := response.readline():
            if (document := events.feed(line)) is not None:
                yield document
        events.finish()

    def get(self, path: str, options: CallOptions) -> Received:
        """GET a path."""
        return self._exchange("GET", Outgoing(path, call_headers(options), b""), options)

    def post_json(self, path: str, value: object, options: CallOptions) -> Received:
        """POST a value as JSON."""
        headers = {**call_headers(options), "content-type": bodies.JSON}
        return self._exchange("POST", Outgoing(path, headers, orjson.dumps(value)), options)

    def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none needs to answer at all."""
        status, _, body = self.get("/dry_run", options)
        bodies.check_dry_run(status, body, self._target)

    def close(self) -> None:
        """Close the idle connections; lent ones end with their call."""
        self._pool.close()

    def _exchange(self, method: str, outgoing: Outgoing, options: CallOptions) -> Received:
        options.refuse_extra()
        with self._pool.exchange(method, outgoing, options.timeout) as response:
            bodies.refuse_stream(response.headers, outgoing.path)
            body = response.read(self._limit + 1) if (response.length or 0) <= self._limit else None
            if body is None or len(body) > self._limit:
                raise TooLarge(f"the answer of {self._target} is over max_message_size, {self._limit} bytes")
            if not response.isclosed():
                response.read()
            return response.status, response.headers, body
