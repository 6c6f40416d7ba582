"""A port for metrics and probes alone, beside those of the service: what Jina 3 calls `port_monitoring`."""

from __future__ import annotations

from jina.errors import EndpointNotFound
from jina.net.limits import Gate
from jina.net.messages import as_jina_error
from jina.net.service import LocalService
from jina.plan.plans import HttpPlan, ListenerPlan
from jina.server.http import AsgiExchange, Receive, Scope, Send, Terms
from jina.server.pages import pages
from jina.server.server import Server

_PATHS = ("/metrics", "/livez", "/readyz", "/startupz")
_NO_BODY = 64 * 1024
"""Bytes of a body that is not read."""


def monitoring_server(plan: ListenerPlan, service: LocalService) -> Server:
    """A server of `/metrics` and the probes; nothing is opened before `start`."""
    from jina.net.unread import Bounds, Unread
    from jina.server.uvicorn_server import HttpListener

    gate = Gate(service)
    return Server([plan], [HttpListener(plan, MonitoringApp(gate), {}, _NO_BODY, Unread(Bounds()))], gate)


class MonitoringApp:
    """The ASGI application."""

    def __init__(self, gate: Gate) -> None:
        found = pages(gate, HttpPlan())
        # Jina 3 serves the metrics at each path of this port, and writes `/` in its pages.
        self._pages = {**{path: found[path] for path in _PATHS}, "": found["/metrics"]}
        self._terms = Terms(_NO_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        exchange = AsgiExchange(scope, receive, send, self._terms)
        page = self._pages.get(exchange.path.rstrip("/"))
        try:
            if page is None:
                raise EndpointNotFound(f"there is no {exchange.path!r} here, but {', '.join(_PATHS)}")
            if exchange.method not in {"GET", "HEAD"}:
                await exchange.refuse_method(("GET", "HEAD"))
                return
            await page(exchange)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await exchange.fail(as_jina_error(error))
