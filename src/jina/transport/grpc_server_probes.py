"""The gRPC calls of tools: health and reflection. Loaded when the first one asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from jina.transport.server_gate import Gate
from jina.wire import pb

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only
Handlers = dict[str, grpc.RpcMethodHandler]

JINA_SERVICES = (
    "jina.JinaDataRequestRPC",
    "jina.JinaDiscoverEndpointsRPC",
    "jina.JinaGatewayDryRunRPC",
    "jina.JinaInfoRPC",
    "jina.JinaRPC",
    "jina.JinaSingleDataRequestRPC",
    "jina.JinaSingleDocumentRequestRPC",
)
"""The services that reflection lists; Jina 3 clients choose their call by this list."""

_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_WATCH_INTERVAL = 0.1
"""Seconds between two looks at the readiness for a client that watches it."""


class Health:
    """`grpc.health.v1`: SERVING exactly while requests are served.

    Beside the services there are the names that `/readyz?verbose` lists, such as those of a Flow's Deployments and
    their replicas.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._known = {"", *JINA_SERVICES, _REFLECTION}

    def handlers(self) -> Handlers:
        """By full method name."""
        from_bytes = health_pb2.HealthCheckRequest.FromString
        to_bytes = health_pb2.HealthCheckResponse.SerializeToString
        listed = getattr(health_pb2, "HealthListResponse", None)  # older releases of the library have none
        return {
            "/grpc.health.v1.Health/Check": untyped.unary_unary_rpc_method_handler(
                self.check, request_deserializer=from_bytes, response_serializer=to_bytes
            ),
            "/grpc.health.v1.Health/Watch": untyped.unary_stream_rpc_method_handler(
                self.watch, request_deserializer=from_bytes, response_serializer=to_bytes
            ),
            **(
                {}
                if listed is None
                else {
                    "/grpc.health.v1.Health/List": untyped.unary_unary_rpc_method_handler(
                        self.list, request_deserializer=from_bytes, response_serializer=listed.SerializeToString
                    )
                }
            ),
        }

    async def check(self, request: Any, context: Context) -> Any:
        """The state of a service; NOT_FOUND for a name that is not served."""
        if not self._knows(request.service):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return self._state(request.service)

    async def list(self, _request: Any, _context: Context) -> Any:
        """The states of all services and names."""
        names = (*self._known, *self._gate.service.checks)
        listing: Any = health_pb2  # its annotations may be older than it
        return listing.HealthListResponse(statuses={name: self._state(name) for name in names})

    async def watch(self, request: Any, _context: Context) -> AsyncIterator[Any]:
        """The state now and at each change; ends when the server stops, which would else wait for it."""
        told = None
        while True:
            state = self._state(request.service)
            if state != told:
                yield state
                told = state
            if self._gate.draining:
                return
            await asyncio.sleep(_WATCH_INTERVAL)

    def _state(self, service: str) -> Any:
        states = health_pb2.HealthCheckResponse
        if not self._knows(service):
            return states(status=states.SERVICE_UNKNOWN)
        good = self._gate.ready if service in self._known else self._gate.service.checks[service]
        return states(status=states.SERVING if good and not self._gate.draining else states.NOT_SERVING)

    def _knows(self, service: str) -> bool:
        return service in self._known or service in self._gate.service.checks


def reflection_handlers() -> Handlers:
    """Server reflection, v1alpha and v1, over the pool that holds our messages.

    Both versions have the same messages; the library ships v1alpha, and newer tools ask for v1 first.
    """
    make_servicer: Any = ReflectionServicer
    servicer = make_servicer([*JINA_SERVICES, _REFLECTION], pool=_Pools())
    handler = untyped.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {
        f"/{_REFLECTION}/ServerReflectionInfo": handler,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": handler,
    }


class _Pools:
    """Our private descriptor pool, and the default one for what it does not hold (reflection, health)."""

    def __init__(self) -> None:
        from google.protobuf import descriptor_pool

        self._pools = (pb.POOL, descriptor_pool.Default())

    def __getattr__(self, name: str) -> Any:
        def find(*arguments: Any) -> Any:
            for pool in self._pools[:-1]:
                try:
                    return getattr(pool, name)(*arguments)
                except KeyError:
                    continue
            return getattr(self._pools[-1], name)(*arguments)

        return find
