"""HTTP as seen from the caller: paths and forms of bodies, requests written, answers and errors read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import orjson

from jina.codec import parameters as wire_parameters
from jina.codec import pb
from jina.codec.messages import Payload, Request, Route
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.session_headers import HEADERS as STANDING
from jina.codec.session_headers import TOLD
from jina.errors import (
    BadRequest,
    BadServer,
    EndpointNotFound,
    JinaError,
    NotSupportedError,
    Overloaded,
    Unavailable,
    from_wire,
    nearest,
)
from jina.net.channel import Answer, CallOptions, Target

JSON = "application/json"
DOCUMENTS = "application/vnd.docarray.doclist+protobuf"
"""The media type of a serialised `docarray.DocListProto`, for requests and replies."""
PARAMETERS_HEADER = "x-jina-parameters"
HEADER_ROOM = 4096
"""Bytes of parameters that travel in a header; proxies refuse much larger ones."""
EVENT_STREAM = "text/event-stream"


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
        raise BadServer(f"{target} answered with no JSON that jina knows: {error}") from None
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
        raise BadRequest(f"{request_path} is no generator", help="call it with post")


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
