"""The schemaless Document: ten known fields, and any other that came with it."""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self, dataclass_transform

import msgspec
import numpy as np
from docarray import BaseDoc
from docarray.typing import ID, AnyEmbedding, AnyTensor, NdArray
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from docarray.typing.tensor.embedding import NdArrayEmbedding
from pydantic import AliasChoices, BaseModel, Field, Strict
from pydantic_core import core_schema

from jina.documents.docarray_patches import ensure_nested_lists

if TYPE_CHECKING:
    from rich.tree import Tree


@functools.cache
def array_class() -> Any:
    """The class DocumentArray."""
    return importlib.import_module("jina.documents.array").DocumentArray


_FIELDS = ("value", "op_name", "description", "ref_id")


class NamedScore(dict[str, Any]):
    """One score: `value` (a float), and optionally `op_name`, `description`, `ref_id`.

    Reading a part that was not set gives None (`value`: 0.0), as users of `doc.scores['cosine'].value` expect.
    """

    def __init__(self, value: float | Mapping[str, Any] | None = None, **parts: Any) -> None:
        if isinstance(value, Mapping):
            super().__init__(value)
        elif value is not None:
            super().__init__(value=value)
        else:
            super().__init__()
        self.update(parts)

    def __getattr__(self, name: str) -> Any:
        if name in _FIELDS:
            return self.get(name, 0.0 if name == "value" else None)
        raise AttributeError(f"a score has no part {name!r}; it has {', '.join(_FIELDS)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FIELDS:
            raise AttributeError(f"a score has no part {name!r}; it has {', '.join(_FIELDS)}")
        self[name] = value


class Scores(dict[str, Any]):
    """The scores of a document by name; a name that is missing appears as an empty score when it is read.

    Dicts put in become `NamedScore`; any other value stays what it is.
    """

    def __init__(self, scores: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name, score in (scores or {}).items():
            self[name] = score

    def __setitem__(self, name: str, score: Any) -> None:
        super().__setitem__(name, NamedScore(score) if type(score) is dict else score)

    def __missing__(self, name: str) -> NamedScore:
        score = NamedScore()
        super().__setitem__(name, score)
        return score


CONTENT_FIELDS = ("text", "blob", "tensor")


def is_empty(value: Any) -> bool:
    """Whether a field's value means "not set": None, or an empty str, bytes, dict or list; never an array."""
    return value is None or (isinstance(value, str | bytes | dict | list) and not value)


def stored(doc: BaseDoc, name: str) -> Any:
    """The value of a field as it is, None when not set; reading the attribute might put an empty list there."""
    values = doc.__dict__
    if name in values:
        return values[name]
    return (doc.__pydantic_extra__ or {}).get(name)


def stored_items(doc: BaseDoc) -> list[tuple[str, Any]]:
    """All fields as they are, the unknown ones last."""
    return [*doc.__dict__.items(), *(doc.__pydantic_extra__ or {}).items()]


def _fingerprint(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"".join(
            str(item.content_hash).encode() if type(item) is Document else _fingerprint(item) for item in value
        )
    if isinstance(value, dict):
        return b"".join(str(key).encode() + _fingerprint(value[key]) for key in sorted(value, key=str))
    if isinstance(value, np.ndarray) or hasattr(value, "get_comp_backend"):
        array = to_numpy(value)
        return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
    return repr(value).encode()


class FieldRule(msgspec.Struct, frozen=True, eq=False):
    """A marker for `Annotated`: the value passes `check`, leaves as JSON by `dump`, and `schema` describes it."""

    check: Callable[[Any], Any]
    dump: Callable[[Any], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(self.dump, when_used="json-unless-none"),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        del schema, handler
        return {"anyOf": [dict(self.schema), {"type": "null"}]}


def as_tensor(value: Any) -> Any:
    """The value as DocArray's tensor of the same framework; lists and tuples of numbers become NumPy arrays.

    Shape and dtype stay; memory is shared where there was an array. Raises ValueError for anything else.
    """
    return _as_array(value, NdArray, AnyTensor)


def as_embedding(value: Any) -> Any:
    """As `as_tensor`, in the class that DocArray uses for embeddings."""
    return _as_array(value, NdArrayEmbedding, AnyEmbedding)


def _as_array(value: Any, numpy_class: Any, any_class: Any) -> Any:
    if value is None or type(value) is numpy_class:
        return value
    if isinstance(value, np.ndarray):
        return value.view(numpy_class)
    if isinstance(value, list | tuple):
        return _numbers(value).view(numpy_class)
    if isinstance(value, np.generic):
        return np.asarray(value).view(numpy_class)
    if isinstance(value, AbstractTensor) or _is_framework_tensor(value):
        return any_class._docarray_validate(value)  # noqa: SLF001 - the only way to the other frameworks
    raise ValueError(f"expected an array or a list of numbers, got {type(value).__name__}")


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"expected lists of equal length: {error}") from None
    if array.dtype.kind not in "biufc":
        raise ValueError(f"expected numbers, got a list of {array.dtype}")
    return array


def _is_framework_tensor(value: Any) -> bool:
    module = type(value).__module__.partition(".")[0]
    return module in {"torch", "tensorflow", "jax", "jaxlib"}


def to_numpy(tensor: Any) -> np.ndarray[Any, Any]:
    """Any tensor as a plain NumPy array, without a copy where the memory is shared."""
    if isinstance(tensor, np.ndarray):
        return tensor.view(np.ndarray)
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
    if isinstance(tensor, AbstractTensor) and hasattr(tensor, "_docarray_to_ndarray"):
        return np.asarray(tensor._docarray_to_ndarray())  # noqa: SLF001 - as above
    return np.asarray(tensor)


def _dump_tensor(tensor: Any) -> Any:
    return to_numpy(tensor).tolist()


def _check_tags(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value if isinstance(value, dict) else dict(value)
    raise ValueError(f"expected a dict, got {type(value).__name__}")


def _check_scores(value: Any) -> Scores | None:
    if value is None or isinstance(value, Scores):
        return value
    if isinstance(value, Mapping):
        return Scores(value)
    raise ValueError(f"expected a dict of scores, got {type(value).__name__}")


def _check_documents(value: Any) -> Any:
    array = array_class()
    if value is None or isinstance(value, array):
        return value
    if isinstance(value, BaseDoc):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        raise ValueError(f"expected documents, got {type(value).__name__}")  # noqa: TRY004 - pydantic reports ValueErrors
    return array.of_values(value)


def _check_uri(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        return str(value.__fspath__())
    raise ValueError(f"expected a str, got {type(value).__name__}")


def _check_blob(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise ValueError(f"expected bytes, got {type(value).__name__}")


def _dump_blob(value: bytes) -> str:
    """UTF-8 where it is, else base64: the form of bytes in the bodies of HTTP."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def jsonable(value: Any) -> Any:
    """A value of `tags` or `scores` in types that JSON has.

    NumPy numbers and tensors become numbers and lists, bytes become base64, sets and tuples lists, documents dicts.
    Raises TypeError for a type that JSON cannot express.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray | np.generic | AbstractTensor):
        return to_numpy(value).tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _dump_documents(docs: Any) -> Any:
    return [doc.model_dump(mode="json") for doc in docs]


_ARRAY = {"type": "array", "items": {}}
_DOCUMENTS = {"type": "array", "items": {"type": "object", "additionalProperties": True}}
Tensor = Annotated[AnyTensor | None, FieldRule(as_tensor, _dump_tensor, _ARRAY)]
Embedding = Annotated[AnyEmbedding | None, FieldRule(as_embedding, _dump_tensor, _ARRAY)]
Text = Annotated[str | None, Strict()]
Uri = Annotated[str | None, FieldRule(_check_uri, str, {"type": "string"})]
Blob = Annotated[bytes | None, FieldRule(_check_blob, _dump_blob, {"type": "string"})]
Tags = Annotated[dict[str, Any], FieldRule(_check_tags, jsonable, {"type": "object"})]
ScoreMap = Annotated[dict[str, Any] | None, FieldRule(_check_scores, jsonable, {"type": "object"})]
# Any, not DocList[Document]: from Python 3.12 on a class that refers to itself in DocArray's lists cannot be evaluated.
Documents = Annotated[Any, FieldRule(_check_documents, _dump_documents, _DOCUMENTS)]


def equal_documents(one: BaseDoc, other: object) -> bool:
    """Whether both are documents with equal fields, ids included; empty fields count as not set."""
    if one is other:
        return True
    if not isinstance(other, BaseDoc):
        return False
    ours = {name: value for name, value in stored_items(one) if not is_empty(value)}
    theirs = {name: value for name, value in stored_items(other) if not is_empty(value)}
    return ours.keys() == theirs.keys() and all(equal_values(ours[name], theirs[name]) for name in ours)


def equal_values(one: Any, other: Any) -> bool:
    """Equality that also works for arrays, and for lists and dicts that hold some."""
    if _is_array(one) or _is_array(other):
        return _is_array(one) and _is_array(other) and _equal_arrays(to_numpy(one), to_numpy(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_values(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal_values, one, other))
    return bool(one == other)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "get_comp_backend")


def _equal_arrays(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))


def _readable(obj: dict[str, Any]) -> dict[str, Any]:
    """The dict with its base64 decoded, also in nested documents; other keys of the dict stay untouched."""
    fields = {("url" if name == "uri" else name): value for name, value in obj.items()}
    if isinstance(fields.get("blob"), str):
        try:
            fields["blob"] = base64.b64decode(fields["blob"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"blob is not base64: {error}") from None
    for name in ("chunks", "matches"):
        if isinstance(fields.get(name), list):
            fields[name] = [_readable(doc) if isinstance(doc, dict) else doc for doc in fields[name]]
    return fields


_WIDTH = 100


def describe(value: Any) -> str:
    """One line for a field's value: long texts are cut, arrays shown as type, shape and dtype."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = to_numpy(value)
        return f"{type(value).__name__} of shape {array.shape}, dtype {array.dtype}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def document_lines(doc: Any, indent: str = "") -> Iterator[str]:
    """The document as lines of text, nested documents below it."""
    yield f"{indent}Document: {doc.id}"
    for name, value in _fields(doc):
        yield f"{indent}  {name}: {describe(value)}"
    for name in ("chunks", "matches"):
        nested = doc.__dict__[name]
        if nested:
            yield f"{indent}  {name}:"
            for child in nested:
                yield from document_lines(child, indent + "    ")


def _fields(doc: Any) -> list[tuple[str, Any]]:
    hidden = {"id", "chunks", "matches"}
    return [(name, value) for name, value in stored_items(doc) if name not in hidden and not is_empty(value)]


def document_tree(doc: Any) -> Tree:
    """The document as a rich tree of tables."""
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(f"Document: {doc.id}", style="bold"))
    table = Table("Attribute", "Value")
    for name, value in _fields(doc):
        table.add_row(name, Text(describe(value)))
    if table.row_count:
        tree.add(table)
    for name in ("chunks", "matches"):
        if doc.__dict__[name]:
            branch = tree.add(name)
            for child in doc.__dict__[name]:
                branch.add(document_tree(child))
    return tree


def array_facts(docs: Sequence[Any]) -> list[tuple[str, str]]:
    """Name and value of what is known about the array as a whole."""
    kinds = {doc.non_empty_fields for doc in docs}
    common = [name for name in (docs[0].non_empty_fields if docs else ()) if all(name in kind for kind in kinds)]
    nested = [name for name in ("chunks", "matches") if any(doc.__dict__[name] for doc in docs)]
    facts = [("Type", type(docs).__name__), ("Length", str(len(docs))), ("Homogeneous", str(len(kinds) <= 1))]
    if nested:
        facts.append(("Nested documents in", ", ".join(nested)))
    return [*facts, ("Common attributes", ", ".join(common))]


def array_columns(docs: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    """For each attribute: name, types, number of different values (empty for arrays), whether some have none."""
    names = dict.fromkeys(name for doc in docs for name in doc.non_empty_fields)
    rows = []
    for name in names:
        values = [value for doc in docs for key, value in stored_items(doc) if key == name and not is_empty(value)]
        types = ", ".join(sorted({type(value).__name__ for value in values}))
        rows.append((name, types, _different(values), str(len(values) < len(docs))))
    return rows


def _different(values: list[Any]) -> str:
    try:
        return str(len(set(values)))
    except TypeError:
        return ""


def array_cells(docs: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """The names of the fields that are set, and of each document the values in few words."""
    names = list(dict.fromkeys(["id", *(name for doc in docs for name in doc.non_empty_fields)]))
    rows = []
    for doc in docs:
        values = dict(stored_items(doc))
        rows.append([_in_a_cell(name, values.get(name)) for name in names])
    return names, rows


def _in_a_cell(name: str, value: Any) -> str:
    if value is None or is_empty(value):
        return ""
    return f"{len(value)} documents" if name in {"chunks", "matches"} else describe(value)


def array_lines(docs: Sequence[Any]) -> Iterator[str]:
    """The array as lines of text."""
    for name, value in array_facts(docs):
        yield f"{name}: {value}"
    for name, types, different, missing in array_columns(docs):
        yield f"  {name}: {types}; different values: {different or '-'}; some empty: {missing}"


def print_array(docs: Sequence[Any]) -> None:
    """Print two tables about the array."""
    from rich import print as rich_print
    from rich.table import Table

    facts = Table(title="Documents Summary", show_header=False)
    for fact in array_facts(docs):
        facts.add_row(*fact)
    rich_print(facts)
    columns = Table("Attribute", "Data type", "Different values", "Has empty value", title="Attributes Summary")
    for row in array_columns(docs):
        columns.add_row(*row)
    if columns.row_count:
        rich_print(columns)


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


class Document(BaseDoc, metaclass=DocumentMeta):
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

    @staticmethod
    def field_for(content: Any) -> str:
        """The field that holds such a content: `text` a str, `blob` bytes, `tensor` anything else."""
        if isinstance(content, str):
            return "text"
        return "blob" if isinstance(content, bytes | bytearray | memoryview) else "tensor"

    @property
    def content_type(self) -> str | None:
        """The first of `text`, `blob`, `tensor` that is set, else None."""
        return next((name for name in CONTENT_FIELDS if not is_empty(self.__dict__[name])), None)

    @property
    def content(self) -> Any:
        """The value of the first of `text`, `blob`, `tensor` that is set, else None.

        Setting it sets the field that fits the value's type and clears the other two.
        """
        name = self.content_type
        return None if name is None else self.__dict__[name]

    @content.setter
    def content(self, value: Any) -> None:
        field = None if value is None else self.field_for(value)
        for name in CONTENT_FIELDS:
            setattr(self, name, value if name == field else None)

    @property
    def non_empty_fields(self) -> tuple[str, ...]:
        """The names of the fields that are set, the id included."""
        return tuple(name for name, value in stored_items(self) if not is_empty(value))

    @property
    def nbytes(self) -> int:
        """The size of the document on the wire in bytes."""
        return len(self.to_bytes())

    @property
    def content_hash(self) -> int:
        """A hash of all fields but the id; equal for equal documents, also in another process."""
        import hashlib

        digest = hashlib.blake2b(digest_size=8)
        for name, value in sorted(stored_items(self)):
            if name != "id" and not is_empty(value):
                digest.update(name.encode())
                digest.update(_fingerprint(value))
        return int.from_bytes(digest.digest(), "big", signed=True)

    def clear(self) -> None:
        """Unset every field but the id."""
        for name in list(self.__dict__):
            if name != "id":
                setattr(self, name, None)
        (self.__pydantic_extra__ or {}).clear()

    def pop(self, *fields: str) -> None:
        """Unset the given fields; AttributeError names one that does not exist."""
        for name in fields:
            if name in self.__dict__:
                setattr(self, name, None)
            elif name in (extra := self.__pydantic_extra__ or {}):
                del extra[name]
            else:
                getattr(self, name)

    def copy_from(self, other: BaseDoc) -> None:
        """Take over all fields of `other`, its id included, without copying the values."""
        self.clear()
        for name, value in stored_items(other):
            setattr(self, name, value)

    def to_dict(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """The fields as types that JSON has: tensors as nested lists, blob as base64, documents as dicts."""
        fields = {name: jsonable(value) for name, value in stored_items(self)}
        return {name: value for name, value in fields.items() if value is not None} if exclude_none else fields

    @classmethod
    def from_dict(cls, obj: dict[str, Any]) -> Self:
        """The document that `to_dict` gave; unknown keys become fields of their own. ValueError names a bad one."""
        return cls.model_validate(_readable(obj))

    def to_json(self, *, exclude_none: bool = False, indent: int | None = None) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """The fields as one JSON object, see `to_dict`."""
        return json.dumps(self.to_dict(exclude_none=exclude_none), indent=indent)

    @classmethod
    def from_json(cls, data: str | bytes | bytearray) -> Self:
        """The document that `to_json` gave."""
        return cls.from_dict(json.loads(data))

    @classmethod
    def from_protobuf(cls, pb_msg: Any) -> Self:
        """The document of a `docarray.DocProto`; unknown fields are kept."""
        read = cls._get_content_from_node_proto
        return cls.model_validate({name: read(node, name) for name, node in pb_msg.data.items()})

    def to_protobuf(self) -> Any:
        """The document as a `docarray.DocProto`. ValueError names a field that it cannot express."""
        try:
            return super().to_protobuf()
        except ValueError as error:
            if "out of range" not in str(error):
                raise
            field = str(error.args[0]).removeprefix("Field ").removesuffix(" is problematic").strip("`")
            raise ValueError(
                f"{field}: {error.args[-1]}; integers on the wire have 32 bits: give it as a float or a str"
            ) from error

    @classmethod
    def from_pydantic_model(cls, model: BaseModel) -> Self:
        """A document with the fields of any pydantic model or DocArray document."""
        return cls.model_validate(dict(model))

    @classmethod
    def from_base64(cls, data: str, protocol: Any = "protobuf", compress: str | None = None) -> Self:
        """The document that `to_base64` gave."""
        return cls.from_bytes(base64.b64decode(data), protocol, compress)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """As pydantic's; documents nested in it become dicts too."""
        # Past DocArray's own method, which calls one that pydantic has deprecated.
        return BaseModel.model_dump(self, **options)

    def match(self, docs: Sequence[Any], **options: Any) -> Self:
        """Fill `matches` with the nearest of `docs`; options as of `DocumentArray.match`."""
        array_class()([self]).match(docs, **options)
        return self

    def summary(self) -> None:
        """Print the fields that are set, and the nested documents, as a tree of tables."""
        from rich import print as rich_print

        rich_print(document_tree(self))

    def plain_summary(self) -> str:
        """As `summary`, as plain text."""
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
            known[Document.field_for(content)] = content
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
