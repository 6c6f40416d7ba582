"""The schemaless Document: ten known fields, and any other that came with it.

Its fields and its form on the wire are those of Jina 3.34's `LegacyDocumentJina`; its behaviour in Python is
that of DocArray 0.21 where users saw it: text, blob and uri that were not set read as empty, `chunks` and
`matches` can be appended to at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, dataclass_transform

from docarray import BaseDoc
from docarray.typing import ID
from pydantic import AliasChoices, Field

from jina.documents.comparing import equal_documents
from jina.documents.contents import Content
from jina.documents.fields import Blob, Documents, Embedding, ScoreMap, Tags, Tensor, Text, Uri
from jina.documents.knot import array_class
from jina.documents.nested_lists import ensure_nested_lists
from jina.documents.porting import Porting
from jina.documents.scores import Scores

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseDoc)

FIELDS = ("id", "tensor", "chunks", "matches", "blob", "text", "url", "embedding", "tags", "scores")
"""The fields of a schemaless document, in the order of Jina 3.34."""

LEGACY_FIELDS: dict[str, Any] = {
    "mime_type": "", "weight": 0.0, "granularity": 0, "adjacency": 0, "parent_id": "", "location": (), "offset": 0.0,
    "modality": "", "evaluations": None,
}  # fmt: skip
"""Fields that DocArray 0.21 had, and what they read as when not set; given ones are kept beside the ten."""

_FIELD_SET = frozenset(FIELDS)
_KEPT = _FIELD_SET | LEGACY_FIELDS.keys()
_typed_documents: weakref.WeakSet[type] = weakref.WeakSet()
_set_slot = object.__setattr__

ensure_nested_lists()


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
class DocumentMeta(ModelMetaclass):
    """Makes `class D(Document)` a typed document: a plain `BaseDoc` with D's own fields, not the ten.

    `isinstance(D(), Document)` stays true; ask `is_schemaless(cls)` to tell the two kinds apart.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:  # noqa: D102
        if not any(isinstance(base, DocumentMeta) for base in bases):
            return super().__new__(mcs, name, bases, namespace, **options)
        plain = tuple(base for base in bases if not isinstance(base, DocumentMeta))
        if not any(issubclass(base, BaseDoc) for base in plain):
            plain = (BaseDoc, *plain)
        typed = ModelMetaclass(name, plain, namespace, **options)
        _typed_documents.add(typed)
        return typed

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or any(base in _typed_documents for base in subclass.__mro__)


class _Lazy:
    """A field that reads as something empty rather than None while it is not set.

    `stored` values (a list, a dict) are kept on first reading, so that what is put into them counts.
    """

    def __init__(self, name: str, empty: Any, *, stored: bool = False) -> None:
        self.name = name
        self.empty = empty
        self.stored = stored

    def __get__(self, doc: Any, owner: type) -> Any:
        if doc is None:
            return self
        value = doc.__dict__[self.name]
        if value is None:
            value = self.empty()
            if self.stored:
                doc.__dict__[self.name] = value
        elif type(value) is dict:  # scores, as the wire gives them
            value = doc.__dict__[self.name] = Scores(value)
        return value

    def __set__(self, doc: Any, value: Any) -> None:
        doc.__setattr__(self.name, value)


