"""The replicas of one Deployment as a gateway reaches them: choice, circuit breaking, health checks."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import Task
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.errors import DeadlineExceeded, JinaError, Unavailable
from jina.gateway.discovery import answers
from jina.net.service import EndpointInfo, Upstream, UpstreamUnavailable
from jina.observe import logs
from jina.observe.metrics import UpstreamMetrics
from jina.plan.plans import NodePlan
from jina.routing.balance import LoadBalancer
from jina.routing.breaker import Breaker
from jina.routing.walk import named

_log = logs.get_logger("jina.gateway")
_ASKED_FOR = 5.0
"""Seconds that a probe of a replica that was left out may take."""


class ReplicaHealth:
    """The circuit breakers of one Deployment's replicas; `upstreams` is the gateway's own list, changed in place."""

    def __init__(self, upstreams: list[Upstream]) -> None:
        self._upstreams = upstreams
        self._breaker = Breaker(len(upstreams))
        self._probing: set[asyncio.Task[None]] = set()

    def grow(self) -> None:
        """There is one replica more, the last of the list."""
        self._breaker.grow()

    def replaced(self, index: int) -> None:
        """Another process took the position of a replica."""
        self._breaker.replaced(index)

    def usable(self, tried: Collection[int]) -> Sequence[bool]:
        """The replicas that may have a request."""
        up = [upstream.up for upstream in self._upstreams]
        if self._breaker.all_closed:
            return up
        for index in self._breaker.due(time.monotonic()):
            task = asyncio.get_running_loop().create_task(self._probe(index, self._upstreams[index]))
            self._probing.add(task)
            task.add_done_callback(self._probing.discard)
        return self._breaker.usable(up, tried)

    def record_success(self, index: int) -> None:
        """The replica has answered."""
        self._breaker.record_success(index)

    def record_failure(self, index: int) -> None:
        """The replica lost a request, refused it for not being ready, or let it time out."""
        if self._breaker.record_failure(index, time.monotonic()):
            _log.warning("%s gets no requests for a while: several in a row failed", self._upstreams[index].name)

    async def _probe(self, index: int, upstream: Upstream) -> None:
        healthy = False
        try:
            async with asyncio.timeout(_ASKED_FOR):
                await upstream.ready()
            healthy = True
            _log.info("%s gets requests again", upstream.name)
        except (JinaError, TimeoutError) as error:
            _log.debug("%s is not well yet: %s", upstream.name, error)
        finally:
            if index < len(self._upstreams) and self._upstreams[index] is upstream:
                self._breaker.answered(index, time.monotonic(), healthy=healthy)


# Its own state, so that `random.seed` of user code does not let all gateways choose alike.
rng = random.Random()  # noqa: S311 - no secret
_LEAST_RETRIES = 3
_MOST_BEGUN = 2
"""Replicas that may die of a request that is safe to repeat: the request itself may be what kills them."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Replicas:
    """Sends each request to the idlest replica, and to another one where the first certainly did not begin.

    Failures name the Deployment: those of a worker keep their class, a lost one is `Unavailable`, a silent one
    `DeadlineExceeded`. `randrange` breaks ties, see `routing.balance`.
    """

    def __init__(
        self,
        plan: NodePlan,
        upstreams: Sequence[Upstream],
        counts: UpstreamMetrics,
        randrange: Callable[[int], int] = rng.randrange,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.upstreams: list[Any] = list(upstreams)
        self._counts = counts
        self._limit = plan.timeout_send
        self._addresses = {upstream.name: upstream.address for upstream in plan.upstreams if upstream.address}
        self._balance = LoadBalancer(self.name, [upstream.name for upstream in self.upstreams], randrange)
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._health = ReplicaHealth(self.upstreams)

    @property
    def up(self) -> bool:
        """Whether a request could arrive."""
        return not self.plan.upstreams or any(upstream.up for upstream in self.upstreams)

    @property
    def parts(self) -> list[Replicas]:
        """Of which each has to be up for the whole to be."""
        return [self]

    def put(self, upstream: Upstream, endpoints: Mapping[str, EndpointInfo] | None = None) -> Upstream | None:
        """Add an upstream, whose endpoints may be known; returns the one of the same name that it replaces."""
        self._endpoints = self._endpoints or endpoints or {}
        for index, other in enumerate(self.upstreams):
            if other.name == upstream.name:
                self.upstreams[index] = upstream
                self._balance.rename(index, upstream.name)
                self._health.replaced(index)
                old: Upstream = other
                return None if isinstance(other, RemovedReplica) else old
        self.upstreams.append(upstream)
        self._balance.grow(upstream.name)
        self._health.grow()
        return None

    def remove(self, name: str) -> Any:
        """Send no more requests to a replica; gives its upstream, on which requests may be in flight, or None."""
        for index, upstream in enumerate(self.upstreams):
            if upstream.name == name and not isinstance(upstream, RemovedReplica):
                # Requests in flight know their replica by its position, so the list keeps its length.
                self.upstreams[index] = RemovedReplica(name)
                self._balance.rename(index, "")
                self._health.replaced(index)
                return upstream
        return None

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints of the first replica, when all that are up have told theirs; the last ones known where none is.

        A replica that goes away meanwhile counts as down.
        """
        asked = (upstream.describe() for upstream in self.upstreams if upstream.up)
        results = await asyncio.gather(*asked, return_exceptions=True)
        for answer in results:
            if isinstance(answer, BaseException) and not isinstance(answer, UpstreamUnavailable):
                raise answer
        described = [answer for answer in results if not isinstance(answer, BaseException)]
        self._endpoints = described[0] if described else self._endpoints
        return self._endpoints

    async def ready(self) -> None:
        """Ask all replicas whether they would serve; raises what the first failure was, naming the Deployment."""
        if not self.plan.upstreams:  # a join without an Executor
            return
        upstreams = [upstream for upstream in self.upstreams if not isinstance(upstream, RemovedReplica)]
        if not upstreams:
            raise Unavailable(f"{self.name}: no worker is there yet")
        results = await asyncio.gather(*(upstream.ready() for upstream in upstreams), return_exceptions=True)
        for upstream, answer in zip(upstreams, results, strict=True):
            if isinstance(answer, UpstreamUnavailable):
                raise named(self._lost(upstream, answer), self.name, "")
            if isinstance(answer, BaseException):
                raise answer

    async def call(self, request: Request) -> Reply:
        """The reply of one replica."""
        counts, began, begun = self._counts, time.perf_counter(), 0
        counts.sent.observe(size_of(request.payload))
        tried: list[int] = []
        for attempt in count(1):
            index = self._take(tried)
            upstream: Upstream = self.upstreams[index]
            try:
                if self._limit is None and request.deadline is None:
                    reply = await upstream.call(request)
                else:
                    reply = await self._in_time(upstream, request)
                counts.received.observe(size_of(reply.payload))
                counts.seconds.observe(time.perf_counter() - began)
                self._health.record_success(index)
                return reply
            except UpstreamUnavailable as lost:
                failure = lost
                self._health.record_failure(index)
            except JinaError as error:
                self._judge(index, error)
                if not (isinstance(error, Unavailable) and self._is_repeatable(request)):
                    raise
                failure = UpstreamUnavailable(error.message, help=error.help)
            finally:
                self._balance.give_back(index)
            if failure.started:
                begun += 1
            safe = self._is_repeatable(request) or (begun < _MOST_BEGUN and self._is_safe(request))
            again = not failure.started or safe
            if not again or not await self._may_retry(index, tried, attempt):
                raise self._lost(upstream, failure) from failure
        raise AssertionError("unreachable")

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The replies of one replica; closing this closes the generator there."""
        tried: list[int] = []
        begun, losses = False, 0
        for attempt in count(1):
            index = self._take(tried)
            upstream = self.upstreams[index]
            replies: Any = upstream.stream(request)
            try:
                while (reply := await self._next(upstream, replies)) is not None:
                    begun = True
                    yield reply
                self._health.record_success(index)
                return
            except UpstreamUnavailable as lost:
                failure = lost
                self._health.record_failure(index)
            except JinaError as error:
                self._judge(index, error)
                raise
            finally:
                self._balance.give_back(index)
                await replies.aclose()
            if failure.started:
                losses += 1
            again = not begun and (not failure.started or (losses < _MOST_BEGUN and self._is_safe(request)))
            if not again or not await self._may_retry(index, tried, attempt):
                raise self._lost(upstream, failure) from failure

    def _is_safe(self, request: Request) -> bool:
        """Whether the request may run twice, by its endpoint."""
        info = answers(self._endpoints, request.endpoint)
        return info is not None and info.is_safe

    def _is_repeatable(self, request: Request) -> bool:
        """Whether the request runs once however often it is sent."""
        if self.plan.repeatable or not self.plan.external:
            return self.plan.repeatable
        info = answers(self._endpoints, request.endpoint)
        return info is not None and info.is_repeatable

    def _take(self, tried: Collection[int]) -> int:
        try:
            return self._balance.take(self._health.usable(tried), tried)
        except Unavailable as error:
            self._blame(error)
            raise

    def _judge(self, index: int, error: JinaError) -> None:
        """Name the Deployment in an error, and count it as a success or a failure of the replica."""
        silent = isinstance(error, DeadlineExceeded) and error.deployment == self.name  # over timeout_send
        if silent or isinstance(error, Unavailable):
            self._health.record_failure(index)
        else:
            self._health.record_success(index)
        self._blame(error)

    async def _may_retry(self, index: int, tried: list[int], failed: int) -> bool:
        """Whether another attempt makes sense after `failed` of them; waits before one at a replica that had one."""
        tried.append(index)
        if failed > (self.plan.retries if self.plan.retries >= 0 else max(_LEAST_RETRIES, len(self.upstreams))):
            return False
        if any(upstream.up and other not in tried for other, upstream in enumerate(self.upstreams)):
            return True
        if not self.up:
            return False
        tried.clear()
        await asyncio.sleep(min(_FIRST_PAUSE * 2**failed, _LONGEST_PAUSE))
        return True

    async def _in_time(self, upstream: Upstream, request: Request) -> Reply:
        """Call with a limit of our own beside that of the worker, which may not be able to tell any more."""
        now = time.monotonic()
        deadline = request.deadline
        ours = self._limit is not None and (deadline is None or now + self._limit < deadline)
        if ours:
            assert self._limit is not None
            request = replace(request, deadline=now + self._limit)
        assert request.deadline is not None
        limit = asyncio.timeout(max(0.0, request.deadline - now))
        try:
            async with limit:
                return await upstream.call(request)
        except DeadlineExceeded as error:
            raise (self._silent(upstream) if ours else error) from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise (self._silent(upstream) if ours else self._too_late(upstream)) from None

    async def _next(self, upstream: Upstream, replies: AsyncIterator[Reply]) -> Reply | None:
        """The next reply of a stream, which may be silent for `timeout_send` at most; None at its end."""
        if self._limit is None:
            return await anext(replies, None)
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                return await anext(replies, None)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._silent(upstream) from None

    def _place_of(self, upstream: Upstream) -> str:
        address = self._addresses.get(upstream.name)
        return upstream.name if address is None else f"{upstream.name} ({address})"

    def _silent(self, upstream: Upstream) -> DeadlineExceeded:
        error = DeadlineExceeded(
            f"{self._place_of(upstream)} gave no answer within the {self._limit:g} s of timeout_send",
            help="raise timeout_send (in milliseconds) of the Flow or the Deployment where that is too short",
        )
        error.deployment = self.name
        return error

    def _too_late(self, upstream: Upstream) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline of the request passed before {self._place_of(upstream)} answered")

    def _lost(self, upstream: Upstream, lost: UpstreamUnavailable) -> Unavailable:
        where = self._place_of(upstream)
        said = lost.message if lost.message.startswith(where) else f"{where}: {lost.message}"
        error = Unavailable(f"no worker answers; {said}", help=lost.help)
        error.deployment = self.name
        return error

    def _blame(self, error: JinaError) -> None:
        error.deployment = error.deployment or self.name


class RemovedReplica:
    """Stands for a replica that was removed, at its position."""

    up = False

    def __init__(self, name: str) -> None:
        self.name = name

    def flush_batches(self) -> None:
        """There is no process."""


def size_of(payload: Payload) -> int:
    """Size of the documents as received; 0 where they were not received as bytes."""
    if type(payload) is BytesPayload:
        return len(payload.data)
    if type(payload) is JsonPayload:
        return len(payload._raw or b"")  # noqa: SLF001 - to_json() would write parsed ones
    if type(payload) is ProtoPayload:
        return payload.size or 0
    return 0


INTERVAL = 1.0
"""Seconds between two questions to a worker."""
LIMIT = 5.0
"""Seconds that an answer may take. What is told of a worker is never older than the sum of the two."""
_SCRAPE = 1.0
"""Seconds that a worker gets to give its metrics."""
_watch_log = logs.get_logger("gateway.watch")


class ProbeState:
    """What is known of one worker; all times are of one monotonic clock."""

    __slots__ = ("_asked", "_failure")

    def __init__(self) -> None:
        self._asked: float | None = None
        self._failure = ""

    def ask(self, now: float) -> bool:
        """Whether to ask now; a question that is still open is the only one."""
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def answered(self, failure: str = "") -> None:
        """The answer is there; `failure` is why it is no good one."""
        self._asked = None
        self._failure = failure

    def answers(self, now: float) -> bool:
        """False from a bad answer, and from `LIMIT` seconds after a question, to the next good answer."""
        return not self._failure and (self._asked is None or now - self._asked <= LIMIT)


class Watched(Protocol):
    """A Deployment whose workers are asked: `Replicas`, or `Shards` of them."""

    plan: NodePlan

    @property
    def parts(self) -> Sequence[Replicas]:
        """Of which each has to be up for the whole to be."""
        ...

    @property
    def upstreams(self) -> Sequence[Any]:
        """The workers."""
        ...


class HealthChecker:
    """Asks every worker of this machine; those elsewhere count by their connection alone."""

    def __init__(self, steps: Mapping[str, Watched], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._probes: dict[Upstream, ProbeState] = {}
        self._open: set[Task[None]] = set()
        self._probing: Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._probing = asyncio.get_running_loop().create_task(self._ask_on())

    def stop(self) -> None:
        """Ask no more."""
        for task in [*self._open, *([self._probing] if self._probing else [])]:
            task.cancel()

    def serves(self, step: Watched) -> bool:
        """Whether a request to the Deployment could be answered."""
        return all(
            not part.plan.upstreams or any(self._answers(upstream) for upstream in part.upstreams)
            for part in step.parts
        )

    def replicas(self, step: Watched) -> dict[str, bool]:
        """Which replicas answer, by their names; those that were removed are left out."""
        return {
            upstream.name: self._answers(upstream)
            for upstream in step.upstreams
            if not isinstance(upstream, RemovedReplica)
        }

    def checks(self) -> dict[str, bool]:
        """Each Deployment and its replicas, by name."""
        found: dict[str, bool] = {}
        for name, step in self._steps.items():
            found[name] = self.serves(step)
            found |= self.replicas(step)
        return found

    def answering(self) -> list[Upstream]:
        """The workers that are worth a question."""
        return [upstream for upstream in self._upstreams() if self._answers(upstream)]

    def _answers(self, upstream: Upstream) -> bool:
        known = self._probes.get(upstream)
        return upstream.up and (known is None or known.answers(self._clock()))

    def _upstreams(self) -> Iterator[Upstream]:
        for step in self._steps.values():
            yield from step.upstreams

    async def _ask_on(self) -> None:
        while True:
            local = {
                upstream
                for step in self._steps.values()
                for upstream in step.upstreams
                if any(plan.kind == "link" for plan in step.plan.upstreams)
            }
            self._probes = {upstream: self._probes.get(upstream) or ProbeState() for upstream in local}
            for upstream, probe in self._probes.items():
                if upstream.up and probe.ask(self._clock()):
                    task = asyncio.create_task(self._ask(upstream, probe))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
            await asyncio.sleep(INTERVAL)

    async def _ask(self, upstream: Upstream, probe: ProbeState) -> None:
        try:
            await upstream.ready()
        except JinaError as error:
            if probe.answers(self._clock()) and not isinstance(error, UpstreamUnavailable):  # that `up` tells
                _watch_log.warning("%s is not ready: %s", upstream.name, error.message)
            probe.answered(error.message or type(error).__name__)
        else:
            probe.answered()


async def worker_metrics(upstreams: Sequence[Upstream], *, openmetrics: bool) -> list[tuple[str, bytes]]:
    """Name and metrics of each worker that gives them in time."""

    async def of(upstream: Upstream) -> bytes:
        try:
            async with asyncio.timeout(_SCRAPE):
                return await upstream.metrics(openmetrics=openmetrics)
        except (JinaError, TimeoutError) as error:
            _watch_log.debug("no metrics of %s: %r", upstream.name, error)
            return b""

    texts = await asyncio.gather(*(of(upstream) for upstream in upstreams))
    return [(upstream.name, text) for upstream, text in zip(upstreams, texts, strict=True) if text]
