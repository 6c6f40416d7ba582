"""What an HTTP listener tells about itself: probes, metrics, status, documentation."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import pkgutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jina.codec import pb, status
from jina.codec.messages import Route
from jina.errors import EndpointNotFound, Unavailable
from jina.net.limits import Gate
from jina.net.messages import as_jina_error, environment_info, version_info
from jina.net.service import LocalService, endpoints_for_people
from jina.observe.logs import get_logger
from jina.observe.metrics import OPENMETRICS, PROMETHEUS, wants_openmetrics
from jina.plan.plans import HttpPlan
from jina.server.apis import Api
from jina.server.http import AsgiApp, Exchange, dumps, exposed_routes, hidden_paths, routes_content
from jina.server.openapi import about, add_application, openapi_document

Handler = Callable[[Exchange], Awaitable[None]]
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_ASSETS = {"swagger-ui-bundle.js": b"text/javascript", "swagger-ui.css": b"text/css"}
_SWAGGER = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>API</title>
<link rel="stylesheet" href="?asset=swagger-ui.css"></head>
<body><div id="ui"></div><script src="?asset=swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#ui"})</script></body></html>
"""


@functools.cache
def swagger_folder() -> Path | None:
    """Where the extra `swagger` has put Swagger UI, which replaces our own page of documentation."""
    spec = importlib.util.find_spec("swagger_ui")
    found = Path(spec.submodule_search_locations[0]) / "static" if spec and spec.submodule_search_locations else None
    return found if found and all((found / name).exists() for name in _ASSETS) else None


def pages(
    gate: Gate,
    plan: HttpPlan,
    *,
    closed: bool = False,
    mounts: Callable[[], Mapping[str, AsgiApp]] = dict,
    apis: Sequence[Api] = (),
) -> dict[str, Handler]:
    """The handlers of GET by path; `closed` says that callers need a key.

    `mounts` gives the user's own applications by the path under which they are. `apis` are described as well.
    """
    own = _Pages(gate, plan, mounts, apis, closed=closed)
    return {
        "/": own.root,
        "/docs": own.docs,
        "/dry_run": own.dry_run,
        "/livez": own.livez,
        "/metrics": own.metrics,
        "/openapi.json": own.openapi,
        "/readyz": own.readyz,
        "/redoc": own.redoc,
        "/startupz": own.startupz,
        "/status": own.status,
    }


def _description_of(app: AsgiApp, prefix: str) -> Mapping[str, Any] | None:
    """What an application of the user's own tells of its routes, as one of FastAPI does."""
    describe = getattr(app, "openapi", None)
    if not callable(describe):
        return None
    try:
        result = describe()
    except Exception as error:  # noqa: BLE001 - of the user's own code; our routes are described without it
        get_logger("jina.http").warning("the application at %r is not in /openapi.json: %r", prefix or "/", error)
        return None
    return result if isinstance(result, Mapping) else None