class Document(Porting, metaclass=DocumentMeta):
    """A document without a schema.

    `Document(text='hello')`, `Document('hello')`, `Document(content=...)` (str, bytes or an array),
    `Document({'text': ...})`, `Document(other)` (a shallow copy, `copy=True` for a deep one). An argument that is
    no field goes into `tags`; `uri` and `url` are one. Fields that came over the wire and are unknown here are
    kept as attributes and travel on; so do attributes that are set.

    `class D(Document)` with annotations of its own makes a typed document, which has its own fields only.
    """

    model_config = BaseDoc.ConfigDocArray(
        extra="allow", validate_assignment=True, _load_extra_fields_from_protobuf=True
    )

    if not TYPE_CHECKING:  # to type checkers these are Any, so that a typed document may have fields of their names
        tensor: Tensor = None
        chunks: Documents = None
        matches: Documents = None
        blob: Blob = None
        text: Text = None
        url: Uri = Field(default=None, validation_alias=AliasChoices("url", "uri"))
        embedding: Embedding = None
        tags: Tags = Field(default_factory=dict)
        scores: ScoreMap = None

    def __init__(self, content: Any = None, /, **fields: Any) -> None:
        if content is not None:
            fields = {**_fields_of(content, copy=fields.pop("copy", False)), **fields}
        if not fields.keys() <= _FIELD_SET:
            fields = _sorted_out(fields)
        self.__pydantic_validator__.validate_python(fields, self_instance=self)

    # pydantic then validates dicts (JSON, nested documents) without calling `__init__`.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        if name in _FIELD_SET:  # a view of a DocVec has no such item in its real dict
            return self.__dict__[name]
        extra = object.__getattribute__(self, "__pydantic_extra__")
        if extra and name in extra:
            return extra[name]
        if name in LEGACY_FIELDS:
            return self._legacy_field(name)
        raise AttributeError(_no_attribute(self, name))

    def _legacy_field(self, name: str) -> Any:
        if name not in {"location", "evaluations"}:
            return LEGACY_FIELDS[name]
        extra = self.__pydantic_extra__
        assert extra is not None
        return extra.setdefault(name, [] if name == "location" else Scores())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIELD_SET and type(self.__dict__) is dict:
            self.__pydantic_validator__.validate_assignment(self, name, value)
        elif name in _PROPERTIES:
            object.__setattr__(self, name, value)
        elif name not in _FIELD_SET and hasattr(type(self), name):
            raise AttributeError(f"Document.{name} is a method; put the value into tags[{name!r}]")
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self.pop(name)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, the id included; a field that is empty equals one that is not set."""
        return equal_documents(self, other)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Document {self.non_empty_fields!r} at {self.id}>"

    __str__ = __repr__

    def __rich_repr__(self) -> Iterator[Any]:
        yield from ((name, getattr(self, name)) for name in self.non_empty_fields)

    @property
    def uri(self) -> Any:
        """Where the content is, '' when not set; the same as `url`."""
        return self.url

    @uri.setter
    def uri(self, value: Any) -> None:
        self.url = value

    def match(self, docs: Sequence[Any], **options: Any) -> Self:
        """Fill `matches` with the nearest of `docs`; options as of `DocumentArray.match`."""
        array_class()([self]).match(docs, **options)
        return self

    def summary(self) -> None:
        """Print the fields that are set, and the nested documents, as a tree of tables."""
        from rich import print as rich_print

        from jina.documents.summary import document_tree

        rich_print(document_tree(self))

    def plain_summary(self) -> str:
        """As `summary`, as plain text."""
        from jina.documents.summary import document_lines

        return "\n".join(document_lines(self))

    @classmethod
    def _get_field_annotation(cls, field: str) -> Any:
        # DocArray asks for the class of unknown fields too, to read a document nested there.
        if field in {"chunks", "matches"}:
            return array_class()
        return super()._get_field_annotation(field) if field in _FIELD_SET else Document

    @classmethod
    def _get_field_annotation_array(cls, field: str) -> Any:
        del field
        return array_class()


_PROPERTIES = frozenset({"uri", "content"})


def make_document(values: dict[str, Any], extra: dict[str, Any] | None = None) -> Document:
    """A Document of values that are known to be valid, without checking them; the fast way in.

    `values` holds each of `FIELDS` and becomes the document's own dict: tensors as `NdArray`, the embedding as
    `NdArrayEmbedding`, `chunks` and `matches` as `DocumentArray`, `tags` a dict, None for what is not set (tags: {}).
    `extra` holds the other fields.
    """
    doc = Document.__new__(Document)
    _set_slot(doc, "__dict__", values)
    _set_slot(doc, "__pydantic_fields_set__", set(values))
    _set_slot(doc, "__pydantic_extra__", {} if extra is None else extra)
    _set_slot(doc, "__pydantic_private__", None)
    return doc


def blank_values(doc_id: str) -> dict[str, Any]:
    """The values of a document with nothing set but its id, for `make_document`."""
    values: dict[str, Any] = dict.fromkeys(FIELDS)
    values["id"] = ID(doc_id)
    values["tags"] = {}
    return values


def _fields_of(content: Any, *, copy: bool) -> dict[str, Any]:
    """What the positional argument of `Document` stands for, as keyword arguments."""
    if isinstance(content, BaseDoc):
        if copy:
            content = content.model_copy(deep=True)
        return dict(content)
    if isinstance(content, Mapping):
        return {str(key): value for key, value in content.items()}
    return {"content": content}


def _sorted_out(fields: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with aliases resolved and unknown ones moved into `tags`."""
    known = {name: value for name, value in fields.items() if name in _KEPT}
    unknown = {name: value for name, value in fields.items() if name not in _KEPT}
    unknown.pop("copy", None)
    if "uri" in unknown:
        known["url"] = unknown.pop("uri")
    if "content" in unknown:
        content = unknown.pop("content")
        if content is not None:
            known[Content.field_for(content)] = content
    if unknown:
        known["tags"] = {**(known.get("tags") or {}), **unknown}
    return known


def _no_attribute(doc: Document, name: str) -> str:
    from jina.errors import nearest

    message = f"Document has no attribute {name!r}"
    if name in doc.__dict__.get("tags", ()):
        return f"{message}; it is in tags: doc.tags[{name!r}]"
    near = nearest(name, [*FIELDS, *LEGACY_FIELDS, "uri", "content"])
    return f"{message}; did you mean {near!r}?" if near else message


def _array() -> Any:
    return array_class()()


def _install_readers() -> None:
    """Set after the class is made: pydantic would take them for defaults of the fields."""
    for name, empty in (("text", str), ("blob", bytes), ("url", str)):
        type.__setattr__(Document, name, _Lazy(name, empty))
    for name, make in (("chunks", _array), ("matches", _array), ("scores", Scores)):
        type.__setattr__(Document, name, _Lazy(name, make, stored=True))


_install_readers()
