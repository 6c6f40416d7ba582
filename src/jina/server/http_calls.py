"""HTTP requests that carry documents, to the service and back; streams as server-sent events or JSON lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol

from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.errors import (
    BadRequest,
    Cancelled,
    DeadlineExceeded,
    JinaError,
    Unavailable,
    ValidationFailed,
    nearest,
)
from jina.net.limits import Gate
from jina.net.messages import as_jina_error, is_cancelled, new_request_id
from jina.net.service import EndpointInfo, LocalService, flat_fields
from jina.server.http import (
    DOCUMENTS,
    JSON_HEADER,
    Exchange,
    dumps,
    error_body,
    parameters_of,
    read_json,
    reply_parts,
)
from jina.server.plain_bodies import bare_answer, bare_items, read_plain
from jina.server.uploads import read_upload, read_url_form, remove_later, send_file, wants_file

EVENT_STREAM = "text/event-stream"
NDJSON = "application/x-ndjson"
PING_INTERVAL = 15.0
"""Seconds of silence after which a stream shows that it lives."""


class Framing(Protocol):
    """How documents stand in a stream."""

    content_type: bytes
    ping: bytes
    end: bytes

    def documents(self, items: list[bytes]) -> bytes:
        """The frames of documents, each given as JSON."""
        ...

    def failure(self, error: JinaError) -> bytes:
        """The frame of an error; nothing follows it."""
        ...


class Events:
    """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) with Jina 3's names."""

    content_type = b"text/event-stream; charset=utf-8"
    ping = b": ping\r\n\r\n"
    end = b"event: end\r\n\r\n"

    def documents(self, items: list[bytes]) -> bytes:
        """`event: update` for each document."""
        return b"event: update\r\ndata: " + b"\r\n\r\nevent: update\r\ndata: ".join(items) + b"\r\n\r\n"

    def failure(self, error: JinaError) -> bytes:
        """`event: error` with the body that a failed request has."""
        return b"event: error\r\ndata: " + error_body(error) + b"\r\n\r\n"


class Lines:
    """One JSON document a line; an empty line is a sign of life, `{"error": ...}` the last line of a failure."""

    content_type = b"application/x-ndjson"
    ping = b"\n"
    end = b""

    def documents(self, items: list[bytes]) -> bytes:
        """A line for each document."""
        return b"\n".join(items) + b"\n"

    def failure(self, error: JinaError) -> bytes:
        """A last line with the body that a failed request has."""
        return b'{"error":' + error_body(error) + b"}\n"


def framing_of(exchange: Exchange) -> Framing:
    """What the client asks for by Accept; server-sent events where it asks for nothing we know."""
    return Lines() if exchange.accepts(NDJSON) else Events()


async def send_stream(
    exchange: Exchange,
    framing: Framing,
    replies: AsyncGenerator[Reply],
    ping_interval: float = PING_INTERVAL,
    *,
    bare: EndpointInfo | None = None,
) -> None:
    """Write the replies as they come; the documents of one reply leave in one piece.

    With `bare`, those are of plain types, and values leave without the object around them.

    The response begins with the first document, so that an earlier error can still be an ordinary one. The
    stream is closed when this returns or is cancelled; the caller writes the last frame.
    """
    keep_alive = _KeepAlive(exchange, framing, ping_interval)
    try:
        async with aclosing(replies):
            async for reply in replies:
                items = reply.payload.json_items() if bare is None else bare_items(reply, bare)
                if items:
                    keep_alive.silent = False
                    if not exchange.started:
                        await keep_alive.start()
                    await exchange.write(framing.documents(items))
            await keep_alive.start()
    finally:
        keep_alive.stop()


class _KeepAlive:
    """Starts the response at the first document, or at the first sign of life when that takes long."""

    def __init__(self, exchange: Exchange, framing: Framing, interval: float) -> None:
        self.silent = True
        self._exchange = exchange
        self._framing = framing
        self._interval = interval
        self._beating = asyncio.create_task(self._beat())

    async def start(self) -> None:
        if not self._exchange.started:
            await self._exchange.start_stream(self._framing.content_type)

    def stop(self) -> None:
        self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self.silent:
                await self.start()
                await self._exchange.write(self._framing.ping)
            self.silent = True


