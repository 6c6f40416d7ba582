"""Tensors of the Open Inference Protocol <-> fields of documents. Pure: no I/O.

The first dimension of every tensor is the document: of `[3, 768]`, each of three documents has 768 numbers. Fields that
are one value, such as a text, are tensors of shape `[3]`, or `[3, 1]`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from jina.codec import pb
from jina.errors import BadRequest, BadServer, TooLarge, ValidationFailed, nearest, quoted
from jina.net.service import EndpointInfo

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The datatypes of numbers."""
BYTES: Final = "BYTES"
"""The datatype of texts and bytes."""
DATATYPES: Final = (*DTYPES, BYTES)
_NAMES = {(dtype.kind, dtype.itemsize): name for name, dtype in DTYPES.items()}
_SHAPE = "tensor/array shape"
"""In the JSON Schema of a tensor."""
_DECLARED = "datatype"
"""In the JSON Schema of a field whose author says which datatype it takes: `Field(json_schema_extra=...)`."""
_KINDS = {"string": "text", "integer": "integer", "number": "float", "boolean": "boolean"}
_DATATYPES = {"tensor": "FP32", "text": BYTES, "blob": BYTES, "integer": "INT32", "float": "FP64", "boolean": "BOOL"}
_FITTING: Mapping[str, str] = {"integer": "iu", "float": "iuf", "boolean": "b"}
"""By kind of a field of one value: the kinds of numbers that it takes."""
_LENGTH = struct.Struct("<I")
_INT32 = 2**31
_MOST_DIMENSIONS = 32


@dataclass(slots=True)
class Tensor:
    """A named tensor; `values` is an array of numbers, or a list of bytes for BYTES, in C order."""

    name: str
    datatype: str
    shape: list[int]
    values: Any

    def raw(self) -> bytes:
        """The elements as bytes; each of BYTES after its length in four bytes."""
        if self.datatype == BYTES:
            return b"".join(_LENGTH.pack(len(value)) + value for value in self.values)
        data: bytes = self.values.tobytes()
        return data

    def listed(self) -> list[Any]:
        """The elements as JSON has them, in one list; raises `BadServer` for bytes that are no text."""
        if self.datatype == BYTES:
            try:
                return [value.decode() for value in self.values]
            except UnicodeDecodeError:
                raise BadServer(
                    f"output {self.name!r} holds bytes that are no text, which JSON cannot carry",
                    help="ask for it in binary form: parameters.binary_data of the output",
                ) from None
        found: list[Any] = self.values.ravel().tolist()
        return found


def checked_shape(name: str, datatype: Any, shape: Any) -> list[int]:
    """The shape of a tensor; raises `BadRequest` for one that is none, and for an unknown datatype."""
    if datatype not in DATATYPES:
        raise BadRequest(f"input {quoted(name)}: datatype {datatype!r} is not one of {', '.join(DATATYPES)}")
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes) or not all(_is_size(one) for one in shape):
        raise BadRequest(f"input {quoted(name)}: shape has to be a list of sizes")
    if len(shape) > _MOST_DIMENSIONS:
        raise BadRequest(f"input {quoted(name)}: more than {_MOST_DIMENSIONS} dimensions")
    return [int(one) for one in shape]


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def tensor_of_raw(name: str, datatype: Any, shape: Any, data: bytes | memoryview) -> Tensor:
    """The tensor in bytes; raises `BadRequest` where they do not fit."""
    sizes = checked_shape(name, datatype, shape)
    count = math.prod(sizes)
    if datatype == BYTES:
        return Tensor(name, datatype, sizes, _split(name, bytes(data), count))
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise BadRequest(f"input {quoted(name)}: {len(data)} bytes for shape {sizes} of {datatype}")
    return _numbers(name, datatype, sizes, np.frombuffer(data, dtype))


def _split(name: str, data: bytes, count: int) -> list[bytes]:
    values, at = [], 0
    while at < len(data):
        end = at + _LENGTH.size
        if end > len(data) or (stop := end + _LENGTH.unpack_from(data, at)[0]) > len(data):
            raise BadRequest(f"input {quoted(name)}: an element of BYTES is cut short")
        values.append(data[end:stop])
        at = stop
    if len(values) != count:
        raise BadRequest(f"input {quoted(name)}: {len(values)} elements where the shape says {count}")
    return values


