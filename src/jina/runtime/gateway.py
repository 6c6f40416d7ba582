"""The life of a gateway process: starting, ready, draining, stopped. One loop, on the main thread.

Loads neither docarray nor numpy, and no user's class.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jina.errors import JinaError, NotSupportedError, RuntimeFailToStart
from jina.observe import logs
from jina.plan.plans import GatewayPlan, HopPlan, NodePlan
from jina.runtime.gateway_service import GatewayService
from jina.runtime.link_source import LinkSource
from jina.runtime.loops import finish, new_loop
from jina.runtime.stop import Stop
from jina.transport.hop import Hop, HopLost
from jina.transport.server import Server, serve

__all__ = ["Stop", "run_gateway"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PAUSE = 0.2
"""Seconds between two questions to a worker whose start we do not see."""
_SHOWN = 5
"""Workers that are named while they are awaited."""


def run_gateway(
    plan: GatewayPlan,
    report: Callable[[dict[str, Any]], None],
    stop: Stop | None = None,
    links: LinkSource | None = None,
    custom: Callable[[], tuple[type, dict[str, Any]]] | None = None,
) -> int:
    """Serve a graph until `stop` or SIGTERM or SIGINT; gives the exit code. To be called on the main thread.

    `links` gives the sockets of the local workers, at any time and again after a restart. `report` gets
    `{"phase": "waiting", "for": "names"}` until all workers have answered, `{"phase": "ready", "addresses": [...]}`
    when the ports are open, and `{"phase": "draining", "reason": ...}`. `custom` imports the user's own gateway
    class and gives it with its arguments. Raises `ConfigError` where neighbours do not fit, `PortAlreadyUsed`, and
    `RuntimeFailToStart` naming the workers that were silent until `timeout_ready`.
    """
    if custom is not None:
        raise NotSupportedError("gateway classes of your own are not available yet")
    logs.setup(plan.log, plan.name)
    stop, links = stop or Stop(), links or LinkSource()
    loop = new_loop()
    asyncio.set_event_loop(loop)
    life = _Life(plan, links, report, stop, loop)
    try:
        with life.signals():
            code = loop.run_until_complete(life.run())
            finish(loop)
            return code
    finally:
        asyncio.set_event_loop(None)
        links.close()
        loop.close()


class _Life:
    def __init__(
        self,
        plan: GatewayPlan,
        links: LinkSource,
        report: Callable[[dict[str, Any]], None],
        stop: Stop,
        loop: AbstractEventLoop,
    ) -> None:
        self._plan = plan
        self._links = links
        self._report = report
        self._stop = stop
        self._loop = loop
        self._log = logs.get_logger(plan.name)
        self._signalled = False
        self._asked = asyncio.Event()
        self._hard = asyncio.Event()

    async def run(self) -> int:
        forget = self._stop.listen(self._tell)
        hops = Hops(self._plan, self._links, self._report)
        service = GatewayService(self._plan, {})
        try:
            if await self._started(hops, service):
                await self._serve(service)
        finally:
            forget()
            await hops.close()
        return self._stop.exit_code

    async def _started(self, hops: Hops, service: GatewayService) -> bool:
        """Whether all workers have answered before somebody asked to stop."""
        starting = asyncio.create_task(hops.connect(service))
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not starting.done():
                starting.cancel()
        if self._asked.is_set():
            self._log.info("stopped while starting: %s", self._stop.reason)
            await asyncio.wait({starting})
            return False
        await starting
        return True

    async def _serve(self, service: GatewayService) -> None:
        plan = self._plan
        server = serve(
            plan.faces,
            service,
            http=plan.http,
            grpc_options=plan.grpc_server_options,
            max_message_size=plan.max_message_size,
            prefetch=plan.prefetch,
        )
        await server.start()
        service.state = "ready"
        try:
            self._report({"phase": "ready", "addresses": server.addresses})
            self._log.debug("ready: %s", ", ".join(server.addresses))
            await self._asked.wait()
        finally:
            service.state = "draining"
            await self._drain(service, server)
            service.state = "stopped"

    async def _drain(self, service: GatewayService, server: Server) -> None:
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

    async def _drain_gently(self, service: GatewayService, server: Server) -> None:
        grace = self._plan.grace
        deadline = time.monotonic() + grace
        await server.stop(grace)
        if not await service.quiet(max(0.0, deadline - time.monotonic())):
            self._log.warning("floating branches were cut off after %g s of grace", grace)

    def _tell(self, stop: Stop) -> None:
        self._loop.call_soon_threadsafe(self._asked.set)
        if stop.hard:
            self._loop.call_soon_threadsafe(self._hard.set)

    @contextmanager
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


class Hops:
    """Makes the hops of a plan: to addresses at once, to local workers when their sockets come."""

    def __init__(self, plan: GatewayPlan, links: LinkSource, report: Callable[[dict[str, Any]], None]) -> None:
        self._plan = plan
        self._links = links
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._log = logs.get_logger(plan.name)
        self._service: GatewayService | None = None
        self._forget: Callable[[], None] = lambda: None
        self._nodes = {hop.name: node for node in plan.graph.nodes for hop in node.hops if hop.kind == "link"}
        self._waiting: dict[str, asyncio.Future[Hop]] = {}
        self._open: set[Hop] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def connect(self, service: GatewayService) -> None:
        """Give the service its hops, and return when each has described itself.

        Raises `RuntimeFailToStart` after the `timeout_ready` of the plan.
        """
        self._service = service
        self._waiting = {name: self._loop.create_future() for name in self._nodes}
        self._forget = self._links.listen(self._came)
        silent = {hop.name for node in self._plan.graph.nodes for hop in node.hops}
        self._tell(silent)
        try:
            async with asyncio.timeout(self._plan.timeout_ready), asyncio.TaskGroup() as group:
                for node in self._plan.graph.nodes:
                    for hop in node.hops:
                        group.create_task(self._met(node, hop, silent))
        except TimeoutError:
            raise RuntimeFailToStart(
                f"no answer from {', '.join(sorted(silent))} within the {self._plan.timeout_ready:g} s of timeout_ready"
            ) from None
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from None
        await service.start()

    async def close(self) -> None:
        """Give up all hops."""
        self._forget()
        for task in self._background:
            task.cancel()
        for hop in list(self._open):
            await hop.close()

    async def _met(self, node: NodePlan, plan: HopPlan, silent: set[str]) -> None:
        """Wait until a worker has described itself, however often it must be asked."""
        assert self._service is not None
        while True:
            hop = await self._waiting[plan.name] if plan.kind == "link" else self._to_address(plan, node)
            try:
                await hop.describe()
            except HopLost as lost:
                self._log.debug("%s is not there yet: %s", plan.name, lost.message)
                await self._drop(hop)
                if plan.kind == "link" and self._waiting[plan.name].done():
                    self._waiting[plan.name] = self._loop.create_future()
                await asyncio.sleep(_PAUSE)
                continue
            silent.discard(plan.name)
            self._tell(silent)
            self._service.steps[node.name].put(hop)
            return

    def _tell(self, silent: Collection[str]) -> None:
        names = sorted(silent)
        more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
        if names:
            self._report({"phase": "waiting", "for": ", ".join(names[:_SHOWN]) + more})

    def _to_address(self, plan: HopPlan, node: NodePlan) -> Hop:
        from jina.transport.grpc_hop import GrpcHop

        hop: Hop = GrpcHop(plan, node, self._plan.max_message_size)
        self._open.add(hop)
        return hop

    def _came(self, name: str, sock: socket.socket) -> None:
        self._loop.call_soon_threadsafe(self._take, name, sock)

    def _take(self, name: str, sock: socket.socket) -> None:
        """A socket has come: of a worker that is awaited, or that was restarted."""
        from jina.transport.link_hop import LinkHop

        if name not in self._nodes:
            self._log.warning("a link to %s came, which is no part of this graph", name)
            sock.close()
            return
        hop: Hop = LinkHop(name, sock, self._plan.max_message_size)
        self._open.add(hop)
        waiting = self._waiting[name]
        if not waiting.done():
            waiting.set_result(hop)
            return
        task = self._loop.create_task(self._replace(name, hop))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _replace(self, name: str, hop: Hop) -> None:
        """Put a restarted worker in the place of the one before, once it is ready."""
        assert self._service is not None
        started = time.monotonic()
        try:
            await hop.describe()
        except JinaError as error:
            self._log.warning("the restarted %s did not answer: %s", name, error.message)
            await self._drop(hop)
            return
        old = self._service.steps[self._nodes[name].name].put(hop)
        self._log.info("%s is back after %.1f s", name, time.monotonic() - started)
        if old is not None:
            await self._drop(old)

    async def _drop(self, hop: Hop) -> None:
        self._open.discard(hop)
        await hop.close()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
