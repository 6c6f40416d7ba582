"""A port for metrics and probes alone, beside those of the service: what Jina 3 calls `port_monitoring`."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from jina.errors import EndpointNotFound
from jina.net.limits import Gate
from jina.net.messages import as_jina_error
from jina.net.service import LocalService
from jina.observe.metrics import OBSERVATION, OBSERVE_KEY
from jina.plan.plans import HttpPlan, ListenerPlan
from jina.server.http import AsgiExchange, Exchange, Receive, Scope, Send, Terms, dumps
from jina.server.pages import pages
from jina.server.server import Server

_PATHS = ("/metrics", "/livez", "/readyz", "/startupz")
Observe = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""See `jina.observe.observation.Observation.answer`."""
_NO_BODY = 64 * 1024
"""Bytes of a body that is not read."""


def monitoring_server(
    plan: ListenerPlan, service: LocalService, observe: Observe | None = None, key: str = ""
) -> Server:
    """A server of `/metrics` and the probes, and of what `observe` tells to those who show the key, if there is one.

    Nothing is opened before `start`.
    """
    from jina.net.unread import Bounds, Unread
    from jina.server.uvicorn_server import HttpListener

    gate = Gate(service)
    return Server([plan], [HttpListener(plan, MonitoringApp(gate, observe, key), {}, _NO_BODY, Unread(Bounds()))], gate)


class MonitoringApp:
    """The ASGI application."""

    def __init__(self, gate: Gate, observe: Observe | None, key: str) -> None:
        self._observe, self._key = observe if key else None, key.encode()
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
        if self._observe is not None and exchange.path == OBSERVATION and self._shows_key(exchange):
            page = self._observation
        try:
            if page is None:
                raise EndpointNotFound(f"there is no {exchange.path!r} here, but {', '.join(_PATHS)}")
            if exchange.method not in {"GET", "HEAD"}:
                await exchange.refuse_method(("GET", "HEAD"))
                return
            await page(exchange)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await exchange.fail(as_jina_error(error))

    def _shows_key(self, exchange: Exchange) -> bool:
        return hmac.compare_digest(exchange.headers.get(OBSERVE_KEY, "").encode(), self._key)

    async def _observation(self, exchange: Exchange) -> None:
        assert self._observe is not None
        last = exchange.query().get("logs", "")
        await exchange.respond_json(dumps(self._observe({"logs": int(last) if last.isdigit() else None})))
