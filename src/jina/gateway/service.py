"""A gateway as a `Service`: requests walk the graph of Deployments as the bytes that they are."""

from __future__ import annotations

import asyncio
import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Literal

from jina.codec.messages import Reply, Request, Route
from jina.errors import JinaError, Unavailable
from jina.gateway.discovery import answers, check_edges, merged_endpoints, passes_all
from jina.gateway.graph_runner import Cut, Journeys, cut, stream, travel
from jina.gateway.replicas import Replicas, Watch, size_of, worker_metrics
from jina.gateway.shards import Shards, has_parts
from jina.net.service import EndpointInfo, Hop
from jina.observe import logs, traces
from jina.observe.metrics import EndpointMetrics, Metrics, merged
from jina.plan.plans import GatewayPlan, NodePlan
from jina.routing.graph import Graph
from jina.routing.graph import Route as Path
from jina.runtime.admission import Room
from jina.runtime.process import LARGE, Spare

_WAYS = 1000
"""Endpoints whose way is remembered."""
State = Literal["starting", "ready", "draining", "stopped"]


class Way:
    """What the requests to one endpoint have in common."""

    __slots__ = ("counts", "cut", "floats", "path")

    def __init__(self, path: Path, counts: EndpointMetrics) -> None:
        self.path = path
        self.counts = counts
        self.floats = any(step.floating for step in path.steps.values())
        self.cut: Cut | None = None


