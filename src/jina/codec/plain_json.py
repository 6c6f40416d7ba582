"""Document messages <-> JSON without a document class.

For processes that hold no user class: a gateway answers in JSON what workers sent as protobuf, or the other way
round. Loads no docarray, and numpy only for a tensor. Fields come in the order of the wire, with `id` first.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any

from jina.codec import pb
from jina.codec.json_text import bytes_to_text, dumps
from jina.errors import BadClientInput, BadRequest

_PACKED = 16
"""Numbers from which a list is written at once."""
_FLOAT_HEAD = b"\x0a\x09\x19"
"""Field 1 of a list, nine bytes long; field 3 of a node, a double."""


EXACT = 2**53
"""Integers up to this are floats without loss."""


def write_exact_integer(value: int, node: pb.NodeProto) -> None:
    """Write an integer, which has 32 bits on the wire; a larger one is a float there, as which any reader takes it.

    Raises `ValueError` for one that would not be the same as a float.
    """
    if -(2**31) <= value < 2**31:
        node.integer = value
    elif -EXACT <= value <= EXACT:
        node.float = value
    else:
        raise ValueError(f"integer {value} is beyond 53 bits, the limit of this wire; make the field a str")


def docs_to_json(message: pb.DocListProto) -> bytes:
    """All documents of a message as one JSON array; raises `BadRequest` for a garbled tensor."""
    return dumps([_doc(doc.data) for doc in message.docs])


def doc_to_json(message: pb.DocProto) -> bytes:
    """One document as a JSON object; raises as `docs_to_json`."""
    return dumps(_doc(message.data))


def _doc(data: Any) -> dict[str, Any]:
    fields = {name: _value(data[name]) for name in sorted(data)}
    return {"id": fields.pop("id"), **fields} if "id" in fields else fields


def _value(node: pb.NodeProto) -> Any:
    kind = node.WhichOneof("content")
    if kind is None:
        return None
    if kind == "ndarray":
        return _array(node.ndarray.dense)
    if kind == "blob":
        return bytes_to_text(node.blob)
    if kind == "doc":
        return _doc(node.doc.data)
    if kind == "doc_array":
        return [_doc(doc.data) for doc in node.doc_array.docs]
    if kind == "dict":
        data = node.dict.data
        return {name: _value(data[name]) for name in data}
    content = getattr(node, kind)
    return [_value(item) for item in content.data] if kind in {"list", "set", "tuple"} else content


def _array(dense: pb.DenseNdArrayProto) -> Any:
    import numpy as np

    from jina.codec.tensors import dtype_named

    try:
        dtype = dtype_named(dense.dtype)
        if dtype.kind not in "biufmMU" or (dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic"):
            raise TypeError(f"dtype {dense.dtype!r} cannot be written as JSON")
        return np.frombuffer(dense.buffer, dtype).reshape(tuple(dense.shape))
    except (ValueError, TypeError) as error:
        raise BadRequest(f"a tensor is garbled: {error}") from None


def json_to_docs(items: list[Any], into: pb.DocListProto) -> None:
    """Append parsed JSON objects as documents; lists of numbers stay lists, which a typed reader accepts.

    Raises `BadRequest` for an item that is no object, `BadClientInput` for an integer beyond 53 bits.
    """
    for item in items:
        if not isinstance(item, Mapping):
            raise BadRequest(f"a document is a JSON object, not a {type(item).__name__}")
        _fill(item, into.docs.add().data)


def _fill(values: Mapping[str, Any], data: Any) -> None:
    for name, value in values.items():
        _write(value, data[name], name)


def _write(value: Any, node: pb.NodeProto, name: str) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        node.boolean = value
    elif isinstance(value, int):
        try:
            write_exact_integer(value, node)
        except ValueError as error:
            raise BadClientInput(f"{name}: {error}") from None
    elif isinstance(value, float):
        node.float = value
    elif isinstance(value, str):
        node.text = value
    elif isinstance(value, Mapping):
        node.dict.SetInParent()
        _fill(value, node.dict.data)
    else:
        node.list.SetInParent()
        if len(value) >= _PACKED and set(map(type, value)) == {float}:
            node.list.MergeFromString(_packed(value))
            return
        for item in value:
            _write(item, node.list.data.add(), name)


def _packed(numbers: list[float]) -> bytes:
    """A serialised `ListOfAnyProto` of floats: eleven bytes each, of which the first three are always the same."""
    interleaved = chain.from_iterable(zip(repeat(_FLOAT_HEAD), numbers, strict=False))
    return struct.pack("<" + "3sd" * len(numbers), *interleaved)
