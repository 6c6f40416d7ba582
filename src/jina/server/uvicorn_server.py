"""One HTTP and WebSocket port: uvicorn on the running loop, on a socket of ours."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

import uvicorn

from jina.errors import ConfigError, MissingExtra, missing_extra, nearest
from jina.net.sockets import bind, bind_error
from jina.net.tls import renew, uvicorn_options
from jina.net.unread import Unread
from jina.plan.plans import ListenerPlan
from jina.server.app import HttpApp
from jina.server.http import AsgiApp, error_body
from jina.server.http_protocol import http_protocol
from jina.server.listening import listen

_OURS = ("app", "host", "port", "fd", "uds", "reload", "workers", "loop", "lifespan", "factory", "interface")
"""Arguments of uvicorn that jina decides."""
_HARMLESS = frozenset({
    "backlog", "date_header", "h11_max_incomplete_event_size", "headers", "server_header", "timeout_graceful_shutdown",
    "timeout_keep_alive", "ws_max_size", "ws_ping_interval", "ws_ping_timeout", "ws_per_message_deflate",
})  # fmt: skip
"""Arguments of uvicorn that neither wrap the application nor concern how it is called; so do those of TLS."""
_LINGER = 0.3
"""Seconds that connections without a request stay open while the server stops, and cancelled requests get."""


class HttpListener:
    """A uvicorn server of one port; `uvicorn_kwargs` are set over ours, `max_message_size` is in bytes.

    `state` is what the application's lifespan keeps for its requests.
    """

    def __init__(
        self,
        plan: ListenerPlan,
        app: AsgiApp,
        uvicorn_kwargs: Mapping[str, Any],
        max_message_size: int,
        unread: Unread,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._plan = plan
        self._app = app
        self._state = {} if state is None else state
        self._options = _checked(uvicorn_kwargs)
        self._max_message_size = max_message_size
        self._unread = unread
        self._server: _Server | None = None
        self.socket: socket.socket | None = None
        """The one that listens."""
        self._ticking: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open the port and serve; gives the port. Raises `PortAlreadyUsed` or `ConfigError`."""
        if self._plan.protocol == "websocket":
            if missing := missing_extra("websockets", "websockets", "WebSocket"):
                raise missing
            import jina.server.websocket_protocol  # noqa: F401 - needed soon
        config = self._config()
        config.load()
        self.socket = bind(self._plan)
        self._server = server = _Server(config)
        server.lifespan = config.lifespan_class(config)
        server.lifespan.state = self._state
        try:
            await server.startup(sockets=[self.socket])
        except OSError as error:  # another process that was bound to the port as well began to listen first
            self.socket.close()
            raise bind_error(self._plan, error) from error
        self._ticking = asyncio.create_task(server.main_loop())
        if self._plan.tls is not None and config.ssl is not None:
            self._renewing = asyncio.create_task(renew(self._plan.tls, config.ssl))
        port: int = self.socket.getsockname()[1]
        return port

    async def stop(self, grace: float) -> None:
        """Refuse new connections, let requests in flight finish within `grace` seconds, cancel the rest."""
        server, ticking = self._server, self._ticking
        if server is None or ticking is None:
            return
        self._server = None
        ticking.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        until = time.monotonic() + grace
        for listening in server.servers:
            listening.close()
        # Uvicorn's own shutdown drops WebSockets with whatever is outstanding on them, and waits in steps of 0.1 s.
        if isinstance(self._app, HttpApp):
            await self._app.websockets.drain(grace)
        await server.linger(min(_LINGER, until - time.monotonic()))
        await server.finish(until - time.monotonic())

    def _config(self) -> uvicorn.Config:
        plain = all(name in _HARMLESS or name.startswith("ssl_") for name in self._options)
        direct = self._app if plain and isinstance(self._app, HttpApp) else None
        options: dict[str, Any] = {
            "http": http_protocol(self._plan.timeout_read, self._unread, direct),
            "ws": _websocket_protocol(self._plan.timeout_read, self._unread),
            "ws_max_size": self._max_message_size,
            # A full window pauses reading, and with it the pongs: their absence proves nothing.
            "ws_ping_timeout": None,
            "ws_per_message_deflate": False,
            "log_config": None,
            "log_level": "warning",
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": 75,
            "backlog": 2048,
        }
        if self._plan.tls is not None:
            options |= uvicorn_options(self._plan.tls)
        return uvicorn.Config(self._app, lifespan="off", interface="asgi3", **{**options, **self._options})


def _websocket_protocol(timeout: float, unread: Unread) -> Callable[..., asyncio.Protocol]:
    """What answers an upgrade. Imported at the first one: its library takes longer than the rest of a start."""

    def made(**state: Any) -> asyncio.Protocol:
        if missing := missing_extra("websockets", "websockets", "WebSocket"):
            return _NoUpgrade(missing)
        from jina.server.websocket_protocol import WebSocketProtocol

        return WebSocketProtocol(timeout, unread, **state)

    return made


class _NoUpgrade(asyncio.Protocol):
    """The answer to an upgrade where there is nothing to speak WebSocket with."""

    def __init__(self, error: MissingExtra) -> None:
        self._error = error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is missing, and close."""
        body = error_body(self._error)
        head = "HTTP/1.1 501 Not Implemented\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writing = cast("asyncio.Transport", transport)
        writing.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        writing.close()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in connections of the sockets; there is no lifespan."""
        config: Any = self.config

        def connected() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        self.servers: list[Any] = [await listen(sock, connected, config.ssl, config.backlog) for sock in sockets or ()]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def linger(self, seconds: float) -> None:
        """Wait for kept-alive connections to be used once more and be told to close.

        Closing them at once would fail requests that are already under way to us.
        """
        until = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110 - uvicorn keeps a set, no event
            await asyncio.sleep(0.01)

    async def finish(self, seconds: float) -> None:
        """Wait for running requests, cancel those that take longer, close all connections."""
        for connection in list(self.server_state.connections):
            connection.shutdown()
        running = set(self.server_state.tasks)
        if running:
            _, late = await asyncio.wait(running, timeout=max(0.0, seconds))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LINGER)
        for connection in list(self.server_state.connections):
            connection.transport.close()


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    known = set(inspect.signature(uvicorn.Config).parameters)
    for name in options:
        if name in _OURS:
            raise ConfigError(f"uvicorn_kwargs: {name!r} is decided by jina and cannot be set")
        if name not in known:
            near = nearest(name, known)
            raise ConfigError(
                f"uvicorn_kwargs: uvicorn has no option {name!r}", help=f"did you mean {near!r}?" if near else ""
            )
    return dict(options)
