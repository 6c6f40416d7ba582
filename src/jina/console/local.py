"""The console of all services of a user on one machine: on loopback, for who has the token that is in its address."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Collection

from jina.config.types import ADMIN
from jina.console.server import ConsoleServer, Services, host_of, is_loopback
from jina.errors import EndpointNotFound, PermissionDenied, Unauthenticated
from jina.net.auth import KEY_HEADER
from jina.net.messages import as_jina_error
from jina.net.unread import Bounds, Unread
from jina.plan.plans import ListenerPlan
from jina.server.http import AsgiExchange, ClientWatches, Exchange, Receive, Scope, Send, Terms
from jina.server.uvicorn_server import HttpListener

HOST = "127.0.0.1"
_PAGE = "/console"
_MOST_BODY = 64 * 1024
_STOPPING = 1.0
"""Seconds in which the last answers may end."""


class LocalConsole:
    """The ASGI application.

    A page of another origin can neither send the token, which is no cookie, nor be taken for one of ours where its name
    was bound to this machine: its name is in the header Host.
    """

    def __init__(self, services: Services, token: str) -> None:
        self._token = token
        self._terms = Terms(_MOST_BODY)
        self._clients = ClientWatches()
        self._console = ConsoleServer(services, _everything, mode="user", closed=True)

    def stop(self) -> None:
        """End all streams."""
        self._console.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return
        exchange = AsgiExchange(scope, receive, send, self._terms)
        self._clients.add(exchange)
        try:
            await self._answer(exchange)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await exchange.fail(as_jina_error(error))
        finally:
            self._clients.remove(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        if not is_loopback(host_of(exchange.headers.get("host", ""))):
            raise PermissionDenied("this console is asked by the names of this machine alone, such as localhost")
        path = exchange.path
        if path == "/" and exchange.method in {"GET", "HEAD"}:
            await exchange.respond((), None, status=307, headers=[(b"location", b"console")])
        elif path == _PAGE and exchange.method in {"GET", "HEAD"}:
            await self._console.page(exchange)
        elif not path.startswith(f"{_PAGE}/"):
            raise EndpointNotFound(f"there is no {path!r} here, but {_PAGE}")
        else:
            shown = exchange.headers.get(KEY_HEADER, "").encode()
            if not hmac.compare_digest(shown, self._token.encode()):
                raise Unauthenticated("the address that `jina console` printed has the key")
            await self._console.answer(exchange, path.removeprefix(f"{_PAGE}/"))


def _everything(_: Exchange) -> Collection[str]:
    return {"view", "logs", ADMIN}


class LocalServer:
    """The application on a port; all methods on one loop."""

    def __init__(self, services: Services, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(32)
        self._app = LocalConsole(services, self._token)
        plan = ListenerPlan(protocol="http", host=HOST, port=port)
        self._listener = HttpListener(plan, self._app, {}, _MOST_BODY, Unread(Bounds()))
        self.address = ""
        """Where a browser opens it; the token follows `#`, which browsers send to nobody."""

    async def start(self) -> None:
        """Open the port; raises `PortAlreadyUsed`."""
        port = await self._listener.start()
        self.address = f"http://{HOST}:{port}{_PAGE}#key={self._token}"

    async def stop(self) -> None:
        """Close it."""
        self._app.stop()
        await asyncio.wait({asyncio.ensure_future(self._listener.stop(_STOPPING))})
