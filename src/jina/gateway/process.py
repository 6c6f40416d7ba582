"""The life of a gateway process: starting, ready, draining, stopped. One loop, on the main thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from jina.apis import load
from jina.errors import ConfigError
from jina.gateway.links import UpstreamConnector
from jina.gateway.service import GatewayService
from jina.observe import logs
from jina.observe.exporters import Exporters
from jina.plan.plans import AccessPlan, GatewayPlan, ListenerPlan
from jina.runtime.health import LoopTimer
from jina.runtime.process import Parent, ProcessMain, Report, Stop, console_of, run_process_main
from jina.version import __version__

if TYPE_CHECKING:
    from jina.gateway.custom import Gateway
    from jina.server.server import Server

Custom = Callable[[], tuple[type, dict[str, Any]]]
_FIRST_LOOK = 0.005
_LONGEST_PAUSE = 0.1
"""Seconds between two looks at a port that the user's server is to open."""
_CLOSING = 1.0
"""Seconds that `run_server` gets to return after `shutdown`, at least."""


class Frontend(Protocol):
    """Opens the ports of a gateway and closes them."""

    @property
    def addresses(self) -> list[str]:
        """`scheme://host:port` of each port that is open."""
        ...

    async def start(self) -> None:
        """Open all ports."""
        ...

    def leave(self) -> None:
        """Say that it is not ready, and go on."""
        ...

    async def stop(self, grace: float) -> None:
        """Close them; what is in flight gets `grace` seconds."""
        ...


def frontend_of(plan: GatewayPlan, service: GatewayService, custom: Custom | None, parent: Parent) -> Frontend:
    """The front of a plan; constructs the user's gateway, whose exceptions pass through."""
    if custom is not None:
        return CustomFrontend(plan, service, custom, parent.report, parent.stop)
    from jina.net.limits import limits_of
    from jina.server.server import serve

    return serve(
        plan.listeners,
        service,
        http=plan.http,
        grpc_options=plan.grpc_server_options,
        limits=limits_of(plan),
        access=plan.access,
        apis=[*load(plan.http.apis), *console_of(plan, parent.ask_service)],
    )


