"""The endpoints of a whole graph, from those of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jina.plan.plans import GraphPlan, NodePlan
from jina.transport.service import EndpointInfo

DEFAULT = "/default"

Known = Mapping[str, Mapping[str, EndpointInfo]]
"""The endpoints of each step by path."""


def answers(endpoints: Mapping[str, EndpointInfo], path: str) -> EndpointInfo | None:
    """What answers the path at one step: its own endpoint, else `/default`; None where it passes documents on."""
    return endpoints.get(path) or endpoints.get(path.removeprefix("/")) or endpoints.get(DEFAULT)


def passes_all(endpoints: Mapping[str, EndpointInfo]) -> bool:
    """Whether the step is an Executor without any endpoint, such as a joiner."""
    return all(info.is_passthrough for info in endpoints.values())


@dataclass(frozen=True, slots=True)
class Typed:
    """A document class as it shows outside; `owner` is the Deployment that says so."""

    owner: str
    name: str
    schema: dict[str, Any]


def merged_endpoints(graph: GraphPlan, known: Known) -> dict[str, EndpointInfo]:
    """By path: what the first steps take that know it, what the last ones give, and parameters of all of them."""
    paths = {path for endpoints in known.values() if not passes_all(endpoints) for path in endpoints}
    if not paths:
        # Nothing but Executors without endpoints: they answer all alike.
        paths = {path for endpoints in known.values() for path in endpoints}
    names = _Names()
    return {path: _merged(graph, known, path, names) for path in sorted(paths)}


def on_the_way(graph: GraphPlan, known: Known, path: str) -> list[tuple[NodePlan, EndpointInfo]]:
    """The steps that answer the path, in their order."""
    return [(node, info) for node in graph.nodes if (info := answers(known[node.name], path)) is not None]


def outputs(graph: GraphPlan, known: Known, path: str) -> dict[str, list[Typed]]:
    """What each step gives on, with what passes through it; nothing where that is the request itself."""
    given: dict[str, list[Typed]] = {"gateway": []}
    for node in graph.nodes:
        info = answers(known[node.name], path)
        if info is None or info.is_passthrough:
            given[node.name] = _distinct(one for need in node.needs for one in given.get(need, ()))
        else:
            given[node.name] = [Typed(node.name, info.output_name, info.output_schema)]
    return given


def inputs(graph: GraphPlan, known: Known, path: str) -> list[Typed]:
    """What the first steps take: those that the request reaches unchanged."""
    unchanged = {"gateway"}
    first: list[Typed] = []
    for node in graph.nodes:
        if not unchanged.intersection(node.needs):
            continue
        info = answers(known[node.name], path)
        if info is None or info.is_passthrough:
            unchanged.add(node.name)
        elif not node.floating:
            first.append(Typed(node.name, info.input_name, info.input_schema))
    return _distinct(first)


def _merged(graph: GraphPlan, known: Known, path: str, names: _Names) -> EndpointInfo:
    steps = on_the_way(graph, known, path)
    answering = [(node, info) for node, info in steps if not info.is_passthrough] or steps
    awaited = [(node, info) for node, info in answering if not node.floating] or answering
    first = awaited[0][1]
    given = outputs(graph, known, path)
    takes = _united(inputs(graph, known, path)) or Typed(awaited[0][0].name, first.input_name, first.input_schema)
    last_node, last = awaited[-1]
    gives = _united(_distinct(one for end in graph.ends for one in given.get(end, ())))
    if last_node.floating:
        gives = gives or takes  # side branches give nothing: the documents come back as they were sent
    gives = gives or Typed(last_node.name, last.output_name, last.output_schema)
    wanted = [(node.name, info) for node, info in awaited if info.parameters_schema is not None]
    parameters = _united(
        _distinct(
            Typed(name, info.parameters_name or "Parameters", info.parameters_schema or {}) for name, info in wanted
        )
    )
    return replace(
        first,
        path=path,
        input_name=names.of(takes),
        input_schema=takes.schema,
        output_name=names.of(gives),
        output_schema=gives.schema,
        parameters_name=None if parameters is None else names.of(parameters),
        parameters_schema=None if parameters is None else parameters.schema,
        is_generator=any(info.is_generator for _, info in awaited),
        is_write=any(info.is_write for _, info in awaited),
        is_safe=all(info.is_safe for _, info in steps),
        is_repeatable=len(steps) == 1 and first.is_repeatable,
        description=next((info.description for _, info in awaited if info.description), ""),
        about="\n\n".join(dict.fromkeys(info.about for _, info in awaited if info.about)),
    )


class _Names:
    """Gives different classes of one name different names: the later ones have the Deployment in theirs."""

    def __init__(self) -> None:
        self._schemas: dict[str, dict[str, Any]] = {}

    def of(self, typed: Typed) -> str:
        for name in (typed.name, f"{typed.owner}.{typed.name}"):
            if self._schemas.setdefault(name, typed.schema) == typed.schema:
                return name
        return f"{typed.owner}.{typed.name}"


def _distinct(types: Iterable[Typed]) -> list[Typed]:
    found: list[Typed] = []
    for one in types:
        if not any(one.name == other.name and one.schema == other.schema for other in found):
            found.append(one)
    return found


def _united(types: list[Typed]) -> Typed | None:
    """One class for what several branches take or give: all their fields, required where all require them."""
    if len(types) < 2:
        return types[0] if types else None
    flat = [_resolved(one.schema) for one in types]
    definitions: dict[str, Any] = {}
    for schema in flat:
        for name, definition in schema.get("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                return types[0]
    properties: dict[str, Any] = {}
    for schema in flat:
        for name, field in schema.get("properties", {}).items():
            properties.setdefault(name, field)
    required = set.intersection(*(set(schema.get("required", ())) for schema in flat))
    united: dict[str, Any] = {**flat[0], "properties": properties, "required": sorted(required)}
    united["title"] = name = "_".join(dict.fromkeys(one.name for one in types))
    if definitions:
        united["$defs"] = definitions
    if any(schema.get("additionalProperties") for schema in flat):
        united["additionalProperties"] = True
    return Typed(types[0].owner, name, united)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its properties at the top."""
    target = schema.get("$ref", "")
    if not target.startswith("#/$defs/"):
        return schema
    return {**schema.get("$defs", {}).get(target.removeprefix("#/$defs/"), {}), "$defs": schema.get("$defs", {})}
