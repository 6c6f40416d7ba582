"""A gateway that runs alone in this very process, in front of Executors that run already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jina.orchestration import board


def serve_gateway_here(options: Mapping[str, Any], where: str = "jina gateway") -> int:
    """Serve the gateway that options of `GatewaySpec` describe until SIGTERM or Ctrl+C; gives the exit code.

    To be called on the main thread. Raises `ConfigError` naming the option, `PortAlreadyUsed`, and
    `RuntimeFailToStart` where Executors do not answer.
    """
    from jina.launch.here import serve_gateway_here as serve
    from jina.launch.ports import PortReservations
    from jina.launch.sharing import given_faces, shared
    from jina.orchestration.resolving import protocol_of, resolve_gateway
    from jina.plan.gateway import plan_gateway
    from jina.spec import GatewaySpec, parse

    spec = parse(GatewaySpec, dict(options), where)
    resolved = resolve_gateway(spec)
    only = protocol_of(resolved)
    if only is not None and "protocol" not in spec.model_fields_set:
        spec = parse(GatewaySpec, {**options, "protocol": only}, where)
    ports = PortReservations()
    try:
        plan = plan_gateway(spec, resolved.plan if resolved else None, ports)
        for face in plan.faces if resolved else ():
            if face.share_port:
                ports.lend(face.port)
            else:
                ports.claim(face)
        return serve(
            shared(plan, {face.port for face in given_faces([plan]) if ports.hold_given(face)}),
            resolved.executor_class if resolved else None,
            resolved.arguments if resolved else {},
            lambda: board.announce(spec.name, plan.faces, quiet=spec.quiet),
        )
    finally:
        ports.close()
