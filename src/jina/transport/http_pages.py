"""What an HTTP face tells about itself: probes, metrics, status, documentation."""

from __future__ import annotations

import pkgutil
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any

from jina.errors import Unavailable
from jina.plan.plans import HttpPlan
from jina.transport.http_bodies import dumps
from jina.transport.http_exchange import Exchange
from jina.transport.openapi import openapi_document
from jina.transport.server_errors import as_jina_error
from jina.transport.server_gate import Gate
from jina.transport.server_info import environment_info, version_info
from jina.transport.service import Service
from jina.wire import pb, status

Handler = Callable[[Exchange], Awaitable[None]]

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_METRICS = (b"content-type", b"application/openmetrics-text; version=1.0.0; charset=utf-8")


def pages(gate: Gate, plan: HttpPlan) -> dict[str, Handler]:
    """The handlers of GET by path."""
    own = _Pages(gate, plan)
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


class _Pages:
    def __init__(self, gate: Gate, plan: HttpPlan) -> None:
        self._gate = gate
        self._plan = plan
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
        await _probe(
            exchange,
            "readyz",
            {"started": service.started, "service": service.ready, "not-stopping": not self._gate.draining},
        )

    async def startupz(self, exchange: Exchange) -> None:
        await _probe(exchange, "startupz", {"started": self._gate.service.started})

    async def metrics(self, exchange: Exchange) -> None:
        await exchange.respond((self._gate.service.metrics(),), _METRICS)

    async def status(self, exchange: Exchange) -> None:
        await exchange.respond_json(dumps({"jina": version_info(), "envs": environment_info()}))

    async def dry_run(self, exchange: Exchange) -> None:
        await exchange.respond_json(dumps(status_content(await dry_run_status(self._gate.service))))

    async def openapi(self, exchange: Exchange) -> None:
        if self._openapi is None:
            if not self._gate.service.started:
                raise Unavailable("the service is not ready yet")
            document = openapi_document(
                self._gate.service.endpoints,
                title=self._plan.title,
                description=self._plan.description,
                version=metadata.version("jina"),
            )
            self._openapi = dumps(document)
        await exchange.respond_json(self._openapi)

    async def docs(self, exchange: Exchange) -> None:
        page = pkgutil.get_data(__name__, "docs.html")
        assert page is not None
        await exchange.respond((page,), _HTML)

    async def redoc(self, exchange: Exchange) -> None:
        await exchange.respond((), None, status=307, headers=[(b"location", b"docs")])


async def _probe(exchange: Exchange, name: str, checks: dict[str, bool]) -> None:
    passed = all(checks.values())
    text = "ok" if passed else "not ok"
    if "verbose" in exchange.query():
        lines = [f"[{'+' if good else '-'}]{check} {'ok' if good else 'failed'}\n" for check, good in checks.items()]
        text = f"{''.join(lines)}{name} check {'passed' if passed else 'failed'}"
    headers = [] if passed else [(b"retry-after", b"1")]
    await exchange.respond((text.encode(),), _TEXT, status=200 if passed else 503, headers=headers)


async def dry_run_status(service: Service) -> Any:
    """A `jina.StatusProto` that says whether a request would be served."""
    message = pb.StatusProto()
    try:
        await service.dry_run()
    except Exception as error:  # noqa: BLE001 - the answer carries it
        status.write_error(as_jina_error(error), message)
    return message


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
