"""The ASGI application of a service: HTTP and WebSocket, no web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from jina.errors import Cancelled, EndpointNotFound, Unavailable, nearest
from jina.plan.plans import HttpPlan
from jina.transport.http_bodies import DOCUMENTS, JSON
from jina.transport.http_calls import answer_call, answer_stream
from jina.transport.http_exchange import Exchange, Receive, Scope, Send, Terms
from jina.transport.http_pages import pages
from jina.transport.server_errors import as_jina_error
from jina.transport.server_gate import Gate
from jina.transport.server_pipeline import DEFAULT_WINDOW
from jina.transport.service import EndpointInfo, Service
from jina.transport.websocket_server import WebSockets

Handler = Callable[[Exchange], Awaitable[None]]
Methods = Mapping[str, Handler]

_ACCEPTED = f"{JSON}, {DOCUMENTS}".encode()
"""What a client may send; the header Accept-Post is of https://www.w3.org/TR/ldp/#header-accept-post."""
_CORS_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-request-id, x-jina-parameters, retry-after"),
]


def http_path(endpoint: str) -> str:
    """The path of an endpoint; one bound without a leading slash gets it."""
    return endpoint if endpoint.startswith("/") else f"/{endpoint}"


def build_app(service: Service, plan: HttpPlan, max_message_size: int) -> HttpApp:
    """The application, to be served by any ASGI server; `max_message_size` is in bytes."""
    return HttpApp(Gate(service), plan, max_message_size)


class HttpApp:
    """Routes requests to the service; the routes are made once the service is ready."""

    def __init__(self, gate: Gate, plan: HttpPlan, max_message_size: int, window: int = DEFAULT_WINDOW) -> None:
        self._gate = gate
        self._plan = plan
        cors = _CORS_HEADERS if plan.cors else []
        self._terms = Terms(max_message_size, cors)
        self._last_terms = Terms(max_message_size, [*cors, (b"connection", b"close")])
        self._own: dict[str, Methods] = {
            path: {"GET": handler, "HEAD": handler} for path, handler in pages(gate, plan).items()
        }
        self._routes: dict[str, Methods] | None = None
        self.websockets = WebSockets(gate, max_message_size, window)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        if kind == "http":
            await self._serve(Exchange(scope, receive, send, self._last_terms if self._gate.draining else self._terms))
        elif kind == "websocket":
            await self.websockets.serve(scope, receive, send)
        elif kind == "lifespan":
            await _lifespan(receive, send)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            methods = self._methods_of(exchange)
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

    def _methods_of(self, exchange: Exchange) -> Methods:
        routes = self._routes
        path = exchange.path
        if routes is None:
            routes = self._make_routes()
        found = routes.get(path)
        if found is not None:
            return found
        root = exchange.scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :] or "/"
        found = routes.get(path) or routes.get(path.rstrip("/"))
        if found is not None:
            return found
        if self._routes is None:
            raise Unavailable("the service is not ready yet")
        return self._default_or_nothing(path)

    def _default_or_nothing(self, path: str) -> Methods:
        endpoints = self._gate.service.endpoints
        if "/default" in endpoints:
            return self._endpoint_methods(path, endpoints["/default"])
        near = nearest(path, endpoints)
        raise EndpointNotFound(
            f"no endpoint {path!r} here; there are {', '.join(sorted(endpoints)) or 'none'}",
            help=f"did you mean {near!r}?" if near else "GET /docs shows what this server answers",
        )

    def _make_routes(self) -> dict[str, Methods]:
        service = self._gate.service
        if not service.started:
            return self._own
        routes: dict[str, Methods] = {"/post": {"POST": partial(answer_call, service=service, endpoint="")}}
        for path, info in service.endpoints.items():
            routes[http_path(path)] = self._endpoint_methods(path, info)
        default = service.endpoints.get("/default")
        for path, methods in self._own.items():
            # Our pages are read by GET; a POST to the same path, such as `/`, is for the Executor.
            posts = routes.get(path) or (self._endpoint_methods(path, default) if default else {})
            routes[path] = {**posts, **methods}
        self._routes = routes
        return routes

    def _endpoint_methods(self, path: str, info: EndpointInfo) -> Methods:
        service = self._gate.service
        if not info.is_generator:
            return {"POST": partial(answer_call, service=service, endpoint=path)}
        handler = partial(answer_stream, service=service, endpoint=path, info=info)
        return {"GET": handler, "POST": handler}

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


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return
