"""One HTTP request and its response over ASGI (https://asgi.readthedocs.io): bodies, hidden paths, access."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import IO, Any
from urllib.parse import parse_qsl

import msgspec
import orjson

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import JsonPayload
from jina.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    ExecutorError,
    JinaError,
    MethodNotAllowed,
    Overloaded,
    PermissionDenied,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    ValidationFailed,
    nearest,
)
from jina.net.auth import KEY_HEADER, NAME_HEADER, Access, Caller
from jina.net.service import EndpointInfo
from jina.net.unread import Waiting
from jina.plan.plans import HttpPlan

JSON = "application/json"
PROBLEM = "application/problem+json"
DOCUMENTS = "application/vnd.docarray.doclist+protobuf"
"""The media type of a serialised `docarray.DocListProto`, for requests and replies."""


class _Header(msgspec.Struct):
    request_id: str | None = None
    requestId: str | None = None  # noqa: N815 - the alias that Jina 3 accepts
    target_executor: str | None = None
    targetExecutor: str | None = None  # noqa: N815 - the alias that Jina 3 accepts


class _Envelope(msgspec.Struct):
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    header: _Header | msgspec.UnsetType | None = msgspec.UNSET
    execEndpoint: str | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815 - Jina 3's name
    exec_endpoint: str | msgspec.UnsetType | None = msgspec.UNSET
    targetExecutor: str | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815 - Jina 3's name
    target_executor: str | msgspec.UnsetType | None = msgspec.UNSET


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_UNSET = msgspec.UNSET
_JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
ENVELOPE_KEYS = frozenset(_Envelope.__struct_fields__)


def read_json(body: bytes | str, *, bare: bool = False) -> Request:
    """The request in a JSON body; endpoint and id are empty where the body does not give them.

    With `bare` an object is a document whatever its keys are. Raises `BadRequest` for text that is not JSON and
    `ValidationFailed` for JSON of another shape.
    """
    text = body.encode() if isinstance(body, str) else body
    start = text[:64].lstrip()[:1] or text.strip()[:1]
    if not start:
        return Request("", JsonPayload(b"[]"))
    if start == b"[":
        return Request("", JsonPayload(text, location=("body",)))
    if start != b"{":
        _loads(text)
        raise ValidationFailed("the body is neither a JSON object nor a list", errors=[_error((), "dict_type", None)])
    if bare:
        return Request("", JsonPayload(text, location=("body",)))
    try:
        envelope = _decode_envelope(text)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"the body: {error}", errors=[_error((), "body", None, str(error))]) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_lenient(text)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    return _from_envelope(envelope, text)


def _from_envelope(envelope: _Envelope, text: bytes) -> Request:
    data = envelope.data
    documents = b"[]"
    if not isinstance(data, msgspec.UnsetType):
        documents = bytes(data)
        if documents[:1] not in {b"[", b"{"}:
            _checked_list(_loads(documents))
            documents = b"[]"
    elif all(getattr(envelope, key) is _UNSET for key in ENVELOPE_KEYS):
        return Request(
            "", JsonPayload(b"[]") if not text.strip(b"{} \r\n\t") else JsonPayload(text, location=("body",))
        )
    header = envelope.header
    request = Request(
        envelope.execEndpoint or envelope.exec_endpoint or "",
        JsonPayload(documents),
        target_executor=envelope.targetExecutor or envelope.target_executor or "",
    )
    if isinstance(header, _Header):
        request.request_id = header.request_id or header.requestId or ""
        request.target_executor = request.target_executor or header.target_executor or header.targetExecutor or ""
    if not isinstance(envelope.parameters, msgspec.UnsetType) and (given := bytes(envelope.parameters)) != b"{}":
        request.parameters = parameters_of(given)
    return request


def _checked_list(data: Any) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise ValidationFailed(
            "data: neither a document (an object) nor a list of documents",
            errors=[_error(("data",), "list_type", data)],
        )
    return data


def _read_lenient(text: bytes) -> Request:
    """What the strict decoder refuses: NaN and infinities, which Jina 3 reads, or no JSON at all."""
    content = _loads(text)
    if not ENVELOPE_KEYS & content.keys():
        return Request("", JsonPayload([content], location=("body",), single=True))
    data = content.pop("data", None)
    parameters = content.pop("parameters", None)
    try:
        envelope = msgspec.convert({**content, "header": content.get("header")}, _Envelope)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"the body: {error}", errors=[_error((), "body", None, str(error))]) from None
    request = _from_envelope(envelope, text)
    request.payload = JsonPayload([data], single=True) if isinstance(data, dict) else JsonPayload(_checked_list(data))
    request.parameters = _checked_parameters(parameters)
    return request


def parameters_of(text: bytes | str, where: str = "") -> dict[str, Any]:
    """The parameters in a JSON object; integers of any size are kept. Raises as `read_json` does.

    `where` they stand, such as `query.parameters`, is said in errors; in a body else.
    """
    return _checked_parameters(_loads(text, where or "the body"), where)


def _checked_parameters(parameters: Any, where: str = "") -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        found = _error(("parameters",), "dict_type", parameters)
        if where:
            found["loc"] = where.split(".")
        raise ValidationFailed(f"{where or 'parameters'}: not an object", errors=[found])
    return parameters


def _loads(text: bytes | str, where: str = "the body") -> Any:
    from jina.codec.json_text import refuse_halves

    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        value = json.loads(text)
        refuse_halves(data, value)
        return value
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where} is not JSON: {error}") from None


def _error(where: tuple[str, ...], kind: str, value: Any, message: str = "Input has the wrong type") -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *where], "msg": message, "input": value}


def dumps(value: Any) -> bytes:
    """Compact JSON of parameters, errors and pages; what JSON has no form for is written as text."""
    try:
        return orjson.dumps(value, option=_JSON_OPTIONS)
    except TypeError:  # integers over 64 bits, sets, bytes, ...
        pass
    from jina.codec import json_text

    try:
        return json_text.dumps(value)
    except (TypeError, UnicodeEncodeError):  # halves of surrogate pairs, which JSON may have and UTF-8 may not
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def reply_parts(reply: Reply, request: Request, *, more: bool = False) -> tuple[bytes, bytes, bytes]:
    """The JSON body of a reply in three parts, so that large documents need not be copied.

    `more` tells that further replies to the same request follow.
    """
    documents = reply.payload.to_json()
    tail = b',"parameters":%b,"header":{"request_id":%b,"target_executor":%b%b}}' % (
        dumps(reply.parameters) if reply.parameters else b"{}",
        b'"%b"' % ident.encode() if _PLAIN_ID(ident := request.request_id) else dumps(ident),
        dumps(request.target_executor) if request.target_executor else b'""',
        b',"more":true' if more else b"",
    )
    return b'{"data":', documents, tail


def routes_content(routes: Iterable[Route]) -> list[dict[str, Any]]:
    """What a request has visited, as JSON; times are seconds since the epoch."""
    return [
        {"executor": route.executor, "start_time": route.start_time, "end_time": route.end_time} for route in routes
    ]


def error_content(error: JinaError) -> dict[str, Any]:
    """The error as JSON: Jina's `detail` beside the members of RFC 9457 and all that rebuilds the class."""
    details = error.details()
    detail: Any = error.message or type(error).__name__
    if isinstance(error, ValidationFailed) and error.errors:
        detail = details["errors"] = [_in_body(fault) for fault in error.errors]
    if isinstance(error, ExecutorError):
        detail = error.message or f"{error.name}({', '.join(error.exception_args)})"
    visited = routes_content(error.routes)
    return {
        **details,
        **({"routes": visited} if visited else {}),
        "detail": detail,
        "type": f"urn:jina:error:{type(error).__name__}",
        "title": error.message.partition("\n")[0],
        "status": error.http_status,
        "code": type(error).__name__,
        "errors": details.get("errors", []),
    }