TIMEOUT_HEADER = "x-request-timeout"
"""Seconds that the client will wait; after them the work is cancelled and the answer is 504."""
_HEADER_ROOM = 4096
"""Bytes of parameters that travel in a header; a reply with more, or with other than ASCII, is JSON."""
_DOCUMENTS_HEADER = (b"content-type", DOCUMENTS.encode())
_AS_JSON = frozenset({None, "", "application/json", DOCUMENTS})
"""The usual media types of bodies without files."""
_TRUE = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


async def answer_call(exchange: Exchange, gate: Gate, endpoint: str, info: EndpointInfo | None = None) -> None:
    """One request, one reply; `endpoint` may be empty where the body names it. `info` is what a GET needs, and an
    endpoint of plain types.
    """
    request = await read_request(exchange, gate, endpoint, info)
    if request.payload.uploads or (info is not None and wants_file(exchange, info)):
        await _answer_with_files(exchange, gate, request, info)
    else:
        await _answer(exchange, gate, request, info)


async def _answer_with_files(exchange: Exchange, gate: Gate, request: Request, info: EndpointInfo | None) -> None:
    """The same where files wait on disk meanwhile, or come back as they are."""
    request.handed_over = names = list(request.payload.uploads)
    raw = wants_file(exchange, info)
    request.json_reply = request.json_reply and not raw
    try:
        await _answer(exchange, gate, request, info, raw=raw)
    finally:
        remove_later(names)


async def _answer(
    exchange: Exchange, gate: Gate, request: Request, info: EndpointInfo | None, *, raw: bool = False
) -> None:
    try:
        reply = await guarded(exchange, gate.call(request), request.deadline)
    except ValidationFailed as error:
        _place_in_query(error, exchange)
        raise
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()] if reply.headers else []
    names = request.handed_over
    if raw and info is not None and names is not None and await send_file(exchange, reply, info, headers, names):
        return
    if not request.json_reply and not raw:
        parameters = dumps(reply.parameters) if reply.parameters else b""
        if len(parameters) <= _HEADER_ROOM and parameters.isascii():
            if parameters:
                headers.append((b"x-jina-parameters", parameters))
            await exchange.respond((reply.payload.to_bytes(),), _DOCUMENTS_HEADER, headers=headers)
            return
    if request.bare and info is not None:
        await exchange.respond((bare_answer(reply, request, info),), JSON_HEADER, headers=headers)
        return
    await exchange.respond(reply_parts(reply, request), JSON_HEADER, headers=headers)


async def answer_stream(exchange: Exchange, gate: Gate, endpoint: str, info: EndpointInfo | None) -> None:
    """One document, a stream of documents."""
    request = await read_request(exchange, gate, endpoint, info)
    framing = framing_of(exchange)
    try:
        bare = info if request.bare else None
        await guarded(exchange, send_stream(exchange, framing, gate.stream(request), bare=bare), request.deadline)
        last = framing.end
    except Cancelled:
        raise
    except Exception as error:
        if not exchange.started:
            if isinstance(error, ValidationFailed):
                _place_in_query(error, exchange)
            raise
        last = framing.failure(as_jina_error(error))
    finally:
        remove_later(request.payload.uploads)
    await exchange.write(last, more=False)


