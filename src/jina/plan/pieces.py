"""Parts of plans that workers and gateways share."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from jina.plan.plans import FacePlan, HttpPlan, LogPlan, RestartPlan, TlsPlan

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.options import ExecutorOptions, GatewayOptions, ProcessOptions, ServerOptions


def faces(spec: ServerOptions, ports: PortAllocator, taken: Collection[int] = ()) -> list[FacePlan]:
    """One face for each protocol.

    Given ports are bound alone (`share_port` False), so that a taken one is an error; those of the allocator, which
    holds them, are none of those given here or in `taken`.
    """
    avoided = {*spec.ports, *taken}
    found = given_faces(spec)
    for protocol in spec.protocols[len(found) :]:
        port = _unused(ports, avoided)
        found.append(FacePlan(protocol=protocol, host=spec.hosts[0], port=port, share_port=True, tls=_tls(spec)))
    return found


def given_faces(spec: ServerOptions) -> list[FacePlan]:
    """The faces whose ports the user gave; further ports belong to the last protocol."""
    protocols = spec.protocols
    return [
        FacePlan(protocol=protocols[min(position, len(protocols) - 1)], host=spec.hosts[0], port=port, tls=_tls(spec))
        for position, port in enumerate(spec.ports)
    ]


def http(spec: ServerOptions, gateway: GatewayOptions | None = None) -> HttpPlan:
    """What the HTTP face needs; `gateway` has the options that only gateways have."""
    return HttpPlan(
        title=spec.title,
        description=spec.description,
        cors=spec.cors,
        uvicorn_kwargs=dict(spec.uvicorn_kwargs or {}),
        no_debug_endpoints=gateway is not None and gateway.no_debug_endpoints,
        no_crud_endpoints=gateway is not None and gateway.no_crud_endpoints,
        expose_endpoints=dict((gateway and gateway.expose_endpoints) or {}),
    )


def log(spec: ProcessOptions) -> LogPlan:
    """How the process logs."""
    return LogPlan(level=spec.log_level, format=spec.log_format, quiet=spec.quiet, quiet_error=spec.quiet_error)


def restart(spec: ProcessOptions) -> RestartPlan:
    """What is done when it ends by itself or hangs."""
    return RestartPlan(
        limit=spec.restart_limit,
        backoff=spec.restart_seconds,
        timeout_hang=spec.hang_seconds,
        replace_hung=spec.restart_hung,
    )


def concurrency(spec: ExecutorOptions) -> dict[str, int]:
    """Calls at once by endpoint, `*` for the others; empty where nothing is said."""
    given: Any = spec.concurrency
    return {"*": given} if isinstance(given, int) else dict(given or {})


def env(spec: ProcessOptions) -> dict[str, str]:
    """Variables of the process."""
    return {name: str(value) for name, value in (spec.env or {}).items()}


def _tls(spec: ServerOptions) -> TlsPlan | None:
    if spec.ssl_certfile and spec.ssl_keyfile:
        return TlsPlan(certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile)
    return None


def _unused(ports: PortAllocator, avoided: Collection[int]) -> int:
    """A port of the allocator that the user did not give to another face."""
    while (port := ports.port()) in avoided:
        pass
    return port
