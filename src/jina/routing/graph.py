"""The graph of a gateway, contracted for each endpoint to the steps that take part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from jina.errors import BadRequest, ConfigError, EndpointNotFound, NotSupportedError, nearest, quoted
from jina.plan.plans import GraphPlan, NodePlan
from jina.routing.conditions import Condition
from jina.routing.patterns import PatternError, compile_pattern
from jina.routing.route import GATEWAY, Route, Step, make_route

DEFAULT = "/default"

Known = Mapping[str, Collection[str] | None]
"""The endpoints of each step, by name; None (or no entry) where it takes all."""


class Graph:
    """A checked graph.

    A step that needs only floating ones is part of their side branch; one that needs others too does not get their
    documents. Raises `ConfigError` for a step that needs unknown or later ones, for duplicate names, for an
    unknown operator of `when`, and where the reply would have to come from a side branch.
    """

    def __init__(self, plan: GraphPlan) -> None:
        self._plan = plan
        self._floating: set[str] = set()
        self._conditions: dict[str, Condition] = {}
        seen: dict[str, NodePlan] = {}
        for node in plan.nodes:
            self._check(node, seen)
            seen[node.name] = node
            if node.floating or all(need in self._floating for need in node.needs):
                self._floating.add(node.name)
            if node.when is not None:
                self._conditions[node.name] = Condition(node.when, node.name)
        for name in plan.ends:
            if name not in seen and name != GATEWAY:
                raise ConfigError(f"the reply needs {name!r}, which is no step{_near(name, seen)}")
        self._ends = [name for name in plan.ends if name not in self._floating]
        if plan.ends and not self._ends:
            names = " and ".join(plan.ends)
            raise ConfigError(f"the reply needs {names}, part of a floating branch whose result nobody gets")

    @staticmethod
    def _check(node: NodePlan, seen: Mapping[str, NodePlan]) -> None:
        if node.name in seen or node.name in {GATEWAY, ""}:
            raise ConfigError(f"two steps are called {node.name!r}" if node.name in seen else f"name {node.name!r}")
        if not node.needs:
            raise ConfigError(f"{node.name} needs no step; {GATEWAY!r} stands for the request")
        for need in node.needs:
            if need not in seen and need != GATEWAY:
                raise ConfigError(f"{node.name} needs {need!r}, which is no step before it{_near(need, seen)}")
        if node.when is not None and node.no_reduce and len(node.needs) > 1:
            raise NotSupportedError(
                f"{node.name}: `when` filters merged documents, which `no_reduce` does without",
                help="leave out one of them",
            )

    def route(self, endpoint: str, known: Known, target_executor: str = "") -> Route:
        """The steps for an endpoint.

        Steps that know neither the endpoint nor `/default` pass their documents on, as do those whose name
        `target_executor` does not match (see `jina.routing.patterns`). Raises `BadRequest` where it is wrong, and
        `EndpointNotFound` where no step is left. Where only side branches know the endpoint they get the documents,
        and the reply is what comes through the others. With `strict`, any step that does not know it is an error.
        """
        aimed = self._aimed(target_executor)
        active = {node.name for node in aimed if _knows(known.get(node.name), endpoint)}
        if self._plan.strict and len(active) < len(aimed):
            raise self._not_found(endpoint, known, [node.name for node in aimed if node.name not in active])
        steps, sources = self._contract(active)
        if self._plan.nodes and not active:
            raise self._not_found(endpoint, known, [node.name for node in aimed])
        return make_route(steps, _distinct(sources[name] for name in self._ends) or (GATEWAY,))

    def _aimed(self, target: str) -> list[NodePlan]:
        if not target:
            return self._plan.nodes
        names = [node.name for node in self._plan.nodes]
        try:
            matching = compile_pattern(target).matching(names)
        except PatternError as error:
            raise BadRequest(
                f"target_executor {quoted(target)} is not a regular expression that is matched here: {error}",
                help="write the name of an Executor, or alternatives such as encoder|index",
            ) from None
        aimed = [node for node in self._plan.nodes if node.name in matching]
        if not aimed:
            raise EndpointNotFound(
                f"target_executor {quoted(target)} matches no Executor{_near(target, names)}",
                help=f"Executors: {', '.join(names)}",
            )
        return aimed

    def _contract(self, active: Collection[str]) -> tuple[list[Step], dict[str, str]]:
        """The steps that are left, and for each name whose documents stand for its own."""
        steps: list[Step] = []
        sources = {GATEWAY: GATEWAY}
        for node in self._plan.nodes:
            floating = node.name in self._floating
            needs = [need for need in node.needs if floating or need not in self._floating]
            distinct = _distinct(sources[need] for need in needs)
            if node.name not in active and len(distinct) == 1:
                sources[node.name] = distinct[0]
                continue
            sources[node.name] = node.name
            runs = node.name in active
            unmerged = runs and node.no_reduce and len(needs) > 1
            steps.append(
                Step(
                    name=node.name,
                    needs=distinct,
                    branches=tuple((need, sources[need]) for need in needs) if unmerged else (),
                    condition=self._conditions.get(node.name) if runs else None,
                    floating=floating,
                    runs=runs,
                    timeout=node.timeout_send,
                )
            )
        return steps, sources

    def _not_found(self, endpoint: str, known: Known, names: Collection[str]) -> EndpointNotFound:
        listed = {path for name in names for path in known.get(name) or () if path.startswith("/")} - {DEFAULT}
        hint = f"; did you mean {near}?" if (near := nearest(endpoint, listed)) else ""
        who = next(iter(names)) if len(names) == 1 else "no Executor"
        verb = "has no endpoint" if len(names) == 1 else "has the endpoint"
        return EndpointNotFound(
            f"{who} {verb} {quoted(endpoint)}{hint}", help=f"endpoints: {', '.join(sorted(listed))}"
        )


def _knows(endpoints: Collection[str] | None, endpoint: str) -> bool:
    return endpoints is None or endpoint in endpoints or DEFAULT in endpoints


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _near(name: str, known: Collection[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""
