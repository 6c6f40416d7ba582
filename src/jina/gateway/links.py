"""The upstreams of a gateway: connected, awaited and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.errors import JinaError, RuntimeFailToStart
from jina.gateway.service import GatewayService
from jina.net.service import EndpointInfo, Load, LocalService, Upstream, UpstreamUnavailable
from jina.observe import logs
from jina.plan.plans import GatewayPlan, NodePlan, UpstreamPlan
from jina.routing.addresses import Action, Addresses, Roster
from jina.runtime.process import LinkInbox

if TYPE_CHECKING:
    from jina.client.grpc import GrpcUpstream
    from jina.gateway.replicas import Replicas
    from jina.gateway.resolvers import Resolver
    from jina.gateway.shards import Shards
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

    @property
    def received(self) -> int:
        """See `Upstream`."""
        return 0

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

    @property
    def waiting(self) -> int:
        """See `Upstream`."""
        return 0

    async def load(self) -> Load | None:
        """See `Upstream`."""
        return None

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Upstream`."""
        return await self._service.metrics(openmetrics=openmetrics)

    def flush(self, *, on: bool = True) -> None:
        """See `Upstream`."""
        self._service.flush(on=on)

    def throttle(self, *, on: bool = True) -> None:
        """See `Upstream`."""
        self._service.throttle(on=on)

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


_MAY_BE_NONE = 2.0
"""Seconds in which replicas that may all have been ended are looked for at the start."""
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
        self._groups: list[DiscoveredReplicas] = []
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
                        found = self._discovered(node, upstream)
                        if found is not None:
                            group.create_task(self._wait_until_found(found, upstream.name, silent))
                        else:
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
        for group in self._groups:
            await group.close()
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
            upstream = await self._link_after(upstream, plan.name) if is_link else self.to_address(plan, node)
            if upstream is None:
                break
            try:
                endpoints = await upstream.describe()
            except UpstreamUnavailable as lost:
                self._log.debug("%s cannot be reached yet: %s", plan.name, lost.message)
                await self.drop(upstream)
                await asyncio.sleep(0 if is_link else _PAUSE)
                continue
            if not is_link or self._newest[plan.name] is upstream:
                self._service.steps[node.name].put(upstream, endpoints)
                break
            await self.drop(upstream)  # the worker was started again meanwhile
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

    def to_address(self, plan: UpstreamPlan, node: NodePlan) -> GrpcUpstream:
        """A connection to an address, given up by `drop`."""
        from jina.client.grpc import GrpcUpstream

        upstream = GrpcUpstream(plan, node, self._plan.max_message_size)
        self._open.add(upstream)
        return upstream

    async def _wait_until_found(self, group: DiscoveredReplicas, name: str, silent: set[str]) -> None:
        """Wait until one of the replicas behind a name serves; they are followed from now on."""
        self._groups.append(group)
        group.start()
        # One whose replicas come and go may have none now: requests wait for the first.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if group.needed else _MAY_BE_NONE):
                await group.first.wait()
        silent.discard(name)
        self._report_waiting(silent)

    def _discovered(self, node: NodePlan, plan: UpstreamPlan) -> DiscoveredReplicas | None:
        """The replicas behind a name; None where the plan says where a single one is."""
        if plan.kind == "link" or (plan.kind == "grpc" and not os.environ.get("KUBERNETES_SERVICE_HOST")):
            return None
        from jina.gateway.resolvers import resolver_of

        assert self._service is not None
        group = DiscoveredReplicas(plan, node, self._service, self)
        resolver = resolver_of(plan, node.resolve_interval, group.found)
        if resolver is None:
            return None
        group.resolver = resolver
        return group

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
                self.in_background(self.drop(before))
        elif upstream is None:
            self._remove(name, node)
        else:
            self.in_background(self._replace(name, node, upstream))

    def _node_of(self, name: str) -> NodePlan | None:
        """The step that a further replica belongs to."""
        deployment = name.partition("/")[0]
        steps = (node for node in self._plan.graph.nodes if node.name == deployment)
        return next((node for node in steps if any(upstream.kind == "link" for upstream in node.upstreams)), None)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside other things, until the gateway ends."""
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
            await self.drop(upstream)
            return
        if self._newest[name] is not upstream:
            await self.drop(upstream)  # another link came meanwhile, or the worker was taken out
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
            self.in_background(self._close_when_lost(old))

    async def _close_when_lost(self, upstream: Upstream) -> None:
        """Keep an upstream for as long as requests may be in flight on it: until its worker closes it."""
        from jina.ipc.client import LinkUpstream

        if isinstance(upstream, LinkUpstream):
            await upstream.lost()
        await self.drop(upstream)

    async def drop(self, upstream: Upstream) -> None:
        """End a connection."""
        self._open.discard(upstream)
        await upstream.close()


_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two attempts to reach an address behind a name: one that is ready gets requests a second later."""
_LOOK = 0.1
"""Seconds between two looks at what is about to be closed."""


