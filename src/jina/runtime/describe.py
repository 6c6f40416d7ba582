"""Endpoints as the faces document and route them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jina.executor.endpoints import Endpoint
from jina.transport.service import EndpointInfo
from jina.wire.schemas import json_schema_of

_FLAT = frozenset({"string", "integer", "number", "boolean"})


def describe_endpoints(endpoints: Iterable[Endpoint]) -> dict[str, EndpointInfo]:
    """By path; the schemas of each document class are made once."""
    schemas: dict[Any, dict[str, Any]] = {}

    def schema_of(doc_type: Any) -> dict[str, Any]:
        if doc_type not in schemas:
            schemas[doc_type] = json_schema_of(doc_type)
        return schemas[doc_type]

    return {one.path: _describe(one, schema_of(one.input_type), schema_of(one.output_type)) for one in endpoints}


def _describe(endpoint: Endpoint, input_schema: dict[str, Any], output_schema: dict[str, Any]) -> EndpointInfo:
    model = endpoint.parameters_model
    return EndpointInfo(
        path=endpoint.path,
        input_name=endpoint.input_type.__name__,
        input_schema=input_schema,
        output_name=endpoint.output_type.__name__,
        output_schema=output_schema,
        parameters_name=None if model is None else model.__name__,
        parameters_schema=None if model is None else model.model_json_schema(),
        is_generator=endpoint.is_generator,
        is_single=endpoint.is_single,
        is_write=endpoint.is_write,
        description=endpoint.description,
        flat_fields=_flat_fields(input_schema),
    )


def _flat_fields(schema: dict[str, Any]) -> dict[str, str]:
    """Name -> JSON type of the fields that fit into a query parameter; an optional one counts by its other type."""
    flat: dict[str, str] = {}
    for name, field in schema.get("properties", {}).items():
        kinds = [field.get("type"), *(one.get("type") for one in field.get("anyOf", ()))]
        named = [kind for kind in kinds if kind is not None and kind != "null"]
        if len(named) == 1 and named[0] in _FLAT:
            flat[name] = named[0]
    return flat