def _in_body(fault: dict[str, Any]) -> dict[str, Any]:
    """A fault of the parameters placed as one of the documents is: from the body on, as Jina 3 does."""
    place = fault.get("loc", ())
    return {**fault, "loc": ["body", *place]} if place[:1] in (["parameters"], ("parameters",)) else fault


def error_body(error: JinaError, *, problem: bool = False) -> bytes:
    """`error_content` as JSON; as `application/problem+json` the detail is always text."""
    content = error_content(error)
    if problem:
        content["detail"] = error.message or content["title"]
    return dumps(content)


CRUD = {"/index": "POST", "/search": "POST", "/update": "PUT", "/delete": "DELETE"}
"""The methods by which Jina 3's gateways took these endpoints; POST works for all."""
DEBUG = frozenset({"/status", "/dry_run", "/post"})
_DETAILS = frozenset({"summary", "description", "tags", "deprecated", "operation_id", "include_in_schema"})
"""What `expose_endpoints` may say of a route in the documentation."""
_OPTIONS = _DETAILS | {"http_path", "exec_endpoint", "methods", "name", "response_model"}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class ExtraRoute(msgspec.Struct, frozen=True):
    """A path and methods that serve an endpoint beside its own route; `details` are for the documentation."""

    path: str
    endpoint: str
    methods: Sequence[str]
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


