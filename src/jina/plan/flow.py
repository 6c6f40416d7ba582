"""The plan of a Flow: the workers of its Deployments and the gateway in front."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from jina.errors import ConfigError, InternalError
from jina.plan import processes
from jina.plan.consensus import replicated
from jina.plan.gpus import GpuInventory, NoGpus, Placement
from jina.plan.plans import DeploymentPlan, ExecutorPlan, FlowPlan, GraphPlan, ListenerPlan, NodePlan
from jina.plan.processes import given_listeners, listeners, monitored_flow, node
from jina.plan.topology import GATEWAY, Node, topology_of

if TYPE_CHECKING:
    from jina.config.models import FlowSpec, GatewaySpec, StepSpec
    from jina.config.types import Target
    from jina.plan.plans import PortAllocator

_NO_GPUS = NoGpus()


def plan_flow(
    spec: FlowSpec,
    executors: Mapping[str, ExecutorPlan],
    custom_gateway: ExecutorPlan | None,
    ports: PortAllocator,
    gpus: GpuInventory = _NO_GPUS,
) -> FlowPlan:
    """What runs for a Flow: its graph checked, its processes with names, links, listeners and limits, all decided.

    `executors` says by name of the step how its workers find their class, see `processes.workers`; external steps and
    plain joins need none.
    `custom_gateway` says how the gateway finds a class of the user's own. Workers are reached by local links; a
    step that was given ports serves them as well. `gpus` are those of this machine. Raises ConfigError
    (FlowTopologyError for the graph).
    """
    topology = topology_of(spec)
    front = spec.front
    front = front.model_copy(update={"title": front.title or spec.name})
    steps = [step.spec for step in topology.nodes if step.spec is not None]
    taken = _check_ports(front, steps)
    graph = GraphPlan(nodes=[_node(step) for step in topology.nodes], ends=list(topology.ends))
    placement = Placement(gpus)
    plan = FlowPlan(
        name=spec.name,
        deployments=[_deployment(step, executors, placement, ports) for step in steps],
        gateway=processes.gateway(front, listeners(front, ports, taken), graph, custom_gateway),
    )
    return monitored_flow(plan, spec, ports)


def runs(step: StepSpec) -> bool:
    """Whether workers are started for the step."""
    return not step.external and not step.only_joins


def _node(step: Node) -> NodePlan:
    if step.spec is None or step.spec.only_joins:
        return NodePlan(name=step.name, needs=list(step.needs), upstreams=[], floating=step.floating)
    return node(step.spec, step.needs, floating=step.floating)


def _deployment(
    step: StepSpec, executors: Mapping[str, ExecutorPlan], placement: Placement, ports: PortAllocator
) -> DeploymentPlan:
    if not runs(step):
        return DeploymentPlan(name=step.name, workers=[])
    if step.name not in executors:
        raise InternalError(f"plan_flow got no ExecutorPlan for the step {step.name!r}")
    workers = processes.workers(step, executors, placement, step.place, _listeners(step))
    return DeploymentPlan(name=step.name, workers=replicated(step, workers, ports))


def _listeners(step: StepSpec) -> list[list[ListenerPlan]]:
    """The listeners of each replica: those whose ports were given, one port a replica where there are several."""
    given = given_listeners(step)
    if step.replicas == 1 or step.raft_peers or not given:
        return [given]
    return [given[replica : replica + 1] for replica in range(step.replicas)]


def _check_ports(front: GatewaySpec, steps: Collection[StepSpec]) -> list[int]:
    """The ports that were given to servers of the Flow; none twice, and none that an external Deployment here has."""
    if len(front.ports) > len(front.protocols):
        counts = f"{len(front.ports)} ports for {len(front.protocols)} protocol(s) ({', '.join(front.protocols)})"
        raise ConfigError(f"Flow: port: {counts}; each protocol is served on one port")
    owners: dict[int, str] = dict.fromkeys(front.ports, GATEWAY)
    for step in steps:
        for port in [] if step.external else step.ports:
            if port in owners:
                raise ConfigError(f"{step.place}: port {port} is given to {owners[port]} as well")
            owners[port] = step.name
    for step in steps:
        for target in step.targets:
            if target.port in owners and _is_here(target):
                owner = owners[target.port]
                raise ConfigError(f"{step.place}: port {target.port} of this machine is given to {owner}")
    return list(owners)


def _is_here(target: Target) -> bool:
    return target.host in {"0.0.0.0", "127.0.0.1", "localhost", "::", "::1"}  # noqa: S104 - compared, not bound
