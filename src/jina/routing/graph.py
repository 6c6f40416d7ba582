"""The graph of a gateway, contracted for each endpoint to a route: the steps that take part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from jina.errors import BadRequest, ConfigError, EndpointNotFound, NotSupportedError, nearest, quoted
from jina.plan.plans import GraphPlan, NodePlan, is_offer
from jina.routing.conditions import Condition
from jina.routing.patterns import PatternError, compile_pattern

GATEWAY = "gateway"
END = ""  # no Executor can have this name


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step; what follows `runs` is worked out by `Route`.

    `needs` are the steps whose documents it gets, without repetition, in the order in which they are merged.
    `branches`, at a join that does not merge: under which name the Executor sees the documents of which step.
    `runs` is False for a join that no Executor is asked about: its documents are merged all the same.
    """

    name: str
    needs: tuple[str, ...]
    branches: tuple[tuple[str, str], ...] = ()
    condition: Condition | None = None
    floating: bool = False
    runs: bool = True
    merges: bool = False
    """Whether the documents that it gets are merged from several steps."""
    fork: str = GATEWAY
    """The newest step that each of those it needs comes from; a merge tells by its documents who changed what."""
    json_ok: bool = False
    """Whether its reply may be JSON: it alone is what the client gets, as it is."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The steps for one endpoint, each after those that it needs."""

    steps: Mapping[str, Step]
    """Those of the graph, and joins that several of them share."""
    end: Step
    """The reply, as a step that needs the `ends`."""
    feeds: Mapping[str, tuple[str, ...]]
    """The steps that wait for a step, in the order of the graph; `END` where the reply waits for it."""
    waits: Mapping[str, int]
    """How many steps a step waits for."""
    reads: Mapping[str, int]
    """How often the documents of a step are read; steps whose documents are not read are not listed."""
    forks: frozenset[str]
    """Steps (or `GATEWAY`) whose documents must have ids, as they are joined again later on."""
    chain: tuple[str, ...] | None
    """The steps where they are one plain chain without conditions, joins and side branches; None otherwise."""

    @property
    def ends(self) -> tuple[str, ...]:
        """The steps whose documents are the reply."""
        return self.end.needs

    def split_at(self, name: str) -> tuple[Route, Route]:
        """What comes before a step that streams, and what comes after it for each document that it yields.

        The first route ends with the documents that the step gets, the second one starts with one that it gave.
        Raises `NotSupportedError` where other steps run beside it and are joined with it: a stream cannot be merged
        with what came once.
        """
        step = self.steps[name]
        later = {name}
        for other in self.steps.values():
            if not later.isdisjoint(other.needs):
                later.add(other.name)
        if step.floating:
            raise NotSupportedError(
                f"{name} streams, and is floating: its documents would reach no client",
                help="add it without floating=True",
            )
        for other in (*(self.steps[each] for each in self.steps if each in later and each != name), self.end):
            beside = [each for each in other.needs if each not in later]
            if beside or (other is self.end and later.isdisjoint(other.needs)):
                raise NotSupportedError(
                    _unmergeable(name, other, beside),
                    help="put the step that streams behind the join, or call it without a stream",
                )
        if len(step.branches) > 1:
            raise NotSupportedError(
                f"{name} streams, and gets several branches unmerged, which is not available yet",
                help="leave out no_reduce, so that it gets the merged documents",
            )
        before = [other for other in self.steps.values() if other.name not in later]
        after = [_renamed(other, name) for other in self.steps.values() if other.name in later and other is not step]
        return make_route(before, step.needs), make_route(after, _renamed(self.end, name).needs)


def _unmergeable(name: str, other: Step, beside: Sequence[str]) -> str:
    where = "the reply" if other.name == END else other.name
    beside = ["the request itself" if each == GATEWAY else each for each in beside]
    if not beside or (other.name == END and len(beside) == len(other.needs)):
        return f"{name} streams, but the reply does not come from it"
    return f"{name} streams, so that {where} cannot join it with {' and '.join(beside)}"


def _renamed(step: Step, start: str) -> Step:
    """The step in a route that starts with the documents of `start`."""
    return replace(
        step,
        needs=tuple(GATEWAY if need == start else need for need in step.needs),
        branches=tuple((label, GATEWAY if source == start else source) for label, source in step.branches),
    )


class _Draft(msgspec.Struct):
    """A route in the making."""

    steps: dict[str, Step]
    end: Step
    feeds: dict[str, list[str]] = msgspec.field(default_factory=dict)


def make_route(steps: Iterable[Step], ends: Sequence[str]) -> Route:
    """The route of steps that are each after those that they need, and whose `ends` make the reply."""
    draft = _Draft({step.name: step for step in steps}, Step(name=END, needs=tuple(ends), runs=False))
    _drop_idle_joins(draft)
    _share_joins(draft)
    _connect(draft)
    _find_forks(draft)
    _choose_forms(draft)
    waits = dict.fromkeys((*draft.steps, END), 0)
    for followers in draft.feeds.values():
        for follower in followers:
            waits[follower] += 1
    joining = [step for step in (*draft.steps.values(), draft.end) if step.merges or step.branches]
    return Route(
        steps=draft.steps,
        end=draft.end,
        feeds={name: tuple(followers) for name, followers in draft.feeds.items()},
        waits=waits,
        reads=_reads(draft),
        forks=frozenset(step.fork for step in joining),
        chain=_chain(draft),
    )


