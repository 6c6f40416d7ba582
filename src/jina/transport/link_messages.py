"""Requests, replies and errors as meta and body of the messages of a link."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from jina.errors import BadServer, JinaError, TooLarge
from jina.observe.traces import HEADERS as TRACING
from jina.transport.link_frames import JSON, LEAST_LIMIT, Buffer
from jina.transport.service import EndpointInfo
from jina.wire import parameters as wire_parameters
from jina.wire import pb, status
from jina.wire.messages import Payload, Reply, Request, Route
from jina.wire.payloads import BytesPayload, JsonPayload
from jina.wire.standing import PASSED_ON

HEADERS_ROOM = 8 * 1024
"""Bytes of headers that travel where these and the parameters are more; those that identify a trace come first."""
_DEFAULT_LOCATION = ("body", "data")


class _Part(msgspec.Struct, array_like=True):
    """Documents in the body: how many bytes, and in which form."""

    size: int
    is_json: bool = False
    location: list[str | int] | None = None
    single: bool = False


class _RequestMeta(msgspec.Struct, array_like=True):
    endpoint: str
    request_id: str
    target_executor: str = ""
    json_reply: bool = False
    remaining: float | None = None
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    exact: str = ""
    """The parameters as JSON, where msgpack has no form for them."""
    location: list[str | int] | None = None
    single: bool = False
    branches: list[tuple[str, _Part | None]] | None = None
    """None stands for the documents of the request itself."""


class _ReplyMeta(msgspec.Struct, array_like=True):
    parameters: dict[str, Any] = {}
    exact: str = ""
    routes: list[tuple[str, float, float]] = []
    headers: dict[str, str] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(_RequestMeta).decode
_decode_reply = msgspec.msgpack.Decoder(_ReplyMeta).decode


def write_request(request: Request, limit: int) -> tuple[int, bytes, Buffer]:
    """Flags, meta and body; raises `TooLarge` for a body above `limit` bytes and `BadClientInput` for parameters."""
    is_json, location, single, body = _form(request.payload)
    meta = _RequestMeta(
        request.endpoint,
        request.request_id,
        request.target_executor,
        request.json_reply,
        None if request.deadline is None else request.deadline - time.monotonic(),
        location=location,
        single=single,
    )
    if request.branches is not None:
        meta.branches, body = _branches(request, body)
    _within(limit, len(body), "documents of the request")
    headers = request.headers
    if headers:
        meta.headers = headers if type(headers) is dict else dict(headers)
    data = _encoded(meta, request.parameters)
    if headers and len(data) > HEADERS_ROOM:
        meta.headers = _chosen(headers)
        data = _encode(meta)
    _within(max(limit, LEAST_LIMIT), len(data), "parameters of the request")
    return JSON if is_json else 0, data, body


def read_request(flags: int, data: Buffer, body: Buffer) -> Request:
    """The request that `write_request` wrote; raises `msgspec.MsgspecError` or ValueError for garbage."""
    meta = _decode_request(data)
    branches: list[tuple[str, Payload]] | None = None
    if meta.branches is None:
        payload = _payload(body, flags & JSON, meta.location, single=meta.single)
    else:
        at = len(body) - sum(part.size for _, part in meta.branches if part is not None)
        payload = _payload(body[:at], flags & JSON, meta.location, single=meta.single)
        branches = []
        for name, part in meta.branches:
            if part is None:
                branches.append((name, payload))
            else:
                data = body[at : at + part.size]
                branches.append((name, _payload(data, part.is_json, part.location, single=part.single)))
                at += part.size
    return Request(
        meta.endpoint,
        payload,
        json.loads(meta.exact) if meta.exact else meta.parameters,
        meta.request_id,
        meta.target_executor,
        meta.headers,
        None if meta.remaining is None else time.monotonic() + meta.remaining,
        meta.json_reply,
        branches,
    )


def write_reply(reply: Reply, request: Request, limit: int) -> tuple[int, bytes, Buffer]:
    """Flags, meta and body in the form that the request asks for; raises `TooLarge` and what the payload raises."""
    payload = reply.payload
    body: Buffer
    if request.json_reply:
        body = payload.to_json()
    else:
        body = payload.data if isinstance(payload, BytesPayload) else payload.to_bytes()
    _within(limit, len(body), "documents of the reply")
    meta = b""
    if reply.parameters or reply.routes or reply.headers:
        visited = [(route.executor, route.start_time, route.end_time) for route in reply.routes]
        meta = _encoded(_ReplyMeta(routes=visited, headers=reply.headers or {}), reply.parameters)
        _within(max(limit, LEAST_LIMIT), len(meta), "parameters of the reply")
    return JSON if request.json_reply else 0, meta, body


def read_reply(flags: int, data: Buffer, body: Buffer) -> Reply:
    """The reply that `write_reply` wrote."""
    payload = _payload(body, flags & JSON, None, single=False)
    if not data:
        return Reply(payload)
    meta = _decode_reply(data)
    parameters = json.loads(meta.exact) if meta.exact else meta.parameters
    return Reply(payload, parameters, [Route(*route) for route in meta.routes], meta.headers or None)


def write_error(error: JinaError) -> bytes:
    """The error as the serialised `jina.StatusProto` that gRPC carries."""
    message = pb.StatusProto()
    status.write_error(error, message)
    data: bytes = message.SerializeToString()
    if len(data) <= LEAST_LIMIT:
        return data
    message.ClearField("details_json")
    message.ClearField("exception")
    message.description = message.description[: LEAST_LIMIT // 16]
    shortened: bytes = message.SerializeToString()
    return shortened


def read_error(data: Buffer) -> JinaError:
    """The error that `write_error` wrote; raises `google.protobuf.message.DecodeError` for garbage."""
    return status.read_error(pb.StatusProto.FromString(bytes(data))) or BadServer("an error without a description")


def write_endpoints(endpoints: Mapping[str, EndpointInfo]) -> bytes:
    """The descriptions of endpoints."""
    data = json.dumps([asdict(info) for info in endpoints.values()], default=dict).encode()
    _within(LEAST_LIMIT, len(data), "descriptions of the endpoints")
    return data


def read_endpoints(data: bytes) -> dict[str, EndpointInfo]:
    """What `write_endpoints` wrote, by path."""
    return {info.path: info for info in msgspec.convert(json.loads(data), list[EndpointInfo])}


def _within(limit: int, size: int, what: str) -> None:
    if size > limit:
        raise TooLarge(
            f"the {what} have {size} bytes; max_message_size is {limit}",
            help="send fewer documents per request (request_size), or raise max_message_size",
        )


def _encoded(meta: _RequestMeta | _ReplyMeta, parameters: Mapping[str, Any]) -> bytes:
    if not parameters:
        return _encode(meta)
    plain = wire_parameters.plain(parameters)
    meta.parameters = plain
    try:
        return _encode(meta)
    except (OverflowError, UnicodeEncodeError, TypeError):
        # Integers over 64 bits and lone surrogates.
        meta.parameters = {}
        meta.exact = json.dumps(plain)
        return _encode(meta)


def _chosen(headers: Mapping[str, str]) -> dict[str, str]:
    """As many headers as have room."""
    chosen: dict[str, str] = {}
    room = HEADERS_ROOM
    for name in (*TRACING, *PASSED_ON, *headers):
        value = headers.get(name)
        if value is not None and name not in chosen and len(name) + len(value) <= room:
            chosen[name] = value
            room -= len(name) + len(value)
    return chosen


def _form(payload: Payload) -> tuple[bool, list[str | int] | None, bool, Buffer]:
    """Whether it travels as JSON, what the places of faults start with there, whether as one object, and the bytes."""
    if isinstance(payload, BytesPayload):
        return False, None, False, payload.data
    if isinstance(payload, JsonPayload):
        raw = payload._raw  # noqa: SLF001 - `to_json` would parse an object in order to wrap it
        data = _json_of(payload) if raw is None else raw
        location = None if payload.location == _DEFAULT_LOCATION else list(payload.location)
        return True, location, payload.single, data
    return False, None, False, payload.to_bytes()


def _json_of(payload: JsonPayload) -> bytes:
    """Parsed documents as text; NaN and infinities stay."""
    items = payload.items()
    return json.dumps(items[0] if payload.single else items).encode()


def _payload(data: Buffer, is_json: int, location: list[str | int] | None, *, single: bool) -> Payload:
    if not is_json:
        return BytesPayload(data)
    where = _DEFAULT_LOCATION if location is None else tuple(location)
    return JsonPayload(bytes(data), location=where, single=single)


def _branches(request: Request, body: Buffer) -> tuple[list[tuple[str, _Part | None]], Buffer]:
    """The branches after the body of the request; the one whose documents these are is not written twice."""
    parts: list[tuple[str, _Part | None]] = []
    bodies = [body]
    for name, payload in request.branches or ():
        if payload is request.payload:
            parts.append((name, None))
        else:
            is_json, location, single, data = _form(payload)
            parts.append((name, _Part(len(data), is_json, location, single)))
            bodies.append(data)
    return parts, b"".join(bodies)
