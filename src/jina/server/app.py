"""The ASGI application of a service: routes, lifespan, and mounted applications."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from jina.errors import (
    Cancelled,
    ConfigError,
    EndpointNotFound,
    JinaError,
    RuntimeFailToStart,
    Unavailable,
    nearest,
    quoted,
)
from jina.net.auth import Access, access_of
from jina.net.limits import DEFAULT_LIMITS, Gate, Limits
from jina.net.messages import DEFAULT_WINDOW, as_jina_error, new_request_id
from jina.net.service import EndpointInfo, LocalService, endpoints_for_people
from jina.observe.logs import get_logger
from jina.plan.plans import AccessPlan, HttpPlan
from jina.server.apis import Api, ApiRoutes, Handler, Methods
from jina.server.http import (
    CORS_HEADERS,
    CRUD,
    DOCUMENTS,
    JSON,
    AccessGuard,
    AsgiApp,
    AsgiExchange,
    ClientWatches,
    Exchange,
    ExtraRoute,
    Header,
    Message,
    Receive,
    Scope,
    Send,
    Terms,
    error_body,
    exposed_routes,
    hidden_paths,
    http_path,
    served_methods,
)
from jina.server.http_calls import answer_call, answer_stream
from jina.server.pages import pages
from jina.server.websocket import WebSockets

_log = get_logger("jina.net")


class Lifespan:
    """Sends one application the lifespan events of its server; one that does not know them is left alone."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None
        self._running: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}
        """What the application keeps for its requests, whose scopes get it as `state`."""

    async def startup(self) -> None:
        """Return when the application has started; raises `RuntimeFailToStart` where it says that it failed."""
        self._running = asyncio.create_task(self._run())
        answer = await self._tell("lifespan.startup")
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise RuntimeFailToStart(f"the application did not start: {answer.get('message') or 'no reason given'}")

    async def shutdown(self) -> None:
        """Return when the application has cleaned up."""
        running = self._running
        if running is None:
            return
        if not running.done():
            answer = await self._tell("lifespan.shutdown")
            if answer is not None and answer["type"] == "lifespan.shutdown.failed":
                _log.error("the application failed to shut down: %s", answer.get("message"))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def _tell(self, event: str) -> Message | None:
        """The answer to an event; None where the application ended instead, since it knows no events."""
        assert self._running is not None
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": event})
        await asyncio.wait({answer, self._running}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, self._take)
        except Exception as error:  # noqa: BLE001 - applications without lifespan raise on the unknown type
            _log.debug("the application takes no lifespan events, or no more: %r", error)

    async def _take(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)


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


class MountedApp:
    """Serves `app`, and `GET /` as a health check where `app` has no such route."""

    def __init__(self, app: AsgiApp, gate: Gate, plan: HttpPlan, access: Access | None = None) -> None:
        self._app = app
        self._gate = gate
        self._cors = plan.cors
        terms = Terms(0, CORS_HEADERS if plan.cors else [])
        self._guard = AccessGuard(access, terms, cors=plan.cors, routes=True) if access is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if self._guard is not None and not await self._guard.admits(scope, receive, send):
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._cors and scope["method"] == "OPTIONS" and (asked := _preflight(scope)) is not None:
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
        closing: list[Header] = [(b"connection", b"close")] if self._gate.stopping else []
        return [*CORS_HEADERS, *closing] if self._cors else closing

    async def _tell_health(self) -> None:
        if self._gate.ready:
            await _respond(self._send, 200, b"{}", self._headers())
        else:
            await _respond(self._send, 503, error_body(Unavailable("the service is not ready")), self._headers())


