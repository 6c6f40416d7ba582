"""Annotations -> functions that read a parsed JSON value, compiled once per field.

A reader gives exactly the value that pydantic would give, or raises `Mismatch`: then pydantic converts the document
or says what is wrong. Tensors and bytes never go that way: see `tensors.array_from_json` and `json_text`.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin

from docarray.array.any_array import AnyDocArray
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import ID, AnyUrl
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import ValidationError

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
from jina.wire.dtypes import BadTensor
from jina.wire.json_text import text_to_bytes
from jina.wire.loose import Invalid, Mismatch
from jina.wire.tensors import array_from_json, reshaped

Reader = Callable[[Any], Any]


class JsonDocReader(typing.Protocol):
    """What a reader needs of the codec of a nested document."""

    list_type: Any

    def read_json(self, item: Any, /) -> Any:
        """One document; raises `Mismatch` or `Invalid`."""
        ...

    def loosen(self, item: Any) -> Any:
        """The document's values, as far as they are readable, for pydantic; raises `Invalid`."""
        ...


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


class JsonReaderCompiler:
    """Makes readers for the annotations of one document class; `codec_of` gives those of nested documents."""

    def __init__(self, codec_of: Callable[[type], JsonDocReader]) -> None:
        self._codec_of = codec_of

    def compile(self, annotation: Any) -> Reader:
        """The reader for an annotation; a slower one through pydantic where no faster is known."""
        reader = _SCALARS.get(annotation) if hashable(annotation) else None
        return reader or self._structured(annotation) or _adapter(annotation)

    def loosener(self, annotation: Any) -> Reader | None:
        """What makes a value that did not fit ready for pydantic: nested documents as dicts of readable values."""
        origin = get_origin(annotation) or annotation
        if origin is Union or origin is types.UnionType:
            inner = [self.loosener(member) for member in get_args(annotation) if member is not type(None)]
            return inner[0] if len(inner) == 1 else None
        if is_document(origin):
            return self._codec_of(origin).loosen
        doc_type = getattr(annotation, "doc_type", None)
        if isinstance(origin, type) and issubclass(origin, AnyDocArray) and doc_type is not None:
            return _each(self._codec_of(doc_type).loosen)
        if origin in {list, set, tuple} and get_args(annotation):
            item = self.loosener(get_args(annotation)[0])
            return _each(item) if item else None
        return None

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

    def _class(self, cls: Any) -> Reader | None:
        if issubclass(cls, BaseDocWithoutId):
            return _document(self._codec_of(cls))
        if issubclass(cls, AbstractTensor):
            return _tensor(cls)
        if issubclass(cls, AnyUrl):
            return _url(cls) if own_url_rule(cls) else None
        if issubclass(cls, BaseBytes):
            return lambda value: cls(_bytes(value))
        if issubclass(cls, enum.Enum):
            known = known_members(cls)
            return None if known is None else _known(known)
        return None

    def _union(self, members: Sequence[Any]) -> Reader | None:
        rest = [member for member in members if member is not type(None)]
        if len(rest) == 1:
            return _optional(self.compile(rest[0]))
        if not all(hashable(member) and member in _UNION_MEMBERS for member in rest):
            return None
        allowed = frozenset(members)

        def read(value: Any) -> Any:
            if type(value) in allowed:
                return value
            raise Mismatch

        return read

    def _documents(self, annotation: Any) -> Reader:
        codec = self._codec_of(annotation.doc_type)
        construct = list_maker(annotation, codec.list_type)

        def read(value: Any) -> Any:
            if type(value) is not list:
                raise Mismatch
            return construct(read_each(codec.read_json, value))

        return read

    def _container(self, origin: Any, args: tuple[Any, ...]) -> Reader | None:
        if origin is dict:
            key, item = args or (str, Any)
            return _mapping(self.compile(item)) if key in {str, Any} else None
        if origin is tuple and args and args[-1] is not Ellipsis:
            return None
        read_item = self.compile(args[0] if args else Any)

        def read(value: Any) -> Any:
            if type(value) is not list:
                raise Mismatch
            try:
                return origin(read_each(read_item, value))
            except TypeError:  # a set of lists
                raise Mismatch from None

        return read


def _document(codec: JsonDocReader) -> Reader:
    def read(value: Any) -> Any:
        return codec.read_json(value)  # looked up each time: the codec replaces it when it has compiled

    return read


def read_each(read: Reader, items: Sequence[Any]) -> list[Any]:
    """Read all items; an `Invalid` tells which one."""
    values: list[Any] = []
    try:
        for item in items:
            values.append(read(item))  # noqa: PERF401 - the length tells which one failed
    except Invalid as error:
        raise error.at(len(values)) from None
    return values


def _each(loosen: Reader) -> Reader:
    def read(value: Any) -> Any:
        return read_each(loosen, value) if isinstance(value, list) else value

    return read


def _optional(read_inner: Reader) -> Reader:
    def read(value: Any) -> Any:
        return None if value is None else read_inner(value)

    return read


def _known(known: dict[tuple[type, Any], Any]) -> Reader:
    def read(value: Any) -> Any:
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            raise Mismatch from None

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


def _adapter(annotation: Any) -> Reader:
    validate = validator_of(annotation)

    def read(value: Any) -> Any:
        try:
            return validate(value)
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None

    return read
