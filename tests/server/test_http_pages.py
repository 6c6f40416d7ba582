"""Probes, metrics, documentation; the application under another server or path."""

import json

import aiohttp
import pytest

from jina.executor.endpoints import RESERVED, RESERVED_FOR_GET
from jina.net.limits import Gate, Limits
from jina.plan.plans import HttpPlan
from jina.server import pages as page_module
from jina.server.app import build_app
from jina.server.pages import pages
from tests.server.sample_service import LOOSE_SCHEMA, SampleService, info, run, served, url


def get(path, service=None, **options):
    async def main():
        async with (
            served(service or SampleService(), "http", **options) as server,
            aiohttp.ClientSession() as session,
            session.get(url(server, path), allow_redirects=False) as answer,
        ):
            return answer.status, answer.headers, await answer.text()

    return run(main())


@pytest.mark.parametrize(
    ("ready", "started", "path", "status"),
    [
        (True, True, "/", 200),
        (True, True, "/livez", 200),
        (True, True, "/readyz", 200),
        (True, True, "/startupz", 200),
        (False, True, "/", 503),
        (False, True, "/livez", 200),
        (False, True, "/readyz", 503),
        (False, True, "/startupz", 200),
        (False, False, "/livez", 200),
        (False, False, "/readyz", 503),
        (False, False, "/startupz", 503),
        (False, False, "/openapi.json", 503),
        (False, False, "/echo", 503),
    ],
)
def test_probes(ready, started, path, status):
    service = SampleService()
    service.up, service.started = ready, started
    got, headers, text = get(path, service)
    assert got == status
    if path == "/" and ready:
        assert text == "{}"
    if status == 503:
        assert "retry-after" in headers


def test_verbose_probe():
    service = SampleService()
    service.up = False
    status, _, text = get("/readyz?verbose", service)
    assert status == 503
    assert "[+]started ok\n[-]service failed\n" in text


def test_routes_appear_when_the_service_has_started():
    async def main():
        service = SampleService()
        service.up = service.started = False
        async with served(service, "http") as server, aiohttp.ClientSession() as session:
            for status in (503, 200):
                async with session.post(url(server, "/echo"), json={"data": []}) as answer:
                    assert answer.status == status
                service.up = service.started = True

    run(main())


def test_status_metrics_and_dry_run():
    content = json.loads(get("/status")[2])["jina"]
    assert {"jina", "jina-proto", "proto-backend", "platform-version", "uptime"} <= content.keys()
    assert not {"uid", "session-id", "processor"} & content.keys()  # nothing that tells machine or user
    assert json.loads(get("/dry_run")[2]) == {"code": 0, "description": "", "exception": None}
    service = SampleService()
    service.up = False
    failed = json.loads(get("/dry_run", service)[2])
    assert (failed["code"], failed["exception"]["name"]) == (1, "Unavailable")
    _, headers, text = get("/metrics")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_documentation_without_the_extra_needs_no_other_host(monkeypatch):
    monkeypatch.setattr(page_module, "swagger_folder", lambda: None)
    status, headers, page = get("/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "openapi.json" in page
    status, headers, _ = get("/redoc")
    assert (status, headers["location"]) == (307, "docs")


def test_swagger_ui_is_served_where_the_extra_is_installed():
    pytest.importorskip("swagger_ui", reason="the extra swagger")
    status, headers, page = get("/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "https://" not in page
    status, headers, script = get("/docs?asset=swagger-ui-bundle.js")
    assert (status, headers["content-type"]) == (200, "text/javascript")
    assert "SwaggerUIBundle" in script
    assert get("/docs?asset=../__init__.py")[0] == 404


def test_openapi_is_titled_after_the_service_by_default():
    info = json.loads(get("/openapi.json")[2])["info"]
    assert info["title"] == "sample"
    assert "description" not in info


def test_openapi_has_title_and_description():
    document = json.loads(get("/openapi.json", http=HttpPlan(title="T", description="D"))[2])
    assert document["openapi"] == "3.1.0"
    assert (document["info"]["title"], document["info"]["description"]) == ("T", "D")
    assert {"/echo", "/tokens", "/post", "/readyz"} <= document["paths"].keys()


def test_openapi_takes_version_and_docstrings():
    document = json.loads(get("/openapi.json", http=HttpPlan(version="2.1"))[2])
    assert document["info"]["version"] == "2.1"


def test_executors_cannot_take_our_paths():
    assert set(pages(Gate(SampleService()), HttpPlan())) == RESERVED | RESERVED_FOR_GET


async def asgi(app, method, path, body=b"", **scope):
    sent = []
    messages = iter([{"type": "http.request", "body": body}])

    async def receive():
        return next(messages, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    whole = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", **scope}
    await app(whole, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_application_mounted_below_another():
    async def main():
        app = build_app(SampleService(), HttpPlan(), Limits(1000))
        assert (await asgi(app, "POST", "/jina/echo", b"[]", root_path="/jina"))[0] == 200
        assert (await asgi(app, "GET", "/jina", root_path="/jina")) == (200, b"{}")
        assert (await asgi(app, "POST", "/echo/", b"[]"))[0] == 200
        assert (await asgi(app, "HEAD", "/livez")) == (200, b"")
        assert (await asgi(app, "POST", "/jina/nothing", b"[]", root_path="/jina"))[0] == 404

    run(main())


def test_lifespan():
    async def main():
        app = build_app(SampleService(), HttpPlan(), Limits(1000))
        events = iter(["lifespan.startup", "lifespan.shutdown"])
        sent = []

        async def receive():
            return {"type": next(events)}

        async def send(message):
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    run(main())


def test_endpoint_without_a_leading_slash():
    async def main():
        service = SampleService()
        service.endpoints = {"bare": info("bare", input_name="Document", input_schema=LOOSE_SCHEMA)}
        app = build_app(service, HttpPlan(), Limits(1000))
        assert (await asgi(app, "POST", "/bare", b"[]"))[0] == 200
        assert service.requests[0].endpoint == "bare"

    run(main())


def test_a_default_endpoint_answers_posts_to_the_paths_of_our_pages():
    async def main():
        service = SampleService(default=True)
        app = build_app(service, HttpPlan(), Limits(1000))
        assert (await asgi(app, "POST", "/", b"[]"))[0] == 200
        assert (await asgi(app, "GET", "/")) == (200, b"{}")
        assert [request.endpoint for request in service.requests] == ["/"]
        assert (await asgi(build_app(SampleService(), HttpPlan(), Limits(1000)), "POST", "/", b"[]"))[0] == 405

    run(main())
