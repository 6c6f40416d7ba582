"""HTTP and WebSocket bodies as seen from the server: requests read, replies and errors written.

A JSON request is Jina 3's `{"data": <document or list>, "parameters": {...}, "header": {...}}`, with
`execEndpoint` and `targetExecutor` where no path names the endpoint. A list, or an object with none of these
keys, is taken as the documents themselves. A binary body is one serialised `docarray.DocListProto`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from jina.errors import BadRequest, ExecutorError, JinaError, ValidationFailed
from jina.wire.messages import Reply, Request, Route
from jina.wire.payloads import JsonPayload

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
_KEYS = frozenset(_Envelope.__struct_fields__)


def read_json(body: bytes | str, *, bare: bool = False) -> Request:
    """The request in a JSON body; endpoint and id are empty where the body does not give them.

    With `bare` an object is a document whatever its keys are. Raises `BadRequest` for text that is no JSON and
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
    if data is _UNSET and all(getattr(envelope, key) is _UNSET for key in _KEYS):
        return Request(
            "", JsonPayload(b"[]") if not text.strip(b"{} \r\n\t") else JsonPayload(text, location=("body",))
        )
    header = envelope.header
    request = Request(
        envelope.execEndpoint or envelope.exec_endpoint or "",
        JsonPayload(b"[]" if isinstance(data, msgspec.UnsetType) else _checked_data(bytes(data))),
        target_executor=envelope.targetExecutor or envelope.target_executor or "",
    )
    if isinstance(header, _Header):
        request.request_id = header.request_id or header.requestId or ""
        request.target_executor = request.target_executor or header.target_executor or header.targetExecutor or ""
    if not isinstance(envelope.parameters, msgspec.UnsetType) and (given := bytes(envelope.parameters)) != b"{}":
        request.parameters = parameters_of(given)
    return request


def _checked_data(data: bytes) -> bytes:
    if data[:1] in {b"[", b"{"}:
        return data
    _checked_list(_loads(data))
    return b"[]"


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
    if not _KEYS & content.keys():
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


def parameters_of(text: bytes | str) -> dict[str, Any]:
    """The parameters in a JSON object; integers of any size are kept. Raises as `read_json` does."""
    return _checked_parameters(_loads(text))


def _checked_parameters(parameters: Any) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise ValidationFailed("parameters: not an object", errors=[_error(("parameters",), "dict_type", parameters)])
    return parameters


def _loads(text: bytes | str) -> Any:
    from jina.wire.json_text import refuse_halves

    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        value = json.loads(text)
        refuse_halves(data, value)
        return value
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def _error(where: tuple[str, ...], kind: str, value: Any, message: str = "Input has the wrong type") -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *where], "msg": message, "input": value}


def dumps(value: Any) -> bytes:
    """Compact JSON of parameters, errors and pages; what JSON has no form for is written as text."""
    try:
        return orjson.dumps(value, option=_JSON_OPTIONS)
    except TypeError:  # integers over 64 bits, sets, bytes, ...
        pass
    from jina.wire import json_text

    try:
        return json_text.dumps(value)
    except (TypeError, UnicodeEncodeError):  # halves of surrogate pairs, which JSON may have and UTF-8 may not
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def reply_parts(reply: Reply, request: Request, *, more: bool = False) -> tuple[bytes, bytes, bytes]:
    """The JSON body of a reply in three parts, so that large documents need not be copied.

    `more` tells that further replies to the same request follow.
    """
    return b'{"data":', reply.payload.to_json(), _reply_tail(reply, request, more=more)


def _reply_tail(reply: Reply, request: Request, *, more: bool) -> bytes:
    parameters = dumps(reply.parameters) if reply.parameters else b"{}"
    target = dumps(request.target_executor) if request.target_executor else b'""'
    return b'%b%b,"header":{"request_id":%b,"target_executor":%b%b}}' % (
        b',"parameters":',
        parameters,
        dumps(request.request_id),
        target,
        b',"more":true' if more else b"",
    )


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
