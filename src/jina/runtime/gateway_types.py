"""Whether what one Executor gives fits what the next one takes, told from their JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jina.errors import ConfigError
from jina.plan.plans import GraphPlan
from jina.runtime.gateway_endpoints import Known, Typed, answers, on_the_way, outputs

_DEEPEST = 4
"""Levels of nested documents that are compared."""

Schema = Mapping[str, Any]


def check_edges(graph: GraphPlan, known: Known) -> None:
    """Compare all neighbours on all endpoints that both answer.

    Raises `ConfigError`, naming both Executors, both classes and the field, where a field of one name has different
    JSON types, where a required one never comes, or where both have fields and none in common, so that nothing but
    the ids would arrive. Schemaless documents fit everything; what is on either side of a generator is not compared.
    """
    for path in sorted({path for endpoints in known.values() for path in endpoints}):
        given = outputs(graph, known, path)
        for node, info in on_the_way(graph, known, path):
            if info.is_passthrough or info.is_generator:
                continue
            taken = Typed(node.name, info.input_name, info.input_schema)
            before = [one for need in node.needs for one in given.get(need, ())]
            if any(_yields(known, one.owner, path) for one in before):
                continue
            _check(before, taken, path, joined=len(before) < len(node.needs))


def _check(before: list[Typed], taken: Typed, path: str, *, joined: bool) -> None:
    to = _Node.of(taken.schema)
    for one in before:
        for field, gives, takes in _clashes(_Node.of(one.schema), to, "", _DEEPEST):
            raise ConfigError(
                f"{one.owner} and {taken.owner} do not fit on {path}: {one.name}.{field} of {one.owner} is {gives},"
                f" {taken.name}.{field} of {taken.owner} takes {takes}",
                help="let both use the same document class, or rename one of the fields",
            )
    if not (joined or not before or any(_Node.of(one.schema).is_open for one in before)):
        _check_required(before, taken, to, path)
    _check_common(before, taken, path)


def _check_required(before: list[Typed], taken: Typed, to: _Node, path: str) -> None:
    coming = {name for one in before for name in _Node.of(one.schema).properties}
    for field in sorted(set(to.required) - coming):
        owners, classes = " and ".join(one.owner for one in before), " and ".join(one.name for one in before)
        raise ConfigError(
            f"{owners} and {taken.owner} do not fit on {path}: {taken.name}.{field} of {taken.owner} is required, and"
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
        f"{owners} and {taken.owner} do not fit on {path}: {classes} of {owners} ({', '.join(sorted(coming))}) and"
        f" {taken.name} of {taken.owner} ({', '.join(sorted(fields))}) have no common field, so nothing would arrive",
        help="let both use the same document class, or fields of the same names",
    )


def _yields(known: Known, owner: str, path: str) -> bool:
    info = answers(known[owner], path)
    return info is not None and info.is_generator


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a schema with the definitions that its references mean."""

    schema: Schema
    definitions: Schema

    @classmethod
    def of(cls, schema: Schema) -> _Node:
        return cls(schema, schema.get("$defs", {})).resolved()

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
                if one != "null":
                    found["number" if one == "integer" else one] = choice
        return found or None


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
