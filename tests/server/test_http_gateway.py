"""What gateways add over HTTP: routes left out and added, applications mounted, other applications served."""

import asyncio
import json
import re

import aiohttp
import fastapi
import pytest
import websockets
from pydantic import BaseModel

from jina.client import Client
from jina.errors import ConfigError, RuntimeFailToStart
from jina.net.limits import Limits
from jina.plan.plans import HttpPlan, ListenerPlan
from jina.server.app import build_app
from jina.server.server import serve
from tests.client.forwarding import Forwarder
from tests.server.sample_service import Note, SampleService, run, served, url

CRUD = ("/index", "/search", "/update", "/delete")


async def ask(session, server, method, path, **more):
    async with session.request(method, url(server, path), **more) as answer:
        return answer.status, answer.headers, await answer.text()


def asked(*requests, service=None, **options):
    """The answers to requests, each a method, a path and arguments."""

    async def main():
        service_ = service or Forwarder(*CRUD, as_json=True)
        async with served(service_, "http", **options) as server, aiohttp.ClientSession() as session:
            return [await ask(session, server, *one[:2], **(one[2] if len(one) > 2 else {})) for one in requests]

    return run(main())


BODY = {"json": {"data": [{"id": "a"}]}}


def test_crud_methods():
    service = Forwarder(*CRUD, as_json=True)
    requests = [("POST", path, BODY) for path in CRUD] + [("PUT", "/update", BODY), ("DELETE", "/delete", BODY)]
    answers = asked(*requests, ("PUT", "/index", BODY), ("DELETE", "/echo", BODY), service=service)
    assert [status for status, _, _ in answers] == [200] * 6 + [405] * 2
    assert [request.endpoint for request in service.requests] == [*CRUD, "/update", "/delete"]


def test_crud_methods_of_a_default_endpoint():
    service = SampleService(default=True)
    [(status, _, _)] = asked(("DELETE", "/delete", BODY), service=service)
    assert status == 200
    assert service.requests[0].endpoint == "/delete"


def test_no_crud_endpoints():
    plan = HttpPlan(no_crud_endpoints=True)
    post = {"json": {"data": [{"id": "a"}], "execEndpoint": "/index"}}
    *left_out, (status, _, _), (_, _, document) = asked(
        ("POST", "/index", BODY),
        ("DELETE", "/delete", BODY),
        ("POST", "/post", post),
        ("GET", "/openapi.json"),
        http=plan,
    )
    assert [status for status, _, _ in left_out] == [404, 405]
    assert status == 200
    assert not json.loads(document)["paths"].keys() & set(CRUD)


def test_our_client_finds_its_way_without_crud_routes():
    async def main():
        service = Forwarder(*CRUD, as_json=True)
        async with served(service, "http", http=HttpPlan(no_crud_endpoints=True)) as server:
            client = Client(host=server.addresses[0], asyncio=True)
            [doc] = [doc async for doc in client.post("/index", Note(text="a"), return_type=Note)]
            return doc, [request.endpoint for request in service.requests]

    doc, endpoints = run(main())
    assert doc.text == "a"
    assert endpoints == ["/index"]


def test_no_debug_endpoints():
    plan = HttpPlan(no_debug_endpoints=True)
    answers = asked(*(("GET", path) for path in ("/status", "/dry_run", "/", "/livez", "/openapi.json")), http=plan)
    assert [status for status, _, _ in answers] == [404, 404, 200, 200, 200]
    assert not json.loads(answers[-1][2])["paths"].keys() & {"/status", "/dry_run", "/post"}

    async def over_websocket():
        async with served(Forwarder(), "websocket", http=plan) as server:
            with pytest.raises(websockets.InvalidStatus):
                await websockets.connect(url(server, "/dry_run"))

    run(over_websocket())


def test_no_debug_endpoints_close_post_to_every_endpoint():
    body = {"json": {"data": [{"text": "a"}], "execEndpoint": "/echo"}}
    [hidden], [open_] = (asked(("POST", "/post", body), http=HttpPlan(no_debug_endpoints=no)) for no in (True, False))
    assert [hidden[0], open_[0]] == [404, 200]
    # What both leave out is gone for clients too, who would have tried `/post`, then `/default`.
    [crud] = asked(("POST", "/index", BODY), http=HttpPlan(no_debug_endpoints=True, no_crud_endpoints=True))
    assert crud[0] == 404
    assert json.loads(crud[2])["code"] == "EndpointNotFound"