class _Pages:
    def __init__(
        self,
        gate: Gate,
        plan: HttpPlan,
        mounts: Callable[[], Mapping[str, AsgiApp]],
        apis: Sequence[Api],
        *,
        closed: bool,
    ) -> None:
        self._apis = apis
        self._gate = gate
        self._plan = plan
        self._mounts = mounts
        self._closed = closed
        self._openapi: bytes | None = None

    async def root(self, exchange: Exchange) -> None:
        if self._gate.ready:
            await exchange.respond_json(b"{}")
        else:
            await exchange.fail(Unavailable("the service is not ready"))

    async def livez(self, exchange: Exchange) -> None:
        await _probe(exchange, "livez", {"alive": True})

    async def readyz(self, exchange: Exchange) -> None:
        service = self._gate.service
        checks = {
            "started": service.started,
            "service": service.up,
            **service.checks,
            "not-stopping": not self._gate.stopping,
        }
        await _probe(exchange, "readyz", checks, passed=self._gate.ready)

    async def startupz(self, exchange: Exchange) -> None:
        await _probe(exchange, "startupz", {"started": self._gate.service.started})

    async def metrics(self, exchange: Exchange) -> None:
        openmetrics = wants_openmetrics(exchange.headers.get("accept", ""))
        content_type = (b"content-type", (OPENMETRICS if openmetrics else PROMETHEUS).encode())
        await exchange.respond((await self._gate.service.metrics(openmetrics=openmetrics),), content_type)

    async def status(self, exchange: Exchange) -> None:
        await exchange.respond_json(dumps({"jina": version_info(), "envs": environment_info()}))

    async def dry_run(self, exchange: Exchange) -> None:
        result, routes = await dry_run_status(self._gate.service)
        content = status_content(result)
        if "routes" in exchange.query():
            content["routes"] = routes_content(routes)
        await exchange.respond_json(dumps(content))

    async def openapi(self, exchange: Exchange) -> None:
        if self._openapi is None:
            if not self._gate.service.started:
                raise Unavailable("the service is not ready yet")
            from jina.version import __version__

            endpoints = endpoints_for_people(self._gate.service.endpoints)
            document = openapi_document(
                endpoints,
                title=self._plan.title or self._gate.service.name.partition("/")[0],
                description=self._plan.description or about(endpoints.values()),
                version=self._plan.version or __version__,
                extra=exposed_routes(self._plan),
                hidden=hidden_paths(self._plan),
                closed=self._closed,
            )
            for api in self._apis:
                described = api.openapi(endpoints)
                document["paths"].update(described.get("paths", {}))
                document["components"]["schemas"].update(described.get("schemas", {}))
            for prefix, app in self._mounts().items():
                if (own := _description_of(app, prefix)) is not None:
                    add_application(document, prefix, own)
            self._openapi = dumps(document)
        await exchange.respond_json(self._openapi)

    async def docs(self, exchange: Exchange) -> None:
        folder = swagger_folder()
        asset = exchange.query().get("asset")
        if folder is None:
            page = pkgutil.get_data(__name__, "docs.html") or b""
            await exchange.respond((page,), _HTML)
        elif asset is None:
            await exchange.respond((_SWAGGER,), _HTML)
        elif asset in _ASSETS:
            # A megabyte and a half, read rarely: not kept, and not read on the protocol loop.
            content = await asyncio.to_thread((folder / asset).read_bytes)
            await exchange.respond((content,), (b"content-type", _ASSETS[asset]))
        else:
            raise EndpointNotFound(f"no asset {asset!r} of the documentation")

    async def redoc(self, exchange: Exchange) -> None:
        await exchange.respond((), None, status=307, headers=[(b"location", b"docs")])


async def _probe(exchange: Exchange, name: str, checks: dict[str, bool], *, passed: bool | None = None) -> None:
    """Answer a probe; `passed` where one check that failed is no failure of all."""
    passed = all(checks.values()) if passed is None else passed
    text = "ok" if passed else "not ok"
    if "verbose" in exchange.query():
        lines = [f"[{'+' if good else '-'}]{check} {'ok' if good else 'failed'}\n" for check, good in checks.items()]
        text = f"{''.join(lines)}{name} check {'passed' if passed else 'failed'}"
    headers = [] if passed else [(b"retry-after", b"1")]
    await exchange.respond((text.encode(),), _TEXT, status=200 if passed else 503, headers=headers)


async def dry_run_status(service: LocalService) -> tuple[Any, list[Route]]:
    """A `jina.StatusProto`: whether a request would be served, by the service and its Executors."""
    message, started = pb.StatusProto(), time.time()
    routes: list[Route] = []
    try:
        asked = await service.ready()
        routes = [Route(service.name, started, time.time()), *asked]
    except Exception as error:  # noqa: BLE001 - the answer carries it
        status.write_error(as_jina_error(error), message)
    return message, routes


def status_content(message: Any) -> dict[str, Any]:
    """A `jina.StatusProto` as Jina 3 writes it in JSON."""
    exception = None
    if message.HasField("exception"):
        raised = message.exception
        exception = {
            "name": raised.name,
            "args": list(raised.args),
            "stacks": list(raised.stacks),
            "executor": raised.executor,
        }
    return {"code": message.code, "description": message.description, "exception": exception}
