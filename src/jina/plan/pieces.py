"""Parts of plans that workers and gateways share."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from jina.plan.plans import AccessPlan, FacePlan, HttpPlan, KeyPlan, LogPlan, RestartPlan, TlsPlan
from jina.spec.access import Key, keys_of, rate_of

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.address import Protocol
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.gateway import GatewaySpec
    from jina.spec.options import ExecutorOptions, ProcessOptions
    from jina.spec.options_limits import AccessOptions


def faces(spec: DeploymentSpec | GatewaySpec, ports: PortAllocator, taken: Collection[int] = ()) -> list[FacePlan]:
    """One face for each protocol.

    Given ports are bound alone (`share_port` False), so that a taken one is an error; those of the allocator, which
    holds them, are none of those given here or in `taken`.
    """
    avoided = {*spec.ports, *taken}
    found = given_faces(spec)
    for protocol in spec.protocols[len(found) :]:
        port = _unused(ports, avoided)
        found.append(_face(spec, protocol, port, share_port=True))
    return found


def given_faces(spec: DeploymentSpec | GatewaySpec) -> list[FacePlan]:
    """The faces whose ports the user gave; further ports belong to the last protocol."""
    protocols = spec.protocols
    return [_face(spec, protocols[min(position, len(protocols) - 1)], port) for position, port in enumerate(spec.ports)]


def _face(spec: DeploymentSpec | GatewaySpec, protocol: Protocol, port: int, *, share_port: bool = False) -> FacePlan:
    return FacePlan(
        protocol=protocol,
        host=spec.hosts[0],
        port=port,
        share_port=share_port,
        tls=tls(spec),
        timeout_read=spec.read_seconds,
    )


def key_plan(key: Key) -> KeyPlan:
    """What a server has to know of a key."""
    return KeyPlan(name=key.name, digest=key.digest, endpoints=list(key.endpoints), scopes=list(key.scopes))


def access(spec: AccessOptions) -> AccessPlan:
    """Who may call, and how often."""
    rate, burst = rate_of(spec.rate_limit) if spec.rate_limit else (0.0, 0)
    keys = [key_plan(key) for key in keys_of(spec.api_keys or {})]
    return AccessPlan(keys=keys, keys_file=spec.api_keys_file or "", rate=rate, burst=burst)


def http(spec: DeploymentSpec | GatewaySpec) -> HttpPlan:
    """What the HTTP face needs."""
    return HttpPlan(
        title=spec.title,
        description=spec.description,
        version=spec.api_version,
        cors=spec.cors,
        uvicorn_kwargs=dict(spec.uvicorn_kwargs or {}),
        no_debug_endpoints=spec.no_debug_endpoints,
        no_crud_endpoints=spec.no_crud_endpoints,
        expose_endpoints=dict(spec.expose_endpoints or {}),
    )


def log(spec: ProcessOptions) -> LogPlan:
    """How the process logs."""
    return LogPlan(
        level=spec.log_level,
        format=spec.log_format,
        config=spec.log_config,
        folder=spec.log_dir or "",
        quiet=spec.quiet,
        quiet_error=spec.quiet_error,
    )


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


def tls(spec: DeploymentSpec | GatewaySpec) -> TlsPlan | None:
    """The files of its certificate."""
    if spec.ssl_certfile and spec.ssl_keyfile:
        return TlsPlan(certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile, ca_file=spec.ssl_ca_certs)
    return None


def _unused(ports: PortAllocator, avoided: Collection[int]) -> int:
    """A port of the allocator that the user did not give to another face."""
    while (port := ports.port()) in avoided:
        pass
    return port
