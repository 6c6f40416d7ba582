"""HTTP as people expect: methods of an endpoint, routes of the Executor's own, its description, places of errors."""

import asyncio
import json
from urllib.parse import urlencode

import pytest
from docarray import BaseDoc, DocList
from pydantic import BaseModel, Field

from jina import Executor, requests
from jina.errors import ExecutorDefinitionError
from jina.worker.local import InProcessApp


class Item(BaseDoc):
    name: str = Field(description="Of the item", examples=["nail"])
    count: int = Field(1, ge=1, examples=[3])


class Options(BaseModel):
    k: int = 1


class Store(Executor):
    """Keeps items.

    All of them.
    """

    @requests(on="/look", safe=True)
    def look(self, docs: DocList[Item], parameters: Options, **kwargs) -> DocList[Item]:
        """Look an item up."""
        for doc in docs:
            doc.name += f" {parameters.k}"
        return docs

    @requests(on="/put", methods=["put", "DELETE"])
    def put(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return docs

    @requests(on="/update")
    def update(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return docs

    @requests(on="/words", methods="POST")
    async def words(self, doc: Item, **kwargs) -> Item:
        yield doc


async def _call(app, method, path, query, body):
    scope = {
        "type": "http", "method": method, "path": path, "root_path": "", "query_string": query.encode(),
        "http_version": "1.1", "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0], b"".join(message.get("body", b"") for message in sent)


def call(worker, cls, method, path, *, query="", body=b""):
    """Status, headers and JSON of the answer to one request in this process."""

    async def main():
        app = InProcessApp(worker.plan(), cls)
        try:
            return await _call(app, method, path, query, body)
        finally:
            await app._stop()

    start, text = asyncio.run(main())
    return start["status"], dict(start["headers"]), json.loads(text or b"null")


def test_get_serves_what_is_safe(worker):
    query = urlencode({"name": "nail", "count": 2, "parameters": '{"k": 7}'})
    status, _, body = call(worker, Store, "GET", "/look", query=query)
    assert status == 200
    assert [(doc["name"], doc["count"]) for doc in body["data"]] == [("nail 7", 2)]
    assert call(worker, Store, "POST", "/look", body=b'{"name": "x"}')[0] == 200


def test_get_serves_nothing_else(worker):
    status, headers, _ = call(worker, Store, "GET", "/update", query="name=x")
    assert (status, headers[b"allow"]) == (405, b"POST, PUT")


def test_methods_are_those_that_are_declared(worker):
    for method, expected in (("PUT", 200), ("DELETE", 200), ("POST", 405), ("GET", 405)):
        assert call(worker, Store, method, "/put", body=b'{"name": "x"}')[0] == expected, method
    assert call(worker, Store, "GET", "/words", query="name=x")[0] == 405


@pytest.mark.parametrize("methods", ["FETCH", [], ["GET", 3], {"GET": 1}, 7])
def test_wrong_methods_are_told(methods):
    with pytest.raises(ExecutorDefinitionError, match=r"methods=.*GET, POST, PUT, PATCH, DELETE"):

        @requests(on="/x", methods=methods)
        def x(self, docs, **kwargs): ...


def test_a_page_of_ours_cannot_be_declared_for_get(worker):
    class Taken(Executor):
        @requests(on="/status", methods="GET")
        def status(self, docs, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match=r"collides with the route '/status'"):
        call(worker, Taken, "GET", "/status")


@pytest.mark.parametrize(
    ("query", "places", "title"),
    [
        ("name=x&count=0", [["query", "count"]], "Item: query.count: "),
        ("count=two", [["query", "count"]], "query.count: not a valid integer"),
        ("count=2", [["query", "name"]], "Item: query.name: "),
        ("name=x&nane=y", [["query", "nane"]], "query.nane: Item has no such field"),
        ('name=x&parameters={"k":"a"}', [["query", "parameters", "k"]], "query.parameters.k: "),
        ("name=x&parameters=[1]", [["query", "parameters"]], "query.parameters: not an object"),
        ("name=x&parameters={", [], "query.parameters is not JSON"),
    ],
)
def test_an_error_in_a_query_says_so(worker, query, places, title):
    status, _, body = call(worker, Store, "GET", "/look", query=query)
    assert status in {400, 422}
    assert [fault["loc"] for fault in body["errors"]] == places
    assert title in body["title"]
    assert "body" not in json.dumps([body["title"], body["errors"]])


def test_parameters_in_the_query_of_a_post(worker):
    status, _, body = call(worker, Store, "POST", "/look", query='parameters={"k":"a"}', body=b'{"name": "x"}')
    assert (status, body["errors"][0]["loc"]) == (422, ["query", "parameters", "k"])


def test_the_description(worker):
    status, _, document = call(worker, Store, "GET", "/openapi.json")
    assert status == 200
    assert document["info"]["description"] == "Keeps items.\n\nAll of them."
    assert document["tags"] == [{"name": "Store", "description": "Keeps items."}]
    paths = document["paths"]
    assert {path: set(paths[path]) for path in ("/look", "/put", "/update", "/words")} == {
        "/look": {"get", "post"}, "/put": {"put", "delete"}, "/update": {"post", "put"}, "/words": {"post"},
    }  # fmt: skip
    get, post = paths["/look"]["get"], paths["/look"]["post"]
    assert (get["summary"], get["tags"]) == ("Look an item up.", ["Store"])
    by_name = {parameter["name"]: parameter for parameter in get["parameters"]}
    assert by_name["name"]["required"] is True
    assert by_name["name"]["description"] == "Of the item"
    assert by_name["count"] == {
        "name": "count", "in": "query", "required": False,
        "schema": {"type": "integer", "default": 1, "minimum": 1, "examples": [3]},
    }  # fmt: skip
    assert by_name["parameters"]["content"]["application/json"]["schema"]["$ref"].endswith("/Options")
    assert post["requestBody"]["content"]["application/json"]["example"] == {"data": [{"name": "nail", "count": 3}]}
    failures = {status: answer["$ref"] for status, answer in post["responses"].items() if "$ref" in answer}
    assert set(failures) == {"400", "413", "415", "422", "429", "500", "503", "504", "507"}
    invalid = document["components"]["responses"][failures["422"].rpartition("/")[2]]
    model = invalid["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "errors" in document["components"]["schemas"][model]["properties"]


class Extended(Executor):
    """Has routes of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.events = []

    @requests(on="/x")
    def x(self, docs, **kwargs): ...

    def extend_http(self, app):
        async def own(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    kind = (await receive())["type"]
                    self.events.append(kind.rpartition(".")[2])
                    await send({"type": f"{kind}.complete"})
                    if kind == "lifespan.shutdown":
                        return
            body = json.dumps([self.metas.name, self.events]).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        def stamp(inner, name):
            async def stamped(scope, receive, send):
                async def sending(message):
                    if message["type"] == "http.response.start":
                        message = {**message, "headers": [*message["headers"], (b"x-stamp", name)]}
                    await send(message)

                await inner(scope, receive, sending)

            return stamped

        app.mount("/own", own)
        app.wrap(stamp, name=b"us")


def test_an_executor_adds_routes_and_middlewares(worker):
    async def main():
        app = InProcessApp(worker.plan(), Extended)
        events, sent = asyncio.Queue(), asyncio.Queue()
        running = asyncio.create_task(app({"type": "lifespan"}, events.get, sent.put))
        for kind in ("startup", "shutdown"):
            events.put_nowait({"type": f"lifespan.{kind}"})
            if kind == "startup":
                assert (await asyncio.wait_for(sent.get(), 10))["type"] == "lifespan.startup.complete"
                answers = [await _call(app, "GET", "/own/a", "", b""), await _call(app, "POST", "/x", "", b"")]
                executor = app._executor
        await asyncio.wait_for(running, 10)
        return answers, executor.events

    (own, ours), events = asyncio.run(main())
    assert json.loads(own[1]) == ["Extended", ["startup"]]
    assert [dict(answer[0]["headers"])[b"x-stamp"] for answer in (own, ours)] == [b"us", b"us"]
    assert ours[0]["status"] == 200
    assert events == ["startup", "shutdown"]
