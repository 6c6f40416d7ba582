"""The plan of one Deployment: a worker that serves its own ports, or several behind a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jina.errors import ConfigError
from jina.plan import processes
from jina.plan.consensus import replicated
from jina.plan.gpus import GpuInventory, NoGpus, Placement
from jina.plan.plans import DeploymentPlan, ExecutorPlan, GraphPlan
from jina.plan.processes import is_plain, listeners, monitored_deployment, node
from jina.plan.topology import GATEWAY

if TYPE_CHECKING:
    from jina.config.models import DeploymentSpec
    from jina.plan.plans import PortAllocator

_NO_GPUS = NoGpus()


def plan_deployment(
    spec: DeploymentSpec,
    executor: ExecutorPlan,
    ports: PortAllocator,
    around: Mapping[str, ExecutorPlan] = MappingProxyType({}),
    gpus: GpuInventory = _NO_GPUS,
    *,
    behind_gateway: bool = False,
) -> DeploymentPlan:
    """What runs for `spec`: its processes with listeners, names and limits, all decided.

    `executor` says how a worker finds its class, `around` the same for those around its shards, see `processes.owner`,
    and for a gateway class of the user's own (`gateway`), which puts a gateway in front;
    `ports` gives the ports that the user left open, `gpus` those of this machine. Several replicas or shards stand
    behind a gateway that has the listeners, one does so with `behind_gateway`, and one in a container always; an
    external Deployment has no processes.
    """
    if spec.external:
        return DeploymentPlan(name=spec.name, workers=[])
    executors = {spec.name: executor, **around}
    behind_gateway = behind_gateway or executor.container is not None
    placed = replicated(spec, processes.workers(spec, executors, Placement(gpus), "Deployment"), ports)
    custom = around.get(GATEWAY)
    if is_plain(spec) and not behind_gateway and custom is None:
        served = replace(placed[0], listeners=listeners(spec, ports))
        return monitored_deployment(DeploymentPlan(name=spec.name, workers=[served]), spec, ports)
    if not spec.include_gateway and spec.shards == 1:
        what = f"{spec.replicas} replicas need" if spec.replicas > 1 else "a container needs"
        raise ConfigError(f"Deployment: include_gateway: {what} a gateway in front that shares the requests")
    # A condition is for a place in a Flow: alone it means as little as for one replica.
    step = replace(node(spec, ["gateway"]), when=None)
    graph = GraphPlan(nodes=[step], ends=[spec.name], strict=True)
    front = spec.front.model_copy(update={"title": spec.title or spec.name})
    plan = DeploymentPlan(
        name=spec.name,
        workers=placed,
        gateway=processes.gateway(front, listeners(front, ports), graph, custom),
    )
    return monitored_deployment(plan, spec, ports)
