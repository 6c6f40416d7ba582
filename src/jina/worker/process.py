"""The life of a worker process: starting, ready, draining, stopped."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from jina.apis import load
from jina.executor.base import version_of
from jina.net.limits import limits_of
from jina.net.service import LocalService
from jina.observe import logs
from jina.observe.exporters import Exporters
from jina.plan.plans import ListenerPlan, WorkerPlan
from jina.runtime.process import (
    SWITCH_INTERVAL,
    LinkInbox,
    LoopHere,
    LoopThread,
    Parent,
    ProcessMain,
    Stop,
    console_of,
    drain_delay,
    run_process_main,
)
from jina.server.server import Server, serve
from jina.version import __version__
from jina.worker.probes import ProbePort
from jina.worker.service import WorkerService, close, extension_of
from jina.worker.stateful import StatefulService, service_of

if TYPE_CHECKING:
    from jina.ipc.server import LinkServer
    from jina.server.monitoring import Observe


class WorkerLinks:
    """Serves a service on every socket that comes, until `stop`; `loop` is the one that serves."""

    def __init__(
        self, source: LinkInbox, service: LocalService, max_message_size: int, loop: AbstractEventLoop
    ) -> None:
        self._source = source
        self._service = service
        self._limit = max_message_size
        self._loop = loop
        self._log = logs.get_logger(service.name)
        self._serving: dict[LinkServer, Task[None]] = {}
        self._stopped = False
        self._forget: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Take the sockets that wait, and those that come; from any thread."""
        self._forget = self._source.listen(lambda _, sock: self._on_socket(sock))

    async def stop(self, grace: float) -> None:
        """Take no more, and let what is in work on all links finish within `grace` seconds; on the serving loop."""
        self._forget()
        self._stopped = True
        serving = dict(self._serving)
        await asyncio.gather(*(server.stop(grace) for server in serving))
        for task in serving.values():
            task.cancel()

    def break_off(self) -> None:
        """End all links at once, as the end of the process would; on the serving loop."""
        self._forget()
        self._stopped = True
        for server in self._serving:
            server.abort()

    def _on_socket(self, sock: socket.socket | None) -> None:
        if sock is None:
            return  # it is for gateways
        try:
            self._loop.call_soon_threadsafe(self._serve, sock)
        except RuntimeError:
            sock.close()  # the loop has ended

    def _serve(self, sock: socket.socket) -> None:
        from jina.ipc.server import LinkServer

        if self._stopped:
            sock.close()
            return
        server = LinkServer(sock, self._service, self._limit)
        task = self._loop.create_task(self._served(server))
        self._serving[server] = task
        task.add_done_callback(lambda _: self._serving.pop(server, None))

    async def _served(self, server: LinkServer) -> None:
        try:
            await server.start()
            await server.lost()
        except OSError as error:
            self._log.error("a link to a gateway failed: %s", error)


class MonitoringPort:
    """Does nothing without a plan."""

    def __init__(self, plan: ListenerPlan | None, observe: Observe | None = None, key: str = "") -> None:
        self._plan = plan
        self._observe, self._key = observe, key
        self._thread: LoopThread | None = None
        self._server: Server | None = None

    async def start(self, service: LocalService) -> None:
        """Open the port; raises `PortAlreadyUsed`."""
        if self._plan is None:
            return
        from jina.server.monitoring import monitoring_server

        self._thread = LoopThread("monitoring")
        self._server = monitoring_server(self._plan, service, self._observe, self._key)
        await self._thread.run(self._server.start())

    async def stop(self) -> None:
        """Close it."""
        thread, self._thread = self._thread, None
        if thread is not None and self._server is not None:
            await thread.run(self._server.stop(0))
            thread.stop()


_CLOSE_FAILED = 1
_PATIENCE = 1.0
"""Seconds beyond the grace that the main thread has to begin its part of the stop."""


class StartAborted(BaseException):
    """Raised inside the Executor's import or constructor when a stop is asked for; no `except Exception` holds it."""


