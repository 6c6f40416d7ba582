"""The rules of access for ASGI applications: who is refused gets an answer, who is not is named in the scope."""

from __future__ import annotations

from jina.errors import JinaError, PermissionDenied
from jina.transport.http_bodies import JSON, error_body
from jina.transport.http_exchange import Exchange, Receive, Scope, Send, Terms
from jina.transport.server_access import KEY_HEADER, NAME_HEADER, Access, Caller

CALLER = "jina.caller"
"""Where the scope names the caller."""
_OPEN = frozenset({"/", "/livez", "/readyz", "/startupz"})
"""Paths that tell the health by GET, for whom no key is needed."""
_SECRET = {KEY_HEADER.encode(), NAME_HEADER.encode(), b"authorization"}


class Door:
    """Lets those in who may call. `terms` are those of the answers to the others; with `cors` preflights pass.

    With `routes`, all that is behind it are routes of the user's own.
    """

    def __init__(self, access: Access, terms: Terms, *, cors: bool, routes: bool = False) -> None:
        self._access = access
        self._terms = terms
        self._cors = cors
        self._routes = routes

    async def lets_in(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the request may go on; a refusal is answered here.

        Requests over HTTP are counted here, frames of a WebSocket as they come.
        """
        if CALLER in scope or scope["type"] not in {"http", "websocket"} or self._is_open(scope):
            return True
        try:
            caller = scope[CALLER] = self._caller(scope)
            path = _path_of(scope)
            caller.check_page(path)
            if self._routes:
                caller.check_route(path)
            if scope["type"] == "http":
                caller.take()
        except JinaError as error:
            await self._refuse(error, scope, receive, send)
            return False
        return True

    async def opens_route(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether one who was let in may use a route of the user's own; a refusal is answered here."""
        caller: Caller | None = scope.get(CALLER)
        try:
            if caller is not None:
                caller.check_route(_path_of(scope))
        except PermissionDenied as error:
            await self._refuse(error, scope, receive, send)
            return False
        return True

    async def _refuse(self, error: JinaError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Exchange(scope, receive, send, self._terms).fail(error)
        else:
            await receive()  # websocket.connect
            await refuse_websocket(scope, send, error)

    def _is_open(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        if scope["method"] == "OPTIONS":
            names = {name for name, _ in scope["headers"]}
            return self._cors and {b"origin", b"access-control-request-method"} <= names
        return scope["method"] in {"GET", "HEAD"} and _path_of(scope) in _OPEN

    def _caller(self, scope: Scope) -> Caller:
        shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _SECRET}
        address = (scope.get("client") or ("",))[0]
        caller = self._access.caller(shown, address)
        if self._access.closed:
            others = [(name, value) for name, value in scope["headers"] if name not in _SECRET]
            left = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]
            scope["headers"] = [*others, *left]
        return caller


def _path_of(scope: Scope) -> str:
    return scope["path"].removeprefix(scope.get("root_path", "")) or "/"


async def refuse_websocket(scope: Scope, send: Send, error: JinaError) -> None:
    """Refuse a handshake: as an HTTP response where the server can, else by closing."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
        return
    headers = [(b"content-type", JSON.encode())]
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error_body(error)})
