"""Item access of a DocumentArray: by position, id, slice, mask, list, path and attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from docarray import BaseDoc

from jina.documents.base import DocumentList, T_doc, as_document, as_list
from jina.documents.columns import delete_column, read_column, write_column
from jina.documents.document import FIELDS, LEGACY_FIELDS
from jina.documents.paths import flatten, is_document_path, parse_paths, walk
from jina.errors import NotSupportedError

_ATTRIBUTES = {*FIELDS, *LEGACY_FIELDS, "uri", "content", "content_type"}


class _Cell(NamedTuple):
    """An index with two parts: documents, and attributes of them (a name or a list of names)."""

    selector: Any
    attributes: Any


class Access(DocumentList[T_doc]):
    """The part of DocumentArray that answers `docs[...]`.

    `docs[0]`, `docs['id']`, `docs[1:3]`, `docs[[0, 'id', 2]]`, `docs[mask]`, `docs['@c[0],m']`, `docs[...]` (all, at
    any depth); with a second part, attributes: `docs[:, 'text']`, `docs['@c', ['id', 'tags__price']]`.
    """

    def __getitem__(self, item: Any) -> Any:
        item = _simple(item)
        if isinstance(item, int | slice):
            found = list.__getitem__(self, item)
            return self._of(found) if isinstance(item, slice) else found
        if isinstance(item, str) and not item.startswith("@"):
            return list.__getitem__(self, self.position_of(item))
        cell = self._cell(item)
        if cell is not None:
            return self._read(cell)
        return self._of(self._selected(item))

    def __setitem__(self, item: Any, value: Any) -> None:
        item = _simple(item)
        cell = self._cell(item)
        if cell is not None:
            self._write(cell, value)
        elif isinstance(item, slice):
            self._positions = None
            list.__setitem__(as_list(self), item, [as_document(doc) for doc in value])
        elif isinstance(item, int) or (isinstance(item, str) and not item.startswith("@")):
            position = item if isinstance(item, int) else self.position_of(item)
            self._positions = None
            list.__setitem__(as_list(self), position, as_document(value))
        elif isinstance(item, str) or item is Ellipsis:
            _overwrite(self._selected(item), value)
        else:
            self._replace(self._places(item), value)

    def _replace(self, places: list[int], values: Iterable[Any]) -> None:
        docs = [as_document(value) for value in ([values] if isinstance(values, BaseDoc) else values)]
        if len(docs) != len(places):
            raise ValueError(f"{len(docs)} documents for {len(places)} places")
        self._positions = None
        for place, doc in zip(places, docs, strict=True):
            list.__setitem__(as_list(self), place, doc)

    def __delitem__(self, item: Any) -> None:
        item = _simple(item)
        cell = self._cell(item)
        if cell is not None:
            self._delete(cell)
            return
        if item is Ellipsis or (isinstance(item, str) and item.startswith("@")):
            raise NotSupportedError(
                "documents cannot be deleted along a path",
                help="delete them from `chunks` or `matches` of their parent",
            )
        if isinstance(item, slice):
            places: Iterable[int] = range(*item.indices(len(self)))
        else:
            places = self._places([item] if isinstance(item, int | str) else item)
        keep = set(range(len(self))) - set(places)
        self._positions = None
        list.__setitem__(as_list(self), slice(None), [list.__getitem__(self, place) for place in sorted(keep)])

    def _of(self, docs: Iterable[Any]) -> Any:
        return type(self).construct(docs if isinstance(docs, list) else list(docs))

    def _selected(self, selector: Any) -> list[Any]:
        """The documents that the first part of an index stands for."""
        selector = _simple(selector)
        if selector is Ellipsis:
            return list(flatten(self))
        if selector is None:
            return list(self)
        if isinstance(selector, slice):
            return list(list.__getitem__(self, selector))
        if isinstance(selector, str) and selector.startswith("@"):
            return [doc for path in parse_paths(selector[1:]) for docs in walk(self, path) for doc in docs]
        if isinstance(selector, int | str):
            return [self[selector]]
        return [list.__getitem__(self, place) for place in self._places(selector)]

    def _places(self, items: Any) -> list[int]:
        """The positions that a list of positions and ids, or a mask, stands for; IndexError or KeyError."""
        if not isinstance(items, list | tuple):
            raise TypeError(f"documents cannot be indexed by {type(items).__name__}")
        items = [_simple(item) for item in items]
        if items and all(isinstance(item, bool) for item in items):
            if len(items) > len(self):
                raise IndexError(f"a mask of {len(items)} values for {len(self)} documents")
            return [place for place, wanted in enumerate(items) if wanted]
        return [self._place(item) for item in items]

    def _place(self, item: Any) -> int:
        if isinstance(item, str):
            return self.position_of(item)
        if not isinstance(item, int) or isinstance(item, bool):
            raise TypeError(f"documents cannot be indexed by {type(item).__name__} in a list")
        if not -len(self) <= item < len(self):
            raise IndexError(f"position {item} is out of range: there are {len(self)} documents")
        return item % len(self)

    def _cell(self, item: Any) -> _Cell | None:
        """The two parts of an index like `docs[:, 'text']`, else None."""
        if not isinstance(item, tuple) or len(item) != 2:
            return None
        selector, attributes = item
        if isinstance(attributes, list):
            return _Cell(selector, attributes) if all(isinstance(name, str) for name in attributes) else None
        if not isinstance(attributes, str):
            return None
        if isinstance(selector, int | str) and not isinstance(selector, bool) and not _is_path(selector):
            return _Cell(selector, attributes) if self._names_attribute(attributes) else None
        return _Cell(selector, attributes)

    def _names_attribute(self, text: str) -> bool:
        """Whether the second of two strings is an attribute, not the id of a second document."""
        return text.partition("__")[0] in _ATTRIBUTES or not self.__contains__(text)

    def _read(self, cell: _Cell) -> Any:
        docs = self._selected(cell.selector)
        single = isinstance(_simple(cell.selector), int | str) and not _is_path(cell.selector)
        if isinstance(cell.attributes, list):
            columns = [read_column(docs, name) for name in cell.attributes]
            return [_first(column) for column in columns] if single else columns
        column = read_column(docs, cell.attributes)
        return _first(column) if single else column

    def _write(self, cell: _Cell, value: Any) -> None:
        docs = self._selected(cell.selector)
        single = isinstance(_simple(cell.selector), int | str) and not _is_path(cell.selector)
        if not isinstance(cell.attributes, list):
            write_column(docs, cell.attributes, [value] if single else value)
            self._forget_ids([cell.attributes])
            return
        if len(value) != len(cell.attributes):
            raise ValueError(f"{len(value)} columns for {len(cell.attributes)} attributes")
        for name, column in zip(cell.attributes, value, strict=True):
            write_column(docs, name, [column] if single else column)
        self._forget_ids(cell.attributes)

    def _forget_ids(self, names: list[str]) -> None:
        if "id" in names:
            self._positions = None

    def _delete(self, cell: _Cell) -> None:
        docs = self._selected(cell.selector)
        for name in cell.attributes if isinstance(cell.attributes, list) else [cell.attributes]:
            delete_column(docs, name)

    def traverse(self, traversal_paths: str, filter_fn: Any = None) -> Iterator[Any]:
        """The arrays that paths like 'r,c[0]' lead to, one for each list of documents on the way."""
        for path in parse_paths(traversal_paths):
            for docs in walk(self, path):
                yield self._of([doc for doc in docs if filter_fn is None or filter_fn(doc)])

    def traverse_flat(self, access_path: str, filter_fn: Any = None) -> Any:
        """All documents that paths like 'r,c[0]' lead to, as one array.

        A path of attributes, as DocArray's own method takes it ('tags', 'chunks__text'), gives a list of values.
        """
        if not is_document_path(access_path):
            return super().traverse_flat(access_path)
        return self._of([doc for docs in self.traverse(access_path, filter_fn) for doc in docs])

    def traverse_flat_per_path(self, traversal_paths: str, filter_fn: Any = None) -> Iterator[Any]:
        """As `traverse_flat`, with one array for each of the paths."""
        for path in traversal_paths.split(","):
            yield self.traverse_flat(path, filter_fn)

    def flatten(self) -> Any:
        """One array of all documents at any depth: the chunks of each, its matches, then itself."""
        return self._of(list(flatten(self)))


def _is_path(selector: Any) -> bool:
    return isinstance(selector, str) and selector.startswith("@")


def _simple(item: Any) -> Any:
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


def _first(column: Any) -> Any:
    return None if column is None else column[0]


def _overwrite(targets: list[Any], values: Any) -> None:
    """Give documents found along a path the content of others with the same ids."""
    docs = [as_document(value) for value in ([values] if isinstance(values, BaseDoc) else values)]
    if len(docs) != len(targets):
        raise ValueError(f"{len(docs)} documents for {len(targets)} places")
    for target, doc in zip(targets, docs, strict=True):
        if target.id != doc.id:
            raise ValueError(
                f"along a path only a document with the same id can be set: {doc.id!r} is not {target.id!r}"
            )
    for target, doc in zip(targets, docs, strict=True):
        if target is not doc:
            target.copy_from(doc)
