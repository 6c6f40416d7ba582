"""One gRPC port over a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc import aio

from jina.errors import JinaError
from jina.plan.plans import FacePlan
from jina.transport.grpc_server_calls import Calls, refusing, text_of
from jina.transport.grpc_server_info import Descriptions
from jina.transport.limits import Limits
from jina.transport.server_access import Access
from jina.transport.server_gate import Gate
from jina.transport.server_sockets import bind, bind_error
from jina.transport.tls import grpc_credentials
from jina.transport.unread import Unread

_OPEN = "/grpc.health.v1.Health/"
"""What begins the methods for which no key is needed."""
_MOST_STREAMS = 1000
"""Calls of one connection at a time; a client sends further ones when others have ended."""
_HARD_LIMIT = 2**31 - 1
"""The largest message that gRPC can carry, in bytes."""


class GrpcFace:
    """A gRPC server of one port on the running loop.

    `options` are gRPC channel arguments (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html), set
    over ours. `window` is the number of requests of one stream in work at a time, where the client
    does not say.
    """

    def __init__(
        self,
        plan: FacePlan,
        gate: Gate,
        options: Mapping[str, Any],
        limits: Limits,
        window: int,
        access: Access | None,
        unread: Unread,
    ) -> None:
        self._plan = plan
        self._gate = gate
        self._options = dict(options)
        self._limits = limits
        self._unread = unread
        self._window = window
        self._access = access
        self._server: aio.Server | None = None

    async def start(self) -> int:
        """Open the port and serve; gives the port. Raises `PortAlreadyUsed` or `ConfigError`."""
        self._server = server = aio.server(options=self._channel_arguments())
        server.add_generic_rpc_handlers([_Table(self._handlers(), self._probes, self._access)])
        port = self._open(server)
        await server.start()
        return port

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those in flight finish within `grace` seconds, cancel the rest."""
        if self._server is not None:
            await self._server.stop(grace)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        service = self._gate.service
        return {
            **Calls(service, self._limits, self._window, self._access, self._unread).handlers(),
            **Descriptions(service).handlers(),
        }

    def _probes(self) -> dict[str, grpc.RpcMethodHandler]:
        from jina.transport.grpc_server_probes import Health, Reflection

        return {**Health(self._gate).handlers(), **Reflection().handlers()}

    def _channel_arguments(self) -> list[tuple[str, Any]]:
        # Up to twice the limit is let in, so that the answer can name the option; see `Intake`.
        ours = {
            "grpc.max_concurrent_streams": _MOST_STREAMS,
            "grpc.so_reuseport": int(self._plan.share_port),
            "grpc.max_receive_message_length": min(2 * self._limits.message_size, _HARD_LIMIT),
            "grpc.max_send_message_length": -1,
            "grpc.http2.min_ping_interval_without_data_ms": 5000,
            "grpc.keepalive_permit_without_calls": 1,
            # Clients that are gone say nothing; those that connect and then are silent get their time.
            "grpc.keepalive_time_ms": 60_000,
            "grpc.keepalive_timeout_ms": 60_000,
            "grpc.server_handshake_timeout_ms": round(1000 * self._plan.timeout_read) or 120_000,
            # Probing the bandwidth costs a ping a read: about 12 % of the CPU of a small call.
            "grpc.http2.bdp_probe": 0,
        }
        return list({**ours, **self._options}.items())

    def _open(self, server: aio.Server) -> int:
        plan = self._plan
        # gRPC reports a taken port only as "failed to bind", with lines on stderr; the system says why.
        bind(plan).close()
        address = f"{plan.host}:{plan.port}"
        try:
            if plan.tls is not None:
                port = server.add_secure_port(address, grpc_credentials(plan.tls))
            else:
                port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise bind_error(plan, OSError(98, str(error))) from error
        return int(port)


class _Table(grpc.GenericRpcHandler):
    """All methods in one table: gRPC asks each handler it has in turn.

    Those of `probes` are made when one of them is called. Who shows no key is refused before a message is read.
    """

    def __init__(
        self,
        handlers: dict[str, grpc.RpcMethodHandler],
        probes: Callable[[], dict[str, grpc.RpcMethodHandler]],
        access: Access | None = None,
    ) -> None:
        self._handlers = handlers
        self._access = access if access is not None and access.closed else None
        self._probes: Callable[[], dict[str, grpc.RpcMethodHandler]] | None = probes

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if self._access is not None and not method.startswith(_OPEN):
            try:
                metadata = dict(text_of(handler_call_details.invocation_metadata))
                self._access.caller(metadata, "").check_page(method)
            except JinaError as error:
                return refusing(error)
        if self._probes is not None and method.startswith("/grpc."):
            self._handlers.update(self._probes())
            self._probes = None
        return self._handlers.get(method)
