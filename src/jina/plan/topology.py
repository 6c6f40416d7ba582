"""The graph of a Flow: who gets whose replies, checked and in order (pure)."""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from jina.errors import ConfigError, FlowTopologyError, nearest

if TYPE_CHECKING:
    from jina.config.models import FlowSpec, StepSpec

GATEWAY: Final = "gateway"
Kind = Literal["executor", "join", "inspect", "pass", "gather"]


class Node(msgspec.Struct, frozen=True):
    """One step of the graph.

    `needs` are the steps before it, `gateway` the request itself; the first has priority where replies are merged.
    A `join`, a `pass` and a `gather` run no Executor: they merge what they need. `spec` is None for those
    that inspections add. `floating` is true where no path leads to the end: the reply does not wait for it.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...]
    spec: StepSpec | None = None
    floating: bool = False


class Topology(msgspec.Struct, frozen=True):
    """The steps, each after those that it needs, and the names whose replies are merged into the Flow's."""

    nodes: tuple[Node, ...]
    ends: tuple[str, ...]


def topology_of(flow: FlowSpec) -> Topology:
    """The graph of a Flow.

    A step without `needs` follows the last one that is not floating; the last one gives the reply. Raises
    FlowTopologyError for unknown names, steps that cannot be reached and cycles, ConfigError for equal names.
    """
    drawing = _Drawing(inspect=flow.inspect)
    for step in flow.steps:
        drawing.add(step)
    drawing.end()
    return arranged(drawing.nodes, [drawing.last])


def arranged(nodes: Sequence[Node], ends: Sequence[str]) -> Topology:
    """The graph of these steps, checked, in order, with `floating` set; raises as `topology_of`."""
    ordered = _in_order(_checked(nodes))
    leading = set(ends)
    for node in reversed(ordered):
        if node.name in leading:
            leading.update(node.needs)
    return Topology(
        nodes=tuple(replace(node, floating=node.name not in leading) for node in ordered),
        ends=tuple(ends),
    )


class _Drawing(msgspec.Struct):
    """The graph while steps are added; `passed` are the steps that an inspection stands behind."""

    inspect: str
    nodes: list[Node] = msgspec.field(default_factory=list)
    last: str = GATEWAY
    passed: dict[str, str] = msgspec.field(default_factory=dict)

    def add(self, step: StepSpec) -> None:
        if step.method == "inspect":
            self._inspect(step)
        elif step.method == "gather_inspect":
            self._gather(step.name, step)
        else:
            before = [self.last] if step.needs is None else step.needs
            needs = self._hanging() if step.method == "needs_all" else before
            self._append(step.name, "join" if step.only_joins else "executor", needs, step)
            self.last = self.last if step.floating else step.name

    def end(self) -> None:
        if self.inspect == "COLLECT" and not any(node.kind == "gather" for node in self.nodes):
            self._gather("gather_inspect", None)

    def _append(self, name: str, kind: Kind, needs: Iterable[str], step: StepSpec | None) -> None:
        seen = dict.fromkeys(self.passed.get(need, need) for need in needs)
        self.nodes.append(Node(name, kind, tuple(seen), step))

    def _inspect(self, step: StepSpec) -> None:
        if self.inspect == "REMOVE":
            return
        before = self.last
        self._append(step.name, "inspect", [before], step)
        self.last = f"_aux_{step.name}"
        self._append(self.last, "pass", [before], None)
        self.passed[before] = self.last

    def _gather(self, name: str, step: StepSpec | None) -> None:
        inspections = [node.name for node in self.nodes if node.kind == "inspect"]
        if inspections and self.inspect == "COLLECT":
            self._append(name, "gather", [self.last, *inspections], step)
            self.last = name

    def _hanging(self) -> list[str]:
        """The steps that nothing waits for yet, besides inspections and floating ones."""
        waiting = [node for node in self.nodes if not (node.spec and node.spec.floating)]
        needed = {need for node in waiting if node.kind != "inspect" for need in node.needs}
        hanging = [node.name for node in waiting if node.kind != "inspect" and node.name not in needed]
        if not hanging:
            raise FlowTopologyError("Flow.needs_all: there is nothing to wait for")
        return hanging


def _checked(nodes: Sequence[Node]) -> dict[str, Node]:
    by_name: dict[str, Node] = {}
    for node in nodes:
        if node.name in by_name or node.name == GATEWAY:
            raise ConfigError(f"{_at(node)}: two steps have the name {node.name!r}")
        by_name[node.name] = node
    for node in nodes:
        _check_needs(node, by_name)
    return by_name


def _check_needs(node: Node, by_name: Mapping[str, Node]) -> None:
    if node.name in node.needs:
        raise FlowTopologyError(f"{_at(node)}: the income/output of a deployment can not be itself")
    for need in node.needs:
        if need != GATEWAY and need not in by_name:
            others = [GATEWAY, *(name for name in by_name if name != node.name)]
            near = nearest(need, others)
            hint = f", did you mean '{near}'?" if near else f"; there are {', '.join(others)}"
            raise FlowTopologyError(f"{_at(node)}: needs: {need!r} is not a step of the Flow{hint}")
    if not node.needs:
        raise FlowTopologyError(f"{_at(node)}: cannot be reached: it needs nothing, not even 'gateway'")
    if node.spec is not None and node.spec.external and node.spec.no_reduce and len(node.needs) > 1:
        raise ConfigError(f"{_at(node)}: External Executors with multiple needs have to do auto reduce.")


def _at(node: Node) -> str:
    return node.spec.place if node.spec is not None else f"Flow: {node.name}"


def _in_order(by_name: Mapping[str, Node]) -> list[Node]:
    """Each node after those that it needs; as they were added where that leaves a choice."""
    position = {name: index for index, name in enumerate(by_name)}
    names = list(by_name)
    missing = {name: len(set(node.needs) - {GATEWAY}) for name, node in by_name.items()}
    after: dict[str, list[str]] = {}
    for name, node in by_name.items():
        for need in set(node.needs) - {GATEWAY}:
            after.setdefault(need, []).append(name)
    ready = [position[name] for name, count in missing.items() if not count]
    ordered = []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(by_name[name])
        for following in after.get(name, ()):
            missing[following] -= 1
            if not missing[following]:
                heapq.heappush(ready, position[following])
    if len(ordered) < len(by_name):
        raise FlowTopologyError(f"Flow: dependency cycle: {' -> '.join(_cycle(by_name))}")
    return ordered


def _cycle(by_name: Mapping[str, Node]) -> list[str]:
    try:
        graphlib.TopologicalSorter({name: node.needs for name, node in by_name.items()}).prepare()
    except graphlib.CycleError as exc:
        return [str(name) for name in exc.args[1]]
    return []