def http_path(endpoint: str) -> str:
    """The path of an endpoint; one bound without a leading slash gets it."""
    return endpoint if endpoint.startswith("/") else f"/{endpoint}"


def served_methods(path: str, info: EndpointInfo) -> tuple[str, ...]:
    """The HTTP methods that serve an endpoint at its own path: GET by itself only where a request may run twice."""
    if info.methods:
        return info.methods
    by_get = info.is_generator or (info.is_safe and not info.is_passthrough)
    methods = ("GET", "POST") if by_get else ("POST",)
    return (
        methods
        if info.is_generator or CRUD.get(http_path(path), "POST") == "POST"
        else (*methods, CRUD[http_path(path)])
    )


def hidden_paths(plan: HttpPlan) -> frozenset[str]:
    """Paths that the plan leaves out."""
    return (DEBUG if plan.no_debug_endpoints else frozenset()) | (
        frozenset(CRUD) if plan.no_crud_endpoints else frozenset()
    )


def exposed_routes(plan: HttpPlan) -> list[ExtraRoute]:
    """What `expose_endpoints` asks for; raises `ConfigError` naming the entry."""
    return [_exposed(endpoint, dict(result or {})) for endpoint, result in plan.expose_endpoints.items()]


def _exposed(endpoint: str, entry: dict[str, Any]) -> ExtraRoute:
    where = f"expose_endpoints: {endpoint!r}"
    for name in entry:
        if name not in _OPTIONS:
            near = nearest(name, _OPTIONS)
            raise ConfigError(f"{where}: no option {name!r}", help=f"did you mean {near!r}?" if near else "")
    methods = entry.get("methods") or ["POST"]
    if isinstance(methods, str):
        methods = [methods]
    wrong = [method for method in methods if str(method).upper() not in _METHODS]
    if wrong:
        raise ConfigError(f"{where}: methods: {wrong[0]!r} is not one of {', '.join(sorted(_METHODS))}")
    return ExtraRoute(
        http_path(entry.get("http_path") or endpoint),
        entry.get("exec_endpoint") or endpoint,
        [str(method).upper() for method in methods],
        {name: value for name, value in entry.items() if name in _DETAILS},
    )


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
_FILE_PIECE = 256 * 1024
"""Bytes of a file that are read at a time."""
_DISCARD_SECONDS = 30
"""How long the rest of a refused body is read and thrown away; see `Exchange.fail`."""


