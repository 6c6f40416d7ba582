"""The upstreams of a gateway: connected, awaited and replaced."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.errors import JinaError, RuntimeFailToStart
from jina.gateway.service import GatewayService
from jina.net.service import EndpointInfo, LocalService, Upstream, UpstreamUnavailable
from jina.observe import logs
from jina.plan.plans import GatewayPlan, NodePlan, UpstreamPlan
from jina.runtime.process import LinkInbox

if TYPE_CHECKING:
    from jina.ipc.client import LinkUpstream


_PLAIN = (BytesPayload, ProtoPayload)
_ISOLATED = (*_PLAIN, JsonPayload)


class InProcessUpstream:
    """An `Upstream` to a service on the same loop.

    Documents cross as bytes, as between processes: no two Executors ever hold the same object.
    """

    def __init__(self, service: LocalService) -> None:
        self.name = service.name
        self._service = service

    @property
    def up(self) -> bool:
        """See `Upstream`."""
        return self._service.up

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Upstream`."""
        return await self._service.describe()

    async def call(self, request: Request) -> Reply:
        """See `Upstream`."""
        return await self._service.call(_isolated(request))

    def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `Upstream`."""
        return self._service.stream(_isolated(request))

    async def ready(self) -> list[Route]:
        """See `Upstream`."""
        return await self._service.ready()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Upstream`."""
        return await self._service.metrics(openmetrics=openmetrics)

    def flush(self, *, on: bool = True) -> None:
        """See `Upstream`."""
        self._service.flush(on=on)

    async def close(self) -> None:
        """Nothing is held; the owner of the service stops it."""


def _isolated(request: Request) -> Request:
    branches = request.branches
    if branches is None and isinstance(request.payload, _PLAIN):
        return request
    if branches is not None:
        branches = [(name, _as_bytes(payload)) for name, payload in branches]
    return replace(request, payload=_as_bytes(request.payload), branches=branches)


def _as_bytes(payload: Payload) -> Payload:
    if isinstance(payload, JsonPayload):
        return payload.again()  # reading it leaves traces in it, and other threads may do so now
    return payload if isinstance(payload, _ISOLATED) else BytesPayload(payload.to_bytes())


_PAUSE = 0.2
"""Seconds between two questions to a worker whose start we do not see."""
_SHOWN = 5
"""Workers that are named while they are awaited."""


