"""Endpoints as the faces document and route them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from jina.executor import Executor
from jina.executor.endpoints import Endpoint
from jina.transport.service import EndpointInfo, flat_fields
from jina.wire.schemas import json_schema_of


def describe_endpoints(endpoints: Iterable[Endpoint]) -> dict[str, EndpointInfo]:
    """By path; the schemas of each document class are made once."""
    schemas: dict[Any, dict[str, Any]] = {}

    def schema_of(doc_type: Any) -> dict[str, Any]:
        if doc_type not in schemas:
            schemas[doc_type] = json_schema_of(doc_type)
        return schemas[doc_type]

    return {one.path: _describe(one, schema_of(one.input_type), schema_of(one.output_type)) for one in endpoints}


def _about(endpoint: Endpoint) -> str:
    """The docstring of the user's class; that of our own base says nothing of it."""
    cls = type(getattr(endpoint.function, "__self__", None))
    return inspect.cleandoc(cls.__doc__ or "") if cls is not Executor and issubclass(cls, Executor) else ""


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
        is_safe=endpoint.is_safe,
        description=endpoint.description,
        about=_about(endpoint),
        flat_fields=flat_fields(input_schema),
        is_passthrough=not endpoint.method_name,
    )