class Terms:
    """What holds for all requests of an application; `max_body` is in bytes, `max_upload` for bodies with files."""

    __slots__ = ("headers", "max_body", "max_upload")

    def __init__(self, max_body: int, headers: Iterable[Header] = (), max_upload: int = 0) -> None:
        self.max_body = max_body
        self.max_upload = max_upload
        self.headers = list(headers)


class Exchange(ABC):
    """What the handlers read of a request, and how they answer it.

    `AsgiExchange` is one over any ASGI server, `http_protocol.DirectExchange` one over a connection of our own server.
    """

    __slots__ = (
        "_complete", "_waiting", "caller", "client", "headers", "left", "method", "path", "query_places",
        "query_string", "request_id", "root_path", "started", "terms", "watched",
    )  # fmt: skip

    def __init__(self, method: str, path: str, query: bytes, headers: Iterable[Header], terms: Terms) -> None:
        self.method = method
        self.path = path
        self.query_string = query
        self.query_places: frozenset[str] = frozenset()
        """What of the request came in the query: `documents`, `parameters`; `form` for documents in a form."""
        self.root_path = ""
        self.client = ""
        """The address from which the request came."""
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        self.request_id = self.headers.get("x-request-id", "")
        self.terms = terms
        self.started = False
        self.watched = False
        """While it is set the running task is cancelled, and `left` set, when the client leaves."""
        self.left = False
        self.caller: Caller | None = None
        self._waiting: Waiting | None = None
        self._complete = False
        """Whether the whole body was received."""

    @abstractmethod
    async def _receive(self) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether more follow; raises `Cancelled` when the client leaves."""

    @abstractmethod
    async def _send_head(self, status: int, headers: list[Header]) -> None:
        """Begin a response."""

    @abstractmethod
    async def _send_body(self, data: bytes, *, more: bool) -> None:
        """Go on with it."""

    @abstractmethod
    async def _send_whole(self, status: int, headers: list[Header], body: bytes) -> None:
        """A response in one piece."""

    @property
    @abstractmethod
    def ends(self) -> bool:
        """Whether the connection ends with this answer, by the wish of the client."""

    def query(self) -> dict[str, str]:
        """The query parameters; the last of equal names wins."""
        return dict(parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True))

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
        body, more = await self._receive()
        if more:
            body = await self._rest_of_body(body)
        self._complete = True
        if len(body) > limit:
            raise self._too_large(len(body))
        encoding = self.headers.get("content-encoding")
        return self._decompressed(body, encoding) if encoding else body

    async def _rest_of_body(self, first: bytes) -> bytes:
        chunks, size, more = [first], len(first), True
        while more:
            if size > self.terms.max_body:
                raise self._too_large(f"more than {self.terms.max_body}")
            chunk, more = await self._receive()
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding.strip().lower() == "identity":
            return body
        if encoding.strip().lower() not in {"gzip", "deflate"}:
            raise BadRequest(f"content-encoding {encoding!r} is not supported", help="use gzip or deflate, or none")
        try:
            data = _unpacked(body, self.terms.max_body + 1)
        except (zlib.error, ValueError) as error:
            raise BadRequest(f"the body is not {encoding}: {error}") from None
        if len(data) > self.terms.max_body:
            raise self._too_large(f"more than {self.terms.max_body}")
        return data

    async def pieces(self, limit: int) -> AsyncGenerator[bytes]:
        """The body as it comes, of which no more is held than came at once.

        Raises `TooLarge` as soon as the limit is passed, and `Cancelled` when the client leaves.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _upload_too_large(declared, limit)
        if (encoding := self.headers.get("content-encoding", "identity").strip().lower()) != "identity":
            raise UnsupportedMediaType(
                f"content-encoding {encoding!r} of files is not supported", help="send them as is"
            )
        size, more = 0, True
        while more:
            piece, more = await self._receive()
            size += len(piece)
            if size > limit:
                raise _upload_too_large(f"more than {limit}", limit)
            if piece:
                yield piece
        self._complete = True

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
        discard: bool = False,
    ) -> None:
        """Answer with the parts in a row as the body; `discard` what is still to come of the request's."""
        size = sum(map(len, parts))
        all_headers = self._response_headers(content_type)
        all_headers.append((b"content-length", b"%d" % size))
        all_headers.extend(headers)
        self.started = True
        if size > _PARTS_ABOVE and self.method != "HEAD":
            await self._write_large(parts, size, status, all_headers)
        elif not discard:
            await self._send_whole(status, all_headers, b"" if self.method == "HEAD" else b"".join(parts))
        else:
            await self._send_head(status, all_headers)
            await self._send_body(b"" if self.method == "HEAD" else b"".join(parts), more=True)
            await self._discard()
            await self._send_body(b"", more=False)

    async def _discard(self) -> None:
        """Read what the client still sends: the kernel forgets an answer when a connection is closed before."""
        with contextlib.suppress(TimeoutError, Cancelled):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while (await self._receive())[1]:
                    pass

    async def _write_large(self, parts: tuple[bytes, ...], size: int, status: int, headers: list[Header]) -> None:
        waiting = self._waiting
        if waiting is not None:
            waiting.add(size)
        try:
            await self._send_head(status, headers)
            for part in parts[:-1]:
                await self._send_body(part, more=True)
            await self._send_body(parts[-1], more=False)
        finally:
            if waiting is not None:
                waiting.take(size)

    async def respond_file(
        self, file: IO[bytes], length: int, content_type: Header, *, status: int, headers: Iterable[Header]
    ) -> None:
        """Answer with so many bytes of a file from where it stands, read piece by piece as the client takes them."""
        all_headers = [*self._response_headers(content_type), (b"content-length", b"%d" % length), *headers]
        self.started = True
        await self._send_head(status, all_headers)
        while length > _FILE_PIECE:
            piece = await asyncio.to_thread(file.read, _FILE_PIECE)
            if not piece:
                raise OSError("the file became shorter while it was sent")
            length -= len(piece)
            await self._send_body(piece, more=True)
        await self._send_body(await asyncio.to_thread(file.read, length) if length else b"", more=False)

    async def start_stream(self, content_type: bytes) -> None:
        """Begin a response of unknown length."""
        self.started = True
        headers = [
            *self._response_headers((b"content-type", content_type)),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send_head(200, headers)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """The next bytes of a stream."""
        waiting = self._waiting if len(data) > _PARTS_ABOVE else None
        if waiting is not None:
            waiting.add(len(data))
        try:
            await self._send_body(data, more=more)
        finally:
            if waiting is not None:
                waiting.take(len(data))

    def drop(self) -> None:
        """Close the connection, whatever waits for the client."""
        if self._waiting is not None:
            self._waiting.close()

    async def fail(self, error: JinaError, headers: Iterable[Header] = (), body: bytes | None = None) -> None:
        """Answer with an error, unless a response has begun.

        `body` is sent in the place of our own, as JSON where the headers do not name its type.

        Most clients send the whole body before they look for an answer. So where the connection ends with this one, the
        rest of the body is read first, for a bounded time (RFC 9112, section 9.6).
        """
        if self.started:
            return
        problem = body is None and self.accepts(PROBLEM)
        extra = list(headers)
        if isinstance(error, Overloaded):
            extra.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        elif isinstance(error, Unavailable):
            extra.append((b"retry-after", b"1"))
        elif isinstance(error, Unauthenticated):
            extra.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, TooLarge):
            extra.append((b"connection", b"close"))  # the rest of the body is not worth reading
        content_type: Header | None = (b"content-type", PROBLEM.encode()) if problem else JSON_HEADER
        if any(name == b"content-type" for name, _ in extra):
            content_type = None
        content = error_body(error, problem=problem) if body is None else body
        discard = not self._complete and (isinstance(error, TooLarge) or self.ends)
        await self.respond((content,), content_type, status=error.http_status, headers=extra, discard=discard)

    async def refuse_method(self, allowed: Iterable[str]) -> None:
        """Answer that the path exists, but not for this method."""
        error, headers = self.refusal(allowed)
        await self.fail(error, headers)

    def refusal(self, allowed: Iterable[str]) -> tuple[MethodNotAllowed, list[Header]]:
        """The error of a path that exists, but not for this method, and the headers with it."""
        names = ", ".join(sorted(allowed))
        error = MethodNotAllowed(f"{self.method} {self.path} is not possible", help=f"use {names}")
        return error, [(b"allow", names.encode())]

    def _response_headers(self, content_type: Header | None) -> list[Header]:
        headers = self.terms.headers.copy()
        if content_type is not None:
            headers.append(content_type)
        if ident := self.request_id:
            headers.append((b"x-request-id", ident.encode() if _PLAIN_ID(ident) else _printable(ident)))
        return headers


