"""JSON Schema (draft 2020-12) of document and parameter classes, for OpenAPI, discovery and editors.

A schemaless document is an object that may hold anything.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, PydanticJsonSchemaWarning
from pydantic_core import core_schema

from jina.wire.schemaless import is_schemaless

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Shows what JSON cannot express as anything, instead of refusing the whole class."""

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        del schema
        return {}

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        del schema
        return {}

    def callable_schema(self, schema: core_schema.CallableSchema) -> JsonSchemaValue:
        del schema
        return {}

    def union_schema(self, schema: core_schema.UnionSchema) -> JsonSchemaValue:
        """A `DocList` is an instance or a sequence: in JSON only the sequence."""
        choices = [
            choice for choice in schema["choices"] if isinstance(choice, tuple) or choice["type"] != "is-instance"
        ]
        return super().union_schema(core_schema.union_schema(choices or schema["choices"]))

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        del schema
        return {}


def json_schema_of(doc_type: type) -> dict[str, Any]:
    """The schema of what JSON bodies hold for a class; references are local, under `$defs`.

    `doc_type` is a document class, a pydantic model or any annotation that pydantic knows.
    """
    if is_schemaless(doc_type):
        schema = _schemaless()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a default that JSON cannot show is left out
            schema = _generate(doc_type)
    return {"$schema": DIALECT, **schema}


def _generate(cls: Any) -> dict[str, Any]:
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        return cls.model_json_schema(schema_generator=_Generator)
    return TypeAdapter(cls).json_schema(schema_generator=_Generator)


def _schemaless() -> dict[str, Any]:
    nullable = [{"type": "array", "items": {"$ref": "#/$defs/Document"}}, {"type": "null"}]
    array = [{"type": "array", "items": {}}, {"type": "null"}]
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
