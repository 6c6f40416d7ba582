"""What the console answers over HTTP: who may see what, where requests come from, and what browsers may do."""

import asyncio
import json
from functools import partial

import aiohttp
import msgspec
import pytest

from jina.config.types import digest_of
from jina.console.feed import Places
from jina.console.local import LocalServer
from jina.console.page import page, policy
from jina.console.server import check_origin, host_of, is_loopback
from jina.errors import EndpointNotFound, PermissionDenied
from jina.plan.plans import AccessPlan, GatewayPlan, GraphPlan, HttpPlan, KeyPlan, ListenerPlan
from jina.runtime.console import ConsoleApi
from jina.runtime.process import console_of
from jina.server.server import serve
from tests.server.sample_service import SampleService, served, url

PLAIN, ADMIN, NOTHING = "plain-key-1", "admin-key-1", "other-key-1"
KEYS = AccessPlan(
    keys=[
        KeyPlan(name="plain", digest=digest_of(PLAIN), scopes=["console"]),
        KeyPlan(name="admin", digest=digest_of(ADMIN), scopes=["console", "admin"]),
        KeyPlan(name="nothing", digest=digest_of(NOTHING), scopes=["docs"]),
    ]
)
LINE = {"seq": 1, "time": 1.0, "level": "INFO", "message": "hello", "process": "a/rep-0", "pid": 2}


def told(question):
    """Answers as a supervisor does."""
    asked = json.loads(question)
    found = {"status": {"name": "shop", "state": "ready", "processes": []}, "observed": {}, "last": 1}
    if asked.get("logs") is not None:
        found |= {"logs": [LINE] if asked["logs"] < 1 else [], "lost": 0}
    return json.dumps(found).encode()


def asked(*requests, **options):
    """Status, headers and text of requests, each a method, a path and arguments; of streams the first event."""

    async def main():
        apis = [partial(ConsoleApi, ask=told)]
        async with served(SampleService(), "http", apis=apis, **options) as server, aiohttp.ClientSession() as session:
            return [await one_of(session, url(server, path), method, more) for method, path, more in requests]

    return asyncio.run(main())


async def one_of(session, address, method, more):
    async with session.request(method, address, **more) as answer:
        if answer.content_type != "text/event-stream":
            return answer.status, answer.headers, await answer.text()
        text = ""
        while "data:" not in text or not text.endswith("\n\n"):
            text += (await answer.content.readany()).decode()
        return answer.status, answer.headers, text


def get(path, key="", **headers):
    return "GET", path, {"headers": {**({"X-API-Key": key} if key else {}), **headers}}


def post(body, key="", **headers):
    named = {"X-API-Key": key, "Content-Type": "application/json", **headers}
    return "POST", "/console/actions", {"headers": named, "data": json.dumps(body)}


def test_the_page_and_what_it_may_do():
    [(status, headers, text), (again, _, _), (below, _, _)] = asked(
        get("/console"), get("/console", **{"If-None-Match": page().etag}), get("/console/none")
    )
    assert (status, again, below) == (200, 304, 404)
    assert text.startswith("<!")
    assert headers.getall("cache-control") == ["no-store"]
    rules = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "sha256-" in rules["script-src"]
    assert "unsafe" not in str(rules)


def test_hashes_are_those_of_the_elements():
    # The digests are those of https://www.w3.org/TR/CSP3/#source-list-syntax, made by `openssl dgst -sha256 -binary`.
    found = policy(b"<style>a</style><script type='module'>alert('Hello, world.');</script>")
    assert "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=';" in found
    assert "style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=';" in found


def test_where_keys_are_set_all_of_it_needs_one():
    paths = ("/console", "/console/info", "/console/feed", "/console/history", "/console/logs")
    answers = asked(*(get(path) for path in paths), *(get(path, NOTHING) for path in paths), post({}), access=KEYS)
    assert [status for status, _, _ in answers] == [401] * 5 + [403] * 5 + [401]
    (_, headers, text), *others = answers
    # A browser shows this: it is the page, which asks for the key, and has nothing of the service in it.
    assert (text.encode(), headers["content-type"]) == (page().body, "text/html; charset=utf-8")
    assert "content-security-policy" in headers
    assert all(headers["content-type"] == "application/json" for _, headers, _ in others)


def test_what_keys_may():
    rights = {key: json.loads(text)["rights"] for key, (_, _, text) in zip(
        (PLAIN, ADMIN), asked(get("/console/info", PLAIN), get("/console/info", ADMIN), access=KEYS), strict=True
    )}  # fmt: skip
    assert rights == {PLAIN: ["view", "logs"], ADMIN: ["view", "logs", "admin"]}


def test_the_feed_and_the_logs():
    (status, headers, feed), (_, _, logs) = asked(get("/console/feed"), get("/console/logs?level=info"))
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert feed.startswith("event: state\ndata: {")
    assert json.loads(feed.split("data: ")[1])["service"] == {"name": "shop", "state": "ready"}
    assert json.loads(logs.split("data: ")[1])["message"] == "hello"


def test_without_keys_logs_are_for_people_on_the_same_machine():
    answers = asked(
        get("/console/logs"),
        get("/console/logs", Host="evil.example"),  # a name that somebody has bound to this machine
        get("/console/logs", **{"X-Forwarded-For": "203.0.113.7"}),
        get("/console/info", Host="evil.example"),
    )
    assert [status for status, _, _ in answers] == [200, 403, 403, 200]
    assert json.loads(answers[3][2])["rights"] == ["view"]


def test_wrong_questions():
    answers = asked(
        get("/console/logs?level=loud"), get("/console/logs?unknown=a"), get("/console/feed?service=other"),
        ("POST", "/console/feed", {}), ("DELETE", "/console", {}),
    )  # fmt: skip
    assert [status for status, _, _ in answers] == [400, 400, 404, 405, 405]


