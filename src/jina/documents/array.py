"""DocumentArray: the list of schemaless documents, with access by position, id, mask and path, map, apply, groups."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, SupportsIndex

from docarray import BaseDoc, DocList
from pydantic_core import core_schema
from typing_extensions import TypeVar

from jina.documents import io
from jina.documents.document import (
    Document,
    array_cells,
    array_lines,
    as_document,
    equal_documents,
    is_empty,
    print_array,
    stored_items,
)
from jina.documents.paths import (
    Cell,
    cell_of,
    delete_column,
    flatten,
    is_document_path,
    is_path,
    parse_paths,
    places_of,
    read_column,
    read_path,
    selected,
    simple_index,
    walk,
    write_column,
)
from jina.documents.search import Metric, check_options, checked_limit, filtered, make_search, nearest_of, queries_of
from jina.errors import ConfigError, NotSupportedError
from jina.observe import terminal

T_doc = TypeVar("T_doc", bound=BaseDoc, default=Document)

_UNLIMITED = object()


class Column:
    """An attribute of a DocumentArray that stands for one field of its documents."""

    def __init__(self, field: str, *, stacked: bool = True) -> None:
        self.field = field
        self.stacked = stacked

    def __get__(self, docs: Any, owner: type) -> Any:
        if docs is None:
            return self
        if self.stacked:
            return read_column(docs, self.field)
        return [getattr(doc, self.field) for doc in docs]

    def __set__(self, docs: Any, values: Any) -> None:
        write_column(docs, self.field, values)

    def __delete__(self, docs: Any) -> None:
        delete_column(docs, self.field)


class DocumentArray(DocList[T_doc]):
    """A list of documents without a schema.

    `DocumentArray()`, `DocumentArray(doc)`, `DocumentArray(iterable of documents, dicts or typed documents)`
    (`copy=True` copies them), `DocumentArray.empty(3)`. `DocumentArray[D]` is `docarray.DocList[D]`, a list of
    typed documents.

    `docs[0]`, `docs['id']`, `docs[1:3]`, `docs[[0, 'id', 2]]`, `docs[mask]`, `docs['@c[0],m']`, `docs[...]` (all, at
    any depth); with a second part, attributes: `docs[:, 'text']`, `docs['@c', ['id', 'tags__price']]`.

    Columns in the plural are those of DocArray 0.21 (`embeddings` and `tensors` stacked into one array), those in
    the singular of DocArray 0.30 and later (always lists); all can be set, from one value per document.

    For functions over documents, `backend` is 'thread' or 'process' (the function and the documents are then
    pickled), `num_worker` the number of either (default: one per core); `pool` is one of yours with `imap` or `map`,
    used instead.
    """

    doc_type = Document

    _positions: dict[str, int] | None = None  # id -> position; None after a change that moves documents

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

    def __init__(self, docs: Any = None, validate_input_docs: bool = True, *, copy: bool = False) -> None:
        if docs is None:
            list.__init__(self)
        elif not validate_input_docs:
            list.__init__(self, docs)
        else:
            if isinstance(docs, BaseDoc | Mapping):
                docs = [docs]
            given = [as_document(doc) for doc in docs]
            list.__init__(_as_list(self), [Document(doc, copy=True) for doc in given] if copy else given)

    def __class_getitem__(cls, item: Any) -> Any:
        """The class for typed documents; the schemaless ones have this class."""
        return cls if item is Document else DocList[item]

    @classmethod
    def empty(cls, size: int = 0) -> Self:
        """An array of `size` new documents with nothing set."""
        return cls(Document() for _ in range(size))

    @classmethod
    def of_values(cls, values: Iterable[Any]) -> Self:
        """As the constructor, for data: keys of a dict that are no field become fields of their own, not tags."""
        return cls(Document.model_validate(value) if isinstance(value, dict) else value for value in values)

    def _of(self, docs: Iterable[Any]) -> Any:
        return type(self).construct(docs if isinstance(docs, list) else list(docs))

    def __getstate__(self) -> None:
        return None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return type(self), (), None, iter(self)

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

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a list of equal documents in the same order."""
        return isinstance(other, list) and len(self) == len(other) and all(map(equal_documents, self, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return len(self) > 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (length={len(self)})>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the fields of the first documents."""
        from jina import notebook

        names, rows = array_cells(list(self[: notebook.MOST_ROWS]))
        table = notebook.table(names, rows, len(self)) if rows else ""
        return notebook.box(f"{type(self).__name__} of {len(self)}", "", table)

    def summary(self) -> None:
        """Print what the documents have in common, as tables."""
        print_array(self)

    def plain_summary(self) -> str:
        """As `summary`, as plain text."""
        return "\n".join(array_lines(self))

    # --- a list whose documents can be looked up by id ---

    def position_of(self, doc_id: str) -> int:
        """The position of the document with this id, the last one when there are several; KeyError if there is none."""
        positions = self._positions
        if positions is None or len(positions) > len(self):
            positions = self._index_ids()
        position = positions.get(doc_id)
        if position is None or self._id_at(position) != doc_id:  # ids can be changed behind our back
            position = self._index_ids()[doc_id]
        return position

    def _id_at(self, position: int) -> Any:
        return list.__getitem__(self, position).id if position < len(self) else None

    def _index_ids(self) -> dict[str, int]:
        self._positions = {str(doc.id): position for position, doc in enumerate(self)}
        return self._positions

    def __contains__(self, item: object) -> bool:
        """Whether a document with this id, or the id of this document, is in the array."""
        doc_id = item.id if isinstance(item, BaseDoc) else item
        if not isinstance(doc_id, str):
            return False
        try:
            self.position_of(doc_id)
        except KeyError:
            return False
        return True

    def _validate_one_doc(self, doc: Any) -> Any:
        return as_document(doc)

    def append(self, doc: Any) -> None:
        """Add one document at the end."""
        doc = as_document(doc)
        if self._positions is not None:
            self._positions[str(doc.id)] = len(self)
        list.append(self, doc)

    def extend(self, docs: Iterable[Any]) -> None:
        """Add documents at the end."""
        if isinstance(docs, BaseDoc | Mapping | str | bytes):
            raise TypeError(f"extend takes several documents; append takes one ({type(docs).__name__})")
        for doc in list(docs) if docs is self else docs:
            self.append(doc)

    def insert(self, i: SupportsIndex, doc: Any) -> None:
        """Put one document before position `i`."""
        self._positions = None
        list.insert(_as_list(self), i, as_document(doc))

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Take out and return the document at a position, the last one by default."""
        self._positions = None
        return list.pop(self, index)

    def remove(self, doc: Any) -> None:
        """Take out a document, or the one with this id; ValueError if it is not there."""
        del self[self.index(doc)]

    def index(self, doc: Any, start: SupportsIndex = 0, stop: SupportsIndex = 2**63 - 1) -> int:
        """The position of a document, or of the one with this id; ValueError if it is not there."""
        doc_id = doc if isinstance(doc, str) else as_document(doc).id
        if start == 0 and stop == 2**63 - 1:
            try:
                return self.position_of(str(doc_id))
            except KeyError:
                raise ValueError(f"no document with id {doc_id!r} in the array") from None
        for position in range(*slice(start, stop).indices(len(self))):
            if self._id_at(position) == doc_id:
                return position
        raise ValueError(f"no document with id {doc_id!r} in this part of the array")

    def count(self, doc: Any) -> int:
        """How many documents equal this one."""
        return sum(equal_documents(item, doc) for item in self)

    def reverse(self) -> None:
        """Turn the order around, in place."""
        self._positions = None
        list.reverse(self)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Order the documents in place, by `key(document)` or by the values at an attribute path like 'tags__price'."""
        self._positions = None
        if isinstance(key, str):
            path = key
            key = lambda doc: read_path(doc, path)  # noqa: E731 - two keys, one call
        list.sort(self, key=key, reverse=reverse)

    def clear(self) -> None:
        """Take out all documents."""
        self._positions = None
        list.clear(self)

    def __add__(self, other: Any) -> Self:  # type: ignore[override]
        result = self.copy()
        result += other
        return result

    def __iadd__(self, other: Any) -> Self:  # type: ignore[override]
        self.extend([other] if isinstance(other, BaseDoc) else other)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        self._positions = None
        list.__imul__(self, times)
        return self

    def copy(self) -> Self:
        """A new array of the same documents."""
        return type(self).construct(list(self))

    def replace_all(self, docs: Iterable[Any]) -> None:
        """Put these documents in the place of all that are there."""
        self._positions = None
        list.__setitem__(_as_list(self), slice(None), [as_document(doc) for doc in docs])

    # --- docs[...] ---

    def __getitem__(self, item: Any) -> Any:
        item = simple_index(item)
        if isinstance(item, int | slice):
            found = list.__getitem__(self, item)
            return self._of(found) if isinstance(item, slice) else found
        if isinstance(item, str) and not item.startswith("@"):
            return list.__getitem__(self, self.position_of(item))
        cell = cell_of(self, item)
        if cell is None:
            return self._of(selected(self, item))
        docs = selected(self, cell.selector)
        columns = [read_column(docs, name) for name in cell.names]
        if cell.is_of_one:
            columns = [None if column is None else column[0] for column in columns]
        return columns if isinstance(cell.attributes, list) else columns[0]

    def __setitem__(self, item: Any, value: Any) -> None:
        item = simple_index(item)
        cell = cell_of(self, item)
        if cell is not None:
            self._write(cell, value if isinstance(cell.attributes, list) else [value])
        elif item is Ellipsis or is_path(item):
            _overwrite(selected(self, item), value)
        elif isinstance(item, slice):
            self._positions = None
            list.__setitem__(_as_list(self), item, [as_document(doc) for doc in value])
        elif isinstance(item, int | str):
            position = item if isinstance(item, int) else self.position_of(item)
            self._positions = None
            list.__setitem__(_as_list(self), position, as_document(value))
        else:
            places = places_of(self, item)
            docs = _documents_for(places, value)
            self._positions = None
            for place, doc in zip(places, docs, strict=True):
                list.__setitem__(_as_list(self), place, doc)

    def _write(self, cell: Cell, columns: Sequence[Any]) -> None:
        docs = selected(self, cell.selector)
        if len(columns) != len(cell.names):
            raise ValueError(f"{len(columns)} columns for {len(cell.names)} attributes")
        for name, column in zip(cell.names, columns, strict=True):
            write_column(docs, name, [column] if cell.is_of_one else column)
        if "id" in cell.names:
            self._positions = None

    def __delitem__(self, item: Any) -> None:
        item = simple_index(item)
        cell = cell_of(self, item)
        if cell is not None:
            docs = selected(self, cell.selector)
            for name in cell.names:
                delete_column(docs, name)
            return
        if item is Ellipsis or is_path(item):
            raise NotSupportedError(
                "documents cannot be deleted along a path",
                help="delete them from `chunks` or `matches` of their parent",
            )
        if isinstance(item, slice):
            gone = set(range(*item.indices(len(self))))
        else:
            gone = set(places_of(self, [item] if isinstance(item, int | str) else item))
        self.replace_all([doc for place, doc in enumerate(self) if place not in gone])

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
        return self._of(flatten(self))

    # --- functions over documents ---

    def batch(self, batch_size: int, shuffle: bool = False, show_progress: bool = False) -> Iterator[Self]:
        """Arrays of at most `batch_size` documents each, in order or shuffled."""
        order = _order(len(self), batch_size, shuffle=shuffle)
        for start in _progress(range(0, len(self), batch_size), "batches", show_progress):
            yield self._of([list.__getitem__(self, place) for place in order[start : start + batch_size]])

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
        docs = list(self.map(func, *args, **options))
        if any(doc is None for doc in docs):
            raise TypeError("apply: the function returned None for a document; it must return one")
        self.replace_all(docs)
        return self

    def apply_batch(self, func: Callable[[Any], Any], batch_size: int, *args: Any, **options: Any) -> Self:
        """Replace the documents by those that `func` gives for each batch, and return this array."""
        docs: list[Any] = []
        for batch in self.map_batch(func, batch_size, *args, **options):
            if batch is None:
                raise TypeError("apply_batch: the function returned None for a batch; it must return documents")
            docs += batch
        self.replace_all(docs)
        return self

    # --- order, groups, merging ---

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
                key = doc.tags[tag]
                if not isinstance(key, Hashable):
                    raise TypeError(f"split_by_tag: a {type(key).__name__} cannot name a group")
                groups.setdefault(key, type(self)()).append(doc)
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

    # --- search ---

    def match(  # noqa: PLR0913, PLR0917 - the signature of DocArray 0.21
        self,
        darray: Sequence[Any],
        metric: str | Metric = "cosine",
        limit: float | None = 20,
        normalization: tuple[float, float] | None = None,
        metric_name: str | None = None,
        batch_size: int | None = None,
        exclude_self: bool = False,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - as above
        only_id: bool = False,
        **options: Any,
    ) -> None:
        """Fill `matches` of each document with the nearest documents of `darray`, by embedding.

        A match is a copy with `scores[metric]` set; earlier matches are replaced. `metric` is 'cosine',
        'euclidean', 'sqeuclidean' or a function of two matrices (n, d) and (m, d) that gives distances (n, m).
        `limit` is the largest number of matches (None: all). `normalization=(a, b)` maps the range of the
        distances onto a to b. `exclude_self` leaves out the document itself. `only_id` keeps only the matches'
        ids. `filter` is a query that the documents of `darray` must pass. `batch_size` bounds how many of them
        are compared at once. ValueError when an embedding is missing.
        """
        check_options("match", options)
        search = make_search(metric, limit, metric_name, normalization, exclude_self, only_id, batch_size)
        if not len(self) or not len(darray):
            return
        for doc, matches in zip(self, nearest_of(self, filtered(darray, filter), search), strict=True):
            doc.matches = self._of(matches)

    def find(
        self,
        query: Any = None,
        metric: str | Metric = "cosine",
        limit: Any = _UNLIMITED,
        metric_name: str | None = None,
        exclude_self: bool = False,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - as above
        only_id: bool = False,
        **options: Any,
    ) -> Any:
        """Search this array: by a filter (a dict) or by the nearest embeddings.

        For a vector (an array of the embeddings' shape or a list of numbers) the result is one DocumentArray; for a
        matrix, a Document or a DocumentArray a list with one DocumentArray per query. Options are those of
        `match`, `limit` 20 by default. For a filter the result is the array of all documents that pass,
        at most `limit`. Both together search among those that pass.
        """
        normalization = options.pop("normalization", None)
        check_options("find", options)
        if isinstance(query, Mapping) and not isinstance(query, BaseDoc):
            if filter is not None:
                raise ValueError("find: give the filter once, as `query` or as `filter`")
            query, filter = None, query  # noqa: A001 - as above
        if query is None:
            if filter is None:
                raise ValueError("find: give a query (embeddings or documents) or a filter")
            limit = None if limit is _UNLIMITED else checked_limit(limit)
            return self._of(list(filtered(self, filter))[:limit])
        limit = 20 if limit is _UNLIMITED else limit
        search = make_search(metric, limit, metric_name, normalization, exclude_self, only_id, None)
        queries, single = queries_of(query, self)
        candidates = filtered(self, filter)
        found = nearest_of(queries, candidates, search) if candidates else [[] for _ in queries]
        results = [self._of(docs) for docs in found]
        return results[0] if single else results

    # --- other forms; bytes, base64, protobuf and binary files are DocArray's own ---

    def to_doc_vec(self, tensor_type: Any = None) -> Any:
        """Not available: the columns of a DocVec need a schema."""
        del tensor_type
        raise NotSupportedError("a DocVec needs a schema", help="make a DocList of typed documents first")

    def to_list(self, *, exclude_none: bool = False) -> list[dict[str, Any]]:
        """One dict per document, of types that JSON has; see `Document.to_dict`."""
        return [doc.to_dict(exclude_none=exclude_none) for doc in self]

    to_dict = to_list

    @classmethod
    def from_list(cls, values: Iterable[Mapping[str, Any]]) -> Self:
        """The array of what `to_list` gave."""
        return cls(Document.from_dict(dict(value)) for value in values)

    from_dict = from_list

    def to_json(self, *, exclude_none: bool = False, indent: int | None = None) -> str:
        """A JSON array, see `Document.to_json`."""
        return json.dumps(self.to_list(exclude_none=exclude_none), indent=indent)

    @classmethod
    def from_json(cls, file: str | bytes | bytearray) -> Self:
        """The array of what `to_json` gave. ValueError when it is not a JSON array of objects."""
        values = json.loads(file)
        if not isinstance(values, list):
            raise ValueError(f"from_json: expected a JSON array of documents, got {type(values).__name__}")  # noqa: TRY004 - the text is wrong, not an argument
        return cls.from_list(values)

    def save(self, file: Any, file_format: str = "binary", encoding: str = "utf-8") -> None:
        """Write to a file (a path, or one that is open) as 'binary', 'json' or 'csv'."""
        io.check_format(file_format)
        if file_format == "binary":
            self.save_binary(file)
        elif file_format == "json":
            self.save_json(file, encoding=encoding)
        else:
            self.save_csv(file, encoding=encoding)

    @classmethod
    def load(cls, file: Any, file_format: str = "binary", encoding: str = "utf-8", **options: Any) -> Any:
        """Read what `save` wrote; options as of `load_binary` or `load_csv`."""
        io.check_format(file_format)
        if file_format == "binary":
            return cls.load_binary(file, **options)
        if file_format == "json":
            return cls.load_json(file, encoding=encoding)
        return cls.load_csv(file, encoding=encoding, **options)

    def save_json(self, file: Any, encoding: str = "utf-8") -> None:
        """Write as JSON, one document per line inside the array."""
        io.write_json(self, file, encoding)

    @classmethod
    def load_json(cls, file: Any, encoding: str = "utf-8") -> Self:
        """Read what `save_json` wrote, or any JSON array of documents."""
        with io.opened(file, "r", encoding) as stream:
            return cls.from_json(stream.read())

    def save_csv(
        self,
        file: Any,
        flatten_tags: bool = True,
        exclude_fields: Sequence[str] | None = None,
        dialect: Any = "excel",
        with_header: bool = True,
        encoding: str = "utf-8",
    ) -> None:
        """Write as CSV: a column for each field that some document has.

        Each tag has a column `tag__NAME` (`flatten_tags=False`: all in one column, as JSON). Arrays, lists and
        dicts are JSON, blobs base64.
        """
        rows = [io.row_of(doc, flatten_tags) for doc in self]
        io.write_csv(rows, file, exclude_fields or (), dialect, with_header, encoding)

    @classmethod
    def load_csv(
        cls, file: Any, field_resolver: Mapping[str, str] | None = None, encoding: str = "utf-8", dialect: Any = "excel"
    ) -> Self:
        """Read CSV with a header. A column that is no field becomes a tag, with its text as value.

        `field_resolver` renames columns; `tag__NAME` is the tag NAME.
        """
        return cls(io.read_csv(file, field_resolver or {}, encoding, dialect))

    def to_csv(self, file_path: str, dialect: Any = "excel") -> None:
        """As `save_csv`, by the name that DocArray gives it."""
        self.save_csv(file_path, dialect=dialect)

    @classmethod
    def from_csv(cls, file_path: str, encoding: str = "utf-8", dialect: Any = "excel") -> Self:
        """As `load_csv`, by the name that DocArray gives it."""
        return cls.load_csv(file_path, encoding=encoding, dialect=dialect)

    def to_dataframe(self) -> Any:
        """A pandas data frame with one row per document and one column per field, values as `to_list` gives them."""
        return io.pandas().DataFrame.from_records(self.to_list())

    @classmethod
    def from_dataframe(cls, df: Any) -> Self:
        """One document per row; columns that are no field become tags, empty cells are left out."""
        return cls(io.read_dataframe(df))

    @classmethod
    def from_ndarray(cls, array: Any) -> Self:
        """One document per row, with the row as its tensor."""
        return cls(Document(tensor=row) for row in array)


def _as_list(docs: Any) -> list[Any]:
    """The array as type checkers need it where list's own methods are called past ours."""
    return docs  # type: ignore[no-any-return]


def _documents_for(places: Sequence[Any], values: Any) -> list[Document]:
    """One document for each place, from what is assigned to them."""
    docs = [as_document(value) for value in ([values] if isinstance(values, BaseDoc) else values)]
    if len(docs) != len(places):
        raise ValueError(f"{len(docs)} documents for {len(places)} places")
    return docs


def _overwrite(targets: list[Any], values: Any) -> None:
    """Give documents found along a path the content of others with the same ids."""
    docs = _documents_for(targets, values)
    for target, doc in zip(targets, docs, strict=True):
        if target.id != doc.id:
            raise ValueError(
                f"along a path only a document with the same id can be set: {doc.id!r} is not {target.id!r}"
            )
    for target, doc in zip(targets, docs, strict=True):
        if target is not doc:
            target.copy_from(doc)


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
    if terminal.shared:  # a bar would erase what Executors leave in its line
        return _counted(items, description, total)
    from rich.progress import track

    return track(items, description=description, total=total)


def _counted(items: Any, description: str, total: int | None) -> Iterator[Any]:
    with terminal.counted(description, total, "done") as advance:
        for item in items:
            yield item
            advance()


def _merge(doc: Any, other: Any) -> None:
    ours = dict(stored_items(doc))
    for name, value in stored_items(other):
        if is_empty(value):
            continue
        if is_empty(ours.get(name)):
            setattr(doc, name, value)
        elif name in {"chunks", "matches"}:
            ours[name].reduce(value)


def array_class_of(doc_type: Any) -> Any:
    """The list class of a document class: `DocumentArray` for the schemaless one, else `DocList[doc_type]`."""
    return DocumentArray if doc_type is Document else DocList[doc_type]


def is_schemaless(doc_type: Any) -> bool:
    """Whether the class is `Document` itself; `class D(Document)` is a typed document."""
    return doc_type is Document
