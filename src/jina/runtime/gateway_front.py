"""What a gateway serves its ports with: a server of ours, or an instance of the user's class."""

from __future__ import annotations

import asyncio
import time
from asyncio import Task
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from jina.errors import ConfigError
from jina.observe import logs
from jina.plan.plans import AccessPlan, FacePlan, GatewayPlan

if TYPE_CHECKING:
    from jina.runtime.custom_gateway import Gateway
    from jina.runtime.gateway_service import GatewayService
    from jina.runtime.stop import Stop

Custom = Callable[[], tuple[type, dict[str, Any]]]
Report = Callable[[dict[str, Any]], None]

_FIRST_LOOK = 0.005
_LONGEST_PAUSE = 0.1
"""Seconds between two looks at a port that the user's server shall open."""
_CLOSING = 1.0
"""Seconds that `run_server` gets to return after `shutdown`, at least."""


class Front(Protocol):
    """Opens the ports of a gateway and closes them."""

    @property
    def addresses(self) -> list[str]:
        """`scheme://host:port` of each port that is open."""
        ...

    async def start(self) -> None:
        """Open all ports."""
        ...

    async def stop(self, grace: float) -> None:
        """Close them; what is in flight gets `grace` seconds."""
        ...


def front_of(plan: GatewayPlan, service: GatewayService, custom: Custom | None, report: Report, stop: Stop) -> Front:
    """The front of a plan; constructs the user's gateway, whose exceptions pass through."""
    if custom is not None:
        return CustomFront(plan, service, custom, report, stop)
    from jina.transport.limits import limits_of
    from jina.transport.server import serve

    return serve(
        plan.faces,
        service,
        http=plan.http,
        grpc_options=plan.grpc_server_options,
        limits=limits_of(plan),
        prefetch=plan.prefetch,
        access=plan.access,
    )


class CustomFront:
    """An instance of the user's gateway class: constructed, set up, run, shut down."""

    def __init__(self, plan: GatewayPlan, service: GatewayService, custom: Custom, report: Report, stop: Stop) -> None:
        from jina.runtime import custom_gateway, custom_gateway_base
        from jina.runtime.gateway_streamer import GatewayStreamer

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
        if not issubclass(cls, custom_gateway.Gateway):
            raise ConfigError(f"uses: {cls.__name__} is no subclass of jina.Gateway")
        _check_ports(plan)
        report({"phase": "init"})
        self._streamer = GatewayStreamer.of_gateway(plan)
        GatewayStreamer.make_current(self._streamer)
        self._surroundings = custom_gateway_base.Surroundings(plan, service, self._streamer, plan.grace)
        made: Any = custom_gateway_base.construct(cls, self._surroundings, arguments, _injected(plan))
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
                f"api_keys, rate_limit: {self._name} serves with a server of its own, which does not heed them",
                help="override extend_http instead, or heed them there and say so: keeps_access = True in the class",
            )
        self._running = running = asyncio.ensure_future(self._gateway.run_server())
        for face in self._plan.faces:
            await self._opened(face, running)
            self.addresses.append(f"{_scheme(face)}://{face.host}:{face.port}")
        running.add_done_callback(self._ended)

    async def _opened(self, face: FacePlan, running: Task[None]) -> None:
        """Return when somebody listens on the port: nothing else tells that the user's server is there."""
        host = "127.0.0.1" if face.host in {"0.0.0.0", ""} else "::1" if face.host == "::" else face.host  # noqa: S104 - compared
        pause, told = _FIRST_LOOK, False
        while True:
            if running.done():
                running.result()
            try:
                _, writer = await asyncio.open_connection(host, face.port)
            except OSError:
                pass
            else:
                writer.close()
                return
            if not told and pause >= _LONGEST_PAUSE:
                told = True
                self._report({"phase": "waiting", "for": f"{self._name} to listen on port {face.port}"})
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

    async def stop(self, grace: float) -> None:
        """`shutdown()` within the grace time, then the end of `run_server`."""
        self._surroundings.grace = grace
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
    from jina.transport.server_sockets import bind

    for face in plan.faces:
        bind(face).close()


def _injected(plan: GatewayPlan) -> dict[str, Any]:
    """What the constructor gets beside the user's arguments."""
    arguments = {
        "name": plan.name,
        "host": plan.faces[0].host if plan.faces else "0.0.0.0",  # noqa: S104 - the default of all servers here
        "port": [face.port for face in plan.faces],
        "protocol": [face.protocol for face in plan.faces],
        "workspace": plan.workspace,
        "title": plan.http.title,
        "description": plan.http.description,
        "cors": plan.http.cors,
        "uvicorn_kwargs": dict(plan.http.uvicorn_kwargs),
        "grpc_server_options": dict(plan.grpc_server_options),
        "ssl_certfile": next((face.tls.certfile for face in plan.faces if face.tls), None),
        "ssl_keyfile": next((face.tls.keyfile for face in plan.faces if face.tls), None),
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


def _scheme(face: FacePlan) -> str:
    return {"grpc": "grpc", "http": "http", "websocket": "ws"}[face.protocol] + ("s" if face.tls else "")
