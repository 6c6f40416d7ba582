"""Documents with large arrays, texts and bytes <-> serialised messages, each of these copied once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from jina.codec import pb
from jina.codec.compiler import Invalid, Mismatch
from jina.codec.protobuf import Unwritable, fields_of, write_mapping
from jina.codec.raw_fields import field_head, fields_in, take_field
from jina.codec.tensors import BadTensor, check_dtype
from jina.errors import BadRequest

if TYPE_CHECKING:
    from jina.codec.messages import DocumentCodec

LARGE = 64 * 1024
"""Bytes from which a value goes this way; below, messages are as fast."""
Part = bytes | memoryview
Fields = Callable[[Any], Mapping[str, Any]]
"""Gives the fields of a document by name."""


def has_large_values(docs: Any, fields: Fields = fields_of) -> bool:
    """Whether the first document holds a large array or large bytes, as the others then mostly do."""
    for doc in docs:
        return any(map(_is_large, fields(doc).values()))
    return False


def _is_large(value: Any) -> bool:
    return (isinstance(value, np.ndarray) and value.nbytes >= LARGE) or (type(value) is bytes and len(value) >= LARGE)


def write_docs_bytes(docs: Iterable[Any], fields: Fields = fields_of) -> bytes:
    """The documents as one serialised `docarray.DocListProto`; raises `Unwritable`."""
    parts: list[Part] = []
    for number, doc in enumerate(docs):
        try:
            pieces = _parts_of(fields(doc))
        except Unwritable as error:
            error.path.insert(0, str(number))
            raise
        parts.append(field_head(1, sum(map(len, pieces))))
        parts.extend(pieces)
    return b"".join(parts)


def _parts_of(fields: Mapping[str, Any]) -> list[Part]:
    small: dict[str, Any] = {}
    large: list[Part] = []
    for name, value in fields.items():
        if not _is_large(value):
            small[name] = value
        elif type(value) is bytes:
            large.extend(_blob_entry(name, value))
        else:
            large.extend(_entry(name, value))
    message = pb.DocProto()
    write_mapping(small, message.data)
    return [message.SerializeToString(), *large]


def _entry(name: str, array: np.ndarray[Any, Any]) -> list[Part]:
    """One entry of `DocProto.data`: the name, and a node with the array and the registered name of its class."""
    try:
        check_dtype(array.dtype)
    except BadTensor as error:
        failed = Unwritable(str(error))
        failed.path.append(name)
        raise failed from None
    elements = np.ascontiguousarray(array).view(np.ndarray).reshape(-1).view(np.uint8).data
    rest = pb.DenseNdArrayProto(shape=array.shape, dtype=array.dtype.str).SerializeToString()
    buffer = field_head(1, len(elements))
    dense = len(buffer) + len(elements) + len(rest)
    kind = _field(13, getattr(array, "_proto_type_name", "ndarray").encode())
    dense_head = field_head(1, dense)
    ndarray_head = field_head(6, len(dense_head) + dense)
    node = len(ndarray_head) + len(dense_head) + dense + len(kind)
    key = _field(1, name.encode())
    value_head = field_head(2, node)
    entry = field_head(1, len(key) + len(value_head) + node)
    return [b"".join((entry, key, value_head, ndarray_head, dense_head, buffer)), elements, rest + kind]


def _blob_entry(name: str, blob: bytes) -> list[Part]:
    head = field_head(5, len(blob))
    key = _field(1, name.encode())
    value_head = field_head(2, len(head) + len(blob))
    entry = field_head(1, len(key) + len(value_head) + len(head) + len(blob))
    return [b"".join((entry, key, value_head, head)), blob]


def _field(number: int, content: bytes) -> bytes:
    return field_head(number, len(content)) + content


_TEXT, _BLOB, _NDARRAY, _TYPE = 1, 5, 6, 13
_KINDS = {_TEXT: "text", _BLOB: "blob", _NDARRAY: "ndarray"}


def has_large_documents(data: bytes | memoryview) -> bool:
    """Whether the first document of a serialised `docarray.DocListProto` is large, as the others then mostly are."""
    if len(data) < LARGE:
        return False
    try:
        number, first = next(fields_in(data), (0, b""))
    except BadRequest:
        return False
    return number == 1 and len(first) >= LARGE


def has_large_flat_values(data: bytes | memoryview) -> bool:
    """Whether what makes the first document large are bytes, texts and arrays, which only need to be copied."""
    if not has_large_documents(data):
        return False
    try:
        entries = [entry for _, entry in fields_in(next(fields_in(data))[1]) if len(entry) >= LARGE]
        kinds = [next(fields_in(dict(fields_in(entry))[2]))[0] for entry in entries]
    except (BadRequest, KeyError, StopIteration):
        return False
    return bool(kinds) and all(kind in _KINDS for kind in kinds)


def read_docs_bytes(codec: DocumentCodec, data: bytes | memoryview) -> Any | None:
    """The documents as a `DocList` of the codec's class; None for what is to be read as messages are.

    That is also what is garbled or does not fit: parsing it tells what is wrong.
    """
    docs: list[Any] = []
    try:
        for number, part in fields_in(data):
            if number != 1:
                return None
            docs.append(codec.read_doc(_document(part)))
    except (Mismatch, Invalid, BadRequest, DecodeError, UnicodeDecodeError, _Unusual):
        return None
    return codec.list_type.construct(docs)


class _Unusual(Exception):
    """Valid perhaps, but not what serialisers write."""


class _Document:
    """Read as a `docarray.DocProto` is."""

    __slots__ = ("data",)

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data


class _Dense:
    """Read as a `docarray.DenseNdArrayProto` is."""

    __slots__ = ("buffer", "dtype", "shape")

    def __init__(self, view: memoryview) -> None:
        rest, buffers = take_field(view, 1)
        if len(buffers) != 1:
            raise _Unusual
        message = pb.DenseNdArrayProto.FromString(rest)
        self.buffer, self.dtype, self.shape = buffers[0], message.dtype, message.shape


class _Array:
    """Read as a `docarray.NdArrayProto` is."""

    __slots__ = ("dense", "parameters")

    def __init__(self, view: memoryview) -> None:
        rest, dense = take_field(view, 1)
        if len(dense) != 1:
            raise _Unusual
        self.dense = _Dense(dense[0])
        self.parameters = pb.NdArrayProto.FromString(rest).parameters


class _Node:
    """Read as a `docarray.NodeProto` is, whose content is large."""

    __slots__ = ("_kind", "_value", "boolean", "float", "integer", "type")

    def __init__(self, view: memoryview) -> None:
        self.integer, self.float, self.boolean, self.type = 0, 0.0, False, ""
        self._kind = 0
        self._value: memoryview | None = None
        for number, part in fields_in(view):
            if number == _TYPE:
                self.type = str(part, "utf-8")
            elif number in _KINDS and self._value is None:
                self._kind, self._value = number, part
            else:
                raise _Unusual

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The kind of the content."""
        return _KINDS.get(self._kind)

    @property
    def text(self) -> str:
        """The content, if it is a text."""
        return str(self._value, "utf-8") if self._kind == _TEXT and self._value is not None else ""

    @property
    def blob(self) -> bytes:
        """The content, if it is bytes."""
        return bytes(self._value) if self._kind == _BLOB and self._value is not None else b""

    @property
    def ndarray(self) -> _Array:
        """The content, if it is an array."""
        if self._kind != _NDARRAY or self._value is None:
            raise _Unusual
        return _Array(self._value)


def _document(part: memoryview) -> Any:
    if len(part) < LARGE:
        return pb.DocProto.FromString(bytes(part))
    rest, entries = take_field(part, 1)
    if rest:
        raise _Unusual
    small: list[bytes | memoryview] = []
    data: dict[str, Any] = {}
    for entry in entries:
        if len(entry) < LARGE:
            small += (field_head(1, len(entry)), entry)
            continue
        name, node = _key_and_value(entry)
        if name in data:
            raise _Unusual
        data[name] = node
    for name, value in pb.DocProto.FromString(b"".join(small)).data.items():
        if name in data:
            raise _Unusual
        data[name] = value
    return _Document(data)


def _key_and_value(entry: memoryview) -> tuple[str, Any]:
    parts = dict(fields_in(entry))
    if parts.keys() != {1, 2}:
        raise _Unusual
    name, value = str(parts[1], "utf-8"), parts[2]
    try:
        return name, _Node(value)
    except _Unusual:  # nested documents, lists, dictionaries
        return name, pb.NodeProto.FromString(bytes(value))
