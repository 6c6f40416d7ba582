"""Bodies of endpoints of plain types: the bare object or list, and its answer; Jina 3's envelope beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from jina.codec.json_text import loads
from jina.codec.messages import Reply, Request
from jina.codec.payloads import JsonPayload
from jina.errors import ValidationFailed
from jina.net.service import EndpointInfo
from jina.server.http import ENVELOPE_KEYS, read_json

_VALUE = b'{"value":'
_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_plain(body: bytes, info: EndpointInfo) -> Request:
    """The request in the body of an endpoint of plain types.

    Raises `BadRequest` for text that is not JSON and `ValidationFailed` for JSON of another shape.
    """
    text = body.strip()
    if not text:
        return Request("", JsonPayload(b"{}" if info.is_single else b"[]", location=("body",)), bare="one")
    if text[:1] == b"{" and _is_envelope(text, info):
        request = read_json(text)
        if info.input_is_value and isinstance(request.payload, JsonPayload):
            _wrap(request.payload)
        return request
    if text[:1] in b"{[":
        payload = JsonPayload(text, location=("body",))
    elif info.input_is_value:
        loads(text)
        payload = JsonPayload(_VALUE + text + b"}", location=("body",))
    else:
        loads(text)
        raise ValidationFailed(
            "the body is neither a JSON object nor a list",
            errors=[{"type": "dict_type", "loc": ["body"], "msg": "Input has the wrong type", "input": None}],
        )
    if info.input_is_value:
        _wrap(payload)
    return Request("", payload, bare="one" if payload.single else "many")


def _is_envelope(text: bytes, info: EndpointInfo) -> bool:
    """Whether an object is Jina 3's envelope rather than the input itself, which may have fields of those names."""
    if not any(b'"%b"' % key in text for key in _KEYS):
        return False
    try:
        keys = _raw_object(text).keys()
    except (msgspec.DecodeError, UnicodeDecodeError):
        keys = loads(text).keys()
    ours = (keys & ENVELOPE_KEYS) - info.input_schema.get("properties", {}).keys()
    return bool(ours) and ("data" in ours or keys <= ENVELOPE_KEYS)


_KEYS = [key.encode() for key in sorted(ENVELOPE_KEYS)]


def _wrap(payload: JsonPayload) -> None:
    """Make each value of a payload an object with the field `value`, as values are between our processes."""
    text = payload.text or b"[]"
    try:
        if payload.single:
            payload.text = _wrapped(text)
        else:
            payload.text = b"[" + b",".join(_wrapped(bytes(item)) for item in _raw_list(text)) + b"]"
    except (msgspec.DecodeError, UnicodeDecodeError):
        loads(text)


def _wrapped(item: bytes) -> bytes:
    item = item.strip()
    if item[:1] == b"{" and _raw_object(item).keys() == {"value"}:
        return item
    return _VALUE + item + b"}"


def bare_answer(reply: Reply, request: Request, info: EndpointInfo) -> bytes:
    """The JSON body that answers a request without an envelope."""
    if not info.output_is_value and info.answers == "many":
        return reply.payload.to_json()
    items = bare_items(reply, info)
    if info.answers == "one" or (info.answers == "each" and request.bare == "one" and len(items) == 1):
        return items[0] if items else b"null"
    return b"[" + b",".join(items) + b"]"


def bare_items(reply: Reply, info: EndpointInfo) -> list[bytes]:
    """The answers one by one as JSON, values without the object around them."""
    if not info.output_is_value:
        return _single_or_each(reply)
    return [unwrapped(item) for item in reply.payload.json_items()]


def _single_or_each(reply: Reply) -> list[bytes]:
    if len(reply.payload) == 1:
        return [reply.payload.to_json()[1:-1]]
    return reply.payload.json_items()


def unwrapped(item: bytes) -> bytes:
    """A value as JSON, without the object around it that it has between our processes."""
    if item.startswith(_VALUE):
        return item[len(_VALUE) : -1]
    fields: dict[str, Any] = _raw_object(item)
    return bytes(fields["value"]) if "value" in fields else item
