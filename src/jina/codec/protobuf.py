"""Annotations -> functions that read a node, and values -> `docarray.NodeProto`, as DocArray writes them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
from docarray.array.any_array import AnyDocArray
from docarray.base_doc.base_node import BaseNode
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import ID, AnyUrl
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from jina.codec import pb
from jina.codec.compiler import (
    AS_SCHEMALESS,
    NUMPY_NAMES,
    DocumentReader,
    Invalid,
    Mismatch,
    Reader,
    ReaderCompiler,
    array_class_of,
    hashable,
    is_document,
    read_each,
    read_untyped,
    tensor_by_name,
)
from jina.codec.json_text import text_to_bytes
from jina.codec.plain_json import EXACT, write_exact_integer
from jina.codec.tensors import BadTensor, array_from_json, array_of, read_tensor, reshaped, write_array
from jina.documents.files import File
from jina.errors import BadClientInput


def read_text(node: pb.NodeProto) -> str:
    """A `str` field."""
    value = node.text
    if (value or node.WhichOneof("content") == "text") and not node.type:
        return value
    raise Mismatch


def read_integer(node: pb.NodeProto) -> int:
    """An `int` field; large ones are floats on the wire."""
    value = node.integer
    if value:
        return value
    kind = node.WhichOneof("content")
    if kind == "integer":
        return value
    if kind == "float" and node.float.is_integer() and abs(node.float) <= EXACT:
        return int(node.float)
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
    return read_untyped(node, AS_SCHEMALESS)


_SCALARS: dict[Any, Reader] = {
    str: read_text, int: read_integer, float: read_float, bool: read_boolean, bytes: read_blob, ID: read_id,
    type(None): read_nothing, None: read_nothing, Any: read_any, object: read_any,
}  # fmt: skip
_KINDS: dict[Any, str] = {str: "text", int: "integer", float: "float", bool: "boolean", bytes: "blob"}


def _of_value(read_value: Reader) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        return read_value(read_untyped(node))

    return read


def _union(members: Sequence[Any], rest: Sequence[Any], compile_: Callable[[Any], Reader]) -> Reader | None:
    kinds: dict[str | None, Reader] = {}
    for member in rest:
        kind = "doc" if is_document(member) else _KINDS.get(member) if hashable(member) else None
        if kind is None or kind in kinds:
            return None
        kinds[kind] = compile_(member)
    if "integer" in kinds:
        kinds.setdefault("float", kinds["integer"])  # a large one
    if len(rest) < len(members):
        kinds[None] = read_nothing
    return _by_kind(kinds)


def _document(codec: DocumentReader) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        if node.WhichOneof("content") != "doc":
            raise Mismatch
        return codec.read_doc(node.doc)

    return read


def _documents(codec: DocumentReader, construct: Callable[[list[Any]], Any]) -> Reader:
    def read(node: pb.NodeProto) -> Any:
        if node.WhichOneof("content") != "doc_array":
            raise Mismatch
        return construct(read_each(codec.read_doc, node.doc_array.docs))

    return read


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


def _tensor_reader(cls: Any) -> Reader:
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
            raise Invalid(str(error), read_untyped(node) if node.WhichOneof("content") != "ndarray" else None) from None

    return read


def _ndarray(node: pb.NodeProto) -> pb.NdArrayProto:
    kind = node.WhichOneof("content")
    if kind == "ndarray":
        return node.ndarray
    array = array_from_json(read_untyped(node))
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


def _read_named_blob(cls: Any) -> Reader:
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


def _fixed_tuple(args: Sequence[Any], compile_: Callable[[Any], Reader]) -> Reader:
    readers = [compile_(arg) for arg in args]

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


def node_compiler(codec_of: Callable[[type], DocumentReader]) -> ReaderCompiler:
    """The compiler of what reads nodes."""
    return ReaderCompiler(
        codec_of=codec_of, fields_of=attrgetter("data"), by_json_names=False, scalars=_SCALARS, of_value=_of_value,
        optional=_optional, union=_union, document=_document, documents=_documents, sequence=_sequence,
        fixed_tuple=_fixed_tuple, mapping=_mapping, tensor=_tensor_reader, url=_url, named_bytes=_read_named_blob,
    )  # fmt: skip


Writer = Callable[[Any, "pb.NodeProto"], None]


class Unwritable(Exception):
    """A value has no place on the wire; `path` names where it was, outermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def public(self, owner: str) -> BadClientInput:
        """The error for users."""
        where = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in self.path)
        return BadClientInput(f"{owner}{where}: {self}")


