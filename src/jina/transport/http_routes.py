"""Which handler answers which path and method: the endpoints of the service, our pages, and what a gateway adds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from jina.errors import ConfigError, EndpointNotFound, Unavailable, nearest, quoted
from jina.plan.plans import HttpPlan
from jina.transport.http_calls import answer_call, answer_stream
from jina.transport.http_exchange import Exchange
from jina.transport.http_paths import CRUD, ExtraRoute, exposed_routes, hidden_paths, http_path
from jina.transport.service import EndpointInfo, Service

Handler = Callable[[Exchange], Awaitable[None]]
Methods = Mapping[str, Handler]


class Routes:
    """The handlers of one application. `pages` are our own, by path; they are read by GET."""

    def __init__(self, service: Service, plan: HttpPlan, pages: Mapping[str, Handler]) -> None:
        self._service = service
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
        if self._made is None:
            raise Unavailable("the service is not ready yet")
        return self._default_or_nothing(path)

    def has(self, path: str, method: str | None = None) -> bool:
        """Whether a page or an endpoint has the path, in the method if one is given; `/default` aside."""
        methods = (self._made if self._made is not None else self._make()).get(path)
        return methods is not None and (method is None or method in methods)

    def _default_or_nothing(self, path: str) -> Methods:
        endpoints = self._service.endpoints
        if "/default" in endpoints:
            return self._endpoint(path, endpoints["/default"])
        near = nearest(path, endpoints)
        raise EndpointNotFound(
            f"no endpoint {quoted(path)} here; there are {', '.join(sorted(endpoints)) or 'none'}",
            help=f"did you mean {near!r}?" if near else "GET /docs shows what this server answers",
        )

    def _make(self) -> dict[str, Methods]:
        service = self._service
        if not service.started:
            return self._pages
        routes: dict[str, Methods] = {"/post": {"POST": partial(answer_call, service=service, endpoint="")}}
        for path, info in service.endpoints.items():
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
        self._made, self._made_of = routes, service.endpoints
        return routes

    def _endpoint(self, path: str, info: EndpointInfo) -> Methods:
        service = self._service
        if info.is_generator:
            handler = partial(answer_stream, service=service, endpoint=path, info=info)
            return {"GET": handler, "POST": handler}
        call = partial(answer_call, service=service, endpoint=path)
        return {"POST": call, CRUD.get(path, "POST"): call}

    def _extra(self, route: ExtraRoute, info: EndpointInfo | None) -> Methods:
        service, endpoint = self._service, route.endpoint
        if info is not None and info.is_generator:
            return dict.fromkeys(route.methods, partial(answer_stream, service=service, endpoint=endpoint, info=info))
        return dict.fromkeys(route.methods, partial(answer_call, service=service, endpoint=endpoint, info=info))


async def _gone(exchange: Exchange) -> None:
    """As for a path that no endpoint has; `/default` does not take its place."""
    raise EndpointNotFound(f"{exchange.path}: this server leaves the path out")


async def _nothing(exchange: Exchange) -> None:
    """As a server without such a route says; a client then tries `/post`."""
    await exchange.respond_json(b'{"detail":"Not Found"}', status=404)
