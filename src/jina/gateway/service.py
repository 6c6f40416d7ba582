"""A gateway as a `Service`: requests walk the graph of Deployments as the bytes that they are."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Literal

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import size_of
from jina.errors import JinaError, Unavailable
from jina.gateway.discovery import answers, check_edges, merged_endpoints, passes_all
from jina.gateway.graph_runner import Cut, RunContext, cut, run_path, stream
from jina.gateway.load import LoadSampler
from jina.gateway.replicas import HealthChecker, Replicas, worker_metrics
from jina.gateway.shards import Shards, has_parts
from jina.net.service import EndpointInfo, Upstream
from jina.observe import logs, traces
from jina.observe.metrics import EndpointMetrics, Metrics, merged
from jina.plan.plans import GatewayPlan, NodePlan, is_offer
from jina.routing.graph import Graph
from jina.routing.graph import Route as Path
from jina.runtime.admission import Admission, Observed

_MOST_PATHS = 1000
"""Endpoints whose path through the graph is cached."""
State = Literal["starting", "ready", "leaving", "draining", "stopped"]
"""One that is leaving answers requests, and says that it is not ready."""


class RequestPath:
    """What the requests to one endpoint have in common."""

    __slots__ = ("counts", "cut", "floats", "path")

    def __init__(self, path: Path, counts: EndpointMetrics) -> None:
        self.path = path
        self.counts = counts
        self.floats = any(step.floating for step in path.steps.values())
        self.cut: Cut | None = None


class GatewayService:
    """Answers requests by sending them through the graph; `upstreams` are the replicas of each step by its name.

    All methods are for one loop. `start` must have returned before requests come. Raises `ConfigError` for a graph
    that cannot be walked.
    """

    forwards = True

    def __init__(self, plan: GatewayPlan, upstreams: Mapping[str, Sequence[Upstream]]) -> None:
        self.name = "gateway"
        self.load = None
        """Those that ask gateways ask the workers behind them."""
        self.state: State = "starting"
        self.counts = Metrics(f"{plan.name}/rep-0")  # as Jina 3 labels the only process of a gateway
        self.counts.restarts = plan.restart.count
        self._plan = plan.graph
        self._graph = Graph(plan.graph)
        self.steps = {node.name: self._step(node, upstreams.get(node.name, ())) for node in plan.graph.nodes}
        self.health = HealthChecker({name: step.parts for name, step in self.steps.items()})
        """Not started here: it is for gateways with processes behind them."""
        self.scaling = LoadSampler(self.steps)
        """Not started here either."""
        self.counts.ready = lambda: self.up
        self.counts.loads = lambda: self.scaling.loads
        for part in (part for step in self.steps.values() for part in step.parts if part.plan.upstreams):
            self.counts.upstream(part.name).up = partial(self.health.replicas, part)
        self._context = RunContext(self.steps, logs.get_logger(plan.name))
        self._known: dict[str, Mapping[str, EndpointInfo]] = {}
        self._unknown: list[str] = []
        """Steps that had no replica yet, so that their endpoints are not known."""
        self.endpoints: Mapping[str, EndpointInfo] = {}
        """By path, merged from those of all steps."""
        self._paths: dict[tuple[str, str], RequestPath] = {}
        self._admission = Admission(self.name, plan.max_inflight)

    def _step(self, node: NodePlan, upstreams: Sequence[Upstream]) -> Replicas | Shards:
        if has_parts(node):
            return Shards(node, upstreams, self.counts.upstream)
        return Replicas(node, upstreams, self.counts.upstream(node.name))

    @property
    def step_endpoints(self) -> dict[str, list[tuple[str, str, str, bool]]]:
        """By step: path, names of input and output class, and whether it streams, of each endpoint of the Executor."""
        return {
            name: [(one.path, one.input_name, one.output_name, one.is_generator) for one in known.values()]
            for name, known in self._known.items()
            if not passes_all(known)
        }

    @property
    def up(self) -> bool:
        """True while requests are welcome and every Deployment has a replica that is up."""
        return self.state == "ready" and all(self.health.serves(step.parts) for step in self.steps.values())

    @property
    def checks(self) -> dict[str, bool]:
        """What `up` depends on, by name: each Deployment, of which one replica suffices, and its replicas."""
        return {"workers-known": self.state in {"ready", "leaving"}, **self.health.checks()}

    @property
    def awaits_endpoints(self) -> bool:
        """Whether endpoints may come that are not known yet; requests to any path wait for that."""
        return bool(self._unknown)

    @property
    def started(self) -> bool:
        """True once all steps have told their endpoints."""
        return self.state != "starting"

    async def start(self) -> None:
        """Ask all upstreams for their endpoints.

        Raises `ConfigError` where neighbours do not fit, and what the upstreams raise.
        """
        results = await asyncio.gather(*(step.describe() for step in self.steps.values()))
        self._known = dict(zip(self.steps, results, strict=True))
        self._see_unknown()
        check_edges(self._plan, self._known)
        self.endpoints = merged_endpoints(self._plan, self._known)
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
        self._known, self.endpoints = known, merged_endpoints(self._plan, known)
        self._paths.clear()
        self._see_unknown()
        for part in self.steps[step].parts:
            if part.hold is not None:
                part.hold.wake()

    def _see_unknown(self) -> None:
        self._unknown = [
            name
            for name, step in self.steps.items()
            if not self._known[name] and any(part.hold is not None for part in step.parts)
        ]

    async def _meet(self, request: Request) -> None:
        """Wait until all steps have told their endpoints, of which one had no replica so far."""
        for name in list(self._unknown):
            hold = next(part.hold for part in self.steps[name].parts if part.hold is not None)
            await hold.wait(request.deadline, lambda name=name: name not in self._unknown)  # type: ignore[misc]

    def knows(self, step: str, endpoints: Mapping[str, EndpointInfo]) -> bool:
        """Whether these are the endpoints of the step that count; all of them are asked for at the start."""
        return self.state == "starting" or endpoints == self._known.get(step)

    def freed(self) -> None:
        """Much memory was freed: return it to the system soon."""
        self._admission.trimmer.used()

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError` with `deployment` and `routes`. Cancelling cancels all the work."""
        if self._unknown:
            await self._meet(request)
        known, span = self._begun(request)
        counts, whole = known.counts, Route(self.name, time.time(), 0.0)
        routes = [whole]
        with Observed(counts, size_of(request.payload), self._admission, span) as observed:
            if counts.on_end is not None:
                observed.parts = {"id": request.request_id, "routes": routes}
            try:
                reply = await run_path(self._context, known.path, request, routes)
            except JinaError as error:
                error.routes = _ended(routes)
                raise
            whole.end_time = time.time()
            counts.sent.observe(size_of(reply.payload))
            reply.routes = routes
            return reply

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """Answer with a stream; closing it closes the generators in the workers.

        Raises `BadRequest` where no step yields.
        """
        if self._unknown:
            await self._meet(request)
        known, span = self._begun(request, streamed=True)
        assert known.cut is not None
        with Observed(known.counts, size_of(request.payload), self._admission, span, streamed=True) as observed:
            if known.counts.on_end is not None:
                observed.parts = {"id": request.request_id, "stream": True}
            async with aclosing(stream(self._context, known.cut, request)) as replies:
                async for reply in replies:
                    yield reply

    def _begun(self, request: Request, *, streamed: bool = False) -> tuple[RequestPath, traces.RequestSpan | None]:
        """The way of a request that is let in, and its span: what is sent on tells its parent by the headers."""
        logs.request_id.set(request.request_id)
        span = None
        if traces.SDK in sys.modules:
            attributes = {"jina.process": self.name, "jina.request_id": request.request_id}
            span = traces.begin(request.endpoint, request.headers, attributes)
            assert span is not None
            request.headers = span.headers(request.headers)
        try:
            key = (request.endpoint, request.target_executor)
            known = self._paths.get(key) or self._find_path(key)
            self._admission.check(self._admission.open)
            if known.floats:
                self._admission.check(len(self._context.background))
            if streamed and known.cut is None:
                yields = {name: self._yields(name, request.endpoint) for name in self.steps}
                known.cut = cut(known.path, yields, request.endpoint)
        except JinaError as error:
            if span is not None:
                span.end(error)
            raise
        return known, span

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints by path."""
        return self.endpoints

    async def ready(self) -> list[Route]:
        """Ask all workers whether they would serve; raises the first failure, naming the Deployment."""
        if self.state != "ready":
            raise Unavailable(f"{self.name} is {self.state}")
        return list(await asyncio.gather(*(_route_of(name, step) for name, step in self.steps.items())))

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """The metrics of this process and of its workers on this machine as text."""
        from jina.observe.prometheus import exposition

        own = exposition(self.counts, openmetrics=openmetrics)
        others = await worker_metrics(self.health.answering(), openmetrics=openmetrics)
        return merged([(self.counts.process_name, own), *others], openmetrics=openmetrics)

    def flush(self, *, on: bool = True) -> None:
        """See `Service`: the workers are told."""
        for step in self.steps.values():
            step.flush(on=on)

    def throttle(self, *, on: bool = True) -> None:
        """See `Service`: answers of workers are not read, so that these make no more of them."""
        for step in self.steps.values():
            step.throttle(on=on)

    async def close(self) -> None:
        """Give up all upstreams."""
        self.state = "stopped"
        self.health.stop()
        self.scaling.stop()
        await asyncio.gather(*(step.close() for step in self.steps.values()))

    def stats(self) -> dict[str, int]:
        """See `jina.runtime.process`; for any thread."""
        loads = self.scaling.stats()
        queued = sum(value for name, value in loads.items() if name.startswith("waiting:"))
        numbers = {"in_flight": self._admission.open, "queued": queued, "done": self.counts.done}
        return {**numbers, **self.counts.totals(), **loads}

    def shape(self) -> dict[str, Any]:
        """The graph, for people; for any thread."""
        return {
            "graph": {
                node.name: {
                    "needs": list(node.needs),
                    "kind": "external" if node.external else "deployment" if node.upstreams else "join",
                    "floating": node.floating,
                    "shards": node.shards,
                }
                for node in self._plan.nodes
            }
        }

    async def quiet(self, seconds: float) -> bool:
        """Wait for floating branches at most `seconds`; what is left then is cancelled. Says whether all ended."""
        left: Iterable[asyncio.Task[None]] = set(self._context.background)
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        for task in [*left, *self._context.background]:
            task.cancel()
        return not left

    def _find_path(self, key: tuple[str, str]) -> RequestPath:
        endpoint, target = key
        path = self._graph.route(endpoint, self._known_paths(endpoint), target)
        known_path = RequestPath(path, self.counts.endpoint(endpoint if endpoint in self.endpoints else "/default"))
        if len(self._paths) < _MOST_PATHS:
            self._paths[key] = known_path
        return known_path

    def _known_paths(self, endpoint: str) -> dict[str, frozenset[str] | None]:
        """What each step answers. A joiner without endpoints takes any, but does not make one known.

        One without an Executor takes none: the documents that it joins are merged on their way to the next.
        """
        if is_offer(endpoint):
            return {name: frozenset({endpoint} & known.keys()) for name, known in self._known.items()}
        empty = {node.name for node in self._plan.nodes if not node.upstreams}
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


async def _route_of(name: str, step: Replicas | Shards) -> Route:
    started = time.time()
    await step.ready()
    return Route(name, started, time.time())


def _ended(routes: list[Route]) -> list[Route]:
    now = time.time()
    for route in routes:
        route.end_time = route.end_time or now
    return routes
