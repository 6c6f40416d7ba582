"""What a gRPC peer tells of its endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jina.errors import BadServer
from jina.transport.server_messages import DRY_RUN
from jina.transport.service import EndpointInfo, flat_fields
from jina.wire import pb

_ANYTHING: dict[str, Any] = {"title": "Document", "type": "object", "additionalProperties": True}
EVERYTHING: Mapping[str, EndpointInfo] = {
    "/default": EndpointInfo("/default", "Document", _ANYTHING, "Document", _ANYTHING)
}
"""The endpoints of a peer that does not tell: it may know any."""


def read_endpoints(data: bytes) -> dict[str, EndpointInfo]:
    """The endpoints in a serialised `EndpointsProto`, by path; raises `BadServer` for other bytes.

    Gateways of Jina 3 leave the names of classes out, and older releases whole schemas.
    """
    try:
        message = pb.EndpointsProto.FromString(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is no EndpointsProto message: {error}") from None
    schemas = _plain(message.schemas)
    writes = set(message.write_endpoints)
    return {
        path: _endpoint(path, schemas.get(path) or {}, is_write=path in writes)
        for path in message.endpoints
        if path != DRY_RUN
    }


def _endpoint(path: str, told: dict[str, Any], *, is_write: bool) -> EndpointInfo:
    input_name, input_schema = _document(told.get("input"))
    output_name, output_schema = _document(told.get("output"))
    parameters = told.get("parameters") or {}
    model = parameters.get("model")
    return EndpointInfo(
        path=path,
        input_name=input_name,
        input_schema=input_schema,
        output_name=output_name,
        output_schema=output_schema,
        parameters_name=parameters.get("name") or (model.get("title", "Parameters") if model else None),
        parameters_schema=_with_defs(model) if model else None,
        is_generator=bool(told.get("is_generator")),
        is_single=bool(told.get("is_singleton_doc")),
        is_write=is_write,
        is_safe=bool(told.get("is_safe")),
        is_repeatable=bool(told.get("is_repeatable")),
        description=str(told.get("description") or ""),
        about=str(told.get("about") or ""),
        flat_fields=flat_fields(input_schema),
        is_passthrough=bool(told.get("is_passthrough")),
    )


def _document(told: Any) -> tuple[str, dict[str, Any]]:
    told = told if isinstance(told, dict) else {}
    model = told.get("model") or ({} if "name" in told else told)
    if not isinstance(model, dict) or not model:
        return str(told.get("name") or "Document"), _ANYTHING
    return str(told.get("name") or model.get("title") or "Document"), _with_defs(model)


def _with_defs(schema: Any) -> Any:
    """The schema with its references under `$defs`, where drafts before 2019-09 have `definitions`."""
    if isinstance(schema, list):
        return [_with_defs(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {"$defs" if key == "definitions" else key: _with_defs(value) for key, value in schema.items()}
    target = renamed.get("$ref")
    if isinstance(target, str) and target.startswith("#/definitions/"):
        renamed["$ref"] = f"#/$defs/{target.removeprefix('#/definitions/')}"
    return renamed


def _plain(struct: pb.Struct) -> dict[str, Any]:
    fields = struct.fields
    return {name: _value(fields[name]) for name in fields}


def _value(value: pb.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _plain(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number  # a Struct knows no integers, a schema does
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None
