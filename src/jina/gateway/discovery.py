"""The endpoints of a whole graph, from those of its steps, and whether their schemas fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from jina.documents.records import VALUE
from jina.errors import ConfigError
from jina.net.service import EndpointInfo
from jina.plan.plans import GraphPlan, NodePlan, is_offer

DEFAULT = "/default"
Known = Mapping[str, Mapping[str, EndpointInfo]]
"""The endpoints of each step by path."""


def answers(endpoints: Mapping[str, EndpointInfo], path: str) -> EndpointInfo | None:
    """What answers the path at one step: its own endpoint, else `/default`; None where it passes documents on."""
    if is_offer(path):
        return endpoints.get(path)
    return endpoints.get(path) or endpoints.get(path.removeprefix("/")) or endpoints.get(DEFAULT)


def passes_all(endpoints: Mapping[str, EndpointInfo]) -> bool:
    """Whether the step is an Executor without any endpoint, such as a joiner."""
    return all(info.is_passthrough or info.offer is not None for info in endpoints.values())


class Typed(msgspec.Struct, frozen=True):
    """A document class as it shows outside; `owner` is the Deployment that says so."""

    owner: str
    name: str
    schema: dict[str, Any]
    is_value: bool = False
    """It is no object: see `EndpointInfo.input_is_value`."""


def merged_endpoints(graph: GraphPlan, known: Known) -> dict[str, EndpointInfo]:
    """By path: what the first steps take that know it, what the last ones give, and parameters of all of them."""
    paths = {path for endpoints in known.values() if not passes_all(endpoints) for path in endpoints}
    # Where there are nothing but Executors without endpoints, they answer all alike.
    alike = not any(not is_offer(path) for path in paths)
    paths |= {path for endpoints in known.values() for path in endpoints if alike or is_offer(path)}
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
            given[node.name] = [Typed(node.name, info.output_name, info.output_schema, info.output_is_value)]
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
            first.append(Typed(node.name, info.input_name, info.input_schema, info.input_is_value))
    return _distinct(first)


def _merged(graph: GraphPlan, known: Known, path: str, names: _Names) -> EndpointInfo:
    steps = on_the_way(graph, known, path)
    answering = [(node, info) for node, info in steps if not info.is_passthrough] or steps
    awaited = [(node, info) for node, info in answering if not node.floating] or answering
    first = awaited[0][1]
    given = outputs(graph, known, path)
    takes = _united(inputs(graph, known, path)) or Typed(
        awaited[0][0].name, first.input_name, first.input_schema, first.input_is_value
    )
    last_node, last = awaited[-1]
    gives = _united(_distinct(one for end in graph.ends for one in given.get(end, ())))
    if last_node.floating:
        gives = gives or takes  # side branches give nothing: the documents come back as they were sent
    gives = gives or Typed(last_node.name, last.output_name, last.output_schema, last.output_is_value)
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
        answers=_answers(first, awaited),
        input_is_value=takes.is_value,
        output_is_value=gives.is_value,
        is_generator=any(info.is_generator for _, info in awaited),
        is_write=any(info.is_write for _, info in awaited),
        is_safe=all(info.is_safe for _, info in steps),
        is_repeatable=len(steps) == 1 and first.is_repeatable,
        description=next((info.description for _, info in awaited if info.description), ""),
        about="\n\n".join(dict.fromkeys(info.about for _, info in awaited if info.about)),
    )


def _answers(first: EndpointInfo, steps: list[tuple[NodePlan, EndpointInfo]]) -> Literal["", "each", "one", "many"]:
    """What comes back in the end for an input of plain types: what the steps after each other make of it."""
    found = first.answers
    for _, info in steps[1:]:
        if found and info.answers in {"one", "many"}:
            found = info.answers
    return found


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


_DEEPEST = 4
"""Levels of nested documents that are compared."""
Schema = Mapping[str, Any]


def check_edges(graph: GraphPlan, known: Known) -> None:
    """Compare all neighbours on all endpoints that both answer.

    Raises `ConfigError`, naming both Executors, both classes and the field, where a field of one name has different
    JSON types, where a required one never comes, or where both have fields and none in common, so that nothing but
    the ids would arrive. Schemaless documents fit everything; documents on either side of a generator are not
    compared, plain types are.
    """
    for path in sorted({path for endpoints in known.values() for path in endpoints}):
        given = outputs(graph, known, path)
        for node, info in on_the_way(graph, known, path):
            if info.is_passthrough or (info.is_generator and not info.answers):
                continue
            taken = Typed(node.name, info.input_name, info.input_schema, info.input_is_value)
            before = [one for need in node.needs for one in given.get(need, ())]
            if any(_yields(known, one.owner, path) for one in before):
                continue
            _check(before, taken, path, joined=len(before) < len(node.needs))


def _check(before: list[Typed], taken: Typed, path: str, *, joined: bool) -> None:
    if taken.is_value or any(one.is_value for one in before):
        for one in before:
            _check_value(one, taken, path)
        return
    to = _Node.of(taken.schema)
    for one in before:
        for field, gives, takes in _clashes(_Node.of(one.schema), to, "", _DEEPEST):
            raise ConfigError(
                f"{one.owner} and {taken.owner} do not match on {path}: {one.name}.{field} of {one.owner} is {gives},"
                f" {taken.name}.{field} of {taken.owner} takes {takes}",
                help="let both use the same class, or rename one of the fields",
            )
    if not (joined or not before or any(_Node.of(one.schema).is_open for one in before)):
        _check_required(before, taken, to, path)
    _check_common(before, taken, path)


def _check_value(one: Typed, taken: Typed, path: str) -> None:
    """Raise where an object meets a value that is none, or one value meets another."""
    gives, takes = _Node.of_what_travels(one), _Node.of_what_travels(taken)
    given, wanted = gives.kinds, takes.kinds
    clash = next(iter(_clash(gives, takes, "", _DEEPEST)), None)
    if clash is not None:
        field, was, has_to_be = clash
        place = field.removesuffix(".")
        what = f"{place} is {was}, and has to be {has_to_be}" if place else f"{was}, and has to be {has_to_be}"
    elif gives.is_null and not takes.may_be_null:
        what = "nothing comes"
    elif given is None or wanted is None or given.keys() != {"object"} or given["object"].is_open:
        return
    elif "object" in wanted and (lacking := set(wanted["object"].required) - given["object"].properties.keys()):
        what = f"{', '.join(sorted(lacking))} is required, and does not come"
    else:
        return
    gives_name = "None" if gives.is_null else one.name
    raise ConfigError(
        f"{one.owner} and {taken.owner} do not match on {path}: {one.owner} gives {gives_name}, {taken.owner} takes"
        f" {taken.name} ({what})",
        help=f"write `-> {taken.name}` in {one.owner}, or take {gives_name} in {taken.owner}",
    )


def _check_required(before: list[Typed], taken: Typed, to: _Node, path: str) -> None:
    coming = {name for one in before for name in _Node.of(one.schema).properties}
    for field in sorted(set(to.required) - coming):
        owners, classes = " and ".join(one.owner for one in before), " and ".join(one.name for one in before)
        raise ConfigError(
            f"{owners} and {taken.owner} do not match on {path}: {taken.name}.{field} of {taken.owner} is required, and"
            f" {classes} of {owners} has no such field",
            help=f"give the field to {classes}, or a default to {taken.name}.{field}",
        )


def _check_common(before: list[Typed], taken: Typed, path: str) -> None:
    """Raise where all that comes would be dropped: the class fills its fields by their defaults, without a word."""
    nodes = [_Node.of(one.schema) for one in before]
    to = _Node.of(taken.schema)
    coming = {name for node in nodes for name in node.properties} - {"id"}
    fields = set(to.properties) - {"id"}
    if to.is_open or any(node.is_open for node in nodes) or not coming or not fields or coming & fields:
        return
    owners, classes = " and ".join(one.owner for one in before), " and ".join(one.name for one in before)
    raise ConfigError(
        f"{owners} and {taken.owner} do not match on {path}: {classes} of {owners} ({', '.join(sorted(coming))}) and"
        f" {taken.name} of {taken.owner} ({', '.join(sorted(fields))}) have no common field, so nothing would arrive",
        help="let both use the same class, or fields of the same names",
    )


def _yields(known: Known, owner: str, path: str) -> bool:
    """Whether a step yields documents; plain types say what is yielded."""
    info = answers(known[owner], path)
    return info is not None and info.is_generator and not info.answers


class _Node(msgspec.Struct, frozen=True):
    """A part of a schema with the definitions that its references mean."""

    schema: Schema
    definitions: Schema

    @classmethod
    def of(cls, schema: Schema) -> _Node:
        return cls(schema, schema.get("$defs", {})).resolved()

    @classmethod
    def of_what_travels(cls, typed: Typed) -> _Node:
        """Of an object its schema, of a value that of the value itself."""
        node = cls.of(typed.schema)
        return node.part(node.properties.get(VALUE)) if typed.is_value else node

    def resolved(self) -> _Node:
        schema = self.schema
        for _ in range(_DEEPEST):
            target = schema.get("$ref", "")
            if not target.startswith("#/$defs/"):
                break
            schema = self.definitions.get(target.removeprefix("#/$defs/"), {})
        return _Node(schema, self.definitions)

    def part(self, schema: Any) -> _Node:
        return _Node(schema if isinstance(schema, Mapping) else {}, self.definitions).resolved()

    @property
    def properties(self) -> Schema:
        found: Schema = self.schema.get("properties", {})
        return found

    @property
    def required(self) -> list[str]:
        return list(self.schema.get("required", ()))

    @property
    def is_open(self) -> bool:
        return not self.properties or bool(self.schema.get("additionalProperties", False))

    @property
    def choices(self) -> list[_Node]:
        """The schemas of which the value fits one."""
        several = self.schema.get("anyOf") or self.schema.get("oneOf")
        return [choice for one in several for choice in self.part(one).choices] if several else [self]

    @property
    def kinds(self) -> dict[str, _Node] | None:
        """JSON type -> what is known of it; None where the value may be anything. Null fits everything."""
        found: dict[str, _Node] = {}
        for choice in self.choices:
            kind = choice.schema.get("type")
            if kind is None:
                return None
            for one in [kind] if isinstance(kind, str) else kind:
                name = "number" if one == "integer" else one
                if name != "null":
                    # Of several objects it is not known which one it is.
                    found[name] = choice if name not in found else _Node({}, {})
        return found or None

    @property
    def is_null(self) -> bool:
        """Whether it is nothing."""
        return bool(self.schema.get("type") == "null")

    @property
    def may_be_null(self) -> bool:
        """Whether it may be nothing: its type says so, or says nothing."""
        return any(choice.schema.get("type", "null") == "null" for choice in self.choices)


def _clashes(one: _Node, other: _Node, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Fields of both whose JSON types differ, with the types."""
    if one.schema.get("additionalProperties") or other.schema.get("additionalProperties"):
        return
    for name in one.properties:
        if name in other.properties:
            yield from _clash(one.part(one.properties[name]), other.part(other.properties[name]), prefix + name, depth)


def _clash(one: _Node, other: _Node, field: str, depth: int) -> Iterator[tuple[str, str, str]]:
    gives, takes = one.kinds, other.kinds
    if gives is None or takes is None:
        return
    common = gives.keys() & takes.keys()
    if not common:
        yield field, " or ".join(gives), " or ".join(takes)
    elif common == {"object"} and depth:
        yield from _clashes(gives["object"], takes["object"], f"{field}.", depth - 1)
    elif common == {"array"} and depth:
        items = [kind["array"].part(kind["array"].schema.get("items")) for kind in (gives, takes)]
        yield from _clash(items[0], items[1], f"{field}[]", depth - 1)