class DiscoveredReplicas:
    """The replicas of a step behind one name: dialled when they come, drained when they go. For one loop.

    What becomes of each address is decided in `routing.addresses.Roster`.
    """

    resolver: Resolver
    """To be set before `start`."""

    def __init__(
        self, plan: UpstreamPlan, node: NodePlan, service: GatewayService, connector: UpstreamConnector
    ) -> None:
        self._plan = plan
        self._node = node
        self._service = service
        self._connector = connector
        self._prefix = plan.name.rpartition("/")[0]
        self._host = plan.address.rpartition(":")[0]
        several = sum(one.kind != "link" for one in node.upstreams) > 1
        self._suffix = f"@{self._host}" if several else ""  # two names may have an address in common
        self._log = logs.get_logger("jina.gateway")
        self._roster = Roster()
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._upstreams: dict[str, tuple[GrpcUpstream, Mapping[str, EndpointInfo]]] = {}
        """By address, of those that serve or drain, with the endpoints that each told."""
        self._looking: asyncio.Task[None] | None = None
        self.needed = node.autoscale is None
        """Whether there has to be one before requests can come."""
        self.first = asyncio.Event()
        """Set when one of them serves, or, where none is needed, is there."""

    def start(self) -> None:
        """Look for them."""
        self.resolver.start()

    async def close(self) -> None:
        """Follow them no longer; the connections stay."""
        await self.resolver.close()
        tasks = [*self._dialling.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def found(self, addresses: Addresses) -> None:
        """These are all from now on."""
        self._log.debug("%s: %s", self._plan.address, ", ".join(f"{one} {addresses[one]}".strip() for one in addresses))
        self._do(self._roster.found(list(addresses)))
        if not addresses and not self.needed:
            self.first.set()

    def _do(self, actions: Sequence[Action]) -> None:
        for verb, address in actions:
            match verb:
                case "dial":
                    self._dialling[address] = asyncio.get_running_loop().create_task(self._dial(address))
                case "give_up":
                    self._dialling.pop(address).cancel()
                case "serve":
                    self._step.put(*self._upstreams[address])
                    self.first.set()
                    self._log.info("%s gets requests", self._name(address))
                case "drain":
                    self._step.remove(self._name(address))
                    self._log.info("%s gets no more requests", self._name(address))
                case "close":
                    self._connector.in_background(self._connector.drop(self._upstreams.pop(address)[0]))
        serving = (self._upstreams[address][1] for address in self._roster.serving)
        if any(not self._service.knows(self._node.name, endpoints) for endpoints in serving):
            self._connector.in_background(self._learn())
        if self._looking is None and self._roster.leaving:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    @property
    def _step(self) -> Replicas | Shards:
        return self._service.steps[self._node.name]

    def _name(self, address: str) -> str:
        return f"{self._prefix}/{address}{self._suffix}"

    async def _dial(self, address: str) -> None:
        """Connect until the address answers; it may be told before anything listens there."""
        plan = replace(self._plan, kind="grpc", name=self._name(address), address=address, authority=self._host)
        pause, said = _FIRST_PAUSE, ""
        while True:
            upstream = self._connector.to_address(plan, self._node)
            try:
                endpoints = await upstream.describe()
                break
            except UpstreamUnavailable as lost:
                self._log.debug("%s cannot be reached yet: %s", plan.name, lost.message)
                await self._connector.drop(upstream)
            except JinaError as error:
                if error.message != said:
                    self._log.warning("%s gets no requests: %s", plan.name, error.message)
                said = error.message
                await self._connector.drop(upstream)
            except BaseException:
                self._connector.in_background(self._connector.drop(upstream))
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        del self._dialling[address]
        self._upstreams[address] = (upstream, endpoints)
        self._do(self._roster.answered(address))

    async def _learn(self) -> None:
        try:
            await self._service.learn(self._node.name)
        except JinaError as error:
            self._log.warning("the gateway keeps its previous list of endpoints: %s", error.message)

    async def _look(self) -> None:
        """Close what drains when its last request has ended, or its machine."""
        while leaving := self._roster.leaving:
            for address in leaving:
                self._upstreams[address][0].lose_if_gone()
                if self._step.is_idle(self._name(address)):
                    self._do(self._roster.idle(address))
            for address in self._roster.replaced:
                if not self._upstreams[address][0].up:
                    self._do(self._roster.lost(address))
            await asyncio.sleep(_LOOK)
        self._looking = None


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
