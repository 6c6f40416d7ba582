"""Paths: `@r,c[0:2],cm` through the nesting of documents, `tags__price__eur` into one document.

Grammar of the first kind: paths are joined by commas; each is a chain of `r` (the documents themselves), `c` (their
chunks) and `m` (their matches), each with an optional `[position]` or `[start:stop:step]`. Spaces do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jina.documents.document import stored

_STEP = re.compile(r"([rcm])(\[[-\d:]*\])?")
_NESTED = {"c": "chunks", "m": "matches"}
_MISSING = object()


class Step(NamedTuple):
    """One step of a path: `kind` is r, c or m; `part` the documents of each list that are taken."""

    kind: str
    part: slice


@lru_cache(maxsize=256)
def parse_paths(paths: str) -> tuple[tuple[Step, ...], ...]:
    """The steps of each path; ValueError names the path that does not follow the grammar."""
    return tuple(_parse_path(path, paths) for path in re.sub(r"\s", "", paths).split(","))


def _parse_path(path: str, whole: str) -> tuple[Step, ...]:
    steps = []
    position = 0
    while found := _STEP.match(path, position):
        steps.append(Step(found[1], _parse_slice(found[2])))
        position = found.end()
    if not steps or position != len(path):
        raise ValueError(
            f"{whole!r} is no path through documents: {path[position:] or path!r} is not r, c or m"
            " with an optional [position] or [start:stop]"
        )
    return tuple(steps)


def _parse_slice(text: str | None) -> slice:
    if text is None or text == "[]":
        return slice(None)
    numbers = [int(number) if number else None for number in text[1:-1].split(":")]
    if len(numbers) > 1:
        return slice(*numbers)
    first = numbers[0]
    assert first is not None
    return slice(first, first + 1 or None)


def walk(docs: Sequence[Any], steps: Sequence[Step]) -> Iterator[Sequence[Any]]:
    """The lists of documents that a path leads to, one for each list that holds them; without empty ones."""
    if not steps:
        if docs:
            yield docs
        return
    step, rest = steps[0], steps[1:]
    if step.kind == "r":
        yield from walk(_part(docs, step.part), rest)
        return
    for doc in docs:
        nested = stored(doc, _NESTED[step.kind])
        if nested:
            yield from walk(_part(nested, step.part), rest)


def _part(docs: Sequence[Any], part: slice) -> Sequence[Any]:
    return docs if part == slice(None) else docs[part]


def flatten(docs: Sequence[Any]) -> Iterator[Any]:
    """Every document: the chunks of each, then its matches, then itself, at any depth."""
    for doc in docs:
        yield from flatten(stored(doc, "chunks") or ())
        yield from flatten(stored(doc, "matches") or ())
        yield doc


def is_document_path(path: str) -> bool:
    """Whether the text follows the grammar of paths through documents."""
    try:
        parse_paths(path)
    except ValueError:
        return False
    return True


def read_path(doc: Any, path: str, default: Any = None) -> Any:
    """The value at an attribute path: a field, then keys of dicts, positions of lists or attributes, `__` between.

    `default` where a key or position is missing; AttributeError where the document has no such field.
    """
    name, *keys = path.split("__")
    value = getattr(doc, name)
    for key in keys:
        value = _item(value, key)
        if value is _MISSING:
            return default
    return value


def _item(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _MISSING) if key in value else getattr(value, key, _MISSING)
    if isinstance(value, list | tuple) and key.lstrip("-").isdigit():
        position = int(key)
        return value[position] if -len(value) <= position < len(value) else _MISSING
    return getattr(value, key, _MISSING)


def write_path(doc: Any, path: str, value: Any) -> None:
    """Set the value at an attribute path; dicts that are missing on the way are made."""
    name, *keys = path.split("__")
    if not keys:
        setattr(doc, name, value)
        return
    target = getattr(doc, name)
    for key in keys[:-1]:
        target = target.setdefault(key, {}) if isinstance(target, dict) else getattr(target, key)
    if isinstance(target, dict):
        target[keys[-1]] = value
    else:
        setattr(target, keys[-1], value)


def delete_path(doc: Any, path: str) -> None:
    """Unset the field, or remove the key, at an attribute path; a key that is missing is no error."""
    name, *keys = path.split("__")
    if not keys:
        doc.pop(name)
        return
    reach: Callable[..., Any] = read_path
    target = reach(doc, "__".join([name, *keys[:-1]]))
    if isinstance(target, dict):
        target.pop(keys[-1], None)
