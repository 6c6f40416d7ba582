"""The rules of access for ASGI applications: who is refused gets an answer, who is not is named in the scope."""

from __future__ import annotations

from jina.errors import JinaError
from jina.transport.http_bodies import JSON, error_body
from jina.transport.http_exchange import Exchange, Receive, Scope, Send, Terms
from jina.transport.server_access import KEY_HEADER, NAME_HEADER, Access, Caller

CALLER = "jina.caller"
"""Where the scope names the caller."""
_OPEN = frozenset({"/", "/livez", "/readyz", "/startupz"})
"""Paths that tell the health by GET, for whom no key is needed."""
_SECRET = {KEY_HEADER.encode(), NAME_HEADER.encode(), b"authorization"}


class Door:
    """Lets those in who may call. `terms` are those of the answers to the others; with `cors` preflights pass."""

    def __init__(self, access: Access, terms: Terms, *, cors: bool) -> None:
        self._access = access
        self._terms = terms
        self._cors = cors

    async def lets_in(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the request may go on; a refusal is answered here.

        Requests over HTTP are counted here, frames of a WebSocket as they come.
        """
        if CALLER in scope or scope["type"] not in {"http", "websocket"} or self._is_open(scope):
            return True
        try:
            caller = scope[CALLER] = self._caller(scope)
            if scope["type"] == "http":
                caller.take()
        except JinaError as error:
            if scope["type"] == "http":
                await Exchange(scope, receive, send, self._terms).fail(error)
            else:
                await receive()  # websocket.connect
                await refuse_websocket(scope, send, error)
            return False
        return True

    def _is_open(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        if scope["method"] == "OPTIONS":
            names = {name for name, _ in scope["headers"]}
            return self._cors and {b"origin", b"access-control-request-method"} <= names
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        return scope["method"] in {"GET", "HEAD"} and path in _OPEN

    def _caller(self, scope: Scope) -> Caller:
        shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _SECRET}
        address = (scope.get("client") or ("",))[0]
        caller = self._access.caller(shown, address)
        if self._access.closed:
            others = [(name, value) for name, value in scope["headers"] if name not in _SECRET]
            left = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]
            scope["headers"] = [*others, *left]
        return caller


async def refuse_websocket(scope: Scope, send: Send, error: JinaError) -> None:
    """Refuse a handshake: as an HTTP response where the server can, else by closing."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
        return
    headers = [(b"content-type", JSON.encode())]
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error_body(error)})
