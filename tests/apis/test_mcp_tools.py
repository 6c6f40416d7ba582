"""Endpoints as tools: names, schemas, arguments and results."""

from __future__ import annotations

import json

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from pydantic import BaseModel, Field

from jina import Executor, requests
from jina.apis.mcp_messages import McpError
from jina.apis.mcp_tools import progress_text, public_names, tools_of
from jina.executor.endpoints import EndpointTable
from jina.mcp import Content
from jina.worker.service import describe_endpoints


class Inner(BaseDoc):
    text: str = "x"


class Mine(BaseDoc):
    id: int
    inner: Inner = Inner()
    more: list[Inner] = []


class Options(BaseModel):
    inner: Level


class Level(BaseModel):
    limit: int = 3


Options.model_rebuild()


class Tools(Executor):
    @requests(on="/one", safe=True)
    def one(self, doc: TextDoc, parameters: Options, **kwargs) -> Mine:
        """Do one."""
        return Mine(id=1)

    @requests(on="/many/things")
    def many(self, docs: DocList[Mine], **kwargs) -> DocList[TextDoc]:
        return DocList[TextDoc]()

    @requests(on="/stream")
    def stream(self, doc: Mine, **kwargs) -> TextDoc:
        yield TextDoc(text="x")

    @requests(on="/content")
    def content(self, doc: TextDoc, **kwargs) -> Content:
        return Content(text="x")

    @requests(on="/any")
    def anything(self, docs, **kwargs):
        return docs


class Keyed(BaseModel):
    id: str | None = Field(default=None, title="Key")


class KeyTools(Executor):
    @requests(on="/keyed")
    def keyed(self, doc: Keyed) -> Keyed:
        return doc


def test_an_id_of_ones_own_is_an_argument():
    tools = tools_of(describe_endpoints(EndpointTable(KeyTools())))
    assert tools["keyed"].definition["inputSchema"]["properties"].keys() == {"id"}


@pytest.fixture(scope="module")
def tools():
    return tools_of(describe_endpoints(EndpointTable(Tools())))


def test_names_are_plain_and_distinct():
    names = public_names(["/a/b", "/a_b", "/", "/äö", "/default", f"/{'x' * 200}", f"/{'x' * 201}"])
    assert names["a_b"] == "/a/b"
    assert names["a_b_2"] == "/a_b"
    assert {"root", "default"} <= names.keys()
    assert all(1 <= len(name) <= 128 for name in names)
    assert len(names) == 7


def test_a_document_is_the_arguments(tools):
    schema = tools["one"].definition["inputSchema"]
    assert schema["type"] == "object"
    assert "text" in schema["properties"]
    assert "id" not in schema["properties"]
    assert schema["properties"]["parameters"]["required"] == ["inner"]
    assert "Parameters.Level" in schema["$defs"]
    assert "parameters" in schema["required"]
    assert tools["one"].definition["description"] == "Do one."
    assert tools["one"].definition["annotations"] == {"readOnlyHint": True}
    assert tools["one"].definition["outputSchema"]["properties"]["inner"]


def test_a_field_of_the_name_id_stays(tools):
    assert "id" in tools["stream"].definition["inputSchema"]["properties"]
    assert "id" in tools["stream"].definition["inputSchema"]["required"]
    assert "id" not in tools["stream"].definition["inputSchema"]["$defs"]["Inner"]["properties"]


def test_several_documents_are_a_list(tools):
    schema = tools["many_things"].definition["inputSchema"]
    assert schema["properties"]["docs"]["items"]["properties"]["inner"]
    assert schema["properties"]["parameters"]["type"] == "object"
    assert schema["required"] == ["docs"]
    assert tools["many_things"].definition["outputSchema"]["required"] == ["items"]
    assert tools["many_things"].definition["description"]


def test_a_generator_gives_a_list(tools):
    assert tools["stream"].definition["outputSchema"]["properties"]["items"]["items"]["properties"]["text"]


def test_content_has_no_schema(tools):
    assert "outputSchema" not in tools["content"].definition


def test_schemas_are_valid(tools):
    jsonschema = pytest.importorskip("jsonschema")
    for tool in tools.values():
        for name in ("inputSchema", "outputSchema"):
            if name in tool.definition:
                jsonschema.Draft202012Validator.check_schema(tool.definition[name])


def test_arguments_become_documents(tools):
    payload, parameters = tools["one"].arguments({"text": "a", "parameters": {"inner": {"limit": 1}}})
    assert payload.items() == [{"text": "a"}]
    assert parameters == {"inner": {"limit": 1}}
    payload, parameters = tools["many_things"].arguments({"docs": [{"id": 1}, {"id": 2}]})
    assert [doc["id"] for doc in payload.items()] == [1, 2]
    assert parameters == {}


@pytest.mark.parametrize("wrong", [{"docs": 1}, {"docs": [1]}, {"docs": [], "parameters": 3}])
def test_wrong_arguments_are_refused(tools, wrong):
    with pytest.raises(McpError):
        tools["any"].arguments(wrong)


def test_results_are_text_and_structure(tools):
    result = json.loads(b"{" + tools["one"].result([b'{"id":1}']) + b"}")
    assert result["structuredContent"] == {"id": 1}
    assert json.loads(result["content"][0]["text"]) == {"id": 1}
    result = json.loads(b"{" + tools["many_things"].result([b'{"a":1}', b'{"a":2}']) + b"}")
    assert result["structuredContent"] == {"items": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize(
    ("item", "text"),
    [(b'{"text":"abc"}', "abc"), (b'{"a":1}', '{"a":1}'), (b"[1]", "[1]"), (b'"' + b"x" * 2000, "...")],
)
def test_progress_shows_the_text_of_a_document(item, text):
    assert progress_text(item).endswith(text)
