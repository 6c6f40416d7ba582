"""An Executor served inside another ASGI server: no process, no port, no thread but the handlers' own.

It is constructed when the server starts (the lifespan protocol, https://asgi.readthedocs.io), or at the first
request where the server or a mounting application sends no lifespan events; closed when the server stops, or at
the interpreter's exit.
"""

from __future__ import annotations

import asyncio
import atexit
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from jina.errors import ConfigError
from jina.net.auth import access_of
from jina.net.limits import Gate, limits_of
from jina.observe import logs
from jina.plan.plans import WorkerPlan
from jina.server.app import HttpApp, Lifespan, extended
from jina.server.http import AsgiApp
from jina.worker.service import WorkerService, close, extension_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class InProcessApp:
    """The ASGI application of one Executor. `load` constructs it, in the loop that serves.

    Async handlers run on the server's own loop, so one that blocks, blocks the server; sync handlers run on a
    thread.
    """

    def __init__(self, plan: WorkerPlan, load: Callable[[], Any]) -> None:
        self._plan = plan
        self._load = load
        self._log = logs.get_logger(plan.name)
        self._executor: Any = None
        self._service: WorkerService | None = None
        self._app: AsgiApp | None = None
        self._lifespan_within: Lifespan | None = None
        """Of what the Executor mounted beside our routes, or serves instead."""
        self._loop: AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._started()(scope, receive, send)

    def _started(self) -> AsgiApp:
        loop = asyncio.get_running_loop()
        if self._app is not None and loop is self._loop:
            return self._app
        if self._loop is not None and loop is not self._loop and not self._loop.is_closed():
            raise ConfigError(f"{self._plan.name} is served on another running event loop already")
        if self._executor is None:
            self._executor = self._load()
            atexit.register(self._close_at_exit)
        self._loop = loop
        service = WorkerService(self._executor, self._plan, protocol_loop=loop, user_loop=loop)
        service.watchdog.start()
        service.state = "ready"
        self._service = service
        gate, access = Gate(service, limits_of(self._plan)), access_of(self._plan.access)
        ours = HttpApp(gate, self._plan.http, access=access)
        self._app = extended(ours, gate, self._plan.http, access, extension_of(self._executor))
        self._lifespan_within = Lifespan(self._app) if self._app is not ours or ours.mounts else None
        return self._app

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            if (await receive())["type"] == "lifespan.shutdown":
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                self._started()
                if self._lifespan_within is not None:
                    await self._lifespan_within.startup()
            except Exception as error:  # noqa: BLE001 - the server ends with this message
                self._log.exception("%s did not start", self._plan.name)
                await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                return
            await send({"type": "lifespan.startup.complete"})

    async def _stop(self) -> None:
        service, self._service, self._app = self._service, None, None
        if self._lifespan_within is not None:
            await self._lifespan_within.shutdown()
        if service is not None:
            service.state = "draining"
            service.flush()
            await service.dispatcher.quiet(self._plan.grace)
            await service.close()
        executor, self._executor = self._executor, None
        if executor is not None:
            atexit.unregister(self._close_at_exit)
            await close(executor, self._log)

    def _close_at_exit(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            asyncio.run(close(executor, self._log))