def run_worker(plan: WorkerPlan, load: Callable[[], Any], parent: Parent) -> int:
    """Serve one Executor until the parent, SIGTERM or SIGINT asks for the stop; gives the exit code. Main thread only.

    `load` imports and constructs the Executor; it runs on the main thread inside the running user loop. The parent
    gives the sockets at whose other ends gateways are, at any time. It is told `{"phase": "ready", "addresses":
    [...], "versions": {...}}` and `{"phase": "draining", "reason": ...}`. What `load` raises, an Executor that cannot
    be served (`ConfigError`) and a taken port (`PortAlreadyUsed`) are raised here, after `close()` where there is an
    instance. The exit code is not 0 when `close()` raised or a handler ended the worker.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        return run_process_main(plan, parent, partial(WorkerProcess, plan, load, parent))
    finally:
        sys.setswitchinterval(interval)


class WorkerProcess(ProcessMain):
    """See `run_worker`."""

    def __init__(
        self,
        plan: WorkerPlan,
        load: Callable[[], Any],
        parent: Parent,
        loop: AbstractEventLoop,
        telemetry: Exporters,
    ) -> None:
        super().__init__(plan.name, parent, loop)
        self._plan = plan
        self._load = load
        self._loading = False
        self._stop_requests = 0
        self._telemetry = telemetry
        self._monitoring = MonitoringPort(plan.monitoring, self._stats.observe, plan.observe_key)
        self._probes = ProbePort(plan.probes)

    async def _serve(self) -> int:
        try:
            executor = self._loaded()
        except StartAborted:
            self._log.log(self._stop.level, "stopped while starting: %s", self._stop.reason)
            return self._stop.exit_code
        closed = True
        try:
            if not self._stop.requested:
                await self._serve_executor(executor)
        finally:
            closed = await close(executor, self._log)
        return self._stop.exit_code or (0 if closed else _CLOSE_FAILED)

    def _loaded(self) -> Any:
        """The Executor; a stop that is asked for meanwhile interrupts its constructor."""
        self._loading = True
        forget = self._stop.listen(self._count_stop_request)
        try:
            return self._load()
        finally:
            self._loading = False
            forget()

    def _count_stop_request(self, _: Stop) -> None:
        """Another thread cannot raise in the main thread, so it triggers the signal handler there."""
        if threading.current_thread() is not threading.main_thread():
            self._stop_requests += 1
            _thread.interrupt_main(signal.SIGTERM)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop_requests:
            self._stop_requests -= 1
        else:
            super()._on_signal(number, frame)
        if self._loading:
            self._loading = False
            raise StartAborted

    async def _serve_executor(self, executor: Any) -> None:
        # Requests from a gateway of this machine alone come on the handlers' own loop: a second one would cost
        # two changes of thread a request, a third of the worker's CPU.
        listeners = LoopThread("protocol") if self._plan.listeners else LoopHere(self._loop)
        if not self._plan.listeners and extension_of(executor) is not None:
            self._log.warning(
                "extend_http of %s has no effect: a gateway has the HTTP port (a class of your own: `gateway`)",
                type(executor).__name__,
            )
        try:
            service = service_of(
                executor, self._plan, protocol_loop=listeners.loop, user_loop=self._loop, give_up=self._give_up
            )
            self._telemetry.counts = service.counts
            if isinstance(service, StatefulService):
                self._report({"phase": "joining"})
                if not await self._unless_asked(listeners.run(service.start())):
                    return
            server = self._server(service)
            links = WorkerLinks(self._links, service, self._plan.max_message_size, listeners.loop)
            await listeners.run(server.start())
            await self._monitoring.start(service)
            await listeners.run(self._probes.start(service))
            service.watchdog.start()
            service.loop_timer.start()
            service.state = "ready"
            self._stats.source, self._stats.counts = service.stats, service.counts
            links.open()
            try:
                own = version_of(type(executor)) or self._plan.executor.version
                versions = {"version": __version__, "executor_version": own}
                self._report({"phase": "ready", "addresses": server.addresses, "versions": versions})
                self._log.debug("ready: %s", ", ".join(server.addresses))
                await self._wait_for_stop(executor, service, server, listeners)
            finally:
                service.state = "draining"
                service.loop_timer.stop()
                await listeners.run(self._probes.stop())
                try:
                    await self._drain(self._drain_gently(service, listeners, server, links))
                finally:
                    service.watchdog.stop()
                    service.dispatcher.stop()
                if isinstance(service, StatefulService):
                    await listeners.run(service.stop())
                service.state = "stopped"
        finally:
            await listeners.run(self._probes.stop())
            await self._monitoring.stop()
            listeners.stop()

    def _server(self, service: WorkerService) -> Server:
        plan = self._plan
        return serve(
            plan.listeners,
            service,
            http=plan.http,
            grpc_options=plan.grpc_server_options,
            limits=limits_of(plan),
            access=plan.access,
            apis=[*load(plan.http.apis if plan.listeners else ()), *console_of(plan, self._ask_service)],
            customise=extension_of(service.executor),
        )

    async def _wait_for_stop(
        self, executor: Any, service: WorkerService, server: Server, listeners: LoopThread | LoopHere
    ) -> None:
        patience = drain_delay(self._plan) + self._plan.grace + _PATIENCE
        limit = threading.Timer(patience, self._user_loop_is_stuck, [executor])
        limit.daemon = True

        def begin(_: Stop) -> None:
            if limit.ident is None:
                limit.start()

        forget = self._stop.listen(begin)
        try:
            await self._asked.wait()
            if (delay := self._delay(self._plan)) > 0:
                service.state = "leaving"
                listeners.loop.call_soon_threadsafe(server.leave)
                await self._stay_as_follower(delay, service, listeners)
        finally:
            forget()
            limit.cancel()

    async def _stay_as_follower(self, delay: float, service: WorkerService, listeners: LoopThread | LoopHere) -> None:
        """Go on for so long; another replica of a group leads meanwhile."""
        handing = None
        if isinstance(service, StatefulService):
            handing = asyncio.create_task(listeners.run(service.hand_over()))
        await self._stay(delay)
        if handing is not None:
            handing.cancel()

    def _user_loop_is_stuck(self, executor: Any) -> None:
        """An async handler blocks the main thread for longer than the grace: close from here, and leave."""
        self._log.error("an async handler blocks the loop of %s; leaving without it", self._plan.name)
        try:
            asyncio.run(close(executor, self._log))
        finally:
            os._exit(_CLOSE_FAILED)

    async def _drain_gently(
        self, service: WorkerService, listeners: LoopThread | LoopHere, server: Server, links: WorkerLinks
    ) -> None:
        grace = self._plan.grace
        deadline = time.monotonic() + grace
        listeners.loop.call_soon_threadsafe(service.flush)
        await asyncio.gather(listeners.run(server.stop(grace)), listeners.run(links.stop(grace)))
        rest = max(0.0, deadline - time.monotonic())
        if not await listeners.run(service.dispatcher.quiet(rest)):
            self._log.warning("%d handlers still run after %g s of grace", service.dispatcher.open, grace)

    def _give_up(self, reason: str, exit_code: int) -> None:
        self._stop.request_stop(reason, exit_code=exit_code)
