"""Which path, body form and media type serve an endpoint at this peer.

Our servers and Jina 3's answer at the endpoint's own path, which is tried first. Only a bare 404 makes the
channel read the peer's `/openapi.json`: Jina 3 may serve the endpoint at `/default`, its older servers at
`/post`. A peer that answers in protobuf once is sent protobuf from then on; before a large first request
the peer is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from jina.errors import EndpointNotFound, NotSupportedError, nearest
from jina.transport import http_channel_body as bodies
from jina.transport.base_channel import Answer, CallOptions, Target
from jina.wire.messages import Request
from jina.wire.standing import HEADERS as STANDING

_ACCEPT = f"{bodies.DOCUMENTS}, {bodies.JSON};q=0.9"
LARGE = 64 * 1024
"""Bytes of a first JSON body from which asking for the binary form pays."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes


class Routes:
    """What is known of one peer. Shared by threads: each update is one assignment."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._paths: dict[str, str] = {}
        self.binary = False
        self._asked = False

    def outgoing(self, request: Request, options: CallOptions) -> Outgoing:
        """The POST that carries the request."""
        path = self._paths.get(request.endpoint) or path_of(request.endpoint)
        headers = call_headers(options)
        headers["accept"] = _ACCEPT
        if request.headers:
            headers.update({name: request.headers[name] for name in STANDING if name in request.headers})
        if self.binary and path != "/post" and not request.target_executor:
            parameters = bodies.parameters_json(request).decode()
            if len(parameters) <= bodies.HEADER_ROOM:
                headers["content-type"] = bodies.DOCUMENTS
                headers["x-request-id"] = request.request_id
                if parameters:
                    headers[bodies.PARAMETERS_HEADER] = parameters
                return Outgoing(path, headers, request.payload.to_bytes())
        headers["content-type"] = bodies.JSON
        legacy = request.endpoint if path == "/post" else ""
        return Outgoing(path, headers, bodies.json_body(request, endpoint=legacy))

    def answer(self, request: Request, headers: bodies.Headers, body: bytes) -> Answer:
        """The answer in a body; one in protobuf shows that the peer takes protobuf."""
        answer = bodies.read_answer(headers, body, request, self._target)
        self.binary = self.binary or headers.get("content-type", "").startswith(bodies.DOCUMENTS)
        return answer

    @property
    def asks_for_forms(self) -> bool:
        """True while it is not known whether the peer takes protobuf."""
        return not self.binary and not self._asked

    def heard(self, headers: bodies.Headers) -> None:
        """The peer's answer to OPTIONS."""
        self._asked = True
        self.binary = bodies.DOCUMENTS in headers.get("accept-post", "")

    def unknown(self, endpoint: str, status: int, body: bytes) -> bool:
        """True when the peer may serve the endpoint at another path, which `learn` finds out.

        A page of the server at the same path answers POST with 405.
        """
        if status not in {404, 405} or endpoint in self._paths:
            return False
        if status == 405:
            return True
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        return isinstance(content, dict) and "code" not in content

    def learn(self, endpoint: str, status: int, body: bytes) -> None:
        """Choose the path from the peer's `/openapi.json`; raise `EndpointNotFound` when none fits."""
        paths = _paths_of(body) if status == 200 else {}
        posts = [path for path, methods in paths.items() if "post" in methods]
        for path in ("/post", "/default"):
            if path in posts:
                self._paths[endpoint] = path
                return
        near = nearest(path_of(endpoint), posts)
        raise EndpointNotFound(
            f"{self._target} has no endpoint {endpoint!r}; it has {', '.join(posts) or 'none'}",
            help=f"did you mean {near!r}?" if near else "",
        )


def path_of(endpoint: str) -> str:
    """The URL path of an endpoint."""
    return quote(endpoint if endpoint.startswith("/") else "/" + endpoint)


def call_headers(options: CallOptions) -> dict[str, str]:
    """The caller's metadata as HTTP headers."""
    if options.compression is not None:
        raise NotSupportedError(
            "compression: not available on HTTP and WebSocket, only on gRPC",
            help="leave it out, or use protocol='grpc'",
        )
    headers = {name: value if isinstance(value, str) else value.decode("latin-1") for name, value in options.metadata}
    if options.timeout is not None:
        headers.setdefault("x-request-timeout", f"{options.timeout:g}")
    return headers


def stream_requests(request: Request, options: CallOptions) -> Iterator[tuple[str, Outgoing]]:
    """Methods and requests that ask for a stream: ours (POST), then Jina 3's (GET, without parameters)."""
    headers = {**call_headers(options), "accept": bodies.EVENT_STREAM, "content-type": bodies.JSON}
    path = path_of(request.endpoint)
    yield "POST", Outgoing(path, headers, bodies.json_body(request))
    yield "GET", Outgoing(path, headers, request.payload.json_items()[0])


def _paths_of(body: bytes) -> Mapping[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    paths = content.get("paths", {}) if isinstance(content, dict) else {}
    return paths if isinstance(paths, dict) else {}
