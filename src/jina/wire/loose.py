"""`docarray.NodeProto` -> values, by what the node itself says, without a schema.

Used where an annotation says nothing (`Any`, the values of `tags`), and to hand pydantic what did not fit the
annotation. A nested document becomes a dict for pydantic, or a schemaless document where nothing else is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from docarray.typing.proto_register import _PROTO_TYPE_NAME_TO_CLASS
from docarray.typing.tensor.ndarray import NdArray

from jina.wire import pb
from jina.wire.tensors import read_tensor


class Mismatch(Exception):
    """What came is not what the annotation says; pydantic shall say why, or convert it."""


class Invalid(Exception):
    """What came can be of no use to its field, and pydantic must not guess; `path` tells where it was."""

    def __init__(self, reason: str, given: Any = None) -> None:
        super().__init__(reason)
        self.given = given
        self.path: list[str | int] = []

    def at(self, place: str | int) -> Invalid:
        """The same, one level further in."""
        self.path.insert(0, place)
        return self


class DocMaker(NamedTuple):
    """What becomes of nested documents: `one` gets the fields of each, `many` a list of what `one` gave."""

    one: Callable[[dict[str, Any]], Any]
    many: Callable[[list[Any]], Any]


def _same(value: Any) -> Any:
    return value


AS_DICT = DocMaker(_same, _same)
"""Leave nested documents as their fields, for pydantic to build."""


NUMPY_NAMES = {"", "ndarray", "image_ndarray", "audio_ndarray", "video_ndarray", "ndarray_embedding"}
"""The registered names of tensors that numpy holds."""


def tensor_by_name(message: pb.NdArrayProto, name: str) -> Any:
    """A tensor of the class registered under `name`; numpy's where this process has no such framework."""
    cls: Any = _PROTO_TYPE_NAME_TO_CLASS.get(name, NdArray)
    if issubclass(cls, np.ndarray):
        return read_tensor(message, cls)
    return cls._docarray_from_ndarray(read_tensor(message, np.ndarray))


def _typed(node: pb.NodeProto, kind: str, name: str) -> Any:
    value = getattr(node, kind)
    cls: Any = _PROTO_TYPE_NAME_TO_CLASS.get(name)
    if cls is None or not issubclass(cls, str if kind == "text" else bytes):
        return value
    return cls(value)


def read_loose(node: pb.NodeProto, make_doc: DocMaker = AS_DICT) -> Any:
    """The value of a node; raises `Invalid` for a tensor that is none."""
    kind = node.WhichOneof("content")
    if kind is None:
        return None
    if kind in {"text", "blob"}:
        name = node.type
        return _typed(node, kind, name) if name else getattr(node, kind)
    reader = _READERS.get(kind)
    return reader(node, make_doc) if reader else getattr(node, kind)


def read_loose_doc(message: pb.DocProto, make_doc: DocMaker = AS_DICT) -> Any:
    """All fields of a document, given to `make_doc`; raises as `read_loose`."""
    data = message.data
    return make_doc.one({name: read_loose(data[name], make_doc) for name in data})


def _tensor(node: pb.NodeProto, _: DocMaker) -> Any:
    try:
        return tensor_by_name(node.ndarray, node.type)
    except (ValueError, TypeError) as error:
        raise Invalid(str(error)) from None


def _list(node: pb.NodeProto, make_doc: DocMaker) -> list[Any]:
    return [read_loose(item, make_doc) for item in node.list.data]


def _set(node: pb.NodeProto, make_doc: DocMaker) -> Any:
    items = [read_loose(item, make_doc) for item in node.set.data]
    try:
        return set(items)
    except TypeError:
        return items


def _tuple(node: pb.NodeProto, make_doc: DocMaker) -> tuple[Any, ...]:
    return tuple(read_loose(item, make_doc) for item in node.tuple.data)


def _dict(node: pb.NodeProto, make_doc: DocMaker) -> dict[str, Any]:
    data = node.dict.data
    return {key: read_loose(data[key], make_doc) for key in data}


_READERS: dict[str, Callable[[pb.NodeProto, DocMaker], Any]] = {
    "ndarray": _tensor,
    "doc": lambda node, make_doc: read_loose_doc(node.doc, make_doc),
    "doc_array": lambda node, make_doc: make_doc.many([read_loose_doc(doc, make_doc) for doc in node.doc_array.docs]),
    "list": _list,
    "set": _set,
    "tuple": _tuple,
    "dict": _dict,
}
