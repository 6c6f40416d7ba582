"""Somebody else's ASGI application on our ports: beside our routes, or with a health route, CORS and an orderly end."""

from __future__ import annotations

from jina.errors import Unavailable
from jina.plan.plans import HttpPlan
from jina.transport.http_access import Door
from jina.transport.http_bodies import JSON, error_body
from jina.transport.http_exchange import CORS_HEADERS, AsgiApp, Header, Message, Receive, Scope, Send, Terms
from jina.transport.server_access import Access
from jina.transport.server_gate import Gate


def has_route(app: AsgiApp, scope: Scope, *, spelled_out: bool) -> bool:
    """Whether an application of Starlette or FastAPI has a route for a path and method, as far as it tells its routes.

    `spelled_out` asks for one that names the path: no pattern, no application below, and none of the pages of
    documentation that FastAPI adds by itself.
    """
    for route in getattr(app, "routes", ()):
        match, found = route.matches(scope)
        if match.name == "FULL":
            below = "app_root_path" in found
            return not spelled_out or not (found.get("path_params") or below or _is_documentation(app, scope))
    return False


_DOCUMENTATION = ("docs_url", "openapi_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


def _is_documentation(app: AsgiApp, scope: Scope) -> bool:
    return path_of(scope) in {getattr(app, name, None) for name in _DOCUMENTATION}


def path_of(scope: Scope) -> str:
    """The path of a request without that under which a server mounted us."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path or "/"


class ForeignApp:
    """Serves `app`, and `GET /` as a health check where `app` has no such route."""

    def __init__(self, app: AsgiApp, gate: Gate, plan: HttpPlan, access: Access | None = None) -> None:
        self._app = app
        self._gate = gate
        self._cors = plan.cors
        terms = Terms(0, CORS_HEADERS if plan.cors else [])
        self._door = Door(access, terms, cors=plan.cors, routes=True) if access is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if self._door is not None and not await self._door.lets_in(scope, receive, send):
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._cors and scope["method"] == "OPTIONS" and (asked := _asked(scope)) is not None:
            await _respond(send, 200, b"", asked)
            return
        answer = _Answer(self._gate, send, cors=self._cors, health=_is_health(scope))
        await self._app(scope, receive, answer.send)


class _Answer:
    def __init__(self, gate: Gate, send: Send, *, cors: bool, health: bool) -> None:
        self._gate = gate
        self._send = send
        self._cors = cors
        self._health = health
        self._replaced = False

    async def send(self, message: Message) -> None:
        """Pass the answer on with headers of ours, or give the health instead of "not found"."""
        if message["type"] == "http.response.start":
            if self._health and message["status"] == 404:
                self._replaced = True
                await self._tell_health()
                return
            message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
        if not self._replaced:
            await self._send(message)

    def _headers(self) -> list[Header]:
        closing: list[Header] = [(b"connection", b"close")] if self._gate.draining else []
        return [*CORS_HEADERS, *closing] if self._cors else closing

    async def _tell_health(self) -> None:
        if self._gate.ready:
            await _respond(self._send, 200, b"{}", self._headers())
        else:
            await _respond(self._send, 503, error_body(Unavailable("the service is not ready")), self._headers())


def _is_health(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD"} and path_of(scope) == "/"


def _asked(scope: Scope) -> list[Header] | None:
    """The headers that answer a preflight request (https://fetch.spec.whatwg.org/#cors-preflight-fetch)."""
    headers = dict(scope["headers"])
    method = headers.get(b"access-control-request-method")
    if method is None or b"origin" not in headers:
        return None
    return [
        *CORS_HEADERS,
        (b"access-control-allow-methods", method),
        (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"*")),
        (b"access-control-max-age", b"600"),
    ]


async def _respond(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    own = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
