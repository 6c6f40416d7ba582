"""Methods of plain types as tools: arguments fit the schema that agents are told, and so do the results."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TypedDict

import pytest
from docarray import BaseDoc, DocList
from jsonschema import Draft202012Validator
from PIL import Image, ImageChops
from pydantic import BaseModel

from jina import Deployment, Executor, File, Flow, dynamic_batching, requests
from jina.mcp import resource
from tests.apis.test_mcp_server import agent_of


class Item(BaseModel):
    text: str
    k: int = 3


class Hit(BaseModel):
    text: str
    score: float = 0.0


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@dataclass
class Point:
    x: float
    y: float = 0.0


class Pair(TypedDict):
    a: int
    b: str


class Doc(BaseDoc):
    text: str = ""


class Everyday(Executor):
    """What a user writes on the first day."""

    @requests(on="/one")
    def one(self, item: Item) -> Hit:
        return Hit(text=item.text, score=item.k)

    @requests(on="/batch")
    def batch(self, docs: list[Item]) -> list[Hit]:
        return [Hit(text=doc.text) for doc in docs]

    @dynamic_batching(preferred_batch_size=8, timeout=1)
    @requests(on="/gathered")
    def gathered(self, docs: list[Item]) -> list[Hit]:
        return [Hit(text=doc.text) for doc in docs]

    @requests(on="/summed")
    def summed(self, items: list[Item]) -> Hit:
        return Hit(text=" ".join(item.text for item in items))

    @requests(on="/search")
    def search(self, text: str, k: int = 3) -> list[Hit]:
        return [Hit(text=text, score=number) for number in range(k)]

    @requests(on="/total")
    def total(self, a: int, b: int = 1) -> int:
        return a + b

    @requests(on="/maybe")
    def maybe(self, text: str) -> Hit | None:
        return Hit(text=text) if text else None

    @requests(on="/table")
    def table(self, text: str) -> dict[str, float]:
        return {text: 1.0}

    @requests(on="/scaled")
    def scaled(self, item: Item, by: float = 2.0) -> Hit:
        return Hit(text=item.text, score=item.k * by)

    @requests(on="/lengths")
    def lengths(self, docs: list[str]) -> list[int]:
        return [len(doc) for doc in docs]

    @requests(on="/move")
    def move(self, point: Point) -> Point:
        return Point(point.y, point.x)

    @requests(on="/turn")
    def turn(self, pair: Pair) -> Pair:
        return {"a": pair["a"] + 1, "b": pair["b"][::-1]}

    @requests(on="/tree")
    def tree(self, tree: Tree) -> Tree:
        return Tree(name="root", children=[tree])

    @requests(on="/words")
    def words(self, text: str) -> Iterator[str]:
        yield from text.split()

    @requests(on="/hits")
    async def hits(self, item: Item) -> AsyncIterator[Hit]:
        for number in range(item.k):
            yield Hit(text=item.text, score=number)

    @requests(on="/nothing")
    def nothing(self) -> None: ...

    @requests(on="/documents")
    def documents(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        return docs

    @requests(on="/document")
    def document(self, doc: Doc, **kwargs) -> Doc:
        return doc

    @requests(on="/inverted")
    def inverted(self, image: Image.Image) -> Image.Image:
        return ImageChops.invert(image)

    @requests(on="/cut")
    def cut(self, file: File, size: int = 2) -> File:
        return File(name="a b.txt", media_type="text/plain", data=file.read()[:size])

    @requests(on="/spoken")
    def spoken(self, text: str) -> Iterator[File]:
        for word in text.split():
            yield File(media_type="audio/wav", data=word.encode())

    @requests(on="/perhaps")
    def perhaps(self, text: str) -> File | None:
        return File(data=text.encode()) if text else None

    @requests(on="/reversed")
    def reversed(self, data: bytes) -> bytes:
        return data[::-1]

    @resource(uri="notes://{day}")
    def note(self, day: str) -> str:
        return day


CALLS = {
    "one": ({"text": "a", "k": 2}, {"text": "a", "score": 2.0}),
    "batch": ({"docs": [{"text": "a"}, {"text": "b"}]}, {"items": [{"text": x, "score": 0.0} for x in "ab"]}),
    "gathered": ({"docs": [{"text": "a"}]}, {"items": [{"text": "a", "score": 0.0}]}),
    "summed": ({"docs": [{"text": "a"}, {"text": "b"}]}, {"text": "a b", "score": 0.0}),
    "search": ({"text": "a", "k": 2}, {"items": [{"text": "a", "score": score} for score in (0.0, 1.0)]}),
    "total": ({"a": 2}, {"value": 3}),
    "maybe": ({"text": ""}, {"value": None}),
    "table": ({"text": "a"}, {"value": {"a": 1.0}}),
    "scaled": ({"text": "a", "parameters": {"by": 3}}, {"text": "a", "score": 9.0}),
    "lengths": ({"docs": ["a", "bc"]}, {"items": [1, 2]}),
    "move": ({"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 1.0}),
    "turn": ({"a": 1, "b": "xy"}, {"a": 2, "b": "yx"}),
    "tree": ({"name": "leaf"}, {"name": "root", "children": [{"name": "leaf", "children": []}]}),
    "words": ({"text": "a b"}, {"items": ["a", "b"]}),
    "hits": ({"text": "a", "k": 1}, {"items": [{"text": "a", "score": 0.0}]}),
    "nothing": ({}, {"value": None}),
    "reversed": ({"data": "data:;base64,AP8="}, {"value": "data:;base64,/wA="}),
}
"""Arguments and structured content by tool."""


@pytest.fixture(scope="module", params=["deployment", "flow"])
def agent(request):
    service = Deployment(uses=Everyday) if request.param == "deployment" else Flow().add(uses=Everyday)
    with agent_of(service) as made:
        yield made


@pytest.fixture(scope="module")
def tools(agent):
    return {tool["name"]: tool for tool in agent.ask("tools/list")["tools"]}


@pytest.mark.parametrize("name", CALLS)
def test_results_fit_the_schemas(agent, tools, name):
    arguments, expected = CALLS[name]
    Draft202012Validator(tools[name]["inputSchema"]).validate(arguments)
    result = agent.ask("tools/call", {"name": name, "arguments": arguments})
    assert result["isError"] is False, result
    assert result["structuredContent"] == expected
    assert json.loads(result["content"][0]["text"]) == expected
    Draft202012Validator(tools[name]["outputSchema"]).validate(result["structuredContent"])


@pytest.mark.parametrize("name", ["documents", "document"])
def test_results_of_documents_fit_as_well(agent, tools, name):
    arguments = {"docs": [{"text": "a"}]} if name == "documents" else {"text": "a"}
    Draft202012Validator(tools[name]["inputSchema"]).validate(arguments)
    result = agent.ask("tools/call", {"name": name, "arguments": arguments})
    Draft202012Validator(tools[name]["outputSchema"]).validate(result["structuredContent"])


@pytest.mark.parametrize(("name", "field"), [("cut", "file"), ("inverted", "image"), ("reversed", "data")])
def test_tools_say_in_which_form_they_take_files(tools, name, field):
    schema = tools[name]["inputSchema"]
    found = schema["properties"][field]
    if "$ref" in found:
        found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    assert found["description"] == "a data URL, data:MEDIA/TYPE;base64,... with the content in base64"


def picture(colour):
    target = io.BytesIO()
    Image.new("RGB", (2, 3), colour).save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()


FILES = {
    "inverted": (
        {"image": f"data:image/png;base64,{picture('white')}"},
        [{"type": "image", "mimeType": "image/png", "data": picture("black")}],
    ),
    "cut": (
        {"file": "data:;base64,aGVsbG8="},
        [{"type": "resource", "resource": {"uri": "file:///a%20b.txt", "mimeType": "text/plain", "blob": "aGU="}}],
    ),
    "spoken": (
        {"text": "a b"},
        [{"type": "audio", "mimeType": "audio/wav", "data": data} for data in ("YQ==", "Yg==")],
    ),
    "perhaps": ({"text": ""}, [{"type": "text", "text": "null"}]),
}
"""Arguments and content by tool."""


@pytest.mark.parametrize("name", FILES)
def test_files_are_content(agent, tools, name):
    arguments, expected = FILES[name]
    Draft202012Validator(tools[name]["inputSchema"]).validate(arguments)
    result = agent.ask("tools/call", {"name": name, "arguments": arguments}, {"progressToken": 1})
    assert result["content"] == expected
    assert result["isError"] is False
    assert "structuredContent" not in result
    assert "outputSchema" not in tools[name]
    assert len(agent.notified) == (2 if name == "spoken" else 0)


def test_every_method_is_a_tool_and_no_resource_is(tools):
    assert tools.keys() == {*CALLS, *FILES, "documents", "document"}
    for tool in tools.values():
        for schema in (tool["inputSchema"], tool.get("outputSchema", {"type": "object"})):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
