"""A gateway as a `Service`: requests walk the graph of Deployments as the bytes that they are."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from jina.errors import BadRequest, EndpointNotFound, JinaError, NotSupportedError, Unavailable, nearest
from jina.observe import logs
from jina.observe.metrics import EndpointMetrics, Metrics
from jina.plan.plans import GatewayPlan, GraphPlan
from jina.runtime.gateway_endpoints import answers, merged_endpoints
from jina.runtime.gateway_replicas import Replicas
from jina.transport.hop import Hop
from jina.transport.service import EndpointInfo
from jina.wire.messages import Payload, Reply, Request, Route
from jina.wire.payloads import BytesPayload, JsonPayload, ProtoPayload

OPEN_LIMIT = 10_000
"""Requests in work; more are refused rather than kept in memory."""

State = Literal["starting", "ready", "draining", "stopped"]


class GatewayService:
    """Answers requests by sending them through the graph; `hops` are the replicas of each step by its name.

    All methods are for one loop. `start` must have returned before requests come.
    """

    forwards = True

    def __init__(self, plan: GatewayPlan, hops: Mapping[str, Sequence[Hop]]) -> None:
        self.name = "gateway"
        self.state: State = "starting"
        self.counts = Metrics(plan.name)
        self._plan = plan
        self._log = logs.get_logger(plan.name)
        self.steps = {node.name: Replicas(node, hops.get(node.name, ())) for node in plan.graph.nodes}
        self._order = _line(plan.graph)
        self._known: dict[str, Mapping[str, EndpointInfo]] = {}
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._routes: dict[tuple[str, str], list[Replicas]] = {}

    @property
    def endpoints(self) -> Mapping[str, EndpointInfo]:
        """By path, merged from those of all steps."""
        return self._endpoints

    @property
    def ready(self) -> bool:
        """True while requests are welcome and every Deployment has a replica that is up."""
        return self.state == "ready" and all(step.up for step in self.steps.values())

    @property
    def started(self) -> bool:
        """True once all steps have told their endpoints."""
        return self.state != "starting"

    async def start(self) -> None:
        """Ask all hops for their endpoints.

        Raises `ConfigError` where neighbours do not fit, and what the hops raise.
        """
        for name, step in self.steps.items():
            self._known[name] = await step.describe()
        self._endpoints = merged_endpoints(self._plan.graph, self._known)
        self.state = "ready"

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError`. Cancelling cancels the work in all workers."""
        line = self._route(request)
        counts = self._counts_of(request)
        counts.received.observe(_size_of(request.payload))
        counts.in_flight += 1
        started = time.perf_counter()
        failure: BaseException | None = None
        try:
            return await self._along(line, request)
        except (JinaError, CancelledError) as error:
            failure = error
            raise
        finally:
            counts.in_flight -= 1
            counts.ended(time.perf_counter() - started, _name_of(failure))

    async def _along(self, line: list[Replicas], request: Request) -> Reply:
        """One step after the other."""
        routes = [Route(self.name, time.time(), 0.0)]
        payload, parameters = request.payload, request.parameters
        last = line[-1] if line else None
        for step in line:
            started = time.time()
            reply = await step.call(
                Request(
                    request.endpoint,
                    payload,
                    parameters,
                    request_id=request.request_id,
                    headers=request.headers,
                    deadline=request.deadline,
                    json_reply=request.json_reply and step is last,
                )
            )
            payload, parameters = reply.payload, reply.parameters or parameters
            routes.append(Route(step.name, started, time.time()))
        routes[0].end_time = time.time()
        return Reply(payload, parameters, routes)

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        """Answer with a stream; closing it closes the generators in the workers."""
        line = self._route(request)
        for step in line:
            info = answers(self._known[step.name], request.endpoint)
            if info is not None and info.is_generator:
                break
        else:
            raise BadRequest(
                f"no Executor yields on {request.endpoint}, so it cannot be streamed",
                help="call it without streaming, or let a method yield",
            )
        position = line.index(step)
        if position + 1 < len(line):
            raise NotSupportedError("Executors behind a generator are not available yet")
        if position:
            before = Request(**{name: getattr(request, name) for name in Request.__slots__ if name != "json_reply"})
            reply = await self._along(line[:position], before)
            request.payload, request.parameters = reply.payload, reply.parameters
        async for reply in step.stream(request):
            yield reply

    async def dry_run(self) -> None:
        """Ask all workers whether they would serve; raises the first failure, naming the Deployment."""
        if self.state != "ready":
            raise Unavailable(f"{self.name} is {self.state}")
        for step in self.steps.values():
            await step.ready()

    def metrics(self) -> bytes:
        """The metrics of this process in OpenMetrics text."""
        return self.counts.exposition()

    def _route(self, request: Request) -> list[Replicas]:
        key = (request.endpoint, request.target_executor)
        found = self._routes.get(key)
        if found is None:
            found = [self.steps[name] for name in self._order if answers(self._known[name], request.endpoint)]
            if not found:
                raise self._not_found(request.endpoint)
            if len(self._routes) < 1000:
                self._routes[key] = found
        return found

    def _not_found(self, path: str) -> EndpointNotFound:
        near = nearest(path, self._endpoints)
        hint = f"; did you mean {near!r}?" if near else ""
        return EndpointNotFound(
            f"no Executor has an endpoint {path!r}{hint}", help=f"endpoints: {', '.join(sorted(self._endpoints))}"
        )

    def _counts_of(self, request: Request) -> EndpointMetrics:
        return self.counts.endpoint(request.endpoint if request.endpoint in self._endpoints else "/default")


def _line(graph: GraphPlan) -> list[str]:
    before = "gateway"
    for node in graph.nodes:
        if node.needs != [before] or node.when is not None or node.floating:
            raise NotSupportedError(f"{node.name}: only chains of Executors are available yet")
        before = node.name
    return [node.name for node in graph.nodes]


def _size_of(payload: Payload) -> int:
    """Bytes of the documents as they came in; 0 where they did not come as bytes."""
    if type(payload) is BytesPayload:
        return len(payload.data)
    if type(payload) is JsonPayload:
        return len(payload._raw or b"")  # noqa: SLF001 - to_json() would write parsed ones
    if type(payload) is ProtoPayload:
        return payload.size or 0
    return 0


def _name_of(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return "Cancelled" if isinstance(error, CancelledError) else type(error).__name__