class GatewayService:
    """Answers requests by sending them through the graph; `hops` are the replicas of each step by its name.

    All methods are for one loop. `start` must have returned before requests come. Raises `ConfigError` for a graph
    that cannot be walked.
    """

    forwards = True

    def __init__(self, plan: GatewayPlan, hops: Mapping[str, Sequence[Hop]]) -> None:
        self.name = "gateway"
        self.state: State = "starting"
        self.counts = Metrics(f"{plan.name}/rep-0")  # as Jina 3 labels the only process of a gateway
        self.counts.restarts = plan.restart.count
        self._plan = plan.graph
        self._graph = Graph(plan.graph)
        self.steps = {node.name: self._step(node, hops.get(node.name, ())) for node in plan.graph.nodes}
        self.watch = Watch(self.steps)
        """Not started here: it is for gateways with processes behind them."""
        self.counts.ready = lambda: self.ready
        for part in (part for step in self.steps.values() for part in step.parts if part.plan.hops):
            self.counts.hop(part.name).up = partial(self.watch.replicas, part)
        self._journeys = Journeys(self.steps, logs.get_logger(plan.name))
        self._known: dict[str, Mapping[str, EndpointInfo]] = {}
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self._open = 0
        self._room = Room(self.name, plan.max_inflight)
        self._spare = Spare()

    def _step(self, node: NodePlan, hops: Sequence[Hop]) -> Replicas | Shards:
        if has_parts(node):
            return Shards(node, hops, self.counts.hop)
        return Replicas(node, hops, self.counts.hop(node.name))

    @property
    def endpoints(self) -> Mapping[str, EndpointInfo]:
        """By path, merged from those of all steps."""
        return self._endpoints

    @property
    def told(self) -> dict[str, list[tuple[str, str, str, bool]]]:
        """By step: path, names of input and output class, and whether it streams, of each endpoint of the Executor."""
        return {
            name: [(one.path, one.input_name, one.output_name, one.is_generator) for one in known.values()]
            for name, known in self._known.items()
            if not passes_all(known)
        }

    @property
    def ready(self) -> bool:
        """True while requests are welcome and every Deployment has a replica that is up."""
        return self.state == "ready" and all(self.watch.serves(step) for step in self.steps.values())

    @property
    def checks(self) -> dict[str, bool]:
        """What `ready` depends on, by name: each Deployment, of which one replica suffices, and its replicas."""
        return {"workers-known": self.state == "ready", **self.watch.checks()}

    @property
    def started(self) -> bool:
        """True once all steps have told their endpoints."""
        return self.state != "starting"

    async def start(self) -> None:
        """Ask all hops for their endpoints.

        Raises `ConfigError` where neighbours do not fit, and what the hops raise.
        """
        told = await asyncio.gather(*(step.describe() for step in self.steps.values()))
        self._known = dict(zip(self.steps, told, strict=True))
        check_edges(self._plan, self._known)
        self._endpoints = merged_endpoints(self._plan, self._known)
        self.state = "ready"

    async def learn(self, step: str) -> None:
        """Ask a step again for its endpoints, which count from now on; raises what `start` raises.

        Before the service is started nothing is asked: `start` does.
        """
        if self.state == "starting":
            return
        endpoints = await self.steps[step].describe()
        if endpoints == self._known.get(step):
            return
        known = {**self._known, step: endpoints}
        check_edges(self._plan, known)
        self._known, self._endpoints = known, merged_endpoints(self._plan, known)
        self._ways.clear()

    def freed(self) -> None:
        """Much memory was let go of: give it back to the system soon."""
        self._spare.used()

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError` with `deployment` and `routes`. Cancelling cancels all the work."""
        logs.request_id.set(request.request_id)
        return await (self._traced(request) if traces.active() else self._answer(request))

    async def _traced(self, request: Request) -> Reply:
        span = self._span(request)
        failure: BaseException | None = None
        try:
            return await self._answer(request)
        except BaseException as error:
            failure = error
            raise
        finally:
            span.end(failure)

    def _span(self, request: Request) -> traces.RequestSpan:
        """Of a request in this gateway; what is sent on tells its parent by the headers."""
        attributes = {"jina.process": self.name, "jina.request_id": request.request_id}
        span = traces.begin(request.endpoint, request.headers, attributes)
        assert span is not None
        request.headers = span.headers(request.headers)
        return span

    async def _answer(self, request: Request) -> Reply:
        way = self._way_of(request)
        counts = way.counts
        size = size_of(request.payload)
        counts.received.observe(size)
        if size >= LARGE:
            self._spare.used()
        counts.in_flight += 1
        self._open += 1
        began = time.perf_counter()
        whole = Route(self.name, time.time(), 0.0)
        routes = [whole]
        failure: BaseException | None = None
        try:
            reply = await travel(self._journeys, way.path, request, routes)
            whole.end_time = time.time()
            counts.sent.observe(size_of(reply.payload))
            reply.routes = routes
            self._room.ended(time.perf_counter() - began)
            return reply
        except JinaError as error:
            failure = error
            error.routes = _ended(routes)
            raise
        except CancelledError as error:
            failure = error
            raise
        finally:
            self._open -= 1
            counts.in_flight -= 1
            counts.ended(time.perf_counter() - began, _name_of(failure))

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        """Answer with a stream; closing it closes the generators in the workers.

        Raises `BadRequest` where no step yields.
        """
        logs.request_id.set(request.request_id)
        way = self._way_of(request)
        if way.cut is None:
            yields = {name: self._yields(name, request.endpoint) for name in self.steps}
            way.cut = cut(way.path, yields, request.endpoint)
        counts = way.counts
        span = self._span(request) if traces.active() else None
        counts.received.observe(size_of(request.payload))
        counts.in_flight += 1
        self._open += 1
        began = time.perf_counter()
        failure: BaseException | None = None
        try:
            async with aclosing(stream(self._journeys, way.cut, request, [])) as replies:
                async for reply in replies:
                    yield reply
        except (JinaError, CancelledError, GeneratorExit) as error:
            failure = error
            raise
        finally:
            self._open -= 1
            counts.in_flight -= 1
            counts.ended(time.perf_counter() - began, _name_of(failure))
            if span is not None:
                span.end(None if isinstance(failure, GeneratorExit) else failure)

    async def dry_run(self) -> list[Route]:
        """Ask all workers whether they would serve; raises the first failure, naming the Deployment."""
        if self.state != "ready":
            raise Unavailable(f"{self.name} is {self.state}")
        return list(await asyncio.gather(*(_asked(name, step) for name, step in self.steps.items())))

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """The metrics of this process and of its workers on this machine as text."""
        from jina.observe.prometheus import exposition

        own = exposition(self.counts, openmetrics=openmetrics)
        others = await worker_metrics(self.watch.answering(), openmetrics=openmetrics)
        return merged([(self.counts.process_name, own), *others], openmetrics=openmetrics)

    def hurry(self) -> None:
        """Have the workers let no request wait for company any more: the gateway is about to stop."""
        for step in self.steps.values():
            for hop in step.hops:
                hop.hurry()

    def vitals(self) -> dict[str, int]:
        """See `jina.runtime.process`; for any thread."""
        return {"in_flight": self._open, "queued": 0, "done": self.counts.done}

    async def quiet(self, seconds: float) -> bool:
        """Wait for floating branches at most `seconds`; what is left then is cancelled. Says whether all ended."""
        left: Iterable[asyncio.Task[None]] = set(self._journeys.background)
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        for task in [*left, *self._journeys.background]:
            task.cancel()
        return not left

    def _way_of(self, request: Request) -> Way:
        key = (request.endpoint, request.target_executor)
        way = self._ways.get(key) or self._find_way(key)
        self._room.check(self._open)
        if way.floats:
            self._room.check(len(self._journeys.background))
        return way

    def _find_way(self, key: tuple[str, str]) -> Way:
        endpoint, target = key
        path = self._graph.route(endpoint, self._known_paths(endpoint), target)
        way = Way(path, self.counts.endpoint(endpoint if endpoint in self._endpoints else "/default"))
        if len(self._ways) < _WAYS:
            self._ways[key] = way
        return way

    def _known_paths(self, endpoint: str) -> dict[str, frozenset[str] | None]:
        """What each step answers. A joiner without endpoints takes any, but does not make one known.

        One without an Executor takes none: the documents that it joins are merged on their way to the next.
        """
        empty = {node.name for node in self._plan.nodes if not node.hops}
        able = {name for name, known in self._known.items() if name in empty or not passes_all(known)}
        joined = not able - empty or any(answers(self._known[name], endpoint) for name in able)
        everything = None if joined else frozenset[str]()
        return {
            name: frozenset(path if path.startswith("/") else f"/{path}" for path in known)
            if name in able
            else everything
            for name, known in self._known.items()
        }

    def _yields(self, name: str, endpoint: str) -> bool:
        info = answers(self._known[name], endpoint)
        return info is not None and info.is_generator


async def _asked(name: str, step: Replicas | Shards) -> Route:
    started = time.time()
    await step.ready()
    return Route(name, started, time.time())


def _name_of(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return "Cancelled" if isinstance(error, CancelledError | GeneratorExit) else type(error).__name__


def _ended(routes: list[Route]) -> list[Route]:
    now = time.time()
    for route in routes:
        route.end_time = route.end_time or now
    return routes
