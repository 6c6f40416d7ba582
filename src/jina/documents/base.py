"""The list under a DocumentArray: construction, members, columns of one field, finding documents by id, equality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, SupportsIndex, cast

import numpy as np
from docarray import BaseDoc, DocList
from typing_extensions import TypeVar

from jina.documents.document import Document, blank_values, equal_documents, make_document, to_numpy
from jina.documents.paths import delete_path, read_path, write_path

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


T_doc = TypeVar("T_doc", bound=BaseDoc, default=Document)
_T: Any = T_doc


def as_document(value: Any) -> Document:
    """The value as a schemaless document: itself, or one with the fields of a typed document or a dict.

    TypeError for anything else.
    """
    if type(value) is Document:
        return value
    if isinstance(value, BaseDoc):
        return Document.model_validate(dict(value))
    if isinstance(value, Mapping):
        return Document(value)
    raise TypeError(f"a DocumentArray holds documents, not {type(value).__name__}")


class DocumentList(DocList[T_doc]):
    """A `DocList` of schemaless documents that can be looked up by id."""

    doc_type = Document

    _positions: dict[str, int] | None = None  # id -> position; None after a change that moves documents

    def __init__(self, docs: Any = None, validate_input_docs: bool = True, *, copy: bool = False) -> None:
        if docs is None:
            list.__init__(self)
        elif not validate_input_docs:
            list.__init__(self, docs)
        else:
            if isinstance(docs, BaseDoc | Mapping):
                docs = [docs]
            given = [as_document(doc) for doc in docs]
            list.__init__(as_list(self), [Document(doc, copy=True) for doc in given] if copy else given)

    def __class_getitem__(cls, item: Any) -> Any:
        # Only for the parts of DocumentArray, which are generic for type checkers alone.
        return cls if item is _T else DocList[item]

    @classmethod
    def empty(cls, size: int = 0) -> Self:
        """An array of `size` new documents with nothing set."""
        return cls(Document() for _ in range(size))

    @classmethod
    def of_values(cls, values: Iterable[Any]) -> Self:
        """As the constructor, for data: keys of a dict that are no field become fields of their own, not tags."""
        return cls(Document.model_validate(value) if isinstance(value, dict) else value for value in values)

    def __getstate__(self) -> None:
        return None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return type(self), (), None, iter(self)

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
        for doc in list(docs) if docs is self else _iterable(docs):
            self.append(doc)

    def insert(self, i: SupportsIndex, doc: Any) -> None:
        """Put one document before position `i`."""
        self._positions = None
        list.insert(as_list(self), i, as_document(doc))

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
        result = type(self).construct(list(self))
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
        list.__setitem__(as_list(self), slice(None), [as_document(doc) for doc in docs])


def as_list(docs: Any) -> list[Any]:
    """The array as type checkers need it where list's own methods are called past ours."""
    return docs  # type: ignore[no-any-return]


def _iterable(docs: Any) -> Iterable[Any]:
    if isinstance(docs, BaseDoc | Mapping | str | bytes):
        raise TypeError(f"extend takes several documents; append takes one ({type(docs).__name__})")
    return cast("Iterable[Any]", docs)


def shallow(doc: Any, *, only_id: bool = False) -> Document:
    """A second Document with the same values, whose fields and scores can be changed without touching the first."""
    if only_id:
        return make_document(blank_values(doc.id))
    values = dict(doc.__dict__)
    if values["scores"] is not None:
        values["scores"] = dict(values["scores"])
    return make_document(values, dict(doc.__pydantic_extra__ or {}))