class UpstreamConnector:
    """Makes the upstreams of a plan: to addresses at once, to local workers when their sockets come."""

    def __init__(self, plan: GatewayPlan, links: LinkInbox, report: Callable[[dict[str, Any]], None]) -> None:
        self._plan = plan
        self._links = links
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._log = logs.get_logger(plan.name)
        self._service: GatewayService | None = None
        self._forget: Callable[[], None] = lambda: None
        self._nodes = {
            upstream.name: node for node in plan.graph.nodes for upstream in node.upstreams if upstream.kind == "link"
        }
        self._newest: dict[str, LinkUpstream | None] = {}
        """By worker: the upstream whose link came last, None where the worker was taken out."""
        self._awaited: dict[str, asyncio.Event] = {}
        """By worker that has not described itself yet: set whenever a link comes."""
        self._open: set[Upstream] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def connect(self, service: GatewayService) -> None:
        """Give the service its upstreams, and return when each has described itself.

        Raises `RuntimeFailToStart` after the `timeout_ready` of the plan.
        """
        self._service = service
        self._awaited = {name: asyncio.Event() for name in self._nodes}
        self._forget = self._links.listen(self._on_link)
        silent = {upstream.name for node in self._plan.graph.nodes for upstream in node.upstreams}
        self._report_waiting(silent)
        try:
            async with asyncio.timeout(self._plan.timeout_ready), asyncio.TaskGroup() as group:
                for node in self._plan.graph.nodes:
                    for upstream in node.upstreams:
                        group.create_task(self._wait_until_described(node, upstream, silent))
        except TimeoutError:
            raise RuntimeFailToStart(
                f"no answer from {', '.join(sorted(silent))} within the {self._plan.timeout_ready:g} s of timeout_ready"
            ) from None
        except BaseExceptionGroup as group_error:
            raise _first_error(group_error) from None
        await service.start()

    async def close(self) -> None:
        """Give up all upstreams."""
        self._forget()
        for task in self._background:
            task.cancel()
        for upstream in list(self._open):
            await upstream.close()

    async def _wait_until_described(self, node: NodePlan, plan: UpstreamPlan, silent: set[str]) -> None:
        """Wait until a worker has described itself, however often it must be asked, or was taken out."""
        assert self._service is not None
        is_link = plan.kind == "link"
        upstream: Upstream | None = None
        while True:
            upstream = await self._link_after(upstream, plan.name) if is_link else self._to_address(plan, node)
            if upstream is None:
                break
            try:
                endpoints = await upstream.describe()
            except UpstreamUnavailable as lost:
                self._log.debug("%s cannot be reached yet: %s", plan.name, lost.message)
                await self._drop(upstream)
                await asyncio.sleep(0 if is_link else _PAUSE)
                continue
            if not is_link or self._newest[plan.name] is upstream:
                self._service.steps[node.name].put(upstream, endpoints)
                break
            await self._drop(upstream)  # the worker was started again meanwhile
        silent.discard(plan.name)
        self._report_waiting(silent)
        if is_link:
            del self._awaited[plan.name]
            if upstream is not None:
                self._links.on_use(plan.name)

    async def _link_after(self, last: Upstream | None, name: str) -> LinkUpstream | None:
        """The upstream of the newest link to an awaited worker, other than `last`; None where it was removed."""
        arrived = self._awaited[name]
        while name not in self._newest or (last is not None and self._newest[name] is last):
            arrived.clear()
            await arrived.wait()
        return self._newest[name]

    def _report_waiting(self, silent: Collection[str]) -> None:
        names = sorted(silent)
        more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
        if names:
            self._report({"phase": "waiting", "for": ", ".join(names[:_SHOWN]) + more})

    def _to_address(self, plan: UpstreamPlan, node: NodePlan) -> Upstream:
        from jina.client.grpc import GrpcUpstream

        upstream = GrpcUpstream(plan, node, self._plan.max_message_size)
        self._open.add(upstream)
        return upstream

    def _on_link(self, name: str, sock: socket.socket | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, name, sock)
        except RuntimeError:
            if sock is not None:
                sock.close()  # the loop has ended

    def _take(self, name: str, sock: socket.socket | None) -> None:
        """Handle a new link: of a worker that is awaited, restarted or new; without a socket, a worker leaves."""
        from jina.ipc.client import LinkUpstream

        node = self._nodes.get(name) or self._node_of(name)
        if node is None:
            self._log.warning("a link to %s was closed: it is not part of this graph", name)
            if sock is not None:
                sock.close()
            return
        upstream = None
        if sock is not None:
            upstream = LinkUpstream(name, sock, self._plan.max_message_size)
            self._open.add(upstream)
        before, self._newest[name] = self._newest.get(name), upstream
        if name in self._awaited:
            self._awaited[name].set()
            if before is not None:
                self._in_background(self._drop(before))
        elif upstream is None:
            self._remove(name, node)
        else:
            self._in_background(self._replace(name, node, upstream))

    def _node_of(self, name: str) -> NodePlan | None:
        """The step that a further replica belongs to."""
        deployment = name.partition("/")[0]
        steps = (node for node in self._plan.graph.nodes if node.name == deployment)
        return next((node for node in steps if any(upstream.kind == "link" for upstream in node.upstreams)), None)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _replace(self, name: str, node: NodePlan, upstream: LinkUpstream) -> None:
        """Replace the previous upstream of a worker, or add a new one, once it is ready."""
        assert self._service is not None
        started = time.monotonic()
        try:
            await upstream.describe()
        except JinaError as error:
            self._log.debug("%s disconnected before it was ready: %s", name, error.message)
            await self._drop(upstream)
            return
        if self._newest[name] is not upstream:
            await self._drop(upstream)  # another link came meanwhile, or the worker was taken out
            return
        step = self._service.steps[node.name]
        old = step.put(upstream)
        try:
            await self._service.learn(node.name)
        except JinaError as error:
            self._log.warning("the gateway keeps its previous list of endpoints: %s", error.message)
        self._links.on_use(name)
        self._log.info("%s is connected after %.1f s", name, time.monotonic() - started)
        if old is not None:
            await self._close_when_lost(old)

    def _remove(self, name: str, node: NodePlan) -> None:
        assert self._service is not None
        old = self._service.steps[node.name].remove(name)
        if old is not None:
            self._in_background(self._close_when_lost(old))

    async def _close_when_lost(self, upstream: Upstream) -> None:
        """Keep an upstream for as long as requests may be in flight on it: until its worker closes it."""
        from jina.ipc.client import LinkUpstream

        if isinstance(upstream, LinkUpstream):
            await upstream.lost()
        await self._drop(upstream)

    async def _drop(self, upstream: Upstream) -> None:
        self._open.discard(upstream)
        await upstream.close()


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