class AsgiExchange(Exchange):
    """A request that an ASGI server brought."""

    __slots__ = ("_receive_event", "_send", "_task", "_version", "_watching")

    def __init__(self, scope: Scope, receive: Receive, send: Send, terms: Terms) -> None:
        super().__init__(scope["method"], scope["path"], scope["query_string"], scope["headers"], terms)
        self.root_path = scope.get("root_path", "")
        self.client = (scope.get("client") or ("",))[0]
        self.caller = scope.get(CALLER)
        self._version = scope.get("http_version")
        self._waiting = scope.get("jina.waiting")
        self._receive_event = receive
        self._send = send
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None

    async def _receive(self) -> tuple[bytes, bool]:
        event = await self._receive_event()
        if event["type"] == "http.disconnect":
            raise Cancelled("the client left before the body was complete")
        return event.get("body", b""), event.get("more_body", False)

    async def _send_head(self, status: int, headers: list[Header]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _send_whole(self, status: int, headers: list[Header], body: bytes) -> None:
        await self._send_head(status, headers)
        await self._send_body(body, more=False)

    @property
    def ends(self) -> bool:
        """See `Exchange`."""
        return "close" in self.headers.get("connection", "").lower() or self._version == "1.0"

    def look(self) -> None:
        """Look out for the end of the connection, of which ASGI tells only who asks, until `end`."""
        self._watching = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive_event())["type"] != "http.disconnect":
            pass
        if self.watched and self._task is not None:
            self.left = True
            self._task.cancel()

    def end(self) -> None:
        """The request is answered."""
        if self._watching is not None:
            self._watching.cancel()