def test_exposed_endpoints():
    service = Forwarder(as_json=True)
    exposed = {
        "/echo": {"http_path": "/v1/echo", "methods": ["post", "GET"], "summary": "Says it again", "tags": ["echo"]},
        "/each": {"http_path": "v1/each", "methods": "POST"},
        "/v1/alias": {"exec_endpoint": "/echo", "include_in_schema": False, "operation_id": "x"},
    }
    plan = HttpPlan(expose_endpoints=exposed)
    answers = asked(
        ("POST", "/v1/echo", BODY),
        ("GET", "/v1/echo?text=hi"),
        ("POST", "/v1/each", BODY),
        ("POST", "/v1/alias", BODY),
        ("DELETE", "/v1/echo"),
        ("GET", "/openapi.json"),
        service=service,
        http=plan,
    )
    assert [status for status, _, _ in answers] == [200, 200, 200, 200, 405, 200]
    assert json.loads(answers[1][2])["data"] == [{"text": "hi"}]
    assert "event: update" in answers[2][2]
    assert [request.endpoint for request in service.requests] == ["/echo", "/echo", "/each", "/echo"]
    paths = json.loads(answers[-1][2])["paths"]
    assert paths["/v1/echo"]["post"]["summary"] == "Says it again"
    assert paths["/v1/echo"]["get"]["tags"] == ["echo"]
    assert "/v1/alias" not in paths
    ids = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("exposed", "message"),
    [
        ({"/a": {"summary_text": "x"}}, "did you mean 'summary'"),
        ({"/a": {"methods": ["FETCH"]}}, "'FETCH' is not one of DELETE"),
        ({"/a": {"http_path": "/docs", "methods": ["GET"]}}, "GET /docs is a page"),
    ],
)
def test_exposed_endpoints_are_checked(exposed, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_app(Forwarder(), HttpPlan(expose_endpoints=exposed), Limits(1000))
    assert "expose_endpoints" in str(caught.value)


class OwnApp:
    """A small application of a user's."""

    def __init__(self, *paths, lifespan=True, fails=False):
        self.paths = paths
        self.lifespan = lifespan
        self.fails = fails
        self.events = []
        self.seen = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "own"})
            await send({"type": "websocket.close"})
        else:
            self.seen.append((scope["path"], scope["root_path"], scope.get("state", {}).get("made")))
            path = scope["path"].removeprefix(scope["root_path"])
            status = 200 if path in self.paths else 404
            await send({"type": "http.response.start", "status": status, "headers": [(b"x-own", b"1")]})
            await send({"type": "http.response.body", "body": b"own"})

    async def _live(self, scope, receive, send):
        if not self.lifespan:
            raise KeyError("lifespan")
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            self.events.append(event)
            if self.fails:
                await send({"type": "lifespan.startup.failed", "message": "no model"})
                return
            scope["state"]["made"] = 7
            await send({"type": f"lifespan.{event}.complete"})