class CustomFrontend:
    """An instance of the user's gateway class: constructed, set up, run, shut down."""

    def __init__(self, plan: GatewayPlan, service: GatewayService, custom: Custom, report: Report, stop: Stop) -> None:
        from jina.gateway.custom import Gateway, GatewayContext, construct
        from jina.gateway.streamer import GatewayStreamer

        self._plan = plan
        self._service = service
        self._report = report
        self._stop = stop
        self._log = logs.get_logger(plan.name)
        self.addresses: list[str] = []
        self._running: Task[None] | None = None
        self._set_up = False
        cls, arguments = custom()
        self._name = cls.__name__
        if not issubclass(cls, Gateway):
            raise ConfigError(f"uses: {cls.__name__} is not a subclass of jina.Gateway")
        _check_ports(plan)
        report({"phase": "init"})
        self._streamer = GatewayStreamer.of_gateway(plan)
        GatewayStreamer.make_current(self._streamer)
        self._context = GatewayContext(plan, service, self._streamer, plan.grace)
        made: Any = construct(cls, self._context, arguments, _injected(plan))
        self._gateway: Gateway = made

    async def start(self) -> None:
        """Set the user's server up, run it, and wait until its ports are open.

        Raises what `setup_server` or `run_server` raise.
        """
        self._streamer.begin(self._service, asyncio.get_running_loop())
        self._report({"phase": "setup"})
        await self._gateway.setup_server()
        self._set_up = True
        if self._plan.access != AccessPlan() and not getattr(self._gateway, "keeps_access", False):
            raise ConfigError(
                f"api_keys, rate_limit: {self._name} runs its own server, which does not check them",
                help="override extend_http instead, or check them there and set keeps_access = True in the class",
            )
        self._running = running = asyncio.ensure_future(self._gateway.run_server())
        for listener in self._plan.listeners:
            await self._opened(listener, running)
            self.addresses.append(f"{_scheme(listener)}://{listener.host}:{listener.port}")
        running.add_done_callback(self._ended)

    async def _opened(self, listener: ListenerPlan, running: Task[None]) -> None:
        """Return when a process listens on the port: there is no other sign that the user's server is up."""
        host = "127.0.0.1" if listener.host in {"0.0.0.0", ""} else "::1" if listener.host == "::" else listener.host  # noqa: S104 - compared
        pause, result = _FIRST_LOOK, False
        while True:
            if running.done():
                running.result()
            try:
                _, writer = await asyncio.open_connection(host, listener.port)
            except OSError:
                pass
            else:
                writer.close()
                return
            if not result and pause >= _LONGEST_PAUSE:
                result = True
                self._report({"phase": "waiting", "for": f"{self._name} to listen on port {listener.port}"})
            # One that has returned may have left a server behind that is about to listen.
            await (asyncio.sleep(pause) if running.done() else asyncio.wait({running}, timeout=pause))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _ended(self, running: Task[None]) -> None:
        """A server that fails takes the process with it; one that ends by itself leaves the rest to `shutdown`."""
        if running.cancelled() or self._stop.requested:
            return
        error = running.exception()
        if error is None:
            self._log.debug("run_server of %s returned", self._name)
            return
        self._log.error("run_server of %s failed: %r", self._name, error, exc_info=error)
        self._stop.request_stop(f"run_server failed: {error!r}", exit_code=1)

    def leave(self) -> None:
        """Our own server says so; one of the user's has the `readyz` of `monitoring`, if any."""
        from jina.server.server import Server

        server = getattr(self._gateway, "server", None)
        if isinstance(server, Server):
            server.leave()

    async def stop(self, grace: float) -> None:
        """`shutdown()` within the grace time, then the end of `run_server`."""
        self._context.grace = grace
        deadline = time.monotonic() + grace
        running = self._running
        try:
            if self._set_up:
                await asyncio.wait_for(self._gateway.shutdown(), max(grace, _CLOSING))
            if running is not None:
                await asyncio.wait({running}, timeout=max(deadline - time.monotonic(), _CLOSING))
        except TimeoutError:
            self._log.warning("shutdown of %s was cut off after %g s of grace", self._name, grace)
        except Exception as error:  # noqa: BLE001 - the user's own code
            self._log.error("shutdown of %s failed: %r", self._name, error, exc_info=error)
        finally:
            if running is not None and not running.done():
                running.cancel()
                await asyncio.wait({running}, timeout=_CLOSING)
            if running is not None and running.done() and not running.cancelled():
                running.exception()  # seen: `_ended` told it, or the stop made it
            self._streamer.make_current(None)


def _check_ports(plan: GatewayPlan) -> None:
    """Raise `PortAlreadyUsed` for a port of another process, whose answer would pass for that of the user's server."""
    from jina.net.sockets import bind

    for listener in plan.listeners:
        bind(listener).close()


def _injected(plan: GatewayPlan) -> dict[str, Any]:
    """What the constructor gets beside the user's arguments."""
    arguments = {
        "name": plan.name,
        "host": plan.listeners[0].host if plan.listeners else "0.0.0.0",  # noqa: S104 - the default of all servers here
        "port": [listener.port for listener in plan.listeners],
        "protocol": [listener.protocol for listener in plan.listeners],
        "workspace": plan.workspace,
        "title": plan.http.title,
        "description": plan.http.description,
        "cors": plan.http.cors,
        "uvicorn_kwargs": dict(plan.http.uvicorn_kwargs),
        "grpc_server_options": dict(plan.grpc_server_options),
        "ssl_certfile": next((listener.tls.certfile for listener in plan.listeners if listener.tls), None),
        "ssl_keyfile": next((listener.tls.keyfile for listener in plan.listeners if listener.tls), None),
        "prefetch": plan.prefetch,
        "no_debug_endpoints": plan.http.no_debug_endpoints,
        "no_crud_endpoints": plan.http.no_crud_endpoints,
        "expose_endpoints": dict(plan.http.expose_endpoints),
        "log_level": plan.log.level,
        "log_config": None,
        "tracing": plan.telemetry.tracing,
    }
    metas = dict(plan.custom.metas) if plan.custom is not None else {}
    return {"name": plan.name, "runtime_args": arguments, "metas": metas}


def _scheme(listener: ListenerPlan) -> str:
    return {"grpc": "grpc", "http": "http", "websocket": "ws"}[listener.protocol] + ("s" if listener.tls else "")


