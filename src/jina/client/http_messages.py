"""HTTP/1.1 as seen from the caller, without I/O: requests are written, responses, answers and errors are read.

`Outbound` is one request on its way, with its redirects; `Inbound` reads one response out of bytes.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.request
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookies import SimpleCookie
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

import httptools
import msgspec
import orjson

from jina.codec import parameters as wire_parameters
from jina.codec import pb
from jina.codec.messages import Payload, Request, Route
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.session_headers import HEADERS as STANDING
from jina.codec.session_headers import TOLD
from jina.errors import (
    BadClient,
    BadRequest,
    BadServer,
    ConfigError,
    DeadlineExceeded,
    EndpointNotFound,
    JinaError,
    NotSupportedError,
    Overloaded,
    TooLarge,
    Unavailable,
    from_wire,
    nearest,
)
from jina.net.channel import Answer, CallOptions, ChannelSettings, Target, unreachable
from jina.net.tls import client_context

JSON = "application/json"
DOCUMENTS = "application/vnd.docarray.doclist+protobuf"
"""The media type of a serialised `docarray.DocListProto`, for requests and replies."""
PARAMETERS_HEADER = "x-jina-parameters"
HEADER_ROOM = 4096
"""Bytes of parameters that travel in a header; proxies refuse much larger ones."""
EVENT_STREAM = "text/event-stream"
_MOST_HEAD = 256 * 1024
"""Bytes that the head of a response may have."""
_PIECE = 256 * 1024
"""Bytes that are read at once, and up to which head and body are sent as one piece."""
_REDIRECTS = 10
_BREAKS = re.compile(rb"[\r\n\0]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def parameters_json(request: Request) -> bytes:
    """The parameters as JSON, empty for none; what JSON lacks is written as on gRPC."""
    if not request.parameters:
        return b""
    carrier = pb.DataRequestProto()
    wire_parameters.write(request.parameters, carrier)
    return carrier.parameters_json


def json_body(request: Request, *, endpoint: str = "") -> bytes:
    """The request as JSON; `endpoint` adds the `execEndpoint` of Jina's older servers."""
    header: dict[str, str] = {"request_id": request.request_id}
    if request.target_executor:
        header["target_executor"] = request.target_executor
    parts = [b'{"data":', request.payload.to_json(), b',"header":', orjson.dumps(header)]
    if parameters := parameters_json(request):
        parts += [b',"parameters":', parameters]
    if endpoint:
        parts += [b',"execEndpoint":', orjson.dumps(endpoint)]
    return b"".join((*parts, b"}"))


class Headers(Protocol):
    """Headers of an answer, names in any case."""

    def get(self, name: str, default: str, /) -> str:
        """The value of a header."""
        ...


class _Body(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"[]")
    parameters: dict[str, Any] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


class HttpAnswer:
    """An answer in an HTTP body; the documents stay as they came until they are asked for."""

    error: JinaError | None = None

    def __init__(self, payload: Payload, parameters: dict[str, Any], request: Request, headers: Headers) -> None:
        self.payload = payload
        self.parameters = parameters
        self.headers = {name: value for name in TOLD if (value := headers.get(name, ""))}
        self.request_id = request.request_id
        self._endpoint = request.endpoint
        self._target_executor = request.target_executor

    @cached_property
    def message(self) -> Any:
        """The header as a `jina.DataRequestProto`; the documents stay in `payload`."""
        message = pb.DataRequestProto()
        message.header.request_id = self.request_id
        message.header.exec_endpoint = self._endpoint
        if self._target_executor:
            message.header.target_executor = self._target_executor
        return message


def read_answer(headers: Headers, body: bytes, request: Request, target: Target) -> HttpAnswer:
    """The answer in a body: JSON, or the documents in protobuf with the parameters in a header."""
    if headers.get("content-type", "").startswith(DOCUMENTS):
        parameters = headers.get(PARAMETERS_HEADER, "")
        return HttpAnswer(BytesPayload(body), json.loads(parameters) if parameters else {}, request, headers)
    try:
        content = _decode_body(body)
    except msgspec.DecodeError as error:
        raise BadServer(f"{target} did not answer with JSON of a jina service: {error}") from None
    documents = bytes(content.data)
    payload = JsonPayload(b"[]" if documents == b"null" else documents)
    return HttpAnswer(payload, content.parameters or {}, request, headers)