def tensor_of_list(name: str, datatype: Any, shape: Any, data: Any) -> Tensor:
    """The tensor in a list, nested or not; raises `BadRequest` where it does not fit."""
    sizes = checked_shape(name, datatype, shape)
    flat = _flat(data) if isinstance(data, list) else None
    if flat is None:
        raise BadRequest(f"input {quoted(name)}: data has to be a list")
    if len(flat) != math.prod(sizes):
        raise BadRequest(f"input {quoted(name)}: {len(flat)} elements for shape {sizes}")
    if datatype == BYTES:
        if not all(isinstance(value, str | bytes) for value in flat):
            raise BadRequest(f"input {quoted(name)}: the elements of BYTES have to be strings")
        try:
            values = [value if isinstance(value, bytes) else value.encode() for value in flat]
        except UnicodeEncodeError:
            raise BadRequest(f"input {quoted(name)}: half of a surrogate pair is no text") from None
        return Tensor(name, datatype, sizes, values)
    dtype = DTYPES[datatype]
    kinds: dict[str, set[type[Any]]] = {"b": {bool}, "f": {int, float}}
    fitting = kinds.get(dtype.kind, {int})
    if not {type(value) for value in flat} <= fitting:
        raise BadRequest(f"input {quoted(name)}: an element is no {datatype}")
    if dtype.kind in "iu" and flat:  # numpy 1 only warns of it
        bounds = np.iinfo(dtype.name)
        if min(flat) < bounds.min or max(flat) > bounds.max:
            raise BadRequest(f"input {quoted(name)}: an element is beyond {datatype}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype)
    except (OverflowError, ValueError):
        raise BadRequest(f"input {quoted(name)}: an element is beyond {datatype}") from None
    return _numbers(name, datatype, sizes, array)


def _flat(data: list[Any]) -> list[Any]:
    while any(isinstance(item, list) for item in data):
        data = [inner for item in data for inner in (item if isinstance(item, list) else [item])]
    return data


def _numbers(name: str, datatype: str, shape: list[int], array: np.ndarray[Any, Any]) -> Tensor:
    try:
        return Tensor(name, datatype, shape, array.reshape(shape))
    except ValueError:
        raise BadRequest(f"input {quoted(name)}: shape {shape} is beyond what an array can have") from None


@dataclass(frozen=True, slots=True)
class ModelField:
    """A field of documents as a tensor. `kind` is that of one document's value: `tensor`, `text`, `integer`, ..."""

    name: str
    kind: str
    datatype: str
    declared: bool
    """Whether the author says which datatype it takes."""
    shape: list[int]
    required: bool

    def metadata(self) -> dict[str, Any]:
        """What clients are told; -1 stands for any size."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}


@dataclass(frozen=True, slots=True)
class Model:
    """An endpoint as a model."""

    name: str
    info: EndpointInfo
    inputs: dict[str, ModelField] = field(default_factory=dict)
    outputs: dict[str, ModelField] = field(default_factory=dict)

    def documents(self, tensors: Iterable[Tensor], most: int) -> pb.DocListProto:
        """The documents that tensors hold; raises `BadRequest`, `ValidationFailed` and `TooLarge`."""
        given: dict[str, tuple[ModelField, Tensor]] = {}
        for tensor in tensors:
            if tensor.name in given:
                raise BadRequest(f"input {quoted(tensor.name)} is given twice")
            given[tensor.name] = (self._field(tensor.name), tensor)
        if missing := [one.name for one in self.inputs.values() if one.required and one.name not in given]:
            raise ValidationFailed(f"{self.name}: the inputs {', '.join(missing)} are missing")
        count = _count(given)
        if count > most:
            raise TooLarge(f"the tensors have {count} documents; max_documents of this server is {most}")
        columns = {name: _column(one, tensor) for name, (one, tensor) in given.items()}
        message = pb.DocListProto()
        for number in range(count):
            data = message.docs.add().data
            for name, (one, tensor) in given.items():
                _write(one, tensor, columns[name][number], data[name])
        return message

    def _field(self, name: str) -> ModelField:
        found = self.inputs.get(name)
        if found is None:
            near = nearest(name, self.inputs)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(self.inputs)}"
            raise ValidationFailed(f"{self.name}: no input {quoted(name)}{hint}")
        return found

    def tensors(self, message: pb.DocListProto, names: Sequence[str]) -> list[Tensor]:
        """The outputs in documents, those of `names` if any are named; raises `BadRequest` and `BadServer`."""
        docs = message.docs
        known = [*self.outputs, *(name for name in (docs[0].data if docs else ()) if name != "id")]
        wanted = list(names) or list(dict.fromkeys(known))
        tensors = []
        for name in wanted:
            nodes = [doc.data.get(name) for doc in docs]
            tensor = _read(name, nodes, self.outputs.get(name))
            if tensor is not None:
                tensors.append(tensor)
            elif names:
                raise BadRequest(f"{self.name}: no output {quoted(name)}; there are {', '.join(known) or 'none'}")
        return tensors


def _count(given: Mapping[str, tuple[ModelField, Tensor]]) -> int:
    """How many documents there are; raises `BadRequest` where tensors differ."""
    counts = {}
    for name, (_, tensor) in given.items():
        if not tensor.shape:
            raise BadRequest(f"input {quoted(name)}: its first dimension has to be that of the documents")
        counts[name] = tensor.shape[0]
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise BadRequest(f"the first dimensions of the inputs have to be equal: {shown}")
    return next(iter(counts.values()), 0)


def _column(one: ModelField, tensor: Tensor) -> Any:
    """The values by document; raises `ValidationFailed` where the tensor does not fit the field."""
    if one.declared and tensor.datatype != one.datatype:
        raise _unfit(one, f"datatype {tensor.datatype} is not {one.datatype}")
    if one.kind == "tensor":
        if tensor.datatype == BYTES:
            raise _unfit(one, "it takes numbers, not BYTES")
        return tensor.values
    if tensor.shape[1:] not in ([], [1]):
        raise _unfit(one, f"shape {tensor.shape} is not [n] or [n, 1]")
    if one.kind in {"text", "blob"}:
        if tensor.datatype != BYTES:
            raise _unfit(one, f"it takes BYTES, not {tensor.datatype}")
        return tensor.values
    if tensor.datatype == BYTES or tensor.values.dtype.kind not in _FITTING[one.kind]:
        raise _unfit(one, f"it takes {one.datatype}, not {tensor.datatype}")
    return tensor.values.ravel().tolist()


def _unfit(one: ModelField, message: str) -> ValidationFailed:
    return ValidationFailed(f"input {one.name!r}: {message}")


def _write(one: ModelField, tensor: Tensor, value: Any, node: Any) -> None:
    if one.kind == "tensor":
        dense = node.ndarray.dense
        dense.buffer = value.tobytes()
        dense.shape.extend(value.shape)
        dense.dtype = tensor.values.dtype.str
    elif one.kind == "text":
        try:
            node.text = value.decode()
        except UnicodeDecodeError:
            raise _unfit(one, "an element is not UTF-8") from None
    elif one.kind == "integer" and not -_INT32 <= value < _INT32:
        raise _unfit(one, f"{value} is beyond 32 bits")
    else:
        setattr(node, one.kind, value)


def _read(name: str, nodes: Sequence[Any], known: ModelField | None) -> Tensor | None:
    """The tensor that a field of all documents makes; None where it is no tensor, or not in all of them."""
    kinds = {node.WhichOneof("content") if node is not None else None for node in nodes}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind == "ndarray":
        return _read_arrays(name, [node.ndarray.dense for node in nodes])
    if kind in {"text", "blob"}:
        values = [node.text.encode() if kind == "text" else node.blob for node in nodes]
        return Tensor(name, BYTES, [len(nodes)], values)
    if kind in {"integer", "float", "boolean"}:
        datatype = _DATATYPES[kind]
        if known is not None and known.declared and known.datatype in DTYPES:
            datatype = known.datatype
        array = np.array([getattr(node, kind) for node in nodes])
        return Tensor(name, datatype, [len(nodes)], array.astype(DTYPES[datatype]))
    return None


def _read_arrays(name: str, arrays: Sequence[Any]) -> Tensor:
    first = arrays[0]
    shape = list(first.shape)
    if any(list(one.shape) != shape or one.dtype != first.dtype for one in arrays):
        raise BadServer(
            f"output {name!r}: the documents have tensors of different shapes or dtypes, which are not one tensor",
            help="send one document per request, or let the endpoint give tensors of one shape",
        )
    try:
        dtype = np.dtype(first.dtype)
    except TypeError:
        raise BadServer(f"output {name!r}: no dtype {first.dtype!r}") from None
    datatype = _NAMES.get((dtype.kind, dtype.itemsize))
    if datatype is None:
        raise BadServer(f"output {name!r}: dtype {dtype} has no datatype in this protocol")
    array = np.frombuffer(b"".join(one.buffer for one in arrays), dtype)
    return Tensor(name, datatype, [len(arrays), *shape], array.astype(DTYPES[datatype], copy=False))


def models_of(endpoints: Mapping[str, EndpointInfo], names: Mapping[str, str]) -> dict[str, Model]:
    """The endpoints that take and give tensors, by the name of each in `names` (path by name).

    Others are left out: generators, and those with a required field that is no tensor, such as a nested document.
    """
    found = {name: _model(name, endpoints[path]) for name, path in names.items()}
    return {name: model for name, model in found.items() if model is not None}


def _model(name: str, info: EndpointInfo) -> Model | None:
    if info.is_generator or info.is_passthrough or info.offer is not None:
        return None
    inputs, lacking = _fields(info.input_schema)
    outputs, _ = _fields(info.output_schema)
    return Model(name, info, inputs, outputs) if inputs and outputs and not lacking else None


def _fields(schema: Mapping[str, Any]) -> tuple[dict[str, ModelField], bool]:
    """The fields that are tensors, and whether a required one is not."""
    definitions = schema.get("$defs", {})
    schema = _resolved(schema, definitions)
    required = schema.get("required", ())
    found, lacking = {}, False
    for name, one in schema.get("properties", {}).items():
        if name == "id" and one.get("title") == "Id":
            continue
        made = _model_field(name, one, definitions, required=name in required)
        if made is not None:
            found[name] = made
        elif name in required:
            lacking = True
    return found, lacking


def _model_field(name: str, schema: Any, definitions: Any, *, required: bool) -> ModelField | None:
    choices = [_resolved(one, definitions) for one in schema.get("anyOf", (schema,)) if isinstance(one, Mapping)]
    kinds = [one for one in choices if one.get("type") != "null"]
    if len(kinds) != 1:
        return None
    (only,) = kinds
    shape: list[int] = []
    if _SHAPE in only:
        kind, shape = "tensor", _sizes(only[_SHAPE])
    elif only.get("type") == "string" and only.get("format") == "binary":
        kind = "blob"
    elif only.get("type") in _KINDS and "enum" not in only:
        kind = _KINDS[only["type"]]
    elif only.get("type") == "string":
        kind = "text"
    else:
        return None
    declared = schema.get(_DECLARED)
    datatype = declared if declared in DATATYPES else _DATATYPES[kind]
    return ModelField(name, kind, datatype, declared in DATATYPES, shape, required)


def _sizes(text: Any) -> list[int]:
    """The sizes in `[3, x]`; -1 for names, and for a tensor of any shape."""
    parts = str(text).strip("[]").split(",") if str(text).startswith("[") else ["-1"]
    return [int(part) if part.strip().isdigit() else -1 for part in parts if part.strip()]


def _resolved(schema: Any, definitions: Any) -> Mapping[str, Any]:
    target = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    if isinstance(target, str) and target.startswith("#/$defs/"):
        found = definitions.get(target.removeprefix("#/$defs/"), {})
        return found if isinstance(found, Mapping) else {}
    return schema if isinstance(schema, Mapping) else {}