async def guarded(exchange: Exchange, work: Awaitable[Any], deadline: float | None) -> Any:
    """The result of the work, which is cancelled when the client leaves, the deadline passes or the server stops."""
    exchange.watched = True
    limit = None if deadline is None else asyncio.timeout(deadline - time.monotonic())
    try:
        if limit is None:
            return await work
        async with limit:
            return await work
    except TimeoutError:
        # Not the clock: loops run timers up to a millisecond early.
        if limit is None or not limit.expired():
            raise
        raise DeadlineExceeded(
            f"no answer within the {exchange.headers.get(TIMEOUT_HEADER)} s of {TIMEOUT_HEADER}"
        ) from None
    except asyncio.CancelledError as error:
        if not is_cancelled():
            raise as_jina_error(error) from None
        _forget_cancellation()
        if exchange.left:
            raise Cancelled("the client left") from None
        raise Unavailable("the server stopped before the answer was ready") from None
    finally:
        exchange.watched = False


def _forget_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def read_request(exchange: Exchange, gate: Gate, endpoint: str, info: EndpointInfo | None) -> Request:
    """The request that came, with its id and deadline; raises what is wrong with it, or that the caller may not."""
    headers = exchange.headers
    if exchange.method == "GET":
        request = _of_get(exchange, await exchange.body(), endpoint, info)
    else:
        as_json = (kind := headers.get("content-type")) in _AS_JSON
        found = None if as_json else await read_upload(exchange, info, exchange.terms.max_body)
        body = await exchange.body() if found is None else b""
        if found is None and info is not None and not as_json:
            found = read_url_form(kind or "", body, info, exchange.terms.max_body)
        if found is None:
            request = _of_post(exchange, body, endpoint, gate.service, info)
        else:
            request = _of_upload(exchange, found, endpoint, info)
    request.request_id = exchange.request_id = exchange.request_id or request.request_id or new_request_id()
    request.headers = headers
    request.json_reply = "accept" not in headers or not exchange.accepts(DOCUMENTS)
    if (text := headers.get(TIMEOUT_HEADER)) is not None:
        request.deadline = deadline_of(text)
    if exchange.caller is not None:
        exchange.caller.check(request.endpoint)
    return request


def _of_upload(exchange: Exchange, request: Request, endpoint: str, info: EndpointInfo | None) -> Request:
    """The request with files, with the parameters in its query."""
    request.endpoint = endpoint
    exchange.query_places |= {"form"}
    if info is not None and info.answers and info.parameters_schema is not None:
        request.parameters = _arguments_of(exchange.query(), info.parameters_schema)
    if text := exchange.query().get("parameters"):
        request.parameters = {**parameters_of(text, "query.parameters"), **request.parameters}
        exchange.query_places |= {"parameters"}
    return request


def _of_post(
    exchange: Exchange, body: bytes, endpoint: str, service: LocalService, info: EndpointInfo | None
) -> Request:
    """The request in a body: JSON, or the binary media type."""
    headers = exchange.headers
    if headers.get("content-type", "").startswith(DOCUMENTS):
        request = Request(endpoint, BytesPayload(body))
        if text := headers.get("x-jina-parameters"):
            request.parameters = parameters_of(text, "header.x-jina-parameters")
    elif info is not None and info.answers:
        request = read_plain(body, info)
        request.endpoint = request.endpoint or endpoint
        if request.bare and info.parameters_schema is not None:
            request.parameters = _arguments_of(exchange.query(), info.parameters_schema)
    else:
        request = read_json(body)
        request.endpoint = request.endpoint or endpoint
        if not request.endpoint:
            raise BadRequest("the body names no endpoint", help='send {"execEndpoint": "/...", "data": [...]}')
        if isinstance(request.payload, JsonPayload) and request.payload.single:
            take_out_docs(request, service)
    if exchange.query_string and (text := exchange.query().get("parameters")):
        request.parameters = {**parameters_of(text, "query.parameters"), **request.parameters}
        exchange.query_places |= {"parameters"}
    return request


def take_out_docs(request: Request, service: LocalService) -> None:
    """Read `{"data": {"docs": [...]}}`, which Jina 3 took with DocArray before 0.30, as the documents in the list.

    An endpoint whose documents have a field `docs` gets one document, as it is written.
    """
    if not isinstance(request.payload, JsonPayload) or not request.payload.may_wrap("docs"):
        return
    info = service.endpoints.get(request.endpoint) or service.endpoints.get("/default")
    if info is None or "docs" not in info.input_schema.get("properties", {}):
        request.payload = request.payload.unwrapped("docs")


