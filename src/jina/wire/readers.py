"""Annotations -> functions that read a node, compiled once per field.

A reader gives exactly the value that pydantic would give for the annotation, or raises `Mismatch`: then the
whole document goes through pydantic, which converts it or says what is wrong.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin

import numpy as np
from docarray.array.any_array import AnyDocArray
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import ID, AnyUrl
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import ValidationError

from jina.wire import pb
from jina.wire.annotations import (
    array_class_of,
    hashable,
    is_document,
    known_members,
    known_values,
    list_maker,
    own_url_rule,
    validator_of,
)
from jina.wire.json_text import text_to_bytes
from jina.wire.loose import NUMPY_NAMES, Invalid, Mismatch, read_loose, tensor_by_name
from jina.wire.schemaless import AS_SCHEMALESS
from jina.wire.tensors import array_from_json, read_tensor, reshaped, write_array

Reader = Callable[[Any], Any]


class DocReader(typing.Protocol):
    """What a reader needs of the codec of a nested document."""

    list_type: Any

    def read_doc(self, message: pb.DocProto, /) -> Any:
        """One document; raises `Mismatch`."""
        ...


CodecOf = Callable[[type], DocReader]


def read_text(node: pb.NodeProto) -> str:
    """A `str` field."""
    value = node.text
    if (value or node.WhichOneof("content") == "text") and not node.type:
        return value
    raise Mismatch


def read_integer(node: pb.NodeProto) -> int:
    """An `int` field."""
    value = node.integer
    if value or node.WhichOneof("content") == "integer":
        return value
    raise Mismatch


def read_float(node: pb.NodeProto) -> float:
    """A `float` field; an integer on the wire is a float as well."""
    value = node.float
    if value:
        return value
    kind = node.WhichOneof("content")
    if kind == "float":
        return value
    if kind == "integer":
        return float(node.integer)
    raise Mismatch


def read_boolean(node: pb.NodeProto) -> bool:
    """A `bool` field."""
    value = node.boolean
    if value or node.WhichOneof("content") == "boolean":
        return value
    raise Mismatch


def read_blob(node: pb.NodeProto) -> bytes:
    """A `bytes` field."""
    value = node.blob
    if value and not node.type:
        return value
    kind = node.WhichOneof("content")
    if kind == "text":  # of a JSON request that passed a process without the class
        return text_to_bytes(node.text)
    if kind == "blob" and not node.type:
        return value
    raise Mismatch


def read_nothing(node: pb.NodeProto) -> None:
    """A field that is None."""
    if node.WhichOneof("content") is not None:
        raise Mismatch


def read_id(node: pb.NodeProto) -> ID:
    """An `ID` field."""
    value = node.text
    if value or node.WhichOneof("content") == "text":
        return ID(value)
    raise Mismatch


def read_any(node: pb.NodeProto) -> Any:
    """A field of any kind; nested documents are schemaless ones."""
    return read_loose(node, AS_SCHEMALESS)


_SCALARS: dict[Any, Reader] = {
    str: read_text, int: read_integer, float: read_float, bool: read_boolean, bytes: read_blob, ID: read_id,
    type(None): read_nothing, None: read_nothing, Any: read_any, object: read_any,
}  # fmt: skip
_KINDS: dict[Any, str] = {str: "text", int: "integer", float: "float", bool: "boolean", bytes: "blob"}


class ReaderCompiler:
    """Makes readers for the annotations of one document class; `codec_of` gives those of nested documents."""

    def __init__(self, codec_of: CodecOf) -> None:
        self._codec_of = codec_of

    def compile(self, annotation: Any) -> Reader:
        """The reader for an annotation; a slower one through pydantic where no faster is known."""
        reader = _SCALARS.get(annotation) if hashable(annotation) else None
        return reader or self._structured(annotation) or adapter_reader(annotation)

    def _structured(self, annotation: Any) -> Reader | None:
        origin = get_origin(annotation) or annotation
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(annotation))
        if origin is typing.Literal:
            return _known(known_values(get_args(annotation)))
        if not isinstance(origin, type):
            return None
        if origin in {list, set, tuple, dict}:
            return self._container(origin, get_args(annotation))
        if issubclass(origin, AnyDocArray):
            return self._documents(annotation)
        return self._class(origin)

    def _class(self, cls: type) -> Reader | None:
        if issubclass(cls, BaseDocWithoutId):
            return self._document(cls)
        if issubclass(cls, AbstractTensor):
            return _tensor(cls)
        if issubclass(cls, AnyUrl):
            return _url(cls) if own_url_rule(cls) else None
        if issubclass(cls, BaseBytes):
            return _named_blob(cls)
        if issubclass(cls, enum.Enum):
            known = known_members(cls)
            return None if known is None else _known(known)
        return None

    def _union(self, members: Sequence[Any]) -> Reader | None:
        rest = [member for member in members if member is not type(None)]
        if len(rest) == 1:
            return _optional(self.compile(rest[0]))
        kinds: dict[str | None, Reader] = {}
        for member in rest:
            kind = "doc" if is_document(member) else _KINDS.get(member) if hashable(member) else None
            if kind is None or kind in kinds:
                return None
            kinds[kind] = self.compile(member)
        if len(rest) < len(members):
            kinds[None] = read_nothing
        return _by_kind(kinds)

    def _document(self, cls: type) -> Reader:
        codec = self._codec_of(cls)

        def read(node: pb.NodeProto) -> Any:
            if node.WhichOneof("content") != "doc":
                raise Mismatch
            return codec.read_doc(node.doc)

        return read

    def _documents(self, annotation: Any) -> Reader:
        codec = self._codec_of(annotation.doc_type)
        return self.documents(codec, list_maker(annotation, codec.list_type))

    def documents(self, codec: DocReader, construct: Callable[[list[Any]], Any]) -> Reader:
        """The reader of a list of documents of one class."""

        def read(node: pb.NodeProto) -> Any:
            if node.WhichOneof("content") != "doc_array":
                raise Mismatch
            one = codec.read_doc
            docs: list[Any] = []
            try:
                for doc in node.doc_array.docs:
                    docs.append(one(doc))  # noqa: PERF401 - the length tells which one failed
            except Invalid as error:
                raise error.at(len(docs)) from None
            return construct(docs)

        return read

    def optional_documents(self, codec: DocReader) -> Reader:
        """As `documents`, or None."""
        return _optional(self.documents(codec, codec.list_type.construct))

    def _container(self, origin: type, args: tuple[Any, ...]) -> Reader | None:
        if origin is dict:
            key, item = args or (str, Any)
            return _mapping(self.compile(item)) if key in {str, Any} else None
        if origin is tuple and args and args[-1] is not Ellipsis:
            return _fixed_tuple([self.compile(arg) for arg in args])
        return _sequence(origin, self.compile(args[0] if args else Any))


def _optional(read_inner: Reader) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        return None if node.WhichOneof("content") is None else read_inner(node)

    return read


def _by_kind(kinds: dict[str | None, Reader]) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        reader = kinds.get(node.WhichOneof("content"))
        if reader is None:
            raise Mismatch
        return reader(node)

    return read


def _known(known: dict[tuple[type, Any], Any]) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        value = read_loose(node)
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            raise Mismatch from None

    return read


def _tensor(cls: Any) -> Reader:
    plain = cls.__unparametrizedcls__ or cls
    target = cls.__docarray_target_shape__
    array_class = array_class_of(plain)
    validate = cls._docarray_validate

    def read(node: pb.NodeProto) -> Any:
        name = node.type
        try:
            if array_class is not None and name in NUMPY_NAMES:
                value = read_tensor(_ndarray(node), array_class)
                return value if target is None else reshaped(value, target)
            value = tensor_by_name(_ndarray(node), name)
            return validate(reshaped(value, target) if isinstance(value, np.ndarray) else value)
        except (ValueError, TypeError) as error:
            raise Invalid(str(error), read_loose(node) if node.WhichOneof("content") != "ndarray" else None) from None

    return read


def _ndarray(node: pb.NodeProto) -> pb.NdArrayProto:
    kind = node.WhichOneof("content")
    if kind == "ndarray":
        return node.ndarray
    array = array_from_json(read_loose(node))
    message = pb.NdArrayProto()
    write_array(array, message)
    return message


def _url(cls: Any) -> Reader:
    name = cls._proto_type_name
    checked = cls is not AnyUrl

    def read(node: pb.NodeProto) -> Any:
        value = node.text
        if not value or node.type not in {name, ""}:
            raise Mismatch
        if checked and not cls.is_extension_allowed(value):
            raise Mismatch
        return cls(value)

    return read


def _named_blob(cls: Any) -> Reader:
    name = cls._proto_type_name

    def read(node: pb.NodeProto) -> Any:
        if node.WhichOneof("content") != "blob" or node.type not in {name, ""}:
            raise Mismatch
        return cls(node.blob)

    return read


def _sequence(origin: Any, read_item: Reader) -> Reader:
    kind = origin.__name__

    def read(node: pb.NodeProto) -> Any:
        if node.WhichOneof("content") != kind:
            raise Mismatch
        return origin([read_item(item) for item in getattr(node, kind).data])

    return read


def _fixed_tuple(readers: Sequence[Reader]) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        items = node.tuple.data
        if node.WhichOneof("content") != "tuple" or len(items) != len(readers):
            raise Mismatch
        return tuple([read_item(item) for read_item, item in zip(readers, items, strict=True)])

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        if node.WhichOneof("content") != "dict":
            raise Mismatch
        data = node.dict.data
        return {key: read_item(data[key]) for key in data}

    return read


def adapter_reader(annotation: Any) -> Reader:
    """Reads what the node says and lets pydantic convert it: for all that has no reader of its own."""
    validate = validator_of(annotation)

    def read(node: pb.NodeProto) -> Any:
        try:
            return validate(read_loose(node))
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None

    return read