def refuse_stream(headers: Headers, request_path: str) -> None:
    """Raise when a stream came where one answer was asked for; it may never end."""
    if headers.get("content-type", "").startswith(EVENT_STREAM):
        raise BadRequest(f"{request_path} is a generator", help="call it with stream_doc")


def need_stream(headers: Headers, request_path: str) -> None:
    """Raise when one answer came where a stream was asked for."""
    if headers.get("content-type", "").startswith(JSON):
        raise BadRequest(f"{request_path} is not a generator", help="call it with post")


def http_error(status: int, body: bytes, target: Target, headers: Headers | None = None) -> JinaError:
    """The error that an answer with status >= 400 stands for, with the hint of its `Retry-After`."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = {"detail": body[:300].decode("utf-8", "replace")}
    if not isinstance(content, Mapping):
        content = {"detail": str(content)}
    error = error_of(content, target, status)
    hint = headers.get("retry-after", "") if headers is not None else ""
    if isinstance(error, Overloaded | Unavailable) and hint and "retry_after" not in content:
        error.retry_after = _hinted(hint)
    return error


def _hinted(text: str) -> float:
    """Seconds in a `Retry-After`: a number of them, or a date (RFC 9110, 10.2.3); 1 for anything else."""
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    return max(0.0, (at - datetime.now(at.tzinfo)).total_seconds())


def error_of(content: Mapping[str, Any], target: Target, status: int) -> JinaError:
    """The error that a JSON body with `detail` describes."""
    name = str(content.get("code") or "")
    detail = content.get("detail")
    details = dict(content)
    if isinstance(detail, list):  # a validation report; Jina 3's servers send nothing else
        details["errors"] = detail
        message = str(content.get("title") or "; ".join(_sentence(item) for item in detail))
    else:
        message = str(detail or content.get("title") or f"HTTP status {status}")
    if not name:
        message = f"{target} answered {status}: {message}"
    error = from_wire(name, message, details, http_status=status)
    error.routes = _routes_of(content.get("routes"))
    return error


def _routes_of(entry: Any) -> list[Route]:
    """What the request has visited, where the server says so in the form of ours."""
    try:
        return [msgspec.convert(one, Route) for one in entry or ()]
    except (TypeError, msgspec.ValidationError):
        return []


def check_dry_run(status: int, body: bytes, target: Target) -> list[Route]:
    """Raise what `GET /dry_run` found wrong; a peer without that path serves as soon as it answers.

    Gives the server and the Executors that it has asked, where it says so.
    """
    if status == 404:
        return []
    if status >= 400:
        raise http_error(status, body, target)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = {}
    if isinstance(content, dict) and content.get("code"):
        raise Unavailable(f"{target} is not ready: {content.get('description', '')}")
    return _routes_of(content.get("routes")) if isinstance(content, dict) else []


def _sentence(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}"


class Events:
    """Server-sent events out of lines (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._event = ""
        self._data: list[bytes] = []
        self.ended = False

    def feed(self, line: bytes) -> JsonDocument | None:
        """Take one line; give the document when the line completes one. Raises what an error event says."""
        line = line.rstrip(b"\r\n")
        if line:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"event":
                self._event = value.decode()
            elif name == b"data":
                self._data.append(value)
            return None
        event, data, self._event, self._data = self._event, b"\n".join(self._data), "", []
        if event == "end":
            self.ended = True
        elif event == "error":
            raise self._failure(data)
        elif data:
            return JsonDocument(data)
        return None

    def finish(self) -> None:
        """The peer closed; raise when it did so in the middle."""
        if not self.ended:
            raise BadServer(f"{self._target} cut the stream before its end; its log has the reason")

    def _failure(self, data: bytes) -> JinaError:
        content = orjson.loads(data) if data else {}
        status = content.get("status") if isinstance(content, dict) else None
        if not isinstance(content, dict):
            content = {"detail": content}
        return error_of(content, self._target, status if isinstance(status, int) else 500)


class JsonDocument:
    """One document of a stream, as JSON."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        return codec.decode_json([orjson.loads(self._data)])[0]


_ACCEPT = f"{DOCUMENTS}, {JSON};q=0.9"
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
            parameters = parameters_json(request).decode()
            if len(parameters) <= HEADER_ROOM:
                headers["content-type"] = DOCUMENTS
                headers["x-request-id"] = request.request_id
                if parameters:
                    headers[PARAMETERS_HEADER] = parameters
                return Outgoing(path, headers, request.payload.to_bytes())
        headers["content-type"] = JSON
        legacy = request.endpoint if path == "/post" else ""
        return Outgoing(path, headers, json_body(request, endpoint=legacy))

    def answer(self, request: Request, headers: Headers, body: bytes) -> Answer:
        """The answer in a body; one in protobuf shows that the peer takes protobuf."""
        answer = read_answer(headers, body, request, self._target)
        self.binary = self.binary or headers.get("content-type", "").startswith(DOCUMENTS)
        return answer

    @property
    def asks_for_forms(self) -> bool:
        """True while it is not known whether the peer takes protobuf."""
        return not self.binary and not self._asked

    def heard(self, headers: Headers) -> None:
        """The peer's answer to OPTIONS."""
        self._asked = True
        self.binary = DOCUMENTS in headers.get("accept-post", "")

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
    headers = {**call_headers(options), "accept": EVENT_STREAM, "content-type": JSON}
    path = path_of(request.endpoint)
    yield "POST", Outgoing(path, headers, json_body(request))
    yield "GET", Outgoing(path, headers, request.payload.json_items()[0])


def _paths_of(body: bytes) -> Mapping[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    paths = content.get("paths", {}) if isinstance(content, dict) else {}
    return paths if isinstance(paths, dict) else {}


def json_request(path: str, value: object, options: CallOptions) -> Outgoing:
    """The POST of a value as JSON."""
    return Outgoing(path, {**call_headers(options), "content-type": JSON}, orjson.dumps(value))


def graphql_result(status: int, body: bytes, target: Target) -> dict[str, Any]:
    """The `{"data": ...}` of an answer of `/graphql` (https://graphql.org/learn/serving-over-http/).

    Raises what its `errors` say.
    """
    if status == 404:
        raise NotSupportedError(
            f"mutate: {target} has no /graphql",
            help="call the endpoints with `post`, as GET /docs of the service shows them",
        )
    if status >= 400:
        raise http_error(status, body, target)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadServer(f"{target} answered /graphql with a body that is not JSON: {error}") from error
    if errors := content.get("errors"):
        raise BadClient("; ".join(str(error.get("message", error)) for error in errors))
    return dict(content)


# --- requests and responses on a connection ------------------------------------------------------------------


class Proxy(NamedTuple):
    """Where requests go instead, and the header that it wants."""

    host: str
    port: int
    authorization: str = ""


class Destination(NamedTuple):
    """What a connection leads to; connections to equal destinations are interchangeable."""

    target: Target
    context: ssl.SSLContext | None
    proxy: Proxy | None

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        return (self.target.host, self.target.port) if self.proxy is None else (self.proxy.host, self.proxy.port)

    @property
    def tunnel(self) -> bytes:
        """What opens a way through a proxy that cannot read what passes; empty where none is needed."""
        return self.opening if self.context is not None else b""

    @property
    def opening(self) -> bytes:
        """The CONNECT request to the proxy; empty without one."""
        if self.proxy is None:
            return b""
        headers = {"host": self.target.authority}
        if self.proxy.authorization:
            headers["proxy-authorization"] = self.proxy.authorization
        return _head("CONNECT", self.target.authority, headers)


class Routing:
    """Where requests of one channel go. TLS contexts are made once, as they take milliseconds."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self.target = target
        self._settings = settings
        self._contexts: dict[bool, ssl.SSLContext] = {}
        # Invalid certificate files are an error of the client's start.
        self._direct = Destination(target, self._context(verified=True) if target.tls else None, None)

    def destination(self, target: Target, options: CallOptions) -> Destination:
        """Where a call to a target goes."""
        extra = options.extra
        if target is self.target and not extra and not self._settings.use_proxy:
            return self._direct
        proxy = None
        if extra.get("proxy"):
            proxy = _proxy(str(extra["proxy"]), extra.get("proxy_auth"))
        elif self._settings.use_proxy and not urllib.request.proxy_bypass(target.host):
            url = urllib.request.getproxies().get("https" if target.tls else "http")
            proxy = _proxy(url, extra.get("proxy_auth")) if url else None
        return Destination(target, self._tls(extra.get("ssl")) if target.tls else None, proxy)

    def _tls(self, asked: Any) -> ssl.SSLContext:
        if isinstance(asked, ssl.SSLContext):
            return asked
        if asked not in {None, True, False}:
            raise ConfigError(f"ssl: {asked!r} is neither an ssl.SSLContext nor a bool")
        return self._context(verified=asked is not False)

    def _context(self, *, verified: bool) -> ssl.SSLContext:
        if verified not in self._contexts:
            context = client_context(self._settings.tls)
            if not verified:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[verified] = context
        return self._contexts[verified]


def _proxy(url: str, login: Any) -> Proxy:
    parts = urlsplit(url if "//" in url else f"//{url}")
    if login is None and parts.username is not None:
        login = (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(parts.hostname or "", parts.port or 80, _basic(login, "proxy_auth") if login is not None else "")


def _basic(login: Any, option: str) -> str:
    if not isinstance(login, tuple | list) or len(login) < 2:
        raise ConfigError(f"{option}: {login!r} is not a pair of a name and a password")
    return f"Basic {b64encode(f'{login[0]}:{login[1]}'.encode()).decode()}"


class Outbound:
    """A request and where it goes, which redirects change."""

    def __init__(self, method: str, outgoing: Outgoing, options: CallOptions, routing: Routing) -> None:
        self._method = method
        self._options = options
        self._routing = routing
        self._body = outgoing.body
        self._headers = _with_extra(outgoing.headers, options.extra)
        self._path = outgoing.path
        if params := options.extra.get("params"):
            self._path += ("&" if "?" in self._path else "?") + (
                params if isinstance(params, str) else urlencode(params)
            )
        self._left = int(options.extra.get("max_redirects", _REDIRECTS))
        self.destination = routing.destination(routing.target, options)

    def pieces(self) -> tuple[bytes, ...]:
        """What is sent."""
        to, path = self.destination, self._path
        headers = {"host": to.target.authority, "accept-encoding": "identity", **self._headers}
        if to.proxy is not None and to.context is None:
            path = f"http://{to.target.authority}{path}"
            if to.proxy.authorization:
                headers["proxy-authorization"] = to.proxy.authorization
        if self._body or self._method == "POST":
            headers["content-length"] = str(len(self._body))
        head = _head(self._method, path, headers)
        return (head + self._body,) if len(self._body) <= _PIECE else (head, self._body)

    def follows(self, response: Inbound) -> bool:
        """Whether the response sends the request elsewhere, where it goes from now on."""
        where = response.headers.get("location", "")
        if response.status not in {301, 302, 303, 307, 308} or not where:
            return False
        if not self._options.extra.get("allow_redirects", True):
            return False
        before = self.destination.target
        if self._left <= 0:
            raise BadServer(f"{self._routing.target} redirects too often, last to {where}")
        self._left -= 1
        parts = urlsplit(urljoin(f"{before}{self._path}", where))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadServer(f"{before} redirects to {where!r}, which is not an http:// or https:// URL")
        tls = parts.scheme == "https"
        target = Target(parts.scheme, parts.hostname, parts.port or (443 if tls else 80), tls)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if target != before:
            self._headers = {name: value for name, value in self._headers.items() if name not in _SECRETS}
            self.destination = self._routing.destination(target, self._options)
        if response.status == 303 or (response.status in {301, 302} and self._method == "POST"):
            self._method, self._body = "GET", b""
            self._headers.pop("content-type", None)
        return True


_SECRETS = {"authorization", "cookie", "x-api-key", "proxy-authorization"}
"""Headers that are for one server alone."""


def _with_extra(headers: Mapping[str, str], extra: Mapping[str, Any]) -> dict[str, str]:
    """The headers with what the arguments of the call say in other words."""
    found = dict(headers)
    if extra.get("auth") is not None:
        found["authorization"] = _basic(extra["auth"], "auth")
    if extra.get("cookies"):
        cookies: SimpleCookie = SimpleCookie({str(name): str(value) for name, value in dict(extra["cookies"]).items()})
        found["cookie"] = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in cookies.items())
    return found


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode()]
    for name, value in headers.items():
        key, text = name.encode("ascii", "replace"), _encoded(value)
        if _BREAKS.search(text) or not _TOKEN.fullmatch(key):
            raise ConfigError(f"headers: {name!r} with the value {value!r} cannot be sent")
        lines.append(b"%b: %b" % (key, text))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class Inbound:
    """One response, out of the bytes that come; `limit` is for its body, None where it is taken in pieces."""

    def __init__(self, target: Target, limit: int | None) -> None:
        self._target = target
        self._limit = limit
        self.streams = limit is None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun = False
        """Whether the head is there."""
        self.complete = False
        self.reusable = False
        """Whether the connection may carry another request."""
        self.size = 0
        """Bytes that wait to be taken."""
        self._pieces: list[bytes] = []
        self._heard = self._body = 0
        self._length: int | None = None
        self._left: int | None = None
        self._inflate: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)

    # --- httptools' callbacks, in which nothing may be raised ---------------------------------------------

    def on_message_begin(self) -> None:
        """What begins after the answer is another one, which was not asked for."""
        self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of what follows a chunked body."""
        if not self.begun:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is there, of an answer or of something that only says that one follows."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            return
        self.begun = True
        length = self.headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() and "transfer-encoding" not in self.headers else None
        encoding = self.headers.get("content-encoding", "").lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            return
        self._pieces.append(data)
        self.size += len(data)
        self._body += len(data)

    def on_message_complete(self) -> None:
        """Nothing of this response follows."""
        if self.begun and not self.complete:
            self.complete = True
            self.reusable = bool(self._parser.should_keep_alive())

    # --- what connections call ----------------------------------------------------------------------------

    @property
    def wanted(self) -> int:
        """Bytes to read at once."""
        return min(max(self._left or 0, 1 << 16), _PIECE)

    def feed(self, data: bytes) -> None:
        """Take what came. Raises a `JinaError` for what is no HTTP, or is too large."""
        if self._left is None:
            self._parse(data)
        else:
            self.on_body(data if len(data) <= self._left else data[: self._left])
            self._left -= len(data)
            self.complete = self._left <= 0
            self.reusable = self.reusable and self._left >= 0
        if self._limit is not None and max(self._length or 0, self.size) > self._limit:
            raise self._too_large()

    def _parse(self, data: bytes) -> None:
        self._heard += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                raise BadServer(f"{self._target} does not speak HTTP/1.1 ({error}); is it a port for gRPC?") from error
            self.reusable = False  # what follows the answer is nothing that was asked for
        if not self.begun and self._heard > _MOST_HEAD:
            raise BadServer(f"the head of the answer of {self._target} has more than {_MOST_HEAD} bytes")
        if self.begun and not self.complete and self._length is not None:
            # The parser has nothing more to say, and would copy each byte.
            self.reusable = bool(self._parser.should_keep_alive())
            self._left = self._length - self._body

    def finish(self) -> None:
        """The peer closed the connection. Raises `Unavailable` where something of the response is missing."""
        self.reusable = False
        if self.complete:
            return
        if not self.begun:
            raise Unavailable(f"{self._target} closed the connection before it answered")
        if self._length is not None or "transfer-encoding" in self.headers:
            raise Unavailable(f"{self._target} closed the connection in the middle of its answer")
        self.complete = True  # its end is that of the connection

    def take(self) -> bytes:
        """What came of the body since the last time: all of it where the response is complete."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        if self._inflate is None or not data:
            return data
        try:
            data = self._inflate.decompress(data, (self._limit or 0) + 1 if self._limit is not None else 0)
        except zlib.error as error:
            raise BadServer(f"{self._target} sent a body that cannot be unpacked: {error}") from error
        if self._limit is not None and len(data) > self._limit:
            raise self._too_large()
        return cast("bytes", data)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the answer of {self._target} is over max_message_size, {self._limit} bytes")


class Lines:
    """Pieces of a text as lines; `limit` is for the bytes of one."""

    def __init__(self, target: Target, limit: int) -> None:
        self._target = target
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limit:
            raise TooLarge(f"a document of {self._target} is over max_message_size, {self._limit} bytes")
        return lines

    def finish(self) -> list[bytes]:
        """The last line, where nothing ends it."""
        return [self._rest] if self._rest else []


def failure_of(error: BaseException, target: Target, timeout: float | None) -> BaseException:
    """The error of ours that a failure of an exchange is; else the failure."""
    match error:
        case JinaError():  # before OSError: some of ours are such errors too
            return error
        case TimeoutError(errno=None):  # else it is the system's: nothing is heard of the other end
            return DeadlineExceeded(f"{target} did not answer within {timeout} s")
        case OSError():
            return unreachable(target, f"cannot reach {target}: {error}", str(error))
    return error


def check_tunnel(response: Inbound, to: Destination) -> None:
    """Raise unless a proxy opened the way that `Destination.tunnel` asks for."""
    if response.status // 100 != 2:
        raise Unavailable.unreached(
            f"cannot reach {to.target}: the proxy answered {response.status} to CONNECT",
            help="correct `proxy` and `proxy_auth` of the client (or HTTPS_PROXY), or allow the proxy to connect there",
        )
