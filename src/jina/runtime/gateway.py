"""The life of a gateway process: starting, ready, draining, stopped. One loop, on the main thread.

Loads neither docarray nor numpy, and no user's class.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from jina.observe import exporters, logs
from jina.observe.exporters import Exporters
from jina.plan.plans import GatewayPlan
from jina.runtime.gateway_front import Custom, Front, front_of
from jina.runtime.gateway_hops import Hops
from jina.runtime.gateway_service import GatewayService
from jina.runtime.link_source import LinkSource
from jina.runtime.loops import run_life
from jina.runtime.pulse import LoopWatch
from jina.runtime.stop import Stop
from jina.runtime.vitals import Vitals

if TYPE_CHECKING:
    from jina.transport.server import Server

__all__ = ["Stop", "run_gateway"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_gateway(
    plan: GatewayPlan,
    report: Callable[[dict[str, Any]], None],
    stop: Stop | None = None,
    links: LinkSource | None = None,
    custom: Custom | None = None,
    vitals: Vitals | None = None,
) -> int:
    """Serve a graph until `stop` or SIGTERM or SIGINT; gives the exit code. To be called on the main thread.

    `links` gives the sockets of the local workers, at any time and again after a restart. `report` gets
    `{"phase": "waiting", "for": "names"}` until all workers have answered, `{"phase": "ready", "addresses": [...],
    "steps": ...}` (see `GatewayService.told`) when the ports are open, and `{"phase": "draining", "reason": ...}`.
    `custom` imports the user's own gateway class and gives it with its arguments. Raises `ConfigError` where
    neighbours do not fit, `PortAlreadyUsed`, and `RuntimeFailToStart` naming the workers that were silent until
    `timeout_ready`.
    """
    logs.setup(plan.log, plan.name)
    telemetry = exporters.start(plan.telemetry, plan.name)
    stop, links = stop or Stop(), links or LinkSource()

    def life_on(loop: AbstractEventLoop) -> _Life:
        life = _Life(plan, links, report, stop, loop, custom, telemetry)
        life.vitals = vitals or life.vitals
        return life

    try:
        return run_life(life_on)
    finally:
        links.close()
        telemetry.stop()


class _Life:
    def __init__(
        self,
        plan: GatewayPlan,
        links: LinkSource,
        report: Callable[[dict[str, Any]], None],
        stop: Stop,
        loop: AbstractEventLoop,
        custom: Custom | None,
        telemetry: Exporters,
    ) -> None:
        self._plan = plan
        self._custom = custom
        self._telemetry = telemetry
        self._monitoring: Server | None = None
        self._links = links
        self._report = report
        self._stop = stop
        self._loop = loop
        self._log = logs.get_logger(plan.name)
        self.vitals = Vitals()
        self._beats = 0
        self._loop_watch = LoopWatch(loop)
        self._signalled = False
        self._asked = asyncio.Event()
        self._hard = asyncio.Event()

    def _vitals_of(self, service: GatewayService) -> dict[str, int]:
        """For any thread: the numbers, and `beats`, which grows by the next question if the loop goes on."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._beat)
        return {**service.vitals(), "beats": self._beats, "silent_ms": round(1000 * self._loop_watch.silent)}

    def _beat(self) -> None:
        self._beats += 1

    async def run(self) -> int:
        forget = self._stop.listen(self._tell)
        hops = Hops(self._plan, self._links, self._report)
        service = GatewayService(self._plan, {})
        self._telemetry.counts = service.counts
        try:
            front = front_of(self._plan, service, self._custom, self._report, self._stop)
            if await self._started(hops, service):
                await self._serve(service, front)
        finally:
            forget()
            await hops.close()
        return self._stop.exit_code

    async def _started(self, hops: Hops, service: GatewayService) -> bool:
        """Whether all workers have answered before somebody asked to stop."""
        return await self._unless_asked(hops.connect(service))

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do what belongs to the start; says whether it was done before somebody asked to stop."""
        starting = asyncio.create_task(work)
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not starting.done():
                starting.cancel()
        if self._asked.is_set():
            self._log.log(self._stop.level, "stopped while starting: %s", self._stop.reason)
            await asyncio.wait({starting})
            return False
        await starting
        return True

    async def _serve(self, service: GatewayService, front: Front) -> None:
        started = False
        try:
            started = await self._unless_asked(self._open(front, service))
        finally:
            if not started:
                await self._close(front, 0)
        if not started:
            return
        service.state = "ready"
        self.vitals.source = partial(self._vitals_of, service)
        service.watch.start()
        self._loop_watch.start()
        try:
            self._report({"phase": "ready", "addresses": front.addresses, "steps": service.told})
            self._log.debug("ready: %s", ", ".join(front.addresses))
            await self._asked.wait()
        finally:
            service.state = "draining"
            service.watch.stop()
            self._loop_watch.stop()
            await self._drain(service, front)
            service.state = "stopped"

    async def _drain(self, service: GatewayService, server: Front) -> None:
        """Answer what is in flight within the grace time; a hard stop ends the waiting."""
        self._report({"phase": "draining", "reason": self._stop.reason})
        draining = asyncio.create_task(self._drain_gently(service, server))
        giving_up = asyncio.create_task(self._hard.wait())
        try:
            await asyncio.wait({draining, giving_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            giving_up.cancel()
        if not draining.done():
            draining.cancel()
        elif (error := draining.exception()) is not None:
            self._log.error("stopping the servers failed: %r", error, exc_info=error)

    async def _drain_gently(self, service: GatewayService, server: Front) -> None:
        grace = self._plan.grace
        deadline = time.monotonic() + grace
        service.hurry()
        await self._close(server, grace)
        if not await service.quiet(max(0.0, deadline - time.monotonic())):
            self._log.warning("floating branches were cut off after %g s of grace", grace)

    async def _open(self, front: Front, service: GatewayService) -> None:
        """All ports, or none."""
        await front.start()
        if self._plan.monitoring is not None:
            from jina.transport.monitoring import monitoring_server

            self._monitoring = monitoring_server(self._plan.monitoring, service)
            await self._monitoring.start()

    async def _close(self, front: Front, grace: float) -> None:
        """The port of the metrics last, so that the end can be watched."""
        await front.stop(grace)
        if self._monitoring is not None:
            await self._monitoring.stop(0)

    def _tell(self, stop: Stop) -> None:
        self._loop.call_soon_threadsafe(self._asked.set)
        if stop.hard:
            self._loop.call_soon_threadsafe(self._hard.set)

    @contextlib.contextmanager
    def signals(self) -> Generator[None]:
        """SIGTERM and SIGINT ask for the stop; the second one ends the process at once."""
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self._stop.request_stop(signal.Signals(number).name)
