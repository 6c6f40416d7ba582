"""DocumentArray: the list of schemaless documents, with access by position, id, mask and path, map, apply, groups."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from docarray import BaseDoc, DocList
from pydantic_core import core_schema

from jina.documents.base import (
    Column,
    DocumentList,
    T_doc,
    as_document,
    as_list,
    delete_column,
    read_column,
    write_column,
)
from jina.documents.document import FIELDS, LEGACY_FIELDS, Document, is_empty, stored_items
from jina.documents.io import InputOutput
from jina.documents.paths import flatten, is_document_path, parse_paths, walk
from jina.documents.search import Matching
from jina.errors import ConfigError, NotSupportedError

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


class Applying(DocumentList[T_doc]):
    """The part of DocumentArray that runs functions over documents.

    `backend` is 'thread' or 'process' (the function and the documents are then pickled), `num_worker` the number
    of either (default: one per core); `pool` is one of yours with `imap` or `map`, used instead.
    """

    def batch(self, batch_size: int, shuffle: bool = False, show_progress: bool = False) -> Iterator[Self]:
        """Arrays of at most `batch_size` documents each, in order or shuffled."""
        order = _order(len(self), batch_size, shuffle=shuffle)
        for start in _progress(range(0, len(self), batch_size), "batches", show_progress):
            yield type(self).construct([list.__getitem__(self, place) for place in order[start : start + batch_size]])

    def batch_ids(self, batch_size: int, shuffle: bool = False) -> Iterator[list[str]]:
        """As `batch`, the ids only."""
        for docs in self.batch(batch_size, shuffle):
            yield [str(doc.id) for doc in docs]

    def map(
        self,
        func: Callable[[Any], Any],
        backend: str = "thread",
        num_worker: int | None = None,
        show_progress: bool = False,
        pool: Any = None,
    ) -> Iterator[Any]:
        """What `func` gives for each document, in order."""
        results = _run(func, list(self), backend, num_worker, pool)
        yield from _progress(results, "documents", show_progress, total=len(self))

    def map_batch(
        self,
        func: Callable[[Any], Any],
        batch_size: int,
        backend: str = "thread",
        num_worker: int | None = None,
        shuffle: bool = False,
        show_progress: bool = False,
        pool: Any = None,
    ) -> Iterator[Any]:
        """What `func` gives for each batch, in order."""
        batches = list(self.batch(batch_size, shuffle))
        results = _run(func, batches, backend, num_worker, pool)
        yield from _progress(results, "batches", show_progress, total=len(batches))

    def apply(self, func: Callable[[Any], Any], *args: Any, **options: Any) -> Self:
        """Replace each document by what `func` gives for it, and return this array; options of `map`."""
        self.replace_all(_checked(self.map(func, *args, **options)))
        return self

    def apply_batch(self, func: Callable[[Any], Any], batch_size: int, *args: Any, **options: Any) -> Self:
        """Replace the documents by those that `func` gives for each batch, and return this array."""
        batches = self.map_batch(func, batch_size, *args, **options)
        self.replace_all([doc for docs in batches for doc in _checked_batch(docs)])
        return self


def _order(size: int, batch_size: int, *, shuffle: bool) -> list[int]:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size: {batch_size!r} is not a whole number above 0")
    order = list(range(size))
    if shuffle:
        random.shuffle(order)
    return order


def _run(func: Any, items: Sequence[Any], backend: str, num_worker: int | None, pool: Any) -> Iterator[Any]:
    if pool is not None:
        yield from (pool.imap if hasattr(pool, "imap") else pool.map)(func, items)
    elif backend == "thread":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(num_worker) as threads:
            yield from threads.map(func, items)
    elif backend == "process":
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # Never fork: a process that serves has threads, and their locks would be copied as they are.
        with ProcessPoolExecutor(num_worker, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield from processes.map(func, items)
    else:
        raise ConfigError(f"backend: {backend!r} is not 'thread' or 'process'")


def _progress(items: Any, description: str, show: bool, total: int | None = None) -> Any:
    if not show:
        return items
    from rich.progress import track

    return track(items, description=description, total=total)


def _checked(results: Iterator[Any]) -> list[Any]:
    docs = list(results)
    if any(doc is None for doc in docs):
        raise TypeError("apply: the function gave None for a document; it must return one")
    return [as_document(doc) for doc in docs]


def _checked_batch(docs: Any) -> Any:
    if docs is None:
        raise TypeError("apply_batch: the function gave None for a batch; it must return documents")
    return docs


class Grouping(DocumentList[T_doc]):
    """The part of DocumentArray that reorders, groups and merges."""

    def sample(self, k: int, seed: int | None = None) -> Self:
        """`k` documents chosen at random, each at most once; the same ones for the same seed."""
        return type(self).construct(random.Random(seed).sample(list(self), k))  # noqa: S311 - no secret

    def shuffle(self, seed: int | None = None) -> Self:
        """A new array of all documents in random order; the same order for the same seed."""
        return self.sample(len(self), seed)

    def split_by_tag(self, tag: str) -> dict[Any, Self]:
        """New arrays of the documents by their value of a tag; documents without the tag are left out."""
        groups: dict[Any, Self] = {}
        for doc in self:
            if tag in doc.tags:
                groups.setdefault(_key(doc.tags[tag]), type(self)()).append(doc)
        return groups

    split = split_by_tag

    def reduce(self, other: Iterable[Any]) -> Self:
        """Merge another array into this one, by id, and return it.

        A document that is only there is appended. Where both have it, fields that are empty here are taken from
        there, chunks and matches are merged in the same way, and all else stays.
        """
        for doc in map(as_document, other):
            if doc in self:
                _merge(list.__getitem__(self, self.position_of(str(doc.id))), doc)
            else:
                self.append(doc)
        return self

    def reduce_all(self, others: Iterable[Iterable[Any]]) -> Self:
        """Merge several arrays into this one, in order; see `reduce`."""
        for other in others:
            self.reduce(other)
        return self


def _merge(doc: Any, other: Any) -> None:
    ours = dict(stored_items(doc))
    for name, value in stored_items(other):
        if is_empty(value):
            continue
        if is_empty(ours.get(name)):
            setattr(doc, name, value)
        elif name in {"chunks", "matches"}:
            ours[name].reduce(value)


def _key(value: Any) -> Hashable:
    if isinstance(value, Hashable):
        return value
    raise TypeError(f"split_by_tag: a {type(value).__name__} cannot name a group")


class DocumentArray(Access[T_doc], Applying[T_doc], Grouping[T_doc], InputOutput[T_doc], Matching[T_doc]):
    """A list of documents without a schema.

    `DocumentArray()`, `DocumentArray(doc)`, `DocumentArray(iterable of documents, dicts or typed documents)`
    (`copy=True` copies them), `DocumentArray.empty(3)`. `DocumentArray[D]` is `docarray.DocList[D]`, a list of
    typed documents.

    Columns in the plural are those of DocArray 0.21 (`embeddings` and `tensors` stacked into one array), those in
    the singular of DocArray 0.30 and later (always lists); all can be set, from one value per document.
    """

    ids = Column("id")
    texts = Column("text")
    blobs = Column("blob")
    uris = Column("url")
    tags = Column("tags")
    contents = Column("content")
    tensors = Column("tensor")
    embeddings = Column("embedding")
    id = Column("id")
    text = Column("text")
    blob = Column("blob")
    url = Column("url")
    uri = Column("url")
    scores = Column("scores")
    chunks = Column("chunks")
    matches = Column("matches")
    tensor = Column("tensor", stacked=False)
    embedding = Column("embedding", stacked=False)

    def __class_getitem__(cls, item: Any) -> Any:
        """The class for typed documents; the schemaless ones have this class."""
        return cls if item is Document else DocList[item]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda docs: [doc.model_dump(mode="json") for doc in docs], when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        del schema, handler
        return {"type": "array", "items": {"type": "object", "additionalProperties": True}}

    def to_doc_vec(self, tensor_type: Any = None) -> Any:
        """Not available: the columns of a DocVec need a schema."""
        del tensor_type
        raise NotSupportedError("a DocVec needs a schema", help="make a DocList of typed documents first")

    def summary(self) -> None:
        """Print what the documents have in common, as tables."""
        from jina.documents.document import print_array

        print_array(self)

    def plain_summary(self) -> str:
        """As `summary`, as plain text."""
        from jina.documents.document import array_lines

        return "\n".join(array_lines(self))


def array_class_of(doc_type: Any) -> Any:
    """The list class of a document class: `DocumentArray` for the schemaless one, else `DocList[doc_type]`."""
    return DocumentArray if doc_type is Document else DocList[doc_type]


def is_schemaless(doc_type: Any) -> bool:
    """Whether the class is `Document` itself; `class D(Document)` is a typed document."""
    return doc_type is Document
