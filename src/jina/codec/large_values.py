"""Documents <-> serialised messages without a message in between: arrays, texts and bytes are copied once."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from jina.codec import pb, protobuf
from jina.codec.compiler import Invalid, Mismatch
from jina.codec.protobuf import Unwritable, fields_of, write_value, writer_of
from jina.codec.raw_fields import FEW, LENGTHS, field_head, fields_in, take_field, varint
from jina.codec.tensors import BadTensor, check_dtype
from jina.errors import BadRequest

if TYPE_CHECKING:
    from jina.codec.messages import DocumentCodec

LARGE = 64 * 1024
"""Bytes from which a document is read this way; below, messages are as fast."""
Part = bytes | memoryview
Fields = Callable[[Any], Mapping[str, Any]]
"""Gives the fields of a document by name."""
_ENTRY, _NAME, _NODE = b"\x0a", b"\x0a", b"\x12"
"""Tags of an entry of `DocProto.data`, of its key and its value."""
_REMEMBERED = 1000
"""Names, and kinds of arrays, whose bytes are kept."""
_names: dict[str, bytes] = {}
_arrays: dict[tuple[np.dtype[Any], tuple[int, ...], type], tuple[bytes, bytes]] = {}


def write_docs_bytes(docs: Iterable[Any], fields: Fields = fields_of) -> bytes:
    """The documents as one serialised `docarray.DocListProto`; raises `Unwritable`."""
    parts: list[Part] = []
    for number, doc in enumerate(docs):
        start = len(parts)
        parts.append(b"")
        try:
            size = _write_fields(fields(doc), parts)
        except Unwritable as error:
            error.path.insert(0, str(number))
            raise
        parts[start] = field_head(1, size)
    return b"".join(parts)


def _write_fields(fields: Mapping[str, Any], parts: list[Part]) -> int:
    """Append the entries of `DocProto.data`; gives their size."""
    size = 0
    for name, value in fields.items():
        start = len(parts)
        parts.append(b"")
        try:
            node = (_by_class.get(type(value)) or _writer(type(value)))(value, parts)
        except Unwritable as error:
            error.path.insert(0, str(name))
            raise
        length = LENGTHS[node] if node < FEW else varint(node)
        key = _names.get(name) or _name(name)
        rest = len(key) + len(length) + node
        head = parts[start] = b"".join((_ENTRY, LENGTHS[rest] if rest < FEW else varint(rest), key, length))
        size += len(head) + node
    return size


def _name(name: Any) -> bytes:
    """The key of an entry, and the tag of its value."""
    if not isinstance(name, str):
        raise Unwritable(f"key {name!r} is a {type(name).__name__}; keys are str on this wire")
    data = name.encode()
    key = b"".join((_NAME, varint(len(data)), data, _NODE))
    if len(_names) < _REMEMBERED:
        _names[name] = key
    return key


# What follows appends a serialised `NodeProto`, and gives its size.


def _nothing(_value: None, _parts: list[Part]) -> int:
    return 0


def _text(value: str, parts: list[Part]) -> int:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        return _by_message(value, parts)  # which raises
    length = len(data)
    node = b"".join((b"\x0a", LENGTHS[length] if length < FEW else varint(length), data))
    parts.append(node)
    return len(node)


def _named_text(value: Any, parts: list[Part]) -> int:
    kind = _kind(value._proto_type_name)  # noqa: SLF001 - DocArray keeps the wire name there
    size = _text(value, parts)
    parts.append(kind)
    return size + len(kind)


def _integer(value: int, parts: list[Part]) -> int:
    if not 0 <= value < 2**31:
        return _by_message(value, parts)
    node = b"\x10" + varint(value)
    parts.append(node)
    return len(node)


def _float(value: float, parts: list[Part]) -> int:
    parts.append(b"\x19" + _DOUBLE(value))
    return 9


def _boolean(value: bool, parts: list[Part]) -> int:
    parts.append(b"\x20\x01" if value else b"\x20\x00")
    return 2


def _blob(value: Any, parts: list[Part]) -> int:
    data = bytes(value)
    head = field_head(5, len(data))
    parts += (head, data)
    return len(head) + len(data)


def _array(value: np.ndarray[Any, Any], parts: list[Part]) -> int:
    dtype, shape, cls = value.dtype, value.shape, type(value)
    known = _arrays.get((dtype, shape, cls))
    if known is None:
        known = _around_array(value)
        if len(_arrays) < _REMEMBERED:
            _arrays[dtype, shape, cls] = known
    head, tail = known
    plain = dtype.kind in "biufc" and value.flags.c_contiguous
    parts += (head, value.data if plain else value.tobytes(), tail)
    return len(head) + value.nbytes + len(tail)


def _around_array(array: np.ndarray[Any, Any]) -> tuple[bytes, bytes]:
    """What stands before the elements of an array and behind them, with the registered name of its class."""
    try:
        check_dtype(array.dtype)
    except BadTensor as error:
        raise Unwritable(str(error)) from None
    rest = pb.DenseNdArrayProto(shape=array.shape, dtype=array.dtype.str).SerializeToString()
    buffer = field_head(1, array.nbytes)
    dense = len(buffer) + array.nbytes + len(rest)
    dense_head = field_head(1, dense)
    ndarray_head = field_head(6, len(dense_head) + dense)
    return b"".join((ndarray_head, dense_head, buffer)), rest + _kind(getattr(array, "_proto_type_name", "ndarray"))


@lru_cache(maxsize=_REMEMBERED)
def _kind(name: str) -> bytes:
    data = name.encode()
    return field_head(13, len(data)) + data


def _by_message(value: Any, parts: list[Part]) -> int:
    message = pb.NodeProto()
    write_value(value, message)
    node = message.SerializeToString()
    parts.append(node)
    return len(node)


Writer = Callable[[Any, list[Part]], int]
_DOUBLE = struct.Struct("<d").pack
_WRITERS: dict[Any, Writer] = {
    protobuf.write_nothing: _nothing, protobuf.write_string: _text, protobuf.write_named_text: _named_text,
    protobuf.write_integer: _integer, protobuf.write_float: _float, protobuf.write_boolean: _boolean,
    protobuf.write_blob: _blob, protobuf.write_array_node: _array,
}  # fmt: skip
"""By what writes the value into a message; all others are written into one."""
_by_class: dict[type, Writer] = {}


def _writer(cls: type) -> Writer:
    found = _by_class[cls] = _WRITERS.get(writer_of(cls), _by_message)
    return found


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