class Fallbacks:
    """Counts the values that only DocArray could convert; tests hold it at zero for the listed types."""

    count: ClassVar[int] = 0


def write_nothing(value: None, node: pb.NodeProto) -> None:
    """None is a node without content."""


def write_string(value: str, node: pb.NodeProto) -> None:
    """A text."""
    try:
        node.text = value
    except UnicodeEncodeError:
        raise Unwritable("the text has half a surrogate pair, which UTF-8 cannot hold") from None


def write_integer(value: int, node: pb.NodeProto) -> None:
    """An integer of at most 53 bits."""
    try:
        write_exact_integer(value, node)
    except ValueError as error:
        raise Unwritable(str(error)) from None


def write_float(value: float, node: pb.NodeProto) -> None:
    """A float."""
    node.float = value


def write_boolean(value: bool, node: pb.NodeProto) -> None:
    """True or False."""
    node.boolean = value


def write_blob(value: bytes, node: pb.NodeProto) -> None:
    """Bytes."""
    node.blob = bytes(value)


def _items(values: Any, into: pb.ListOfAnyProto) -> None:
    into.SetInParent()
    add = into.data.add
    for number, value in enumerate(values):
        try:
            writer_of(type(value))(value, add())
        except Unwritable as error:
            error.path.insert(0, str(number))
            raise


def _list(value: Any, node: pb.NodeProto) -> None:
    _items(value, node.list)


def _set(value: Any, node: pb.NodeProto) -> None:
    _items(value, node.set)


def _tuple(value: Any, node: pb.NodeProto) -> None:
    _items(value, node.tuple)


def _dict(value: Mapping[Any, Any], node: pb.NodeProto) -> None:
    node.dict.SetInParent()
    write_mapping(value, node.dict.data)


def write_array_node(value: Any, node: pb.NodeProto) -> None:
    """An array of numpy, with the registered name of its class."""
    try:
        write_array(value, node.ndarray)
    except BadTensor as error:
        raise Unwritable(str(error)) from None
    node.type = getattr(value, "_proto_type_name", "ndarray")


def _tensor(value: Any, node: pb.NodeProto) -> None:
    try:
        write_array(array_of(value), node.ndarray)
    except BadTensor as error:
        raise Unwritable(str(error)) from None
    node.type = getattr(value, "_proto_type_name", None) or "torch_tensor"


def write_named_text(value: Any, node: pb.NodeProto) -> None:
    """A text of a class that DocArray has registered."""
    write_string(value, node)
    node.type = value._proto_type_name  # noqa: SLF001 - DocArray keeps the wire name there


def _named_blob(value: Any, node: pb.NodeProto) -> None:
    node.blob = bytes(value)
    node.type = value._proto_type_name  # noqa: SLF001 - as above


def _doc(value: BaseDocWithoutId, node: pb.NodeProto) -> None:
    node.doc.SetInParent()
    write_doc(value, node.doc)


def _docs(value: Any, node: pb.NodeProto) -> None:
    node.doc_array.SetInParent()
    write_docs(value, node.doc_array)


def _enum(value: enum.Enum, node: pb.NodeProto) -> None:
    writer_of(type(value.value))(value.value, node)


def _scalar(value: np.generic, node: pb.NodeProto) -> None:
    item = value.item()
    if isinstance(item, np.generic):
        raise Unwritable(f"numpy scalar {type(value).__name__} does not travel")
    writer_of(type(item))(item, node)


def _model(value: BaseModel, node: pb.NodeProto) -> None:
    _dict(dict(value), node)


