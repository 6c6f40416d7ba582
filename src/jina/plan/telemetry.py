"""What is told of processes, and where: a port of their own for metrics, collectors of spans and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jina.errors import ConfigError
from jina.plan.plans import DeploymentPlan, FacePlan, FlowPlan, GatewayPlan, TelemetryPlan, WorkerPlan

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.client import ClientSpec
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.flow import FlowSpec
    from jina.spec.gateway import GatewaySpec
    from jina.spec.options_platform import TelemetryOptions


def telemetry(spec: TelemetryOptions | ClientSpec) -> TelemetryPlan:
    """Where spans and numbers are sent."""
    return TelemetryPlan(
        tracing=spec.tracing,
        traces_endpoint=_endpoint(spec.traces_exporter_host, spec.traces_exporter_port),
        metrics=spec.metrics,
        metrics_endpoint=_endpoint(spec.metrics_exporter_host, spec.metrics_exporter_port),
    )


def monitored_deployment(plan: DeploymentPlan, spec: DeploymentSpec, ports: PortAllocator) -> DeploymentPlan:
    """The plan with a port for metrics: that of the gateway where there is one, which has those of its workers too."""
    if plan.gateway is not None:
        _refuse_probes(spec, "Deployment")
        return msgspec.structs.replace(plan, gateway=monitored_gateway(plan.gateway, spec.front, ports))
    return _probed(_monitored_workers(plan, spec, ports), spec)


def monitored_flow(plan: FlowPlan, spec: FlowSpec, ports: PortAllocator) -> FlowPlan:
    """The plan with a port for metrics of the gateway, and of each worker whose step is monitored."""
    steps = {step.name: step for step in spec.steps}
    for step in steps.values():
        _refuse_probes(step, f"Flow: {step.name}")
    return msgspec.structs.replace(
        plan,
        gateway=monitored_gateway(plan.gateway, spec.front, ports),
        deployments=[
            _monitored_workers(one, steps[one.name], ports) if one.name in steps else one for one in plan.deployments
        ],
    )


def monitored_gateway(plan: GatewayPlan, spec: GatewaySpec, ports: PortAllocator) -> GatewayPlan:
    """The plan with a port for metrics, where that is asked for."""
    if not spec.monitoring:
        return plan
    return msgspec.structs.replace(plan, monitoring=_face(spec, 0, ports))


def _monitored_workers(plan: DeploymentPlan, spec: DeploymentSpec, ports: PortAllocator) -> DeploymentPlan:
    if not spec.monitoring:
        return plan
    workers: list[WorkerPlan] = [
        msgspec.structs.replace(worker, monitoring=_face(spec, place, ports))
        for place, worker in enumerate(plan.workers)
    ]
    return msgspec.structs.replace(plan, workers=workers)


def _refuse_probes(spec: DeploymentSpec, where: str) -> None:
    if spec.port_probes is not None:
        raise ConfigError(
            f"{where}: port_probes: is for a worker that serves alone; here a gateway answers for its workers"
        )


def _probed(plan: DeploymentPlan, spec: DeploymentSpec) -> DeploymentPlan:
    if spec.port_probes is None:
        return plan
    face = FacePlan(protocol="http", host=spec.hosts[0], port=spec.port_probes)
    return msgspec.structs.replace(plan, workers=[msgspec.structs.replace(one, probes=face) for one in plan.workers])


def _face(spec: DeploymentSpec | GatewaySpec, place: int, ports: PortAllocator) -> FacePlan:
    given = spec.port_monitoring
    listed = [] if given is None else [given] if isinstance(given, int) else list(given)
    host = spec.hosts[0]
    if place < len(listed):
        return FacePlan(protocol="http", host=host, port=listed[place])
    return FacePlan(protocol="http", host=host, port=ports.port(), share_port=True)


def _endpoint(host: str | None, port: int | None) -> str:
    if host is None and port is None:
        return ""
    address = f"{host or 'localhost'}:{port or 4317}"
    return address if "://" in address else f"http://{address}"
