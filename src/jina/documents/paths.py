"""What an index names: documents by position, id, mask or path, and the values at an attribute path of each.

Paths are `@r,c[0:2],cm` through the nesting of documents, and `tags__price__eur` into one document.

Grammar of the first kind: paths are joined by commas; each is a chain of `r` (the documents themselves), `c` (their
chunks) and `m` (their matches), each with an optional `[position]` or `[start:stop:step]`. Spaces do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jina.documents.document import FIELDS, LEGACY_FIELDS, stored, to_numpy

_STEP = re.compile(r"([rcm])(\[[-\d:]*\])?")
_NESTED = {"c": "chunks", "m": "matches"}
_MISSING = object()
_ATTRIBUTES = {*FIELDS, *LEGACY_FIELDS, "uri", "content", "content_type"}


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
            f"{whole!r} is not a path through documents: {path[position:] or path!r} is not r, c or m"
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


def is_path(selector: Any) -> bool:
    """Whether an index is a path through documents."""
    return isinstance(selector, str) and selector.startswith("@")


def simple_index(item: Any) -> Any:
    """NumPy's integers and arrays, and other iterables, as Python's int and list."""
    if isinstance(item, int | str | slice | list | tuple) or item is None or item is Ellipsis:
        return item
    if isinstance(item, np.bool_ | np.integer):
        return item.item()
    if hasattr(item, "tolist"):
        return item.tolist()
    if isinstance(item, Iterable) and not isinstance(item, bytes):
        return list(item)
    raise IndexError(f"documents cannot be indexed by {type(item).__name__} ({item!r})")


def selected(docs: Any, selector: Any) -> list[Any]:
    """The documents of an array that an index stands for."""
    selector = simple_index(selector)
    if selector is Ellipsis:
        return list(flatten(docs))
    if selector is None:
        return list(docs)
    if isinstance(selector, slice):
        return list(list.__getitem__(docs, selector))
    if is_path(selector):
        return [doc for path in parse_paths(selector[1:]) for found in walk(docs, path) for doc in found]
    if isinstance(selector, int | str):
        return [docs[selector]]
    return [list.__getitem__(docs, place) for place in places_of(docs, selector)]


def places_of(docs: Any, items: Any) -> list[int]:
    """The positions that a list of positions and ids, or a mask, stands for; IndexError or KeyError."""
    if not isinstance(items, list | tuple):
        raise TypeError(f"documents cannot be indexed by {type(items).__name__}")
    items = [simple_index(item) for item in items]
    if items and all(isinstance(item, bool) for item in items):
        if len(items) > len(docs):
            raise IndexError(f"a mask of {len(items)} values for {len(docs)} documents")
        return [place for place, wanted in enumerate(items) if wanted]
    return [_place(docs, item) for item in items]


def _place(docs: Any, item: Any) -> int:
    if isinstance(item, str):
        return int(docs.position_of(item))
    if not isinstance(item, int) or isinstance(item, bool):
        raise TypeError(f"documents cannot be indexed by {type(item).__name__} in a list")
    if not -len(docs) <= item < len(docs):
        raise IndexError(f"position {item} is out of range: there are {len(docs)} documents")
    return item % len(docs)


class Cell(NamedTuple):
    """An index with two parts, like `docs[:, 'text']` and `docs['@c', ['id', 'text']]`."""

    selector: Any
    attributes: Any

    @property
    def names(self) -> list[str]:
        """The attributes, also where only one is named."""
        return self.attributes if isinstance(self.attributes, list) else [self.attributes]

    @property
    def is_of_one(self) -> bool:
        """Whether the selector stands for one document, not for a list of them."""
        return isinstance(self.selector, int | str) and not is_path(self.selector)


def cell_of(docs: Any, item: Any) -> Cell | None:
    """The two parts of an index of documents and attributes, else None."""
    if not isinstance(item, tuple) or len(item) != 2:
        return None
    selector, attributes = item
    if isinstance(attributes, list):
        if not all(isinstance(name, str) for name in attributes):
            return None
    elif not isinstance(attributes, str):
        return None
    elif (
        isinstance(selector, int | str)
        and not isinstance(selector, bool)
        and not is_path(selector)
        and attributes.partition("__")[0] not in _ATTRIBUTES
        and attributes in docs
    ):
        return None  # the id of a second document
    return Cell(simple_index(selector), attributes)


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


STACKED = frozenset({"tensor", "embedding"})


def read_column(docs: Sequence[Any], path: str) -> Any:
    """The values of one field or attribute path.

    A list with one value per document. `tensor` and `embedding` come stacked: one array of shape
    (documents, *shape), None when no document has one. ValueError when only some have one, or shapes differ.
    """
    if path in STACKED:
        return stack([doc.__dict__[path] for doc in docs], path)
    if path == "content":
        return _contents(docs)
    return [read_path(doc, path) for doc in docs]


def _contents(docs: Sequence[Any]) -> Any:
    kinds = {doc.content_type for doc in docs}
    if kinds == {"tensor"}:
        return stack([doc.tensor for doc in docs], "tensor")
    return None if kinds <= {None} else [doc.content for doc in docs]


def stack(values: Sequence[Any], name: str) -> Any:
    """The tensors as one array of their framework (a plain NumPy array for NumPy); None when all are None."""
    missing = [position for position, value in enumerate(values) if value is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(f"document {missing[0]} has no {name}, others have: they cannot be stacked")
    if all(isinstance(value, np.ndarray) for value in values):
        return _stack_numpy([to_numpy(value) for value in values], name)
    backend = values[0].get_comp_backend()
    return backend.stack(list(values))


def _stack_numpy(arrays: list[np.ndarray[Any, Any]], name: str) -> np.ndarray[Any, Any]:
    for position, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"the {name} of document {position} has shape {array.shape}, that of document 0 {arrays[0].shape}:"
                " they cannot be stacked"
            )
    return np.stack(arrays)


def write_column(docs: Sequence[Any], path: str, values: Any) -> None:
    """Set one field of each document.

    `values` has one value per document; a single str, bytes or dict, or None, is set on all of them.
    ValueError when the numbers differ.
    """
    for doc, value in zip(docs, _spread(values, len(docs), path), strict=True):
        write_path(doc, path, value)


def _spread(values: Any, size: int, path: str) -> Sequence[Any]:
    if values is None or isinstance(values, str | bytes | int | float):
        return [values] * size
    if isinstance(values, dict):
        return [dict(values) for _ in range(size)]
    given = values if hasattr(values, "__len__") else list(values)
    if len(given) != size:
        raise ValueError(f"{len(given)} values of {path} for {size} documents")
    return given


def delete_column(docs: Sequence[Any], path: str) -> None:
    """Unset one field of each document."""
    for doc in docs:
        delete_path(doc, path)
