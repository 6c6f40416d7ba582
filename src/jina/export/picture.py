"""What a picture of a Flow shows, made from its plan; and the same as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from jina.documents.records import type_name
from jina.errors import UsageError
from jina.executor.binding import endpoints_of, marked
from jina.executor.decorators import Marks, streams
from jina.executor.signatures import types_of
from jina.plan.plans import ExecutorPlan, FlowPlan, GatewayPlan, ListenerPlan, NodePlan, WorkerPlan

_SIGNS = {"$eq": "=", "$ne": "≠", "$gt": ">", "$gte": "≥", "$lt": "<", "$lte": "≤", "$in": "in", "$nin": "not in"}
_SIGNS |= {"$regex": "matches", "$size": "has size"}
_JOINED = {"$and": " and ", "$or": " or "}


def words_of(when: Mapping[str, Any] | None) -> str:
    """`tags__price > 3 and (text = 'a' or text = 'b')`; empty for no condition.

    `when` is in the query language of DocArray: https://docs.docarray.org/API_reference/utils/filter/
    """
    return _all(when, inner=False) if when else ""


def _all(when: Mapping[str, Any], *, inner: bool) -> str:
    parts = [_one(key, value, alone=len(when) == 1 and not inner) for key, value in when.items()]
    text = " and ".join(parts)
    return f"({text})" if inner and len(parts) > 1 else text


def _one(key: str, value: Any, *, alone: bool) -> str:
    if key in _JOINED and isinstance(value, list | tuple):
        text = _JOINED[key].join(_all(one, inner=True) for one in value)
        return text if alone or len(value) < 2 else f"({text})"
    if key == "$not" and isinstance(value, Mapping):
        return f"not ({_all(value, inner=False)})"
    if isinstance(value, Mapping) and value and all(str(name).startswith("$") for name in value):
        return " and ".join(_compared(key, sign, operand) for sign, operand in value.items())
    return f"{key} = {value!r}"


def _compared(field: str, sign: str, operand: Any) -> str:
    if sign == "$exists":
        return f"{field} exists" if operand else f"{field} is missing"
    if sign == "$not" and isinstance(operand, Mapping):
        return f"not ({_one(field, operand, alone=True)})"
    return f"{field} {_SIGNS.get(sign, sign)} {operand!r}"


GATEWAY = "gateway"
_SCHEMES = {"grpc": "grpc", "http": "http", "websocket": "ws"}
_AUXILIARY = "_aux_"


class EndpointLike(Protocol):
    """What is shown of an endpoint; `jina.net.service.EndpointInfo` is one."""

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
    known_endpoints, named = endpoints or {}, classes or {}
    nodes, hidden = _shown(plan.gateway.graph.nodes)
    steps = tuple(
        _step(node, workers.get(node.name, []), known_endpoints.get(node.name, ()), named.get(node.name, ""))
        for node in nodes
    )
    return GraphPicture(
        name=plan.name,
        steps=tuple(replace(step, needs=_seen(step.needs, hidden)) for step in steps),
        ends=_seen(plan.gateway.graph.ends, hidden),
        addresses=tuple(_address(listener, running=running) for listener in plan.gateway.listeners),
        gateway=_gateway_class(plan.gateway),
    )


def _shown(nodes: list[NodePlan]) -> tuple[list[NodePlan], dict[str, str]]:
    """The nodes but those that an inspection adds to hand documents on, and for each of these the one before it."""
    hidden: dict[str, str] = {}
    for node in nodes:
        if node.name.startswith(_AUXILIARY) and not node.upstreams and len(node.needs) == 1:
            hidden[node.name] = hidden.get(node.needs[0], node.needs[0])
    return [node for node in nodes if node.name not in hidden], hidden


def _seen(names: Iterable[str], hidden: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hidden.get(name, name) for name in names))


def _step(node: NodePlan, workers: list[WorkerPlan], endpoints: Iterable[EndpointLike], name: str) -> StepPicture:
    upstreams = len({upstream.name for upstream in node.upstreams})
    shards = max((worker.shards for worker in workers), default=1)
    return StepPicture(
        name=node.name,
        needs=tuple(node.needs),
        executor=name or (class_name(workers[0].executor) if workers else ""),
        endpoints=tuple(
            EndpointPicture(one.path, one.input_name, one.output_name, one.is_generator) for one in endpoints
        ),
        replicas=max([worker.replicas for worker in workers] or [upstreams // shards, 1]),
        shards=shards,
        before=_part(workers, "uses_before"),
        after=_part(workers, "uses_after"),
        when=words_of(node.when),
        floating=node.floating,
        external=node.external,
        joins=not node.upstreams,
        no_reduce=node.no_reduce,
        addresses=tuple(
            _upstream_address(upstream.address, tls=upstream.tls) for upstream in node.upstreams if upstream.address
        ),
    )


def _part(workers: list[WorkerPlan], part: str) -> str:
    return next((class_name(worker.executor) or part for worker in workers if worker.part == part), "")


def class_name(executor: ExecutorPlan) -> str:
    """The name of the class without its module; empty where the plan does not know it."""
    return (executor.qualname or executor.jtype).rpartition(".")[2]


def _gateway_class(gateway: GatewayPlan) -> str:
    return class_name(gateway.custom) if gateway.custom else ""


def _address(listener: ListenerPlan, *, running: bool) -> str:
    scheme = _SCHEMES[listener.protocol] + ("s" if listener.tls else "")
    if listener.share_port and not running:
        return scheme
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{scheme}://{host}:{listener.port}"


def _upstream_address(address: str, *, tls: bool) -> str:
    return f"{'grpcs' if tls else 'grpc'}://{address}"


def endpoints_of_class(cls: type, requests: Mapping[str, str] | None = None) -> tuple[EndpointPicture, ...]:
    """The endpoints with the names of their document classes, in the order of the methods.

    `requests` binds endpoints to methods as the option `uses_requests` does. Raises `ExecutorDefinitionError` where
    the annotations are wrong.
    """
    bound = dict(requests or {})
    moved = set(bound.values())
    table = {path: name for path, name in endpoints_of(cls).items() if name not in moved} | bound
    notes = marked(cls)
    return tuple(_endpoint(path, getattr(cls, name), notes.get(name, Marks())) for path, name in table.items())


def _endpoint(path: str, function: object, marks: Marks) -> EndpointPicture:
    found = types_of(function, marks)
    return EndpointPicture(path, type_name(found.input_type), type_name(found.output_type), streams(function, marks))


def picture_text(picture: GraphPicture) -> str:
    """What a Flow consists of: each Executor with what it needs, its endpoints and types, replicas and addresses."""
    where = " ".join(picture.addresses)
    lines = [picture.title, "", " ".join(filter(None, ("gateway", picture.gateway, where)))]
    for step in picture.steps:
        lines += ["", f"{step.name} ({step.executor})" if step.executor else step.name]
        lines += [f"  {label:<{_LABEL}}{words}".rstrip() for label, words in _facts(step)]
    lines += ["", f"reply: {_reply(picture)}"]
    return "\n".join(lines) + "\n"


_LABEL = len("endpoints") + 2


def _facts(step: StepPicture) -> Iterator[tuple[str, str]]:
    yield "needs", ", ".join(step.needs)
    if step.when:
        yield "when", step.when
    if step.copies:
        yield "copies", step.copies
    yield from _labelled("endpoints", _endpoint_lines(step.endpoints))
    yield from _labelled("addresses", step.addresses)
    notes = (("external", step.external), ("floating", step.floating), ("not merged", step.is_unmerged))
    if found := [word for word, holds in notes if holds]:
        yield "is", ", ".join(found)


def _labelled(label: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, line in enumerate(lines):
        yield ("" if index else label), line


def _endpoint_lines(endpoints: Sequence[EndpointPicture]) -> list[str]:
    widest = max((len(one.path) for one in endpoints), default=0)
    return [
        f"{one.path:<{widest}}  {one.types}{'  (stream)' if one.is_generator else ''}".rstrip() for one in endpoints
    ]


def _reply(picture: GraphPicture) -> str:
    if picture.ends in {(), (GATEWAY,)}:
        return "the documents of the request as they are"
    return f"what {' and '.join(picture.ends)} give{'s' if len(picture.ends) == 1 else ', merged'}"
