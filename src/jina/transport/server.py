"""Faces of one service on the running loop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jina.plan.plans import AccessPlan, FacePlan, HttpPlan
from jina.transport.limits import DEFAULT_LIMITS, Limits, limited
from jina.transport.server_access import Access, access_of
from jina.transport.server_gate import Gate
from jina.transport.server_pipeline import DEFAULT_WINDOW
from jina.transport.service import Service
from jina.transport.unread import Bounds, Unread

if TYPE_CHECKING:
    from jina.transport.http_app import HttpApp
    from jina.transport.http_exchange import AsgiApp
    from jina.transport.http_lifespan import Lifespan


class _Face(Protocol):
    async def start(self) -> int: ...

    async def stop(self, grace: float) -> None: ...


class Server:
    """Several ports over one service; made by `serve`. All methods run on one loop."""

    def __init__(
        self,
        plans: Sequence[FacePlan],
        faces: Sequence[_Face],
        gate: Gate,
        lifespan: Lifespan | None = None,
        unread: Unread | None = None,
    ) -> None:
        self.unread = unread or Unread(Bounds())
        self._plans = list(plans)
        self._faces = list(faces)
        self._started: list[_Face] = []
        self._gate = gate
        self._lifespan = lifespan
        self.addresses: list[str] = []
        """`scheme://host:port` of each face, in the order of the plans; filled by `start`."""

    async def start(self) -> None:
        """Open all ports, or none: raises `PortAlreadyUsed` or `ConfigError` naming the port.

        Applications of the user's own are started before; `RuntimeFailToStart` where one fails.
        """
        try:
            if self._lifespan is not None:
                await self._lifespan.startup()
            for plan, face in zip(self._plans, self._faces, strict=True):
                port = await face.start()
                self._started.append(face)
                self.addresses.append(f"{_scheme(plan)}://{plan.host}:{port}")
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace: float) -> None:
        """Turn unready, stop accepting, let what is in flight finish within `grace` seconds, close all ports."""
        self._gate.draining = True
        started, self._started = self._started, []
        if started:
            from jina.transport.server_succession import leave

            await leave({plan.port for plan in self._plans if plan.share_port})
        results = await asyncio.gather(*(face.stop(grace) for face in started), return_exceptions=True)
        if self._lifespan is not None:
            await self._lifespan.shutdown()
        for result in results:
            if isinstance(result, BaseException):
                raise result


def serve(
    faces: Sequence[FacePlan],
    service: Service,
    *,
    http: HttpPlan | None = None,
    grpc_options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    prefetch: int = DEFAULT_WINDOW,
    access: AccessPlan | None = None,
    customise: Callable[[HttpApp], AsgiApp | None] | None = None,
) -> Server:
    """A server of the service on all faces; nothing is opened before `start`.

    HTTP and WebSocket faces serve the same application, so either protocol is answered on both.
    `limits` count for requests on every protocol. `prefetch` is the number of requests of
    one stream or connection in work at a time, where the client does not say; 0 is no limit. `access` says who may
    call; health is told to everybody. Raises `ConfigError` for a file of keys that is none. `customise` may mount
    applications and middlewares, or give another ASGI application to be served instead, which gets a health route.
    """
    gate = Gate(limited(service, limits))
    window = prefetch or sys.maxsize
    rules = access_of(access)
    unread = Unread(limits.unread, service.freed)
    made: list[_Face] = []
    web: _Web | None = None
    for plan in faces:
        if plan.protocol == "grpc":
            # Its library would write what clients say as it came: line feeds and escapes of terminals too. It looks at
            # this when it is imported.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            from jina.transport.grpc_server import GrpcFace

            made.append(GrpcFace(plan, gate, grpc_options or {}, limits, window, rules, unread))
        else:
            web = web or _Web(gate, http or HttpPlan(), limits, window, rules, unread, customise)
            made.append(web.face(plan))
    return Server(faces, made, gate, web.lifespan if web else None, unread)


class _Web:
    """The one application of all HTTP and WebSocket faces."""

    def __init__(
        self,
        gate: Gate,
        http: HttpPlan,
        limits: Limits,
        window: int,
        access: Access | None,
        unread: Unread,
        customise: Callable[[HttpApp], AsgiApp | None] | None,
    ) -> None:
        from jina.transport.http_app import HttpApp

        self._http = http
        self._max_message_size = limits.message_size
        self._unread = unread
        ours = HttpApp(gate, http, limits, window, access)
        self.app: AsgiApp = ours
        other = customise(ours) if customise else None
        if other is not None and other is not ours:
            from jina.transport.http_foreign import ForeignApp

            self.app = ForeignApp(other, gate, http, access)
        self.lifespan: Lifespan | None = None
        if self.app is not ours or ours.mounts:
            from jina.transport.http_lifespan import Lifespan

            self.lifespan = Lifespan(self.app)

    def face(self, plan: FacePlan) -> _Face:
        from jina.transport.http_server import HttpFace

        state = self.lifespan.state if self.lifespan else None
        return HttpFace(plan, self.app, self._http.uvicorn_kwargs, self._max_message_size, self._unread, state)


def _scheme(plan: FacePlan) -> str:
    scheme = {"grpc": "grpc", "http": "http", "websocket": "ws"}[plan.protocol]
    return f"{scheme}s" if plan.tls else scheme
