"""What a picture of a Flow shows, made from its plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from jina.errors import UsageError
from jina.export.conditions import words_of
from jina.plan.plans import ExecutorPlan, FacePlan, FlowPlan, GatewayPlan, NodePlan, WorkerPlan

GATEWAY = "gateway"
_SCHEMES = {"grpc": "grpc", "http": "http", "websocket": "ws"}
_AUXILIARY = "_aux_"


class EndpointLike(Protocol):
    """What is shown of an endpoint; `jina.transport.service.EndpointInfo` is one."""

    @property
    def path(self) -> str:
        """The `on=` path."""
        ...

    @property
    def input_name(self) -> str:
        """Name of the document class that it takes."""
        ...

    @property
    def output_name(self) -> str:
        """Name of the document class that it gives."""
        ...

    @property
    def is_generator(self) -> bool:
        """Whether it streams."""
        ...


@dataclass(frozen=True, slots=True)
class EndpointPicture:
    """One line in the box of a step."""

    path: str
    input_name: str = ""
    output_name: str = ""
    is_generator: bool = False

    @property
    def types(self) -> str:
        """`Text → Embedded`, or nothing where the types are unknown."""
        return f"{self.input_name} → {self.output_name}" if self.input_name or self.output_name else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPicture:
    """One step. `needs` names the steps before it, `gateway` the request; one that only `joins` runs no Executor."""

    name: str
    needs: tuple[str, ...] = (GATEWAY,)
    executor: str = ""
    endpoints: tuple[EndpointPicture, ...] = ()
    replicas: int = 1
    shards: int = 1
    before: str = ""
    """Class of the Executor before the shards."""
    after: str = ""
    """Class of the one that merges their answers."""
    when: str = ""
    floating: bool = False
    external: bool = False
    joins: bool = False
    no_reduce: bool = False
    addresses: tuple[str, ...] = ()

    @property
    def is_unmerged(self) -> bool:
        """Whether it gets the branches side by side."""
        return self.no_reduce and len(self.needs) > 1

    @property
    def copies(self) -> str:
        """`2 shards, 3 replicas, Best after`; nothing where there is one of each and nothing around."""
        counted = ((self.shards, "shards"), (self.replicas, "replicas"))
        words = [f"{count} {word}" for count, word in counted if count > 1]
        words += [f"{name} {where}" for name, where in ((self.before, "before"), (self.after, "after")) if name]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPicture:
    """A gateway and the steps behind it; `ends` are merged into the reply."""

    name: str = ""
    steps: tuple[StepPicture, ...] = ()
    ends: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    gateway: str = ""
    """Class of a gateway of the user's own."""

    def __post_init__(self) -> None:
        known = {GATEWAY, *(step.name for step in self.steps)}
        if len(known) != len(self.steps) + 1:
            raise UsageError("a picture needs a different name for each step, and `gateway` for none")
        for named in (*(need for step in self.steps for need in step.needs), *self.ends):
            if named not in known:
                raise UsageError(f"a picture cannot show {named!r}: there is no such step")

    @property
    def title(self) -> str:
        """`Flow search: 3 Executors`; joins are none."""
        count = sum(not step.joins for step in self.steps)
        name = "Flow" if self.name in {"", "flow"} else f"Flow {self.name}"
        return f"{name}: {count} Executor{'' if count == 1 else 's'}"

    @property
    def edges(self) -> list[tuple[str, str]]:
        """(from, to) between steps and from the gateway, in the order of the steps."""
        return [(need, step.name) for step in self.steps for need in step.needs]


def picture_of(
    plan: FlowPlan,
    endpoints: Mapping[str, Iterable[EndpointLike]] | None = None,
    classes: Mapping[str, str] | None = None,
    *,
    running: bool = True,
) -> GraphPicture:
    """The picture of a Flow.

    `endpoints` and `classes` tell by name of the Deployment what the plan does not know: the endpoints, and the
    class name of an Executor that travels by pickle. Ports that were chosen at random are only shown of a Flow that
    is `running`.
    """
    workers = {one.name: one.workers for one in plan.deployments}
    told, named = endpoints or {}, classes or {}
    nodes, hidden = _shown(plan.gateway.graph.nodes)
    steps = tuple(
        _step(node, workers.get(node.name, []), told.get(node.name, ()), named.get(node.name, "")) for node in nodes
    )
    return GraphPicture(
        name=plan.name,
        steps=tuple(replace(step, needs=_seen(step.needs, hidden)) for step in steps),
        ends=_seen(plan.gateway.graph.ends, hidden),
        addresses=tuple(_address(face, running=running) for face in plan.gateway.faces),
        gateway=_gateway_class(plan.gateway),
    )


def _shown(nodes: list[NodePlan]) -> tuple[list[NodePlan], dict[str, str]]:
    """The nodes but those that an inspection adds to hand documents on, and for each of these the one before it."""
    hidden: dict[str, str] = {}
    for node in nodes:
        if node.name.startswith(_AUXILIARY) and not node.hops and len(node.needs) == 1:
            hidden[node.name] = hidden.get(node.needs[0], node.needs[0])
    return [node for node in nodes if node.name not in hidden], hidden


def _seen(names: Iterable[str], hidden: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hidden.get(name, name) for name in names))


def _step(node: NodePlan, workers: list[WorkerPlan], endpoints: Iterable[EndpointLike], name: str) -> StepPicture:
    hops = len({hop.name for hop in node.hops})
    shards = max((worker.shards for worker in workers), default=1)
    return StepPicture(
        name=node.name,
        needs=tuple(node.needs),
        executor=name or (class_name(workers[0].executor) if workers else ""),
        endpoints=tuple(
            EndpointPicture(one.path, one.input_name, one.output_name, one.is_generator) for one in endpoints
        ),
        replicas=max([worker.replicas for worker in workers] or [hops // shards, 1]),
        shards=shards,
        before=_part(workers, "uses_before"),
        after=_part(workers, "uses_after"),
        when=words_of(node.when),
        floating=node.floating,
        external=node.external,
        joins=not node.hops,
        no_reduce=node.no_reduce,
        addresses=tuple(_hop_address(hop.address, tls=hop.tls) for hop in node.hops if hop.address),
    )


def _part(workers: list[WorkerPlan], part: str) -> str:
    return next((class_name(worker.executor) or part for worker in workers if worker.part == part), "")


def class_name(executor: ExecutorPlan) -> str:
    """The name of the class without its module; empty where the plan does not know it."""
    return (executor.qualname or executor.jtype).rpartition(".")[2]


def _gateway_class(gateway: GatewayPlan) -> str:
    return class_name(gateway.custom) if gateway.custom else ""


def _address(face: FacePlan, *, running: bool) -> str:
    scheme = _SCHEMES[face.protocol] + ("s" if face.tls else "")
    if face.share_port and not running:
        return scheme
    host = f"[{face.host}]" if ":" in face.host else face.host
    return f"{scheme}://{host}:{face.port}"


def _hop_address(address: str, *, tls: bool) -> str:
    return f"{'grpcs' if tls else 'grpc'}://{address}"
