"""`DocVec` <-> `docarray.DocVecProto`: documents by column, as DocArray writes them.

Requests carry documents by row (`DocListProto`); this form is for files and bytes that DocArray's `DocVec` wrote or
shall read. A column that is None is marked by an empty message, a tensor column by the dtype "None".
"""

from __future__ import annotations

from typing import Any

from docarray import DocVec
from docarray.array.doc_vec.column_storage import ColumnStorage
from docarray.array.list_advance_indexing import ListAdvancedIndexing
from docarray.typing import NdArray

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.compiler import Invalid, invalid
from jina.codec.protobuf import Unwritable, write_value
from jina.codec.tensors import BadTensor, array_of, read_tensor, write_array
from jina.documents.docarray_patches import ensure_docvec
from jina.errors import BadClientInput

_NO_TENSOR = "None"


def encode_columns(docs: Any, into: pb.DocVecProto) -> None:
    """Write a `DocVec` into an empty message; raises `BadClientInput` naming the column that does not travel."""
    storage = docs._storage  # noqa: SLF001 - where DocArray keeps the columns
    for name, tensor in storage.tensor_columns.items():
        _write_tensor(name, tensor, into.tensor_columns[name])
    for name, column in storage.doc_columns.items():
        message = into.doc_columns[name]
        if column is not None:
            encode_columns(column, message)
    for name, column in storage.docs_vec_columns.items():
        lists = into.docs_vec_columns[name].data
        for item in column or ():
            encode_columns(item, lists.add())
    for name, column in storage.any_columns.items():
        items = into.any_columns[name].data
        for item in column:
            _write_item(name, item, items.add())


def _write_tensor(name: str, tensor: Any, message: pb.NdArrayProto) -> None:
    if tensor is None:
        message.dense.shape.append(0)
        message.dense.dtype = _NO_TENSOR
        return
    try:
        write_array(array_of(tensor), message)
    except BadTensor as error:
        raise BadClientInput(f"column {name}: {error}") from None


def _write_item(name: str, item: Any, node: pb.NodeProto) -> None:
    try:
        write_value(item, node)
    except Unwritable as error:
        raise error.public(f"column {name}") from None


def decode_columns(doc_type: type, message: pb.DocVecProto) -> Any:
    """The `DocVec[doc_type]` of a message, its tensors numpy's.

    Raises `ValidationFailed` naming the column that does not fit the class.
    """
    ensure_docvec()
    try:
        return _decode(doc_type, message)
    except Invalid as error:
        raise invalid(error, doc_type.__name__, ()) from None


def _decode(doc_type: Any, message: pb.DocVecProto) -> Any:
    nested = {name: doc_type._get_field_annotation(name) for name in doc_type.model_fields}  # noqa: SLF001 - less Optional
    tensors: dict[str, Any] = {}
    docs: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    items: dict[str, Any] = {}
    for name in _known(message.tensor_columns, nested):
        tensors[name] = _read_tensor(name, message.tensor_columns[name])
    for name in _known(message.doc_columns, nested):
        column = message.doc_columns[name]
        docs[name] = _decode(nested[name], column) if column.ByteSize() else None
    for name in _known(message.docs_vec_columns, nested):
        data = message.docs_vec_columns[name].data
        inner = nested[name].doc_type
        lists[name] = ListAdvancedIndexing([_decode(inner, each) for each in data]) if data else None
    codec = codec_for(doc_type)
    for name in _known(message.any_columns, nested):
        read = codec.field_reader(name)
        items[name] = ListAdvancedIndexing([read(node) for node in message.any_columns[name].data])
    vec: Any = DocVec[doc_type]
    return vec.from_columns_storage(ColumnStorage(tensors, docs, lists, items, NdArray))


def _known(columns: Any, fields: dict[str, Any]) -> list[str]:
    for name in columns:
        if name not in fields:
            raise Invalid(f"the class has no field {name!r}")
    return [name for name in fields if name in columns]


def _read_tensor(name: str, message: pb.NdArrayProto) -> Any:
    if message.dense.dtype == _NO_TENSOR:
        return None
    try:
        return read_tensor(message)
    except BadTensor as error:
        raise Invalid(str(error)).at(name) from None
