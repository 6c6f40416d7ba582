"""JSON Schema (draft 2020-12) of document and parameter classes, for OpenAPI, discovery and editors.

A schemaless document is an object that may hold anything.
"""

from __future__ import annotations

import warnings
from typing import Any, get_origin

import numpy as np
from docarray.array.any_array import AnyDocArray
from docarray.typing import AnyTensor
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, PydanticJsonSchemaWarning
from pydantic_core import core_schema

from jina.codec.compiler import is_schemaless
from jina.documents.records import VALUE, adapter, is_struct, is_value, type_name

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Shows what JSON cannot express as anything, instead of refusing the whole class."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """Tensors are ours to describe: DocArray fails on shapes with names, and computes examples."""
        tensor = _tensor_class(schema)
        return super().generate_inner(schema) if tensor is None else _tensor_schema(tensor)

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        """Of numpy's arrays as of tensors, but with items of any depth; of other classes nothing is known."""
        return {**_tensor_schema(None), "items": {}} if schema["cls"] is np.ndarray else {}

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        del schema
        return {}

    def callable_schema(self, schema: core_schema.CallableSchema) -> JsonSchemaValue:
        del schema
        return {}

    def union_schema(self, schema: core_schema.UnionSchema) -> JsonSchemaValue:
        """A `DocList` is an instance or a sequence: in JSON only the sequence."""
        choices: list[Any] = [
            choice for choice in schema["choices"] if isinstance(choice, tuple) or choice["type"] != "is-instance"
        ]
        return super().union_schema(core_schema.union_schema(choices or schema["choices"]))

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """A `DocVec` is an array of its documents; of other functions nothing is known."""
        owner = getattr(schema["function"]["function"], "__self__", None)
        if isinstance(owner, type) and issubclass(owner, AnyDocArray):
            return {"type": "array", "items": self.generate_inner(owner.doc_type.__pydantic_core_schema__)}
        return {}


def _tensor_class(schema: Any) -> Any:
    if schema.get("type") != "function-plain":
        return None
    owner = getattr(schema["function"]["function"], "__self__", None)
    return owner if isinstance(owner, type) and issubclass(owner, AbstractTensor) else None


def _tensor_schema(cls: Any) -> dict[str, Any]:
    """The form that DocArray gives tensors of any rank; Jina 3 gateways know them by it."""
    shape = getattr(cls, "__docarray_target_shape__", None)
    shape_text = (
        "not specified" if shape is None else "[" + ", ".join("..." if d is ... else str(d) for d in shape) + "]"
    )
    return {"type": "array", "items": {"type": "number"}, "tensor/array shape": shape_text}


def json_schema_of(doc_type: type) -> dict[str, Any]:
    """The schema of what JSON bodies hold for a class, its properties at the top; references are local, under `$defs`.

    `doc_type` is a document class, a pydantic model or any annotation that pydantic knows.
    """
    if is_schemaless(doc_type):
        schema = _schemaless()
    elif is_value(doc_type):
        schema = _value_schema(doc_type)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a default that JSON cannot show is left out
            schema = _generate(doc_type)
    if "$ref" in schema:  # a class that refers to itself
        schema = {**schema["$defs"][schema["$ref"].removeprefix("#/$defs/")], "$defs": schema["$defs"]}
    return {"$schema": DIALECT, **schema}


def _value_schema(annotation: Any) -> dict[str, Any]:
    """The object that holds a value, see `jina.documents.records`."""
    schema = {} if annotation in {Any, object} else _generate(annotation)
    definitions = schema.pop("$defs", None)
    name = type_name(annotation)
    found = {"type": "object", "title": name, "properties": {VALUE: schema}, "required": [VALUE]}
    return found if definitions is None else {**found, "$defs": definitions}


def _generate(cls: Any) -> dict[str, Any]:
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        return cls.model_json_schema(schema_generator=_Generator)
    if is_struct(get_origin(cls) or cls):
        return _of_struct(cls)
    return adapter(cls).json_schema(schema_generator=_Generator)


def _of_struct(cls: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.json.schema(cls, schema_hook=_generate)


def _schemaless() -> dict[str, Any]:
    nullable = [{"type": "array", "items": {"$ref": "#/$defs/Document"}}, {"type": "null"}]
    array = [_tensor_schema(AnyTensor), {"type": "null"}]
    text = [{"type": "string"}, {"type": "null"}]
    properties = {
        "id": {"anyOf": text, "title": "Id"},
        "tensor": {"anyOf": array, "title": "Tensor", "default": None},
        "chunks": {"anyOf": nullable, "title": "Chunks", "default": None},
        "matches": {"anyOf": nullable, "title": "Matches", "default": None},
        "blob": {"anyOf": text, "title": "Blob", "default": None},
        "text": {"anyOf": text, "title": "Text", "default": None},
        "url": {"anyOf": text, "title": "Url", "default": None},
        "embedding": {"anyOf": array, "title": "Embedding", "default": None},
        "tags": {"type": "object", "additionalProperties": True, "title": "Tags"},
        "scores": {"anyOf": [{"type": "object"}, {"type": "null"}], "title": "Scores", "default": None},
    }
    document = {"type": "object", "title": "Document", "properties": properties, "additionalProperties": True}
    return {"$ref": "#/$defs/Document", "$defs": {"Document": document}, "title": "Document"}
