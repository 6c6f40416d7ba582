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
from jina.gateway.graph_runner import Cut, RunContext, cut, run_path, stream
from jina.gateway.replicas import HealthChecker, Replicas, size_of, worker_metrics
from jina.gateway.shards import Shards, has_parts
from jina.net.service import EndpointInfo, Upstream
from jina.observe import logs, traces
from jina.observe.metrics import EndpointMetrics, Metrics, merged
from jina.plan.plans import GatewayPlan, NodePlan
from jina.routing.graph import Graph
from jina.routing.graph import Route as Path
from jina.runtime.admission import Admission
from jina.runtime.process import LARGE, MemoryTrimmer

_MOST_PATHS = 1000
"""Endpoints whose way is remembered."""
State = Literal["starting", "ready", "draining", "stopped"]


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
        self.state: State = "starting"
        self.counts = Metrics(f"{plan.name}/rep-0")  # as Jina 3 labels the only process of a gateway
        self.counts.restarts = plan.restart.count
        self._plan = plan.graph
        self._graph = Graph(plan.graph)
        self.steps = {node.name: self._step(node, upstreams.get(node.name, ())) for node in plan.graph.nodes}
        self.health = HealthChecker(self.steps)
        """Not started here: it is for gateways with processes behind them."""
        self.counts.ready = lambda: self.ready
        for part in (part for step in self.steps.values() for part in step.parts if part.plan.upstreams):
            self.counts.upstream(part.name).up = partial(self.health.replicas, part)
        self._context = RunContext(self.steps, logs.get_logger(plan.name))
        self._known: dict[str, Mapping[str, EndpointInfo]] = {}
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._paths: dict[tuple[str, str], RequestPath] = {}
        self._open = 0
        self._admission = Admission(self.name, plan.max_inflight)
        self._trimmer = MemoryTrimmer()

    def _step(self, node: NodePlan, upstreams: Sequence[Upstream]) -> Replicas | Shards:
        if has_parts(node):
            return Shards(node, upstreams, self.counts.upstream)
        return Replicas(node, upstreams, self.counts.upstream(node.name))

    @property
    def endpoints(self) -> Mapping[str, EndpointInfo]:
        """By path, merged from those of all steps."""
        return self._endpoints

    @property
    def step_endpoints(self) -> dict[str, list[tuple[str, str, str, bool]]]:
        """By step: path, names of input and output class, and whether it streams, of each endpoint of the Executor."""
        return {
            name: [(one.path, one.input_name, one.output_name, one.is_generator) for one in known.values()]
            for name, known in self._known.items()
            if not passes_all(known)
        }

    @property
    def ready(self) -> bool:
        """True while requests are welcome and every Deployment has a replica that is up."""
        return self.state == "ready" and all(self.health.serves(step) for step in self.steps.values())

    @property
    def checks(self) -> dict[str, bool]:
        """What `ready` depends on, by name: each Deployment, of which one replica suffices, and its replicas."""
        return {"workers-known": self.state == "ready", **self.health.checks()}

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
        self._paths.clear()

    def freed(self) -> None:
        """Much memory was let go of: give it back to the system soon."""
        self._trimmer.used()

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
        known_path = self._path_of(request)
        counts = known_path.counts
        size = size_of(request.payload)
        counts.received.observe(size)
        if size >= LARGE:
            self._trimmer.used()
        counts.in_flight += 1
        self._open += 1
        began = time.perf_counter()
        whole = Route(self.name, time.time(), 0.0)
        routes = [whole]
        failure: BaseException | None = None
        try:
            reply = await run_path(self._context, known_path.path, request, routes)
            whole.end_time = time.time()
            counts.sent.observe(size_of(reply.payload))
            reply.routes = routes
            self._admission.ended(time.perf_counter() - began)
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
        known_path = self._path_of(request)
        if known_path.cut is None:
            yields = {name: self._yields(name, request.endpoint) for name in self.steps}
            known_path.cut = cut(known_path.path, yields, request.endpoint)
        counts = known_path.counts
        span = self._span(request) if traces.active() else None
        counts.received.observe(size_of(request.payload))
        counts.in_flight += 1
        self._open += 1
        began = time.perf_counter()
        failure: BaseException | None = None
        try:
            async with aclosing(stream(self._context, known_path.cut, request, [])) as replies:
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
        others = await worker_metrics(self.health.answering(), openmetrics=openmetrics)
        return merged([(self.counts.process_name, own), *others], openmetrics=openmetrics)

    def flush_batches(self) -> None:
        """Flush the pending batches of the workers: the gateway is about to stop."""
        for step in self.steps.values():
            for upstream in step.upstreams:
                upstream.flush_batches()

    def stats(self) -> dict[str, int]:
        """See `jina.runtime.process`; for any thread."""
        return {"in_flight": self._open, "queued": 0, "done": self.counts.done}

    async def quiet(self, seconds: float) -> bool:
        """Wait for floating branches at most `seconds`; what is left then is cancelled. Says whether all ended."""
        left: Iterable[asyncio.Task[None]] = set(self._context.background)
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        for task in [*left, *self._context.background]:
            task.cancel()
        return not left

    def _path_of(self, request: Request) -> RequestPath:
        key = (request.endpoint, request.target_executor)
        known_path = self._paths.get(key) or self._find_path(key)
        self._admission.check(self._open)
        if known_path.floats:
            self._admission.check(len(self._context.background))
        return known_path

    def _find_path(self, key: tuple[str, str]) -> RequestPath:
        endpoint, target = key
        path = self._graph.route(endpoint, self._known_paths(endpoint), target)
        known_path = RequestPath(path, self.counts.endpoint(endpoint if endpoint in self._endpoints else "/default"))
        if len(self._paths) < _MOST_PATHS:
            self._paths[key] = known_path
        return known_path

    def _known_paths(self, endpoint: str) -> dict[str, frozenset[str] | None]:
        """What each step answers. A joiner without endpoints takes any, but does not make one known.

        One without an Executor takes none: the documents that it joins are merged on their way to the next.
        """
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
