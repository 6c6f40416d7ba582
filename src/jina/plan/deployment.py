"""The plan of one Deployment: here one worker that serves its own ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.plan.plans import (
    DeploymentPlan,
    ExecutorPlan,
    FacePlan,
    HttpPlan,
    LogPlan,
    TlsPlan,
    WorkerPlan,
)

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.deployment import DeploymentSpec


def plan_deployment(spec: DeploymentSpec, executor: ExecutorPlan, ports: PortAllocator) -> DeploymentPlan:
    """What runs for `spec`: its processes with faces, names and limits, all decided.

    `executor` says how a worker finds its class; `ports` gives the ports that the user left open. Given ports are
    bound alone (`share_port` False), so that a taken one is an error; those of the allocator are held by it.
    """
    worker = WorkerPlan(
        name=f"{spec.name}/rep-0",
        deployment=spec.name,
        executor=executor,
        faces=_faces(spec, ports),
        shards=spec.shards,
        replicas=spec.replicas,
        workspace=spec.workspace,
        http=HttpPlan(
            title=spec.title,
            description=spec.description,
            cors=spec.cors,
            uvicorn_kwargs=dict(spec.uvicorn_kwargs or {}),
        ),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        allow_concurrent=spec.allow_concurrent,
        exit_on_exceptions=list(spec.exit_on_exceptions),
        output_array_type=spec.output_array_type,
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        log=_log(spec),
        env={name: str(value) for name, value in (spec.env or {}).items()},
    )
    return DeploymentPlan(name=spec.name, workers=[worker])


def _faces(spec: DeploymentSpec, ports: PortAllocator) -> list[FacePlan]:
    tls = None
    if spec.ssl_certfile and spec.ssl_keyfile:
        tls = TlsPlan(certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile)
    given = spec.ports
    faces = []
    for position, protocol in enumerate(spec.protocols):
        chosen = position >= len(given)
        port = _unused(ports, given) if chosen else given[position]
        faces.append(FacePlan(protocol=protocol, host=spec.hosts[0], port=port, share_port=chosen, tls=tls))
    return faces


def _unused(ports: PortAllocator, given: list[int]) -> int:
    """A port of the allocator that the user did not give to another face."""
    while (port := ports.port()) in given:
        pass
    return port


def _log(spec: DeploymentSpec) -> LogPlan:
    return LogPlan(level=spec.log_level, format=spec.log_format, quiet=spec.quiet, quiet_error=spec.quiet_error)
