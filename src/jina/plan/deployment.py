"""The plan of one Deployment: a worker that serves its own ports, or several behind a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jina.errors import ConfigError
from jina.plan import pieces, processes
from jina.plan.nodes import node
from jina.plan.plans import DeploymentPlan, ExecutorPlan, GraphPlan

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.deployment import DeploymentSpec


def plan_deployment(
    spec: DeploymentSpec, executor: ExecutorPlan, ports: PortAllocator, *, behind_gateway: bool = False
) -> DeploymentPlan:
    """What runs for `spec`: its processes with faces, names and limits, all decided.

    `executor` says how a worker finds its class; `ports` gives the ports that the user left open. Several replicas
    stand behind a gateway that has the faces, one does so with `behind_gateway`; an external Deployment has no
    processes.
    """
    if spec.external:
        return DeploymentPlan(name=spec.name, workers=[])
    if spec.replicas == 1 and not behind_gateway:
        worker = processes.worker(spec, executor, pieces.faces(spec, ports))
        return DeploymentPlan(name=spec.name, workers=[worker])
    if not spec.include_gateway:
        raise ConfigError(
            f"Deployment: include_gateway: {spec.replicas} replicas need a gateway in front that shares the requests"
        )
    # A condition is for a place in a Flow: alone it means as little as for one replica.
    step = msgspec.structs.replace(node(spec, ["gateway"]), when=None)
    graph = GraphPlan(nodes=[step], ends=[spec.name], strict=True)
    front = spec.front
    return DeploymentPlan(
        name=spec.name,
        workers=[processes.worker(spec, executor, [], replica) for replica in range(spec.replicas)],
        gateway=processes.gateway(front, pieces.faces(front, ports), graph),
    )