def test_actions_need_the_right_and_the_page_itself():
    action = {"do": "snapshot", "group": "a"}
    answers = asked(
        post(action, PLAIN),
        post(action, ADMIN, Origin="https://evil.example"),
        post(action, ADMIN, **{"Sec-Fetch-Site": "cross-site"}),
        post(action, ADMIN, **{"Content-Type": "text/plain"}),
        post({"do": "shutdown", "group": "a"}, ADMIN),
        post({"do": "add", "group": "a", "replica": 1}, ADMIN),
        post({**action, "more": 1}, ADMIN),
        post(action, ADMIN),
        access=KEYS,
    )
    assert [status for status, _, _ in answers] == [403, 403, 403, 415, 400, 400, 400, 404]
    assert json.loads(answers[-1][2])["detail"] == "no group 'a' runs here"
    [(status, _, text)] = asked(post(action))
    assert status == 403
    assert "admin" in json.loads(text)["detail"]


def test_answers_are_not_for_pages_of_other_origins():
    answers = asked(get("/console/info", Origin="https://evil.example"), get("/echo?text=a"), http=HttpPlan(cors=True))
    assert ["access-control-allow-origin" in headers for _, headers, _ in answers] == [False, True]


def test_viewers_are_bounded(monkeypatch):
    monkeypatch.setattr(Places.__init__, "__defaults__", (1,))

    async def main():
        apis = [partial(ConsoleApi, ask=told)]
        async with (
            served(SampleService(), "http", apis=apis) as server,
            aiohttp.ClientSession() as session,
            session.get(url(server, "/console/feed")) as first,
        ):
            await first.content.readany()
            return await one_of(session, url(server, "/console/feed"), "GET", {})

    status, headers, _ = asyncio.run(main())
    assert (status, headers["retry-after"]) == (429, "5")


def test_a_server_that_stops_ends_the_streams():
    async def main():
        listener = ListenerPlan(protocol="http", host="127.0.0.1", port=0)
        server = serve([listener], SampleService(), apis=[partial(ConsoleApi, ask=told)])
        await server.start()
        async with aiohttp.ClientSession() as session, session.get(url(server, "/console/feed")) as answer:
            await answer.content.readany()
            async with asyncio.timeout(10):  # of 30 that those in flight would get
                await server.stop(30)
                return (await answer.content.read()).decode()

    assert asyncio.run(main()).endswith('event: end\ndata: {"reason":"the server stops"}\n\n')


@pytest.mark.parametrize("plan", [HttpPlan(console=False), HttpPlan()])
def test_it_is_there_where_the_plan_says_so_and_http_is_spoken(plan):
    http, grpc = (ListenerPlan(protocol=one, host="h", port=1) for one in ("http", "grpc"))
    gateway = GatewayPlan(name="gateway", listeners=[grpc, http], graph=GraphPlan(nodes=[], ends=[]), http=plan)
    assert bool(console_of(gateway, told)) is plan.console
    assert console_of(msgspec.structs.replace(gateway, listeners=[grpc]), told) == []


class Services:
    """Two services as `jina console` finds them."""

    def listed(self):
        return [{"id": "1/0", "name": "shop", "state": "ready"}, {"id": "2/0", "name": "other", "state": "down"}]

    def ask(self, ident):
        if ident != "1/0":
            raise EndpointNotFound(f"no service {ident!r}")
        return told


def test_that_of_all_services_is_for_who_has_the_token():
    async def main():
        server = LocalServer(Services())
        await server.start()
        address, _, key = server.address.partition("/console#key=")
        assert address.startswith("http://127.0.0.1:")
        assert len(key) > 40
        requests = [
            get("/console"), get("/console/info"), get("/console/info", "wrong"), get("/console/info", key),
            get("/console/info", key, Host="evil.example"), get("/console/feed?service=1/0", key),
            get("/console/feed?service=3/0", key), get("/metrics", key), get("/console/logs?service=1/0", key),
            post({"do": "snapshot", "group": "a", "service": "1/0"}, key, Origin=address),
            post({"do": "snapshot", "group": "a", "service": "1/0"}, key, Origin="http://127.0.0.1:1"),
        ]  # fmt: skip
        async with aiohttp.ClientSession() as session:
            found = [await one_of(session, address + path, method, more) for method, path, more in requests]
        await server.stop()
        return found

    answers = asyncio.run(main())
    assert [status for status, _, _ in answers] == [200, 401, 401, 200, 403, 200, 404, 404, 200, 404, 403]
    info = json.loads(answers[3][2])
    assert (info["mode"], info["rights"]) == ("user", ["view", "logs", "admin"])
    assert [one["id"] for one in info["services"]] == ["1/0", "2/0"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8080", True), ("127.0.0.1", True), ("127.9.9.9:1", True), ("[::1]:8080", True), ("", False),
        ("localhost.evil.example", False), ("127.0.0.1.evil.example:80", False), ("10.0.0.1", False), ("[::1", False),
        ("localhost@evil.example", False),
    ],
)  # fmt: skip
def test_names_of_this_machine(host, expected):
    assert is_loopback(host_of(host)) is expected


class Sent:
    """What is read of a request."""

    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def test_origins():
    for good in ({}, {"origin": "http://a:1", "host": "a:1"}, {"sec_fetch_site": "same-origin", "host": "a"}):
        check_origin(Sent(**good))
    for bad in (
        {"origin": "null", "host": "a"},
        {"origin": "http://a:2", "host": "a:1"},
        {"sec_fetch_site": "same-site"},
    ):
        with pytest.raises(PermissionDenied):
            check_origin(Sent(**bad))
