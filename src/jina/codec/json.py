"""The JSON half of a codec: parsed objects -> documents by readers compiled once per field, documents -> JSON text."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Union, get_args, get_origin

from docarray.array.any_array import AnyDocArray
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import ID, AnyUrl
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from jina.codec.compiler import (
    DocumentReader,
    Invalid,
    Mismatch,
    Reader,
    ReaderCompiler,
    annotations_of,
    array_class_of,
    has_own_serialisation,
    hashable,
    is_document,
    is_schemaless,
    json_reader,
    read_each,
)
from jina.codec.json_text import dumps, text_to_bytes
from jina.codec.protobuf import cached_names, fields_of
from jina.codec.tensors import BadTensor, array_from_json, array_of, reshaped
from jina.documents.files import File
from jina.errors import BadClientInput


def _exactly(cls: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is cls:
            return value
        raise Mismatch

    return read


def _float(value: Any) -> float:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]  # just checked
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise Mismatch


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        return text_to_bytes(value)
    raise Mismatch


def _nothing(value: Any) -> None:
    if value is not None:
        raise Mismatch


def _id(value: Any) -> ID:
    if type(value) is str:
        return ID(value)
    raise Mismatch


def _anything(value: Any) -> Any:
    return value


_SCALARS: dict[Any, Reader] = {
    str: _exactly(str), int: _exactly(int), float: _float, bool: _exactly(bool), bytes: _bytes, ID: _id,
    type(None): _nothing, None: _nothing, Any: _anything, object: _anything,
}  # fmt: skip
_UNION_MEMBERS = {str, int, float, bool}


def _fields(item: Any) -> Any:
    if type(item) is not dict:
        raise Mismatch
    return item


def _same(reader: Reader) -> Reader:
    return reader


def _union(members: Sequence[Any], rest: Sequence[Any], _: Callable[[Any], Reader]) -> Reader | None:
    if not all(hashable(member) and member in _UNION_MEMBERS for member in rest):
        return None
    allowed = frozenset(members)

    def read(value: Any) -> Any:
        if type(value) in allowed:
            return value
        raise Mismatch

    return read


def _document(codec: DocumentReader) -> Reader:
    def read(value: Any) -> Any:
        return codec.read_doc(value)  # looked up each time: the codec replaces it when it has compiled

    return read


def _documents(codec: DocumentReader, construct: Callable[[list[Any]], Any]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Mismatch
        return construct(read_each(codec.read_doc, value))

    return read


def _sequence(origin: Any, read_item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Mismatch
        try:
            return origin(read_each(read_item, value))
        except TypeError:  # a set of lists
            raise Mismatch from None

    return read


def _fixed_tuple(_: Sequence[Any], __: Callable[[Any], Reader]) -> None:
    """Pydantic reads it."""


def _optional(read_inner: Reader) -> Reader:
    def read(value: Any) -> Any:
        return None if value is None else read_inner(value)

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch
        return {name: read_item(item) for name, item in value.items()}

    return read


def _tensor(cls: Any) -> Reader:
    plain = cls.__unparametrizedcls__ or cls
    target = cls.__docarray_target_shape__
    array_class = array_class_of(plain)
    validate = cls._docarray_validate

    def read(value: Any) -> Any:
        try:
            array = array_from_json(value)
            array = reshaped(array, target)
            return validate(array) if array_class is None else array.view(array_class)
        except (BadTensor, ValueError, TypeError) as error:
            raise Invalid(str(error), value) from None

    return read


def _url(cls: Any) -> Reader:
    checked = cls is not AnyUrl

    def read(value: Any) -> Any:
        if type(value) is not str or (checked and not cls.is_extension_allowed(value)):
            raise Mismatch
        return cls(value)

    return read


def _named_bytes(cls: Any) -> Reader:
    return lambda value: cls(_bytes(value))


_lock = threading.RLock()
_codecs: dict[type, JsonCodec] = {}


def json_codec_for(doc_type: type) -> JsonCodec:
    """The JSON codec of a document class; the same object each time."""
    codec = _codecs.get(doc_type)
    if codec is None:
        with _lock:
            codec = _codecs.setdefault(doc_type, JsonCodec(doc_type))
    return codec


def _untyped_reader(annotation: Any) -> Reader | None:
    """What makes a value that did not fit ready for pydantic: nested documents as dicts of readable values."""
    origin = get_origin(annotation) or annotation
    if origin is Union or origin is types.UnionType:
        inner = [_untyped_reader(member) for member in get_args(annotation) if member is not type(None)]
        return inner[0] if len(inner) == 1 else None
    if is_document(origin):
        return json_codec_for(origin).untyped
    doc_type = getattr(annotation, "doc_type", None)
    if isinstance(origin, type) and issubclass(origin, AnyDocArray) and doc_type is not None:
        return _each(json_codec_for(doc_type).untyped)
    if origin in {list, set, tuple} and get_args(annotation):
        item = _untyped_reader(get_args(annotation)[0])
        return _each(item) if item else None
    return None


def _each(untyped: Reader) -> Reader:
    def read(value: Any) -> Any:
        return read_each(untyped, value) if isinstance(value, list) else value

    return read


JSON_COMPILER = ReaderCompiler(
    codec_of=json_codec_for, fields_of=_fields, by_json_names=True, scalars=_SCALARS, of_value=_same,
    optional=_optional, union=_union, document=_document, documents=_documents, sequence=_sequence,
    fixed_tuple=_fixed_tuple, mapping=_mapping, tensor=_tensor, url=_url, named_bytes=_named_bytes,
)  # fmt: skip
"""Makes what reads values of parsed JSON."""


class JsonCodec(DocumentReader):
    """Converts documents of one class; made by `json_codec_for`."""

    compiler = JSON_COMPILER

    def untyped(self, item: Any) -> Any:
        """The values of a document as far as they are readable, the others as they are; raises `Invalid`."""
        if not isinstance(item, dict):
            return item
        self.compiled()
        values = {name: value for name, value in item.items() if value is not None or name not in self.tacit_nones}
        for name, read in self.readers.items():
            if name not in values:
                continue
            try:
                values[name] = self._read_or_untyped(name, read, item[name])
            except Invalid as error:
                raise error.at(name) from None
        return values

    def _read_or_untyped(self, name: str, read: Reader, value: Any) -> Any:
        try:
            return read(value)
        except Mismatch:
            untyped = self._untyped_readers.get(name)
        return value if untyped is None else untyped(value)

    @cached_property
    def _untyped_readers(self) -> dict[str, Reader]:
        if is_schemaless(self.doc_type):
            return {}
        readers = {name: _untyped_reader(annotation) for name, annotation in annotations_of(self.doc_type).items()}
        return {self.json_names.get(name, name): read for name, read in readers.items() if read is not None}

    def schemaless_reader(self) -> Reader:
        """What reads a document without a schema by `readers`."""
        return json_reader(self.readers)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether documents of this class hold nothing but their fields, and are shown as they are."""
        return (
            not issubclass(self.doc_type, File)
            and not has_own_serialisation(self.doc_type)
            and not cached_names(self.doc_type)
        )

    def encode(self, docs: Iterable[Any]) -> bytes:
        """Documents as one JSON array; raises `BadClientInput` for a value that cannot be written as JSON."""
        cls, plain = self.doc_type, self._is_plain
        fields = [
            values
            if plain and type(doc) is cls and type(values := doc.__dict__) is dict and not doc.__pydantic_extra__
            else json_fields(doc)
            for doc in docs
        ]
        try:
            return dumps(fields, json_value)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadClientInput(f"{cls.__name__}: {error}") from None

    def encode_doc(self, doc: Any) -> bytes:
        """One document as a JSON object; raises as `encode`."""
        return self.encode([doc])[1:-1]


_DUMPERS: dict[type, bool] = {}


def json_fields(doc: Any) -> Any:
    """The fields of a document as JSON shows them, values not yet converted."""
    if isinstance(doc, File):
        return doc.to_url()
    cls = type(doc)
    customised = _DUMPERS.get(cls)
    if customised is None:
        customised = _DUMPERS[cls] = has_own_serialisation(cls)
    if customised:
        return _model_dump(doc)
    return fields_of(doc)


def _model_dump(doc: Any) -> Any:
    try:
        return doc.model_dump(mode="json", by_alias=True, warnings=False)
    except (PydanticSerializationError, UnicodeDecodeError):
        return doc.model_dump(by_alias=True, warnings=False)


def json_value(value: Any) -> Any:
    """What `json_text` does not know by itself; raises TypeError."""
    if isinstance(value, BaseDocWithoutId):
        return json_fields(value)
    if isinstance(value, AnyDocArray):
        return [json_fields(doc) for doc in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, warnings=False)
    if hasattr(value, "_docarray_to_ndarray") or hasattr(value, "detach"):
        return array_of(value).tolist()
    from jina.codec.json_text import jsonable

    return jsonable(value)