def _of_get(exchange: Exchange, body: bytes, endpoint: str, info: EndpointInfo | None) -> Request:
    """The document of a GET request: its body, else the query parameters; `parameters` may be JSON in the query."""
    query = exchange.query()
    parameters = query.pop("parameters", None) if info is None or "parameters" not in info.flat_fields else None
    if body.strip():
        request = read_json(body, bare=True)
    else:
        request = Request("", JsonPayload([_document_of(query, info)], location=("query",), single=True))
        exchange.query_places |= {"documents"}
    request.endpoint = endpoint
    if parameters:
        request.parameters = parameters_of(parameters, "query.parameters")
        exchange.query_places |= {"parameters"}
    if info is not None and info.answers:
        request.bare = "one"
    return request


def _arguments_of(query: dict[str, str], schema: dict[str, Any]) -> dict[str, Any]:
    """The parameters that stand in a query by name."""
    kinds = flat_fields(schema)
    return {name: _converted_or_text(text, kinds[name]) for name, text in query.items() if name in kinds}


def _converted_or_text(text: str, kind: str) -> Any:
    try:
        return _converted(text, kind)
    except (ValueError, KeyError):
        return text


def _place_in_query(error: ValidationFailed, exchange: Exchange) -> None:
    """Name the places that are in the query so, whatever way the request went to the Executor."""
    places = exchange.query_places
    if not places:
        return
    for fault in error.errors:
        place = list(fault.get("loc", ()))
        inner = place[1:] if place[:1] == ["body"] else place
        if "parameters" in places and inner[:1] == ["parameters"]:
            moved = ["query", *inner]
        elif places & {"documents", "form"} and inner[:1] not in (["query"], ["form"], ["parameters"]):
            moved = ["query" if "documents" in places else "form", *_in_document(inner)]
        else:
            moved = place
        before, after = (".".join(map(str, one)) for one in (place, moved))
        if before and before != after:
            error.reword(error.message.replace(f": {before}: ", f": {after}: ", 1))
        fault["loc"] = moved


def _in_document(place: list[Any]) -> list[Any]:
    """A place in a document without what says which one: there is one in a query."""
    rest = place[1:] if place[:1] == ["data"] else place
    return rest[1:] if rest and isinstance(rest[0], int) else rest


def deadline_of(text: str) -> float | None:
    """The deadline that a client sets by `x-request-timeout`, in seconds of `time.monotonic()`.

    Raises `BadRequest` for other text.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise BadRequest(f"{TIMEOUT_HEADER}: {text!r} is not a number of seconds above 0")
    return time.monotonic() + seconds


def _document_of(query: dict[str, str], info: EndpointInfo | None) -> dict[str, Any]:
    fields = info.flat_fields if info is not None else {}
    open_ended = not fields or (info is not None and info.input_schema.get("additionalProperties", False) is not False)
    document = {}
    errors = []
    for name, text in query.items():
        if name not in fields and not open_ended:
            near = nearest(name, fields)
            hint = f"; did you mean {near!r}?" if near else ""
            errors.append(
                _query_error("extra_forbidden", name, f"{info and info.input_name} has no such field{hint}", text)
            )
            continue
        try:
            document[name] = _converted(text, fields.get(name, "string"))
        except (ValueError, KeyError):
            errors.append(_query_error(f"{fields[name]}_parsing", name, f"not a valid {fields[name]}", text))
    if errors:
        raise ValidationFailed("; ".join(f"query.{e['loc'][1]}: {e['msg']}" for e in errors), errors=errors)
    return document


def _converted(text: str, kind: str) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "boolean":
            return _TRUE[text.lower()]
        case _:
            return text


def _query_error(kind: str, name: str, message: str, value: str) -> dict[str, Any]:
    return {"type": kind, "loc": ["query", name], "msg": message, "input": value}
