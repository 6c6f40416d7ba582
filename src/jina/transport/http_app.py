"""The ASGI application of a service: HTTP and WebSocket, no web framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jina.errors import Cancelled, ConfigError, RuntimeFailToStart
from jina.plan.plans import AccessPlan, HttpPlan
from jina.transport.http_access import Door
from jina.transport.http_bodies import DOCUMENTS, JSON
from jina.transport.http_exchange import CORS_HEADERS, AsgiApp, Exchange, Receive, Scope, Send, Terms
from jina.transport.http_foreign import has_route, path_of
from jina.transport.http_lifespan import Lifespan
from jina.transport.http_pages import pages
from jina.transport.http_routes import Methods, Routes
from jina.transport.limits import DEFAULT_LIMITS, Limits, limited
from jina.transport.server_access import Access, access_of
from jina.transport.server_errors import as_jina_error
from jina.transport.server_gate import Gate
from jina.transport.server_pipeline import DEFAULT_WINDOW
from jina.transport.service import Service
from jina.transport.websocket_server import WebSockets

_ACCEPTED = f"{JSON}, {DOCUMENTS}".encode()
"""What a client may send; the header Accept-Post is of https://www.w3.org/TR/ldp/#header-accept-post."""


def build_app(
    service: Service, plan: HttpPlan, limits: Limits = DEFAULT_LIMITS, access: AccessPlan | None = None
) -> HttpApp:
    """The application, to be served by any ASGI server."""
    return HttpApp(Gate(limited(service, limits)), plan, limits, access=access_of(access))


class HttpApp:
    """Routes requests to the service; the routes are made once the service is ready.

    Applications of the user's own can be mounted beside them, and middlewares laid around all.
    """

    def __init__(
        self,
        gate: Gate,
        plan: HttpPlan,
        limits: Limits = DEFAULT_LIMITS,
        window: int = DEFAULT_WINDOW,
        access: Access | None = None,
    ) -> None:
        self._gate = gate
        self._plan = plan
        cors = CORS_HEADERS if plan.cors else []
        self._terms = Terms(limits.message_size, cors)
        self._last_terms = Terms(limits.message_size, [*cors, (b"connection", b"close")])
        own = pages(gate, plan, closed=access is not None and access.closed, mounts=lambda: self.mounts)
        self._routes = Routes(gate.service, plan, own)
        self.websockets = WebSockets(gate, limits, window, dry_run=not plan.no_debug_endpoints, cors=plan.cors)
        self.mounts: dict[str, AsgiApp] = {}
        """Applications of the user's own by the path under which they are."""
        self._entry: AsgiApp = self._answer
        self._door = Door(access, self._terms, cors=plan.cors) if access is not None else None

    def mount(self, path: str, app: AsgiApp) -> None:
        """Let an application answer everything at and below a path; one at `/` gets what we have no route for.

        Where that one is of FastAPI or Starlette, it also answers the paths that its own routes spell out.
        Raises `ConfigError` for a path without a leading slash, or with another application.
        """
        if not path.startswith("/"):
            raise ConfigError(f"mount: the path {path!r} does not begin with a slash")
        path = path.rstrip("/")
        if path in self.mounts:
            raise ConfigError(f"mount: there is an application at {path or '/'!r} already")
        self.mounts[path] = app
        self.mounts = dict(sorted(self.mounts.items(), key=lambda item: -len(item[0])))

    def wrap(self, middleware: Callable[..., AsgiApp], *args: Any, **options: Any) -> None:
        """Lay a middleware around all, the last outermost: `middleware(app, *args, **options)` gives an application."""
        self._entry = middleware(self._entry, *args, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if self._door is None or await self._door.lets_in(scope, receive, send):
            await self._entry(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self.mounts and (found := self._mounted(scope)) is not None:
            app, root = found
            if self._door is None or await self._door.opens_route(scope, receive, send):
                await app({**scope, "root_path": root}, receive, send)
        elif kind == "http":
            await self._serve(Exchange(scope, receive, send, self._last_terms if self._gate.draining else self._terms))
        elif kind == "websocket":
            await self.websockets.serve(scope, receive, send)

    def _mounted(self, scope: Scope) -> tuple[AsgiApp, str] | None:
        root = scope.get("root_path", "")
        path = path_of(scope)
        for prefix, app in self.mounts.items():
            if not prefix:
                return (app, root) if self._leaves_to(app, scope, path) else None
            if path == prefix or path.startswith(f"{prefix}/"):
                return app, root + prefix
        return None

    def _leaves_to(self, app: AsgiApp, scope: Scope, path: str) -> bool:
        """Whether the application at `/` answers a request.

        Our client calls endpoints, also where the application has a route of the same path; it accepts documents in a
        form that no other program asks for.
        """
        if has_route(app, scope, spelled_out=True):
            return not any(name == b"accept" and DOCUMENTS.encode() in value for name, value in scope["headers"])
        if scope["type"] == "websocket":
            return not self.websockets.known(path)
        if not self._routes.has(path):
            return True
        return not self._routes.has(path, scope["method"]) and has_route(app, scope, spelled_out=False)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            methods = self._routes.find(exchange.path, exchange.scope.get("root_path", ""))
            handler = methods.get(exchange.method)
            if handler is not None:
                await handler(exchange)
            elif exchange.method == "OPTIONS":
                await self._options(exchange, methods)
            else:
                await exchange.refuse_method(methods)
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await exchange.fail(as_jina_error(error))

    async def _options(self, exchange: Exchange, methods: Methods) -> None:
        allowed = ", ".join(sorted({*methods, "OPTIONS"})).encode()
        headers = [(b"allow", allowed)]
        if "POST" in methods:
            headers.append((b"accept-post", _ACCEPTED))
        if self._plan.cors:
            asked = exchange.headers.get("access-control-request-headers", "*").encode("latin-1")
            headers += [
                (b"access-control-allow-methods", allowed),
                (b"access-control-allow-headers", asked),
                (b"access-control-max-age", b"600"),
            ]
        await exchange.respond((), None, status=200, headers=headers)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop the mounted applications; we have nothing to start ourselves."""
        spans = [Lifespan(app) for app in self.mounts.values()]
        while True:
            event = (await receive())["type"].removeprefix("lifespan.")
            try:
                if event == "startup":
                    await _start(spans, scope)
                else:
                    await _stop(spans)
            except RuntimeFailToStart as error:
                await send({"type": "lifespan.startup.failed", "message": error.message})
                return
            await send({"type": f"lifespan.{event}.complete"})
            if event == "shutdown":
                return


async def _start(spans: list[Lifespan], scope: Scope) -> None:
    for span in spans:
        await span.startup()
        scope.get("state", {}).update(span.state)


async def _stop(spans: list[Lifespan]) -> None:
    for span in reversed(spans):
        await span.shutdown()
