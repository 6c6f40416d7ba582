"""The listeners of one service on the running loop, and leaving a port to another process that listens there."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jina.documents.uploads import remove_left_over
from jina.net.auth import Access, access_of
from jina.net.limits import DEFAULT_LIMITS, Gate, Limits
from jina.net.service import LocalService
from jina.net.unread import Bounds, Unread
from jina.plan.plans import AccessPlan, HttpPlan, ListenerPlan

if TYPE_CHECKING:
    from jina.server.apis import Api, ApiClass
    from jina.server.app import HttpApp, Lifespan
    from jina.server.http import AsgiApp

_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN = 0x06
_SECOND = 1
"""Which listener gets what comes: they are counted in the order in which they began, a process before its successor."""
_WAITING = struct.Struct("@24xI")
"""Where `struct tcp_info` of a listener has the number of connections that were not accepted yet (tcpi_unacked)."""
_PAUSE = 0.005
_PATIENCE = 0.25


async def hand_over_ports(sockets: Collection[socket.socket]) -> None:
    """Return when no connection waits to be taken from one of the sockets, which listen.

    New ones go to the process that began to listen there last. Does nothing but on Linux.
    """
    if sys.platform == "linux" and sockets:
        stop_new_connections(sockets)
        await wait_until_taken(sockets)


def stop_new_connections(sockets: Iterable[socket.socket]) -> None:
    """Send new connections to the other listeners of these ports; without others nothing changes."""
    program = ctypes.create_string_buffer(struct.pack("@HBBI", _RETURN, 0, 0, _SECOND))
    option = struct.pack("@HP", 1, ctypes.addressof(program))
    for sock in sockets:
        with contextlib.suppress(OSError):  # a system that forbids it deals them out as before
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)


async def wait_until_taken(sockets: Iterable[socket.socket]) -> None:
    """Wait until nothing waits at any of them, for a quarter of a second at most."""
    until, empty = time.monotonic() + _PATIENCE, 0
    while empty < 2 and time.monotonic() < until:  # twice: a handshake may be on its way
        await asyncio.sleep(_PAUSE)
        empty = 0 if any(map(_waiting, sockets)) else empty + 1


def _waiting(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
    return int(_WAITING.unpack(info)[0])


class _Listener(Protocol):
    @property
    def socket(self) -> socket.socket | None: ...

    async def start(self) -> int: ...

    async def stop(self, grace: float) -> None: ...


class Server:
    """Several ports over one service; made by `serve`. All methods run on one loop."""

    def __init__(
        self,
        plans: Sequence[ListenerPlan],
        listeners: Sequence[_Listener],
        gate: Gate,
        lifespan: Lifespan | None = None,
        unread: Unread | None = None,
    ) -> None:
        self.unread = unread or Unread(Bounds())
        self._plans = list(plans)
        self._listeners = list(listeners)
        self._started: list[_Listener] = []
        self._gate = gate
        self._lifespan = lifespan
        self.addresses: list[str] = []
        """`scheme://host:port` of each listener, in the order of the plans; filled by `start`."""

    async def start(self) -> None:
        """Open all ports, or none: raises `PortAlreadyUsed` or `ConfigError` naming the port.

        Applications of the user's own are started before; `RuntimeFailToStart` where one fails.
        """
        try:
            if self._lifespan is not None:
                await self._lifespan.startup()
            for plan, listener in zip(self._plans, self._listeners, strict=True):
                port = await listener.start()
                self._started.append(listener)
                self.addresses.append(f"{_scheme(plan)}://{plan.host}:{port}")
        except BaseException:
            await self.stop(0)
            raise

    def leave(self) -> None:
        """Turn unready, and go on: who sends requests here needs a while to notice."""
        self._gate.leaving = True

    async def stop(self, grace: float) -> None:
        """Turn unready, stop accepting, let what is in flight finish within `grace` seconds, close all ports."""
        self._gate.drain()
        started, self._started = self._started, []
        shared = [one.socket for plan, one in zip(self._plans, started, strict=False) if plan.share_port]
        await hand_over_ports([one for one in shared if one is not None])
        results = await asyncio.gather(*(listener.stop(grace) for listener in started), return_exceptions=True)
        if self._lifespan is not None:
            await self._lifespan.shutdown()
        for result in results:
            if isinstance(result, BaseException):
                raise result


def serve(
    listeners: Sequence[ListenerPlan],
    service: LocalService,
    *,
    http: HttpPlan | None = None,
    grpc_options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    access: AccessPlan | None = None,
    customise: Callable[[HttpApp], AsgiApp | None] | None = None,
    apis: Sequence[ApiClass] = (),
) -> Server:
    """A server of the service on all listeners; nothing is opened before `start`.

    HTTP and WebSocket listeners serve the same application, so either protocol is answered on both.
    `limits` count for requests on every protocol. `access` says who may call; health is told to everybody. Raises
    `ConfigError` for a file that has no valid keys. `customise` may mount applications and middlewares, or give another
    ASGI application to be served instead, which gets a health route. `apis` are adapters whose routes and gRPC methods
    stand beside our own.
    """
    gate = Gate(service, limits)
    http = http or HttpPlan()
    window = limits.window or sys.maxsize
    rules = access_of(access)
    unread = Unread(limits.unread, service.freed, lambda on: service.throttle(on=on))
    adapters = [make(gate, http, closed=rules is not None and rules.closed) for make in apis]
    for adapter in adapters:
        adapter.access = rules
    made: list[_Listener] = []
    web: _Web | None = None
    for plan in listeners:
        if plan.protocol == "grpc":
            from jina.server.grpc import GrpcListener

            made.append(GrpcListener(plan, gate, grpc_options or {}, window, rules, unread, adapters))
        else:
            web = web or _Web(gate, http, window, rules, unread, customise, adapters)
            made.append(web.listener(plan))
    return Server(listeners, made, gate, web.lifespan if web else None, unread)


class _Web:
    """The one application of all HTTP and WebSocket listeners."""

    def __init__(
        self,
        gate: Gate,
        http: HttpPlan,
        window: int,
        access: Access | None,
        unread: Unread,
        customise: Callable[[HttpApp], AsgiApp | None] | None,
        apis: Sequence[Api],
    ) -> None:
        from jina.server.app import HttpApp, extended

        remove_left_over()
        self._http = http
        self._max_message_size = gate.limits.message_size
        self._unread = unread
        ours = HttpApp(gate, http, window, access, apis)
        self.app = extended(ours, gate, http, access, customise)
        self.lifespan: Lifespan | None = None
        if self.app is not ours or ours.mounts:
            from jina.server.app import Lifespan

            self.lifespan = Lifespan(self.app)

    def listener(self, plan: ListenerPlan) -> _Listener:
        from jina.server.uvicorn_server import HttpListener

        state = self.lifespan.state if self.lifespan else None
        return HttpListener(plan, self.app, self._http.uvicorn_kwargs, self._max_message_size, self._unread, state)


def _scheme(plan: ListenerPlan) -> str:
    scheme = {"grpc": "grpc", "http": "http", "websocket": "ws"}[plan.protocol]
    return f"{scheme}s" if plan.tls else scheme