def marking(app, name):
    """A middleware that leaves its mark in the headers."""

    async def around(scope, receive, send):
        async def marked(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-mark", name.encode())]}
            await send(message)

        await app(scope, receive, marked)

    return around


def test_mounted_applications_and_middlewares():
    own, below = OwnApp("/hello", "/"), OwnApp("/page", "/echo")

    def customise(app):
        app.mount("/own/", own)
        app.mount("/", below)
        app.wrap(marking, name="inner")
        app.wrap(marking, "outer")
        with pytest.raises(ConfigError):
            app.mount("own", own)
        with pytest.raises(ConfigError):
            app.mount("/own", own)

    answers = asked(
        ("GET", "/own/hello"),
        ("GET", "/own"),
        ("GET", "/page"),
        ("GET", "/livez"),
        ("POST", "/echo", BODY),
        ("GET", "/owner"),
        customise=customise,
    )
    assert [status for status, _, _ in answers] == [200, 404, 200, 200, 200, 404]
    assert answers[0][1].getall("x-mark") == ["inner", "outer"]
    assert ["x-own" in headers for _, headers, _ in answers] == [True, True, True, False, False, True]
    assert own.seen == [("/own/hello", "/own", 7), ("/own", "/own", 7)]
    assert own.events == below.events == ["startup", "shutdown"]


def written_routes(**options):
    """An application of FastAPI with paths that we have too, paths of a pattern, and one of its own."""
    app = fastapi.FastAPI(**options)
    for path in ("/echo", "/post", "/dry_run"):
        app.add_api_route(path, lambda: "own", methods=["POST"])
    for path in ("/", "/echo", "/readyz", "/page"):
        app.add_api_route(path, lambda: "own", methods=["GET"])
    for methods in (["GET"], ["POST"]):
        app.add_api_route("/{path:path}", lambda path: f"any {path}", methods=methods)
    return app


@pytest.mark.parametrize("options", [{}, {"docs_url": None, "redoc_url": None, "openapi_url": None}])
def test_routes_that_an_application_spells_out_win(options):
    """As before DocArray 0.30, where our gateway had no routes of the Executors' endpoints."""
    own = [("POST", "/echo"), ("POST", "/post"), ("POST", "/dry_run")]
    own += [("GET", "/"), ("GET", "/echo"), ("GET", "/readyz"), ("GET", "/page")]
    other = [("POST", "/index"), ("GET", "/livez"), ("GET", "/dry_run"), ("GET", "/docs"), ("GET", "/openapi.json")]
    below = [("GET", "/nothing"), ("POST", "/livez"), ("GET", "/index")]
    answers = asked(
        *((method, path, BODY if method == "POST" else {}) for method, path in own + other + below),
        ("HEAD", "/livez"),
        ("PUT", "/echo"),
        customise=lambda app: app.mount("/", written_routes(**options)),
    )
    texts = [text for _, _, text in answers]
    assert texts[: len(own)] == ['"own"'] * len(own)
    assert not any(text.startswith(('"own', '"any')) for text in texts[len(own) : len(own + other)])
    assert texts[len(own + other) : -2] == ['"any nothing"', '"any livez"', '"any index"']
    assert [status for status, _, _ in answers[: len(own + other + below)]] == [200] * len(own + other + below)
    assert [status for status, _, _ in answers[-2:]] == [200, 405]


class Note2(BaseModel):
    """A model of an application's own, with the name of one that ours has."""

    own: int


Note2.__name__ = Note2.__qualname__ = "Note"


def documented(customise, service=None, **options):
    """The description of all routes that one gets who asks for it."""
    [(status, _, text)] = asked(("GET", "/openapi.json"), service=service, customise=customise, **options)
    assert status == 200
    return json.loads(text)


def test_routes_that_an_application_spells_out_are_described():
    def customise(app):
        own = written_routes()
        own.add_api_route("/notes", lambda note: "own", methods=["POST"], tags=["mine"], summary="Own notes")
        own.add_api_route("/hidden", lambda: "own", methods=["GET"], include_in_schema=False)
        app.mount("/", own)

    paths = documented(customise)["paths"]
    own = {(path, method) for path in paths for method in paths[path] if "Lambda" in paths[path][method]["summary"]}
    assert own == {
        ("/echo", "post"), ("/echo", "get"), ("/post", "post"), ("/dry_run", "post"), ("/", "get"), ("/readyz", "get"),
        ("/page", "get"), ("/{path}", "get"), ("/{path}", "post"),
    }  # fmt: skip
    assert (paths["/notes"]["post"]["tags"], paths["/notes"]["post"]["summary"]) == (["mine"], "Own notes")
    assert "/hidden" not in paths
    assert "Liveness" in paths["/livez"]["get"]["summary"]
    assert "ready" not in paths["/readyz"]["get"]["summary"]


def test_the_models_of_an_application_are_described_beside_ours():
    own = fastapi.FastAPI()

    def write(note: Note2) -> Note2:
        return note

    own.add_api_route("/notes", write, methods=["POST"], operation_id="post_echo")
    document = documented(lambda app: app.mount("/", own), service=SampleService())
    schemas = document["components"]["schemas"]
    taken = document["paths"]["/notes"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert schemas[taken.rpartition("/")[2]]["properties"].keys() == {"own"}
    assert schemas["Note"]["properties"].keys() >= {"text"}
    named = re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(document))
    assert all(name in document["components"][section] for section, name in named)
    operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(operations) == len(set(operations))


def test_applications_below_a_path_are_described_there():
    def customise(app):
        app.mount("/own", written_routes())
        app.mount("/plain", OwnApp("/hello"))  # which does not tell its routes

    document = documented(customise)
    own = {path for path in document["paths"] if path.startswith("/own/")}
    assert own == {"/own/echo", "/own/post", "/own/dry_run", "/own/", "/own/readyz", "/own/page", "/own/{path}"}
    assert (
        document["paths"]["/echo"]["post"]["operationId"] == documented(None)["paths"]["/echo"]["post"]["operationId"]
    )


def test_an_application_that_cannot_describe_itself_is_left_out(caplog):
    def customise(app):
        own = written_routes()
        own.openapi = lambda: 1 / 0
        app.mount("/", own)

    assert "/page" not in documented(customise)["paths"]
    assert "division by zero" in caplog.text


def test_our_client_calls_endpoints_beside_such_routes():
    async def main():
        service = Forwarder("/echo", "/post")
        async with (
            served(service, "http", customise=lambda app: app.mount("/", written_routes())) as server,
            Client(host=server.addresses[0], asyncio=True) as client,
        ):
            for endpoint in ("/echo", "/post", "/echo"):
                [note] = [note async for note in client.post(endpoint, Note(text="a"), return_type=Note)]
                assert note.text == "a"
        assert [request.endpoint for request in service.requests] == ["/echo", "/post", "/echo"]

    run(main())


def test_mounted_websockets():
    async def main():
        def customise(app):
            app.mount("/own", OwnApp())

        async with served(Forwarder(), "websocket", customise=customise) as server:
            async with websockets.connect(url(server, "/own/x")) as socket:
                assert await socket.recv() == "own"
            async with websockets.connect(url(server)) as socket:
                await socket.send('{"execEndpoint": "/echo", "data": [{"id": "a"}]}')
                assert json.loads(await socket.recv())["data"] == [{"id": "a"}]

    run(main())


@pytest.mark.parametrize("lifespan", [True, False])
def test_another_application_gets_a_health_route(lifespan):
    app = OwnApp("/hello", lifespan=lifespan)
    service = Forwarder()
    answers = asked(("GET", "/hello"), ("GET", "/"), ("GET", "/nothing"), service=service, customise=lambda _: app)
    assert [(status, text) for status, _, text in answers] == [(200, "own"), (200, "{}"), (404, "own")]
    assert app.seen[0] == ("/hello", "", 7 if lifespan else None)
    assert app.events == (["startup", "shutdown"] if lifespan else [])
    service.up = False
    [(status, _, _)] = asked(("GET", "/"), service=service, customise=lambda _: app)
    assert status == 503
    [(status, _, text)] = asked(("GET", "/"), customise=lambda _: OwnApp("/"))
    assert (status, text) == (200, "own")


def test_another_application_with_cors():
    preflight = {"headers": {"Origin": "http://x", "Access-Control-Request-Method": "PATCH"}}
    plan = HttpPlan(cors=True, uvicorn_kwargs={"headers": [("x-from", "uvicorn")]})
    answers = asked(
        ("OPTIONS", "/hello", preflight),
        ("GET", "/hello"),
        ("GET", "/"),
        customise=lambda _: OwnApp("/hello"),
        http=plan,
    )
    for status, headers, _ in answers:
        assert status == 200
        assert headers["access-control-allow-origin"] == "*"
        assert headers["x-from"] == "uvicorn"
    assert answers[0][1]["access-control-allow-methods"] == "PATCH"


@pytest.mark.parametrize("mounted", [True, False])
def test_an_application_that_does_not_start(mounted):
    def customise(app):
        if mounted:
            app.mount("/own", OwnApp(fails=True))
            return None
        return OwnApp(fails=True)

    async def main():
        listener = ListenerPlan(protocol="http", host="127.0.0.1", port=0)
        server = serve([listener], Forwarder(), customise=customise)
        with pytest.raises(RuntimeFailToStart, match="no model"):
            await server.start()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_mounts_live_in_another_server():
    """`asgi()` inside another server passes the lifespan on."""
    own = OwnApp("/hello")
    app = build_app(SampleService(), HttpPlan(), Limits(1000))
    app.mount("/own", own)
    sent = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(events)}

    async def send(message):
        sent.append(message["type"])

    run(app({"type": "lifespan", "state": {}}, receive, send))
    assert own.events == ["startup", "shutdown"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