def run_gateway(plan: GatewayPlan, parent: Parent, custom: Custom | None = None) -> int:
    """Serve a graph until the parent, SIGTERM or SIGINT asks for the stop; gives the exit code. Main thread only.

    The parent gives the sockets of the local workers, at any time and again after a restart. It is told
    `{"phase": "waiting", "for": "names"}` until all workers have answered, `{"phase": "ready", "addresses": [...],
    "steps": ...}` (see `GatewayService.step_endpoints`) when the ports are open, and `{"phase": "draining", "reason":
    ...}`. `custom` imports the user's own gateway class and gives it with its arguments. Raises `ConfigError` where
    neighbours do not fit, `PortAlreadyUsed`, and `RuntimeFailToStart` naming the workers that were silent until
    `timeout_ready`.
    """
    return run_process_main(plan, parent, partial(GatewayProcess, plan, custom, parent))


class GatewayProcess(ProcessMain):
    """See `run_gateway`."""

    def __init__(
        self,
        plan: GatewayPlan,
        custom: Custom | None,
        parent: Parent,
        loop: AbstractEventLoop,
        telemetry: Exporters,
    ) -> None:
        super().__init__(plan.name, parent, loop)
        self._plan = plan
        self._custom = custom
        self._parent = parent
        self._telemetry = telemetry
        self._monitoring: Server | None = None
        self._beats = 0
        self._loop_watch = LoopTimer(loop)

    def _stats_of(self, service: GatewayService) -> dict[str, int]:
        """For any thread: the numbers, and `beats`, which grows by the next question if the loop goes on."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._beat)
        return {**service.stats(), "beats": self._beats, "silent_ms": round(1000 * self._loop_watch.silent)}

    def _beat(self) -> None:
        self._beats += 1

    async def _serve(self) -> int:
        upstreams = UpstreamConnector(self._plan, self._links, self._report)
        service = GatewayService(self._plan, {})
        self._telemetry.counts = service.counts
        try:
            front = frontend_of(self._plan, service, self._custom, self._parent)
            if await self._unless_asked(upstreams.connect(service)):
                await self._serve_front(service, front)
        finally:
            await upstreams.close()
        return self._stop.exit_code

    async def _serve_front(self, service: GatewayService, front: Frontend) -> None:
        started = False
        try:
            started = await self._unless_asked(self._open(front, service))
        finally:
            if not started:
                await self._close(front, 0)
        if not started:
            return
        service.state = "ready"
        self._stats.source, self._stats.counts = partial(self._stats_of, service), service.counts
        self._stats.shape = service.shape
        service.health.start()
        service.scaling.listen(lambda: self._tell_parent({"wanted": service.scaling.wanted}))
        service.scaling.start()
        self._loop_watch.start()
        try:
            versions = {"version": __version__}
            self._report(
                {"phase": "ready", "addresses": front.addresses, "steps": service.step_endpoints, "versions": versions}
            )
            self._log.debug("ready: %s", ", ".join(front.addresses))
            await self._asked.wait()
            if (delay := self._delay(self._plan)) > 0:
                service.state = "leaving"
                front.leave()
                await self._stay(delay)
        finally:
            service.state = "draining"
            service.health.stop()
            service.scaling.stop()
            self._loop_watch.stop()
            await self._drain(self._drain_gently(service, front))
            service.state = "stopped"

    async def _drain_gently(self, service: GatewayService, server: Frontend) -> None:
        grace = self._plan.grace
        deadline = time.monotonic() + grace
        service.flush()
        await self._close(server, grace)
        if not await service.quiet(max(0.0, deadline - time.monotonic())):
            self._log.warning("floating branches were cut off after %g s of grace", grace)

    async def _open(self, front: Frontend, service: GatewayService) -> None:
        """All ports, or none."""
        await front.start()
        if self._plan.monitoring is not None:
            from jina.server.monitoring import monitoring_server

            self._monitoring = monitoring_server(self._plan.monitoring, service)
            await self._monitoring.start()

    async def _close(self, front: Frontend, grace: float) -> None:
        """The port of the metrics last, so that the end can be watched."""
        await front.stop(grace)
        if self._monitoring is not None:
            await self._monitoring.stop(0)