def _upload_too_large(size: object, limit: int) -> TooLarge:
    return TooLarge(
        f"the body has {size} bytes; max_upload_size is {limit}", help="raise max_upload_size of the server"
    )


_PLAIN_ID = re.compile(r"[0-9A-Za-z_-]{1,200}").fullmatch


def _printable(text: str) -> bytes:
    return "".join(letter for letter in text[:200] if " " <= letter <= "~").encode()


class ClientWatches:
    """The requests of one application that came by ASGI, on whichever loop it runs.

    Most are answered soon and never cost a second task: one timer for all looks which are still there.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh: set[AsgiExchange] = set()
        self._aging: set[AsgiExchange] = set()
        self._ticking = False

    def add(self, exchange: AsgiExchange) -> None:
        """Look out for the client of a request, once it is watched and 0.05 to 0.1 seconds old."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._fresh, self._aging, self._ticking = loop, set(), set(), False
        self._fresh.add(exchange)
        if not self._ticking:
            self._ticking = True
            loop.call_later(_WATCH_AFTER, self._check_clients)

    def remove(self, exchange: AsgiExchange) -> None:
        """The request is answered."""
        self._fresh.discard(exchange)
        self._aging.discard(exchange)
        exchange.end()

    def _check_clients(self) -> None:
        watched = {exchange for exchange in self._aging if exchange.watched}
        for exchange in watched:
            exchange.look()
        self._aging, self._fresh = self._fresh | (self._aging - watched), set()
        self._ticking = bool(self._aging)
        if self._ticking and self._loop is not None:
            self._loop.call_later(_WATCH_AFTER, self._check_clients)


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