def _drop_idle_joins(draft: _Draft) -> None:
    """Joins without an Executor count only while a later step uses their documents."""
    for step in reversed([step for step in draft.steps.values() if not step.runs]):
        takers = [other for other in draft.steps.values() if step.name in other.needs]
        if step.name in draft.end.needs:
            continue
        if not takers:
            del draft.steps[step.name]
        elif all(taker.floating for taker in takers):
            draft.steps[step.name] = replace(step, floating=True)


def _connect(draft: _Draft) -> None:
    feeds: dict[str, list[str]] = {GATEWAY: [], **{name: [] for name in draft.steps}}
    for step in draft.steps.values():
        for need in step.needs:
            feeds[need].append(step.name)
    for need in draft.end.needs:
        feeds[need].append(END)
    for step in draft.steps.values():
        # A side branch that is not floating is waited for, though its documents are not used.
        awaited = any(name == END or not draft.steps[name].floating for name in feeds[step.name])
        if not step.floating and not awaited:
            feeds[step.name].append(END)
    draft.feeds = feeds


def _share_joins(draft: _Draft) -> None:
    """Steps that need the same get it from one join.

    What is merged once is the base for what they change: without that, a later join would tell their changes by the
    documents before it, where all that it merged looks changed.
    """
    takers: dict[tuple[str, ...], list[Step]] = {}
    for step in (*draft.steps.values(), draft.end):
        if len(step.needs) > 1 and not step.branches:
            takers.setdefault(step.needs, []).append(step)
    shared = {needs: _shared_join(needs, found) for needs, found in takers.items() if len(found) > 1}
    steps: dict[str, Step] = {}
    for step in (*draft.steps.values(), draft.end):
        join = None if step.branches else shared.get(step.needs)
        if join is not None:
            steps.setdefault(join.name, join)
        steps[step.name] = step if join is None else replace(step, needs=(join.name,))
    draft.end = steps.pop(END)
    draft.steps = steps


def _shared_join(needs: tuple[str, ...], takers: Sequence[Step]) -> Step:
    # Its name is for messages; there are spaces in it, as in no name of an Executor.
    name = " and ".join(taker.name or "the reply" for taker in takers)
    return Step(name=name, needs=needs, runs=False, floating=all(taker.floating for taker in takers))


def _find_forks(draft: _Draft) -> None:
    before: dict[str, set[str]] = {GATEWAY: set()}
    for step in (*draft.steps.values(), draft.end):
        before[step.name] = {*step.needs}.union(*(before[need] for need in step.needs))
        if len(step.needs) > 1 or step.branches:
            merges = not step.branches
            needs = _newest_first(step.needs, before) if merges else step.needs
            joined = replace(step, merges=merges, fork=_fork(step.needs, before), needs=needs)
            if step.name == END:
                draft.end = joined
            else:
                draft.steps[step.name] = joined


def _fork(needs: Sequence[str], before: Mapping[str, set[str]]) -> str:
    """The newest step that all of `needs` come from, and that is before or after any other such step."""
    common = set.intersection(*({need, *before[need]} for need in needs))

    def in_line(one: str) -> bool:
        return all(one == other or one in before[other] or other in before[one] for other in common)

    # Those in line are before one another, so that their numbers differ; the request is always among them.
    return next(filter(in_line, sorted(common, key=lambda one: len(before[one]), reverse=True)))


def _newest_first(needs: tuple[str, ...], before: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Documents that others of them were made from come last: what was made from them is newer."""

    def outdated(need: str) -> bool:
        return any(need in before[other] for other in needs)

    return tuple(sorted(needs, key=outdated))


def _choose_forms(draft: _Draft) -> None:
    if draft.end.merges or draft.end.needs[0] == GATEWAY:
        return
    last = draft.steps[draft.end.needs[0]]
    if last.runs and last.condition is None and draft.feeds[last.name] == [END]:
        draft.steps[last.name] = replace(last, json_ok=True)


def _reads(draft: _Draft) -> dict[str, int]:
    reads: dict[str, int] = {}
    for step in (*draft.steps.values(), draft.end):
        for name in (*step.needs, *([step.fork] if step.merges else [])):
            reads[name] = reads.get(name, 0) + 1
    return reads


def _chain(draft: _Draft) -> tuple[str, ...] | None:
    names = tuple(draft.steps)
    in_line = all(
        _is_plain(step) and step.needs == (need,)
        for step, need in zip(draft.steps.values(), (GATEWAY, *names), strict=False)
    )
    return names if in_line and draft.end.needs == ((GATEWAY, *names)[-1],) else None


def _is_plain(step: Step) -> bool:
    return step.runs and not step.floating and step.condition is None and not step.branches


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
                raise ConfigError(f"the reply needs {name!r}, which is not a step{_near(name, seen)}")
        self._ends = [name for name in plan.ends if name not in self._floating]
        if plan.ends and not self._ends:
            names = " and ".join(plan.ends)
            raise ConfigError(f"the reply needs {names}, part of a floating branch, whose result is discarded")

    @staticmethod
    def _check(node: NodePlan, seen: Mapping[str, NodePlan]) -> None:
        if node.name in seen or node.name in {GATEWAY, ""}:
            raise ConfigError(f"two steps are called {node.name!r}" if node.name in seen else f"name {node.name!r}")
        if not node.needs:
            raise ConfigError(f"{node.name} needs no step; write {GATEWAY!r} for the request itself")
        for need in node.needs:
            if need not in seen and need != GATEWAY:
                raise ConfigError(f"{node.name} needs {need!r}, which is not a step before it{_near(need, seen)}")
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
        if self._plan.strict and len(active) < len(aimed) and not is_offer(endpoint):
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
