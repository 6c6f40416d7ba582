"""The list under a DocumentArray: construction, what may go in, finding documents by id, equality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, SupportsIndex, cast

from docarray import BaseDoc, DocList
from typing_extensions import TypeVar

from jina.documents.comparing import equal_documents
from jina.documents.document import Document, blank_values, make_document
from jina.documents.paths import read_path

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
