"""The gRPC calls that describe a service: discovery, dry run and status."""

from __future__ import annotations

from typing import Any

import grpc

from jina.transport.server_errors import as_jina_error
from jina.transport.server_info import environment_info, version_info
from jina.transport.server_messages import DRY_RUN
from jina.transport.service import EndpointInfo, Service
from jina.wire import pb, status

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only
Handlers = dict[str, grpc.RpcMethodHandler]


class Descriptions:
    """Handlers that answer from what the service says of itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def handlers(self) -> Handlers:
        """By full method name."""
        return {
            "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": untyped.unary_unary_rpc_method_handler(
                self.endpoint_discovery, response_serializer=pb.EndpointsProto.SerializeToString
            ),
            "/jina.JinaGatewayDryRunRPC/dry_run": untyped.unary_unary_rpc_method_handler(
                self.dry_run, response_serializer=pb.StatusProto.SerializeToString
            ),
            "/jina.JinaInfoRPC/_status": untyped.unary_unary_rpc_method_handler(
                self.status, response_serializer=pb.JinaInfoProto.SerializeToString
            ),
        }

    async def endpoint_discovery(self, _request: bytes, _context: Context) -> Any:
        """The endpoints with their schemas."""
        endpoints = self._service.endpoints
        message = pb.EndpointsProto()
        message.endpoints.extend([*endpoints, DRY_RUN])
        message.write_endpoints.extend(path for path, info in endpoints.items() if info.is_write)
        message.schemas.update(
            {DRY_RUN: _DRY_RUN_SCHEMAS, **{path: _schemas(info) for path, info in endpoints.items()}}
        )
        return message

    async def dry_run(self, _request: bytes, _context: Context) -> Any:
        """A status; its code is ERROR when a request would fail."""
        message = pb.StatusProto()
        try:
            await self._service.dry_run()
        except Exception as error:  # noqa: BLE001 - the answer carries it
            status.write_error(as_jina_error(error), message)
        return message

    async def status(self, _request: bytes, _context: Context) -> Any:
        """Versions and the settings in the environment."""
        return pb.JinaInfoProto(jina=version_info(), envs=environment_info())


_NO_FIELDS: dict[str, Any] = {"name": "DryRun", "model": {"title": "DryRun", "type": "object", "properties": {}}}
_DRY_RUN_SCHEMAS: dict[str, Any] = {
    "input": _NO_FIELDS,
    "output": _NO_FIELDS,
    "is_generator": False,
    "is_singleton_doc": False,
    "parameters": {"name": None, "model": None},
}
"""Gateways of Jina 3 look the endpoint of their own check up among the schemas.

They refuse two Executors in a row whose fields there differ, and see none in those of Jina 3's workers.
"""


def _schemas(info: EndpointInfo) -> dict[str, Any]:
    ours = {
        "description": info.description,
        "about": info.about,
        "is_passthrough": info.is_passthrough,
        "is_safe": info.is_safe,
        "is_repeatable": info.is_repeatable,
    }
    return {
        **{name: value for name, value in ours.items() if value},  # unknown to Jina 3
        "input": {"name": info.input_name, "model": _readable(info.input_schema)},
        "output": {"name": info.output_name, "model": _readable(info.output_schema)},
        "is_generator": info.is_generator,
        "is_singleton_doc": info.is_single,
        "parameters": {"name": info.parameters_name, "model": info.parameters_schema},
    }


def _readable(schema: dict[str, Any]) -> Any:
    """The schema as gateways of Jina 3 can read it.

    They build classes from it and recurse without end where a class refers to itself: there the reference becomes
    a plain object. `additionalProperties: true`, which current pydantic writes for every `dict`, is left out,
    since it is the default (JSON Schema 2020-12, 10.3.2.3).
    """
    return _without_recursion(schema, {f"#/$defs/{schema.get('title')}"})


def _without_recursion(schema: Any, inside: set[str]) -> Any:
    if isinstance(schema, list):
        return [_without_recursion(item, inside) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$ref") in inside:
        return {"type": "object"}
    return {
        key: {name: _without_recursion(item, inside | {f"#/$defs/{name}"}) for name, item in value.items()}
        if key == "$defs"
        else _without_recursion(value, inside)
        for key, value in schema.items()
        if (key, value) != ("additionalProperties", True)
    }
