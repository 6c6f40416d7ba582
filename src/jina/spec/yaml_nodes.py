"""YAML text to plain values that remember their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from jina.errors import BadConfigSource
from jina.spec.paths import Path, step_of
from jina.spec.types import shown

_STANDARD: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(
    _STANDARD + name for name in ("null", "bool", "int", "float", "binary", "timestamp", "str", "value", "merge")
)
_MOST_NODES: Final = 100_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with `on` and `off` as text: `on:` is a common key here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if first not in "oO" or tag != _STANDARD + "bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """The values of `text` and the line of each, counted from 1; a mapping's items have the lines of their keys.

    A tag `!Name` on a mapping becomes its first key `jtype`. Raises BadConfigSource, naming `name` and the line,
    for text that is no YAML, keys given twice, and tags that would construct objects.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return _Builder(loader, name).build_all(node)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise BadConfigSource(f"{name}:{line}: not YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise BadConfigSource(f"{name}: not YAML: {str(exc).splitlines()[0]}") from exc
    except RecursionError as exc:
        raise BadConfigSource(f"{name}: nested too deeply") from exc
    finally:
        if loader is not None:
            loader.dispose()


class _Builder:
    """Builds values from nodes, noting lines."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.lines: dict[Path, int] = {}
        self.open: set[int] = set()
        self.count = 0

    def build_all(self, node: Node | None) -> tuple[Any, dict[Path, int]]:
        if node is None:
            return None, {(): 1}
        self.lines[()] = _line(node)
        return self._build(node, ()), self.lines

    def _build(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > _MOST_NODES:
            raise self._error(node, f"more than {_MOST_NODES} values; aliases of aliases?")
        if id(node) in self.open:
            raise self._error(node, "refers to itself")
        self.open.add(id(node))
        try:
            return self._value(node, path)
        finally:
            self.open.remove(id(node))

    def _value(self, node: Node, path: Path) -> Any:
        name = self._tag_name(node)
        if isinstance(node, MappingNode):
            items = self._mapping(node, path)
            if name is not None and "jtype" in items:
                raise self._error(node, f"both the tag !{name} and the key 'jtype'; give one of them")
            return items if name is None else {"jtype": name, **items}
        if isinstance(node, SequenceNode):
            if name is not None:
                raise self._error(node, f"the tag !{name} stands before a list; it needs a mapping")
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if name is not None:
            if node.value:
                raise self._error(node, f"the tag !{name} stands before {node.value!r}; it needs a mapping")
            return {"jtype": name}
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError, AttributeError, OverflowError) as exc:  # what PyYAML's parsers of scalars raise
            kind = node.tag.removeprefix(_STANDARD)
            raise self._error(node, f"{shown(node.value)} cannot be read as {kind}: {exc}") from exc

    def _item(self, node: Node, path: Path) -> Any:
        self.lines[path] = _line(node)
        return self._build(node, path)

    def _tag_name(self, node: Node) -> str | None:
        """The class that a tag names; None for the tags of plain values."""
        tag = node.tag
        expected = {MappingNode: {_STANDARD + "map"}, SequenceNode: {_STANDARD + "seq"}, ScalarNode: _SCALARS}
        if tag in expected[type(node)]:
            return None
        if tag.startswith("!") and tag[1:].replace(".", "").isidentifier():
            return tag[1:]
        shown = tag.replace(_STANDARD, "!!")
        raise self._error(node, f"the tag {shown} is not allowed; `!Name` names an Executor class")

    def _mapping(self, node: MappingNode, path: Path) -> dict[Any, Any]:
        self._refuse_duplicates(node)
        # Merged keys (`<<`) come first afterwards, so that the mapping's own override them.
        self.loader.flatten_mapping(node)
        items: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            below = (*path, step_of(key))
            self.lines[below] = _line(key_node)
            items[key] = self._build(value_node, below)
        return items

    def _key(self, node: Node) -> Any:
        if not isinstance(node, ScalarNode) or self._tag_name(node) is not None:
            raise self._error(node, "a key is not plain text")
        return self.loader.construct_object(node)

    def _refuse_duplicates(self, node: MappingNode) -> None:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _STANDARD + "merge":
                continue
            key = self._key(key_node)
            if key in seen:
                raise self._error(key_node, f"the key {key!r} is given twice; first on line {seen[key]}")
            seen[key] = _line(key_node)

    def _error(self, node: Node, text: str) -> BadConfigSource:
        return BadConfigSource(f"{self.name}:{_line(node)}: {text}")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def plain(value: Any) -> Any:
    """A copy of mappings and lists, so that the caller's are never changed; other values as they are."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