def _dataclass(value: Any, node: pb.NodeProto) -> None:
    _dict({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, node)


def _struct(value: Any, node: pb.NodeProto) -> None:
    names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    _dict({wire: getattr(value, name) for name, wire in names}, node)


def _by_docarray(value: BaseNode, node: pb.NodeProto) -> None:
    Fallbacks.count += 1
    node.MergeFromString(value._to_node_protobuf().SerializeToString())  # noqa: SLF001 - the hook of custom types


def _as_json(value: Any, node: pb.NodeProto) -> None:
    try:
        shown = to_jsonable_python(value)
    except (PydanticSerializationError, ValueError) as error:
        raise Unwritable(f"{type(value).__qualname__} does not travel: {error}") from None
    writer_of(type(shown))(shown, node)


_WRITERS: dict[type, Writer] = {
    type(None): write_nothing, str: write_string, int: write_integer, float: write_float, bool: write_boolean,
    bytes: write_blob, bytearray: write_blob, memoryview: write_blob, list: _list, tuple: _tuple, set: _set,
    frozenset: _set, dict: _dict, np.ndarray: write_array_node,
}  # fmt: skip
"""By exact class; classes met at run time are added."""
_FAMILIES: tuple[tuple[type, Writer], ...] = (
    (enum.Enum, _enum),
    (BaseDocWithoutId, _doc),
    (AnyDocArray, _docs),
    (np.generic, _scalar),
    (np.ndarray, write_array_node),
    (AbstractTensor, _tensor),
)
_SUBCLASSES: tuple[tuple[type, Writer], ...] = (
    (BaseNode, _by_docarray),
    (str, write_string), (bool, write_boolean), (int, write_integer), (float, write_float), (bytes, write_blob),
    (list, _list), (frozenset, _set), (set, _set), (tuple, _tuple), (dict, _dict), (Mapping, _dict),
    (BaseModel, _model),
)  # fmt: skip
_CACHED_NAMES: dict[type, frozenset[str]] = {}


def _is_torch(cls: type) -> bool:
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in cls.__mro__)


def _is_docarrays(cls: type) -> bool:
    hook = next(base for base in cls.__mro__ if "_to_node_protobuf" in vars(base))
    return hook.__module__.startswith("docarray.")


def _choose_writer(cls: type) -> Writer:
    for base, writer in _FAMILIES:
        if issubclass(cls, base):
            return writer
    if getattr(cls, "_proto_type_name", None) and issubclass(cls, str | bytes) and _is_docarrays(cls):
        return write_named_text if issubclass(cls, str) else _named_blob
    if _is_torch(cls):
        return _tensor
    for base, writer in _SUBCLASSES:
        if issubclass(cls, base):
            return writer
    if hasattr(cls, "__struct_fields__"):
        return _struct
    return _dataclass if dataclasses.is_dataclass(cls) else _as_json


def writer_of(cls: type) -> Writer:
    """What writes the values of a class."""
    writer = _WRITERS.get(cls)
    if writer is None:
        writer = _WRITERS[cls] = _choose_writer(cls)
    return writer


def write_value(value: Any, node: pb.NodeProto) -> None:
    """Write one value into an empty node; raises `Unwritable`."""
    writer_of(type(value))(value, node)


def write_mapping(values: Mapping[Any, Any], data: Any) -> None:
    """Write each item into a map of nodes by its key, a str; raises `Unwritable`."""
    writers = _WRITERS
    for key, value in values.items():
        try:
            node = data[key]
        except TypeError:
            raise Unwritable(f"key {key!r} is a {type(key).__name__}; keys are str on this wire") from None
        try:
            (writers.get(type(value)) or writer_of(type(value)))(value, node)
        except Unwritable as error:
            error.path.insert(0, str(key))
            raise


def write_doc(doc: BaseDocWithoutId, into: pb.DocProto) -> None:
    """Write the fields of a document of any class; raises `Unwritable`."""
    write_mapping(fields_of(doc), into.data)


def write_docs(docs: Any, into: pb.DocListProto) -> None:
    """Write documents of any classes; raises `Unwritable`."""
    add = into.docs.add
    for number, doc in enumerate(docs):
        try:
            write_mapping(fields_of(doc), add().data)
        except Unwritable as error:
            error.path.insert(0, str(number))
            raise


def _fields_of_file(file: File) -> dict[str, Any]:
    try:
        return file.wire_fields()
    except (OSError, ValueError) as error:
        raise Unwritable(str(error)) from None


def cached_names(cls: type) -> frozenset[str]:
    """What Python caches in the instances of a class (`cached_property`)."""
    found = _CACHED_NAMES.get(cls)
    if found is None:
        found = _CACHED_NAMES[cls] = frozenset(
            name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, cached_property)
        )
    return found


def fields_of(doc: Any) -> Mapping[str, Any]:
    """The fields of a document by name, in order, with those beyond its schema that the class keeps.

    Views on a `DocVec` are read column by column; what Python caches in the instance is left out.
    """
    if isinstance(doc, File):
        return _fields_of_file(doc)
    cached = cached_names(type(doc))
    values = doc.__dict__
    extra = doc.__pydantic_extra__
    if type(values) is dict and not extra and not cached:
        return values
    names = values.keys()  # `iter()` of a DocVec's view is no iterator
    return {**{name: values[name] for name in names if name not in cached}, **(extra or {})}
