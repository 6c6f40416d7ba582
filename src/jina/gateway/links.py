"""The ways from a gateway to its workers: made, traced, waited for, and made again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.errors import JinaError, RuntimeFailToStart
from jina.gateway.service import GatewayService
from jina.net.service import EndpointInfo, Hop, HopLost, Service
from jina.observe import logs, traces
from jina.plan.plans import GatewayPlan, HopPlan, NodePlan
from jina.runtime.process import LinkSource


def traced(hop: Hop, deployment: str) -> Hop:
    """The hop itself where no OpenTelemetry SDK is loaded."""
    return TracedHop(hop, deployment) if traces.active() else hop


class TracedHop:
    """See `Hop`: does what the other one does."""

    def __init__(self, hop: Hop, deployment: str) -> None:
        self.name = hop.name
        self._hop = hop
        self._deployment = deployment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hop, name)

    @property
    def up(self) -> bool:
        """See `Hop`."""
        return self._hop.up

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Hop`."""
        return await self._hop.describe()

    async def call(self, request: Request) -> Reply:
        """See `Hop`."""
        span, request = self._begun(request)
        failure: BaseException | None = None
        try:
            return await self._hop.call(request)
        except BaseException as error:
            failure = error
            raise
        finally:
            span.end(failure)

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Hop`."""
        span, request = self._begun(request)
        failure: BaseException | None = None
        replies = self._hop.stream(request)
        try:
            async for reply in replies:
                yield reply
        except Exception as error:
            failure = error
            raise
        finally:
            span.end(failure)
            aclose = getattr(replies, "aclose", None)
            if aclose is not None:
                await aclose()

    async def ready(self) -> None:
        """See `Hop`."""
        await self._hop.ready()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Hop`."""
        return await self._hop.metrics(openmetrics=openmetrics)

    def hurry(self) -> None:
        """See `Hop`."""
        self._hop.hurry()

    async def close(self) -> None:
        """See `Hop`."""
        await self._hop.close()

    def _begun(self, request: Request) -> tuple[traces.RequestSpan, Request]:
        attributes = {
            "jina.deployment": self._deployment,
            "jina.replica": self.name,
            "jina.request_id": request.request_id,
        }
        span = traces.begin(f"{self._deployment} {request.endpoint}", request.headers, attributes, sending=True)
        assert span is not None
        return span, replace(request, headers=span.headers(request.headers))


_PLAIN = (BytesPayload, ProtoPayload)
_ISOLATED = (*_PLAIN, JsonPayload)


class DirectHop:
    """A `Hop` to a service on the same loop.

    Documents cross as bytes, as between processes: no two Executors ever hold the same object.
    """

    def __init__(self, service: Service) -> None:
        self.name = service.name
        self._service = service

    @property
    def up(self) -> bool:
        """See `Hop`."""
        return self._service.ready

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Hop`."""
        return self._service.endpoints

    async def call(self, request: Request) -> Reply:
        """See `Hop`."""
        return await self._service.call(_isolated(request))

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Hop`."""
        return self._service.stream(_isolated(request))

    async def ready(self) -> None:
        """See `Hop`."""
        await self._service.dry_run()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Hop`."""
        return await self._service.metrics(openmetrics=openmetrics)

    def hurry(self) -> None:
        """See `Hop`."""
        if (hurry := getattr(self._service, "hurry", None)) is not None:
            hurry(on=True)

    async def close(self) -> None:
        """Nothing is held; the service is stopped by who made it."""


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
        self._newest: dict[str, Any] = {}
        """By worker: the hop whose link came last, None where the worker was taken out."""
        self._awaited: dict[str, asyncio.Event] = {}
        """By worker that has not described itself yet: set whenever a link comes."""
        self._open: set[Hop] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def connect(self, service: GatewayService) -> None:
        """Give the service its hops, and return when each has described itself.

        Raises `RuntimeFailToStart` after the `timeout_ready` of the plan.
        """
        self._service = service
        self._awaited = {name: asyncio.Event() for name in self._nodes}
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
        """Wait until a worker has described itself, however often it must be asked, or was taken out."""
        assert self._service is not None
        is_link = plan.kind == "link"
        hop: Any = None
        while True:
            hop = await self._link_after(hop, plan.name) if is_link else self._to_address(plan, node)
            if hop is None:
                break
            try:
                endpoints = await hop.describe()
            except HopLost as lost:
                self._log.debug("%s is not there yet: %s", plan.name, lost.message)
                await self._drop(hop)
                await asyncio.sleep(0 if is_link else _PAUSE)
                continue
            if not is_link or self._newest[plan.name] is hop:
                self._service.steps[node.name].put(hop, endpoints)
                break
            await self._drop(hop)  # the worker was started again meanwhile
        silent.discard(plan.name)
        self._tell(silent)
        if is_link:
            del self._awaited[plan.name]
            if hop is not None:
                self._links.on_use(plan.name)

    async def _link_after(self, last: Any, name: str) -> Any:
        """The hop of the newest link to an awaited worker, other than `last`; None where the worker was removed."""
        came = self._awaited[name]
        while name not in self._newest or (last is not None and self._newest[name] is last):
            came.clear()
            await came.wait()
        return self._newest[name]

    def _tell(self, silent: Collection[str]) -> None:
        names = sorted(silent)
        more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
        if names:
            self._report({"phase": "waiting", "for": ", ".join(names[:_SHOWN]) + more})

    def _to_address(self, plan: HopPlan, node: NodePlan) -> Hop:
        from jina.client.grpc_upstream import GrpcHop

        hop = traced(GrpcHop(plan, node, self._plan.max_message_size), node.name)
        self._open.add(hop)
        return hop

    def _came(self, name: str, sock: socket.socket | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, name, sock)
        except RuntimeError:
            if sock is not None:
                sock.close()  # the loop has ended

    def _take(self, name: str, sock: socket.socket | None) -> None:
        """A socket has come: of a worker that is awaited, that was restarted, or that is new; or a worker leaves."""
        from jina.ipc.client import LinkHop

        node = self._nodes.get(name) or self._node_of(name)
        if node is None:
            self._log.warning("a link to %s came, which is no part of this graph", name)
            if sock is not None:
                sock.close()
            return
        hop: Any = None
        if sock is not None:
            hop = traced(LinkHop(name, sock, self._plan.max_message_size), node.name)
            self._open.add(hop)
        before, self._newest[name] = self._newest.get(name), hop
        if name in self._awaited:
            self._awaited[name].set()
            if before is not None:
                self._in_background(self._drop(before))
        elif hop is None:
            self._remove(name, node)
        else:
            self._in_background(self._replace(name, node, hop))

    def _node_of(self, name: str) -> NodePlan | None:
        """The step that a further replica belongs to."""
        deployment = name.partition("/")[0]
        steps = (node for node in self._plan.graph.nodes if node.name == deployment)
        return next((node for node in steps if any(hop.kind == "link" for hop in node.hops)), None)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _replace(self, name: str, node: NodePlan, hop: Any) -> None:
        """Put a worker in the place of the one before, or beside the others, once it is ready."""
        assert self._service is not None
        started = time.monotonic()
        try:
            await hop.describe()
        except JinaError as error:
            self._log.debug("%s left before it was ready: %s", name, error.message)
            await self._drop(hop)
            return
        if self._newest[name] is not hop:
            await self._drop(hop)  # another link came meanwhile, or the worker was taken out
            return
        step = self._service.steps[node.name]
        old = step.put(hop)
        try:
            await self._service.learn(node.name)
        except JinaError as error:
            self._log.warning("the endpoints behind the gateway stay as they were: %s", error.message)
        self._links.on_use(name)
        self._log.info("%s is there after %.1f s", name, time.monotonic() - started)
        if old is not None:
            await self._left(old)

    def _remove(self, name: str, node: NodePlan) -> None:
        assert self._service is not None
        old = self._service.steps[node.name].remove(name)
        if old is not None:
            self._in_background(self._left(old))

    async def _left(self, hop: Any) -> None:
        """Keep a hop for as long as requests may be in flight on it: until its worker closes it."""
        await hop.lost()
        await self._drop(hop)

    async def _drop(self, hop: Hop) -> None:
        self._open.discard(hop)
        await hop.close()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