CALLER = "jina.caller"
"""Where the scope names the caller."""
_OPEN = frozenset({"/", "/livez", "/readyz", "/startupz"})
"""Paths of health checks by GET, which need no key."""
_SECRET = {KEY_HEADER.encode(), NAME_HEADER.encode(), b"authorization"}


Fail = Callable[[Exchange, JinaError], Awaitable[None]]
"""Answers with an error."""


class AccessGuard:
    """Lets those in who may call. `terms` are those of the answers to the others; with `cors` preflights pass.

    With `routes`, all that is behind it are routes of the user's own.
    """

    def __init__(
        self, access: Access, terms: Terms, *, cors: bool, routes: bool = False, fail: Fail | None = None
    ) -> None:
        self._fail = fail or Exchange.fail
        self._access = access
        self._terms = terms
        self._cors = cors
        self._routes = routes

    async def admits(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the request may go on; a refusal is answered here.

        Requests over HTTP are counted here, frames of a WebSocket as they come.
        """
        if CALLER in scope or scope["type"] not in {"http", "websocket"}:
            return True
        if scope["type"] == "http":
            names = {name.decode("latin-1") for name, _ in scope["headers"]}
            if self._is_open(scope["method"], _path_of(scope), names):
                return True
        try:
            caller = scope[CALLER] = self._caller(scope)
            path = _path_of(scope)
            caller.check_page(path)
            if self._routes:
                caller.check_route(path)
            if scope["type"] == "http":
                caller.take()
        except JinaError as error:
            await self._refuse(error, scope, receive, send)
            return False
        return True

    def admit(self, exchange: Exchange) -> None:
        """The same for a request to one of our own routes that no ASGI server brought; raises the refusal."""
        if not self._is_open(exchange.method, exchange.path, exchange.headers):
            caller = exchange.caller = self._access.caller(exchange.headers, exchange.client)
            caller.check_page(exchange.path)
            caller.take()

    async def opens_route(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether one who was let in may use a route of the user's own; a refusal is answered here."""
        caller: Caller | None = scope.get(CALLER)
        try:
            if caller is not None:
                caller.check_route(_path_of(scope))
        except PermissionDenied as error:
            await self._refuse(error, scope, receive, send)
            return False
        return True

    async def _refuse(self, error: JinaError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._fail(AsgiExchange(scope, receive, send, self._terms), error)
        else:
            await receive()  # websocket.connect
            await refuse_websocket(scope, send, error)

    def _is_open(self, method: str, path: str, names: Collection[str]) -> bool:
        if method == "OPTIONS":
            return self._cors and "origin" in names and "access-control-request-method" in names
        return method in {"GET", "HEAD"} and path in _OPEN

    def _caller(self, scope: Scope) -> Caller:
        shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _SECRET}
        address = (scope.get("client") or ("",))[0]
        caller = self._access.caller(shown, address)
        if self._access.closed:
            others = [(name, value) for name, value in scope["headers"] if name not in _SECRET]
            left = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]
            scope["headers"] = [*others, *left]
        return caller


def _path_of(scope: Scope) -> str:
    return scope["path"].removeprefix(scope.get("root_path", "")) or "/"


async def refuse_websocket(scope: Scope, send: Send, error: JinaError) -> None:
    """Refuse a handshake: as an HTTP response where the server can, else by closing."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
        return
    headers = [(b"content-type", JSON.encode())]
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error_body(error)})