def _is_health(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD"} and path_of(scope) == "/"


def _preflight(scope: Scope) -> list[Header] | None:
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


class Routes:
    """The handlers of one application.

    `pages` are our own, by path; they are read by GET. `apis` are those of adapters, which take the place of endpoints.
    """

    def __init__(self, gate: Gate, plan: HttpPlan, pages: Mapping[str, Handler], apis: ApiRoutes) -> None:
        self._gate = gate
        self._apis = apis
        self._service = gate.service
        self._hidden = hidden_paths(plan)
        self._exposed = exposed_routes(plan)
        for route in self._exposed:
            if route.path in pages and "GET" in route.methods:
                raise ConfigError(f"expose_endpoints: GET {route.path} is a page of every server already")
        self._pages: dict[str, Methods] = {
            path: {"GET": handler, "HEAD": handler} for path, handler in pages.items() if path not in self._hidden
        }
        self._made: dict[str, Methods] | None = None
        self._made_of: Mapping[str, EndpointInfo] = {}

    def find(self, path: str, root: str = "") -> Methods:
        """The handlers of a path by method; `root` is where a server mounted us.

        Raises `EndpointNotFound`, or `Unavailable` while the endpoints are not known yet.
        """
        routes = self._made
        if routes is None or self._made_of is not self._service.endpoints:
            routes = self._make()
        found = routes.get(path)
        if found is not None:
            return found
        if root and path.startswith(root):
            path = path[len(root) :] or "/"
        found = routes.get(path) or routes.get(path.rstrip("/"))
        if found is not None:
            return found
        if self._made is not None and (found := self._apis.find(path)) is not None:
            return found
        if self._made is None:
            raise Unavailable("the service is not ready yet")
        return self._default_or_nothing(path)

    def has(self, path: str, method: str | None = None) -> bool:
        """Whether a page or an endpoint has the path, in the method if one is given; `/default` aside."""
        methods = (self._made if self._made is not None else self._make()).get(path) or self._apis.find(path)
        return methods is not None and (method is None or method in methods)

    def _default_or_nothing(self, path: str) -> Methods:
        endpoints = endpoints_for_people(self._service.endpoints)
        if "/default" in endpoints:
            return self._endpoint(path, endpoints["/default"])
        if self._service.awaits_endpoints:
            return dict.fromkeys(("GET", "POST"), partial(answer_call, gate=self._gate, endpoint=path))
        near = nearest(path, endpoints)
        raise EndpointNotFound(
            f"no endpoint {quoted(path)} here; there are {', '.join(sorted(endpoints)) or 'none'}",
            help=f"did you mean {near!r}?" if near else "GET /docs shows what this server answers",
        )

    def _make(self) -> dict[str, Methods]:
        service = self._service
        if not service.started:
            return self._pages
        routes: dict[str, Methods] = {"/post": {"POST": partial(answer_call, gate=self._gate, endpoint="")}}
        for path, info in endpoints_for_people(service.endpoints).items():
            routes[http_path(path)] = self._endpoint(path, info)
        default = service.endpoints.get("/default")
        for path, methods in self._pages.items():
            # Our pages are read by GET; a POST to the same path, such as `/`, is for the Executor.
            posts = routes.get(path) or (self._endpoint(path, default) if default else {})
            routes[path] = {**posts, **methods}
        # Where `/post` serves the same endpoints, a client is to try that.
        hidden = _gone if "/post" in self._hidden else _nothing
        for path in self._hidden & {"/post", *CRUD}:
            routes[path] = {"GET": hidden, "POST": hidden}
        for route in self._exposed:
            extra = self._extra(route, service.endpoints.get(route.endpoint) or default)
            routes[route.path] = {**routes.get(route.path, {}), **extra}
        for path, methods in self._apis.plain.items():
            routes[path] = {**routes.get(path, {}), **methods}
        self._made, self._made_of = routes, service.endpoints
        return routes

    def _endpoint(self, path: str, info: EndpointInfo) -> Methods:
        answer = answer_stream if info.is_generator else answer_call
        return dict.fromkeys(served_methods(path, info), partial(answer, gate=self._gate, endpoint=path, info=info))

    def _extra(self, route: ExtraRoute, info: EndpointInfo | None) -> Methods:
        answer = answer_stream if info is not None and info.is_generator else answer_call
        return dict.fromkeys(route.methods, partial(answer, gate=self._gate, endpoint=route.endpoint, info=info))


async def _gone(exchange: Exchange) -> None:
    """As for a path that no endpoint has; `/default` does not take its place."""
    raise EndpointNotFound(f"{exchange.path}: this server does not serve this path")


async def _nothing(exchange: Exchange) -> None:
    """As a server without such a route says; a client then tries `/post`."""
    await exchange.respond_json(b'{"detail":"Not Found"}', status=404)


_ACCEPTED = f"{JSON}, {DOCUMENTS}".encode()
"""What a client may send; the header Accept-Post is of https://www.w3.org/TR/ldp/#header-accept-post."""


def build_app(
    service: LocalService, plan: HttpPlan, limits: Limits = DEFAULT_LIMITS, access: AccessPlan | None = None
) -> HttpApp:
    """The application, to be served by any ASGI server."""
    return HttpApp(Gate(service, limits), plan, access=access_of(access))


def extended(
    app: HttpApp, gate: Gate, plan: HttpPlan, access: Access | None, extend: Callable[[HttpApp], AsgiApp | None] | None
) -> AsgiApp:
    """What is served after the user's own code had its say: ours, or what it gave instead, with a health route."""
    other = extend(app) if extend else None
    return app if other is None or other is app else MountedApp(other, gate, plan, access)


class HttpApp:
    """Routes requests to the service; the routes are made once the service is ready.

    Applications of the user's own can be mounted beside them, and middlewares laid around all.
    """

    def __init__(
        self,
        gate: Gate,
        plan: HttpPlan,
        window: int = DEFAULT_WINDOW,
        access: Access | None = None,
        apis: Sequence[Api] = (),
    ) -> None:
        self._gate = gate
        self._plan = plan
        self._apis = ApiRoutes(apis)
        cors = CORS_HEADERS if plan.cors else []
        limits = gate.limits
        self.terms = Terms(limits.message_size, cors, limits.upload_size)
        self._last_terms = Terms(limits.message_size, [*cors, (b"connection", b"close")], limits.upload_size)
        own = pages(gate, plan, closed=access is not None and access.closed, mounts=lambda: self.mounts, apis=apis)
        self._routes = Routes(gate, plan, own, self._apis)
        self.websockets = WebSockets(gate, window, dry_run=not plan.no_debug_endpoints, cors=plan.cors)
        self.mounts: dict[str, AsgiApp] = {}
        """Applications of the user's own by the path under which they are."""
        self.is_plain = True
        """Whether nothing of the user's own is mounted or wrapped around, so that requests need not come by ASGI."""
        self._clients = ClientWatches()
        self._entry: AsgiApp = self._answer
        self._guard: AccessGuard | None = None
        if access is not None:
            self._guard = AccessGuard(access, self.terms, cors=plan.cors, fail=self._fail)

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
        self.is_plain = False
        self.mounts[path] = app
        self.mounts = dict(sorted(self.mounts.items(), key=lambda item: -len(item[0])))

    def wrap(self, middleware: Callable[..., AsgiApp], *args: Any, **options: Any) -> None:
        """Lay a middleware around all, the last outermost: `middleware(app, *args, **options)` gives an application."""
        self.is_plain = False
        self._entry = middleware(self._entry, *args, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if self._guard is None or await self._guard.admits(scope, receive, send):
            await self._entry(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self.mounts and (found := self._mounted(scope)) is not None:
            app, root = found
            if self._guard is None or await self._guard.opens_route(scope, receive, send):
                await app({**scope, "root_path": root}, receive, send)
        elif kind == "http":
            exchange = AsgiExchange(scope, receive, send, self.terms)
            self._clients.add(exchange)
            try:
                await self.serve(exchange)
            finally:
                self._clients.remove(exchange)
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

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request to one of our own routes."""
        if self._gate.leaving or self._gate.draining:
            exchange.terms = self._last_terms
        try:
            if self._guard is not None and exchange.caller is None:
                self._guard.admit(exchange)
            methods = self._routes.find(exchange.path, exchange.root_path)
            handler = methods.get(exchange.method)
            if handler is not None:
                await handler(exchange)
            elif exchange.method == "OPTIONS":
                await self._options(exchange, methods)
            else:
                await self._fail(exchange, *exchange.refusal(methods))
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await self._fail(exchange, as_jina_error(error))

    async def _fail(self, exchange: Exchange, error: JinaError, headers: Sequence[Header] = ()) -> None:
        """Answer with an error, in the form of the API whose path it is."""
        form = self._apis.error_form(exchange.path, error)
        if form is None:
            await exchange.fail(error, headers)
        else:
            exchange.request_id = exchange.request_id or new_request_id()
            await exchange.fail(error, [*headers, *form[1]], form[0])

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
