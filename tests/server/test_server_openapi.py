"""The OpenAPI document."""

import json
import re

from docarray import BaseDoc
from docarray.typing import ImageBytes
from pydantic import Field

from jina.codec.codec import codec_for
from jina.codec.schema import json_schema_of
from jina.server.http import DOCUMENTS
from jina.server.openapi import openapi_document
from tests.server.sample_service import LOOSE_SCHEMA, info

INNER = {"title": "Inner", "type": "object", "properties": {"x": {"type": "integer"}}}
OTHER_INNER = {"title": "Inner", "type": "object", "properties": {"y": {"type": "string"}}}
REFERRING = {"type": "object", "properties": {"inner": {"$ref": "#/$defs/Inner"}}}
TREE = {
    "$ref": "#/$defs/Tree",
    "$defs": {"Tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}},
}


def document_of(*infos):
    return openapi_document({each.path: each for each in infos}, title="T", description=None, version="1")


def input_of(document, path, method="post"):
    content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
    return content["schema"]["properties"]["data"]["anyOf"][1]["$ref"].rpartition("/")[2]


def references(value):
    return set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(value)))


def test_equal_classes_are_shared_and_different_ones_are_told_apart():
    first = info("/a", input_name="Outer", input_schema={**REFERRING, "$defs": {"Inner": INNER}})
    same = info("/b", input_name="Outer", input_schema={**REFERRING, "$defs": {"Inner": INNER}})
    other = info("/c", input_name="Outer", input_schema={**REFERRING, "$defs": {"Inner": OTHER_INNER}})
    document = document_of(first, same, other)
    assert input_of(document, "/a") == input_of(document, "/b") == "Outer"
    assert input_of(document, "/c") == "c_Outer"
    schemas = document["components"]["schemas"]
    assert schemas["Outer"]["properties"]["inner"]["$ref"] == "#/components/schemas/Inner"
    assert schemas["c_Outer"]["properties"]["inner"]["$ref"] == "#/components/schemas/c_Inner"
    assert schemas["c_Inner"] == OTHER_INNER


def test_all_references_resolve_and_operation_ids_are_unique_and_stable():
    infos = [
        info("/tree", input_name="Tree", input_schema=TREE),
        info("/stream", is_generator=True),
        info("/a/b"),
        info("/loose", input_name="Document", input_schema=LOOSE_SCHEMA),
        info("/list", input_name="DocList[Note]", input_schema={}),
    ]
    document = document_of(*infos)
    assert references(document) <= document["components"]["schemas"].keys()
    assert "$defs" not in json.dumps(document)
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    assert document["paths"]["/a/b"]["post"]["operationId"] == "post_a_b"
    assert document == document_of(*infos)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])
    assert document["components"]["schemas"]["Document"]["additionalProperties"] is True


def test_fields_of_bytes_say_how_base64_is_marked():
    class File(BaseDoc):
        data: bytes = b""
        named: bytes = Field(b"", description="The file")
        picture: ImageBytes | None = None

    document = document_of(info("/f", input_name="File", input_schema=json_schema_of(File)))
    result = document["components"]["schemas"]["File"]["properties"]
    assert (result["data"]["type"], result["data"]["format"]) == ("string", "binary")
    assert "data:;base64," in result["data"]["description"]
    assert result["named"]["description"] == "The file"
    assert "data:;base64," in str(result["picture"])
    (marked,) = [example for example in result["named"]["examples"] if example.startswith("data:")]
    assert codec_for(File).decode_json([{"data": marked}])[0].data == b"\x89PNG\r\n\x1a\n"


def test_fields_of_bytes_of_plain_types_take_no_text():
    schema = {"type": "object", "properties": {"data": {"type": "string", "format": "binary"}}}
    document = document_of(info("/f", input_name="Input", input_schema=schema, answers="one"))
    data = document["components"]["schemas"]["Input"]["properties"]["data"]
    assert data["description"].endswith("no other text")
    assert all(example.startswith("data:;base64,") for example in data["examples"])


def test_generators_have_both_methods_and_query_parameters():
    document = document_of(info("/stream", is_generator=True, is_write=True))
    item = document["paths"]["/stream"]
    assert {parameter["name"] for parameter in item["get"]["parameters"]} == {
        "id", "text", "number", "parameters",
    }  # fmt: skip
    assert "requestBody" not in item["get"]
    assert "text/event-stream" in item["post"]["responses"]["200"]["content"]
    assert item["post"]["x-jina-write"] is True


def test_parameters_models_and_the_binary_type():
    model = {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]}
    document = document_of(info("/p", parameters_name="Params", parameters_schema=model))
    body = document["paths"]["/p"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["required"] == ["data", "parameters"]
    assert document["components"]["schemas"]["Params"] == model
    assert DOCUMENTS in body


def test_a_class_named_as_one_of_ours():
    document = document_of(info("/x", input_name="Header", input_schema=INNER))
    assert input_of(document, "/x") == "x_Header"
