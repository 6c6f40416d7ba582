"""Schemas describe exactly the JSON that the codec takes."""

import json

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import ImageDoc, TextDoc
from docarray.documents.legacy import LegacyDocument
from pydantic import Base64Bytes, BaseModel, ValidationError
from tests.codec import documents

from jina.codec.codec import codec_for
from jina.codec.schema import DIALECT, json_schema_of
from jina.errors import ValidationFailed


@pytest.mark.parametrize(
    "cls",
    [documents.Text, documents.Scalars, documents.Containers, documents.Nested, documents.Tensors, documents.Links,
     documents.Beyond, documents.Wide, TextDoc, ImageDoc, LegacyDocument],
)  # fmt: skip
def test_every_class_has_a_schema_whose_references_resolve(cls):
    schema = json_schema_of(cls)
    assert schema["$schema"] == DIALECT
    text = json.dumps(schema)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    for reference in references:
        assert reference.startswith("#/$defs/")
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
    assert set(schema["properties"]) == set(cls.model_fields)


def test_fields_are_described():
    schema = json_schema_of(documents.Nested)
    assert schema["required"] == ["one"]
    assert schema["properties"]["deeper"]["anyOf"][0] == {"$ref": "#/$defs/Nested"}
    assert schema["properties"]["several"]["items"] == {"$ref": "#/$defs/Text"}
    tensors = json_schema_of(documents.Tensors)["properties"]
    assert tensors["plain"]["type"] == "array"
    assert json_schema_of(documents.Beyond)["properties"]["columns"]["anyOf"][0]["type"] == "array"
    assert tensors["named"]["anyOf"][0]["tensor/array shape"] == "[n, n]"
    assert tensors["shaped"]["anyOf"][0]["tensor/array shape"] == "[2, 3]"


def test_the_schemaless_document_takes_anything():
    document = pytest.importorskip("jina.documents.document").Document
    schema = json_schema_of(document)
    assert schema["additionalProperties"] is True
    assert list(schema["properties"]) == list(document.model_fields)


def test_parameters_and_other_annotations():
    class Parameters(BaseModel):
        top_k: int = 5

    assert json_schema_of(Parameters)["properties"]["top_k"] == {"default": 5, "title": "Top K", "type": "integer"}
    # A value that is no object of fields of its own travels as the only field of one.
    assert json_schema_of(dict[str, int])["properties"]["value"]["additionalProperties"] == {"type": "integer"}


def test_base64_without_the_mark_is_text_as_in_jina_3():
    class File(BaseDoc):
        data: bytes = b""

    assert codec_for(File).decode_json([{"data": "aGVsbG8="}])[0].data == b"aGVsbG8="


def test_base64_bytes_of_pydantic_decode_at_every_hop():
    """Why documents have `bytes` and data URLs: DocArray validates what comes over the wire, and so do we."""

    class File(BaseDoc):
        data: Base64Bytes = b""

    docs = DocList[File]([File(data=b"aGVsbG8=")])
    assert docs[0].data == b"hello"
    with pytest.raises(ValidationError, match="Base64 decoding error"):
        DocList[File].from_protobuf(docs.to_protobuf())
    with pytest.raises(ValidationFailed, match="Base64 decoding error"):
        codec_for(File).from_bytes(codec_for(File).to_bytes(docs))
