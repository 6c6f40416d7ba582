"""The replicas of one Deployment as a gateway reaches them: choice, circuit breaking, health checks."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from asyncio import Task
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, nullcontext

from msgspec.structs import replace

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import size_of
from jina.errors import DeadlineExceeded, JinaError, Unavailable
from jina.gateway.discovery import answers
from jina.gateway.load import Hold
from jina.net.service import EndpointInfo, Upstream, UpstreamUnavailable
from jina.observe import logs, traces
from jina.observe.metrics import UpstreamMetrics
from jina.plan.plans import NodePlan
from jina.routing.balance import LoadBalancer
from jina.routing.breaker import Breaker
from jina.routing.walk import named

_log = logs.get_logger("jina.gateway")
_ASKED_FOR = 5.0
"""Seconds that a probe of a replica that was left out may take."""


# Its own state, so that `random.seed` of user code does not let all gateways choose alike.
rng = random.Random()  # noqa: S311 - no secret
_LEAST_RETRIES = 3
_MOST_BEGUN = 2
"""Replicas that may die of a request that is safe to repeat: the request itself may be what kills them."""
_NO_SPAN = nullcontext()
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
        # Requests in flight know their replica by its position: None stands where one was removed.
        self._places: list[Upstream | None] = list(upstreams)
        self._removed: dict[int, str] = {}
        """By empty place: the replica that was there, on which requests may be in flight."""
        self._counts = counts
        self._limit = plan.timeout_send
        self._addresses = {upstream.name: upstream.address for upstream in plan.upstreams if upstream.address}
        self._balance = LoadBalancer(self.name, [upstream.name for upstream in upstreams], randrange)
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._breaker = Breaker(len(self._places))
        self._probing: set[Task[None]] = set()
        self.hold = None if plan.autoscale is None else Hold(self.name, plan.autoscale)
        """Where requests wait for a replica; None where there is always one."""

    @property
    def up(self) -> bool:
        """Whether a request could arrive."""
        return not self.plan.upstreams or any(map(_is_up, self._places))

    @property
    def serves_none(self) -> bool:
        """Whether there is no replica, and requests wait for one."""
        return self.hold is not None and not any(self._places)

    @property
    def held(self) -> int:
        """How many requests wait for a replica to be there."""
        return 0 if self.hold is None else self.hold.count

    @property
    def in_flight(self) -> int:
        """Requests that were given to replicas and are not answered."""
        return sum(self._balance.in_flight)

    @property
    def done(self) -> int:
        """Requests that replicas have answered, however."""
        return self._balance.taken - self.in_flight

    @property
    def upstreams(self) -> list[Upstream]:
        """Those of the replicas that there are."""
        return [upstream for upstream in self._places if upstream is not None]

    @property
    def parts(self) -> list[Replicas]:
        """The parts, all of which must be up."""
        return [self]

    def put(self, upstream: Upstream, endpoints: Mapping[str, EndpointInfo] | None = None) -> Upstream | None:
        """Add an upstream, whose endpoints may be known; returns the one of the same name that it replaces."""
        self._endpoints = self._endpoints or endpoints or {}
        if self.hold is not None:
            asyncio.get_running_loop().call_soon(self.hold.wake)
        index = self._position(upstream.name)
        if index is None:
            index = self._empty_place(upstream.name)
        if index is None:
            self._places.append(upstream)
            self._balance.grow(upstream.name)
            self._breaker.grow()
            return None
        old, self._places[index] = self._places[index], upstream
        self._removed.pop(index, None)
        self._balance.rename(index, upstream.name)
        self._breaker.replaced(index)
        return old

    def _empty_place(self, name: str) -> int | None:
        """The place that a replica had before, with what is in flight there; else one where nothing is."""
        before = (place for place, removed in self._removed.items() if removed == name)
        free = (place for place, one in enumerate(self._places) if one is None and self._is_free(place))
        return next(itertools.chain(before, free), None)

    def remove(self, name: str) -> Upstream | None:
        """Send no more requests to a replica; gives its upstream, on which requests may be in flight."""
        index = self._position(name)
        if index is None:
            return None
        old, self._places[index] = self._places[index], None
        self._removed[index] = name
        self._balance.rename(index, "")
        self._breaker.replaced(index)
        return old

    def is_idle(self, name: str) -> bool:
        """Whether no request is in flight at a replica that was removed."""
        return all(self._is_free(place) for place, removed in self._removed.items() if removed == name)

    def _is_free(self, place: int) -> bool:
        return not self._balance.in_flight[place]

    def _position(self, name: str) -> int | None:
        found = (place for place, one in enumerate(self._places) if one is not None and one.name == name)
        return next(found, None)

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

    async def ready(self) -> list[Route]:
        """Ask all replicas whether they would serve; raises what the first failure was, naming the Deployment."""
        if not self.plan.upstreams:  # a join without an Executor
            return []
        upstreams = self.upstreams
        if self.serves_none:
            return []
        if not upstreams:
            raise Unavailable(f"{self.name}: no worker is connected yet")
        results = await asyncio.gather(*(upstream.ready() for upstream in upstreams), return_exceptions=True)
        for upstream, answer in zip(upstreams, results, strict=True):
            if isinstance(answer, UpstreamUnavailable):
                raise named(self._lost(upstream, answer), self.name, "")
            if isinstance(answer, BaseException):
                raise answer
        return []

    def flush(self, *, on: bool = True) -> None:
        """See `Service`."""
        for upstream in self.upstreams:
            upstream.flush(on=on)

    def throttle(self, *, on: bool = True) -> None:
        """See `Service`."""
        for upstream in self.upstreams:
            upstream.throttle(on=on)

    async def close(self) -> None:
        """Give up all upstreams."""
        await asyncio.gather(*(upstream.close() for upstream in self.upstreams))

    async def call(self, request: Request) -> Reply:
        """The reply of one replica."""
        counts, began, attempts = self._counts, time.perf_counter(), _Attempts()
        counts.sent.observe(size_of(request.payload))
        while True:
            if self.hold is not None and not self.up:
                await self._held(self.hold, request)
            index, upstream = self._take(attempts)
            try:
                try:
                    if self._limit is None and request.deadline is None and traces.SDK not in sys.modules:
                        reply = await upstream.call(request)
                    else:
                        reply = await self._observed(upstream, request)
                finally:
                    self._balance.give_back(index)
            except JinaError as error:
                if not await self._retry(request, attempts, index, error):
                    raise
            else:
                counts.received.observe(size_of(reply.payload))
                counts.seconds.observe(time.perf_counter() - began)
                self._breaker.record_success(index)
                return reply

    async def _observed(self, upstream: Upstream, request: Request) -> Reply:
        """The reply of a replica within the time that it has, and in a span where there are any."""
        span, sent = self._span(upstream, request) if traces.active() else (_NO_SPAN, request)
        with span:
            timed = self._limit is not None or sent.deadline is not None
            return await (self._in_time(upstream, sent) if timed else upstream.call(sent))

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The replies of one replica; closing this closes the generator there."""
        attempts = _Attempts()
        while True:
            if self.hold is not None and not self.up:
                await self._held(self.hold, request)
            index, upstream = self._take(attempts)
            span, sent = self._span(upstream, request) if traces.active() else (_NO_SPAN, request)
            try:
                try:
                    with span:
                        async with aclosing(upstream.stream(sent)) as replies:
                            while (reply := await self._next(upstream, replies)) is not None:
                                attempts.answered = True
                                yield reply
                finally:
                    self._balance.give_back(index)
            except JinaError as error:
                if not await self._retry(request, attempts, index, error):
                    raise
            else:
                self._breaker.record_success(index)
                return

    async def _held(self, hold: Hold, request: Request) -> None:
        """Wait until a replica is there; with those that are there and down only for a moment."""
        try:
            await hold.wait(request.deadline, lambda: self.up, going=any(self._places))
        except JinaError as error:
            error.deployment = error.deployment or self.name
            raise

    async def _retry(self, request: Request, attempts: _Attempts, index: int, error: JinaError) -> bool:
        """Whether to send the request once more, if need be after a pause; False where its sender gets the error.

        Raises `Unavailable` for one that was lost and is not sent again.
        """
        repeatable = self._is_repeatable(request)
        if isinstance(error, UpstreamUnavailable):
            self._record_failure(index)
            lost = error
        else:
            silent = isinstance(error, DeadlineExceeded) and error.deployment == self.name  # over timeout_send
            if silent or isinstance(error, Unavailable):
                self._record_failure(index)
            else:
                self._breaker.record_success(index)
            error.deployment = error.deployment or self.name
            if not (isinstance(error, Unavailable) and repeatable):
                return False
            lost = UpstreamUnavailable(error.message, help=error.help)
        attempts.begun += lost.started
        safe = repeatable or (attempts.begun < _MOST_BEGUN and self._is_safe(request))
        if attempts.answered or not (safe or not lost.started) or not await self._may_retry(index, attempts):
            raise self._lost(attempts.upstream, lost) from lost
        return True

    def _span(self, upstream: Upstream, request: Request) -> tuple[traces.RequestSpan, Request]:
        """The span of sending a request to a replica, and the request that names it as its parent."""
        deployment = self.name.partition("/")[0]
        attributes = {
            "jina.deployment": deployment,
            "jina.replica": upstream.name,
            "jina.request_id": request.request_id,
        }
        span = traces.begin(f"{deployment} {request.endpoint}", request.headers, attributes, sending=True)
        assert span is not None
        return span, replace(request, headers=span.headers(request.headers))

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

    def _take(self, attempts: _Attempts) -> tuple[int, Upstream]:
        """Choose a replica, and count the request as being there."""
        places = self._places
        if len(places) == 1 and (upstream := places[0]) is not None and upstream.up and not attempts.tried:
            usable: Sequence[bool] = (True,)
        else:
            usable = [upstream is not None and upstream.up for upstream in places]
        if not self._breaker.all_closed:
            usable = self._trusted(usable, attempts.tried)
        try:
            index = self._balance.take(usable, attempts.tried)
        except Unavailable as error:
            error.deployment = error.deployment or self.name
            raise
        upstream = self._places[index]
        assert upstream is not None
        attempts.upstream = upstream
        return index, upstream

    def _trusted(self, up: Sequence[bool], tried: Collection[int]) -> Sequence[bool]:
        """Those that are up without the ones whose circuit is open, which are probed where that is due."""
        for index in self._breaker.due(time.monotonic()):
            if (upstream := self._places[index]) is not None:
                task = asyncio.get_running_loop().create_task(self._probe(index, upstream))
                self._probing.add(task)
                task.add_done_callback(self._probing.discard)
        return self._breaker.usable(up, tried)

    async def _probe(self, index: int, upstream: Upstream) -> None:
        healthy = False
        try:
            async with asyncio.timeout(_ASKED_FOR):
                await upstream.ready()
            healthy = True
            _log.info("%s gets requests again", upstream.name)
        except (JinaError, TimeoutError) as error:
            _log.debug("%s still fails: %s", upstream.name, error)
        finally:
            if self._places[index] is upstream:
                self._breaker.answered(index, time.monotonic(), healthy=healthy)

    def _record_failure(self, index: int) -> None:
        """The replica lost a request, refused it for not being ready, or let it time out."""
        upstream = self._places[index]
        if self._breaker.record_failure(index, time.monotonic()) and upstream is not None:
            _log.warning("%s gets no requests for a while: several in a row failed", upstream.name)

    async def _may_retry(self, index: int, attempts: _Attempts) -> bool:
        """Whether another attempt makes sense; waits before one at a replica that had one."""
        tried, failed = attempts.tried, attempts.failed + 1
        attempts.failed = failed
        tried.append(index)
        if failed > (self.plan.retries if self.plan.retries >= 0 else max(_LEAST_RETRIES, len(self._places))):
            return False
        if any(is_up and other not in tried for other, is_up in enumerate(map(_is_up, self._places))):
            return True
        if not self.up and self.hold is None:
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

    async def _next(self, upstream: Upstream, replies: AsyncGenerator[Reply]) -> Reply | None:
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


class _Attempts:
    """What was tried for one request."""

    __slots__ = ("answered", "begun", "failed", "tried", "upstream")

    upstream: Upstream
    """Of the last attempt."""

    def __init__(self) -> None:
        self.tried: list[int] = []
        """The replicas that had it since the last pause."""
        self.failed = 0
        self.begun = 0
        """How many replicas may have been lost because of it."""
        self.answered = False
        """Something of the answer is with its sender already."""


def _is_up(upstream: Upstream | None) -> bool:
    return upstream is not None and upstream.up


INTERVAL = 1.0
"""Seconds between two questions to a worker."""
LIMIT = 5.0
"""Seconds that an answer may take. What is told of a worker is never older than the sum of the two."""
_SCRAPE = 1.0
"""Seconds that a worker gets to give its metrics."""
_watch_log = logs.get_logger("gateway.watch")


class ProbeState:
    """What is known of one worker; all times are of one monotonic clock."""

    __slots__ = ("_asked", "_failure", "_received")

    def __init__(self) -> None:
        self._asked: float | None = None
        self._failure = ""
        self._received = 0

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

    def look(self, now: float, received: int) -> None:
        """So many bytes came from the worker so far. While more come, a question may wait behind requests whose
        answers take long to send.
        """
        if self._asked is not None and received != self._received:
            self._asked = now
        self._received = received

    def answers(self, now: float) -> bool:
        """False from a bad answer, and from `LIMIT` seconds after a question without a sign of life, to the next good
        answer.
        """
        return not self._failure and (self._asked is None or now - self._asked <= LIMIT)


class HealthChecker:
    """Asks every worker of this machine; those elsewhere count by their connection alone.

    `steps` has the parts of each Deployment.
    """

    def __init__(self, steps: Mapping[str, Sequence[Replicas]], clock: Callable[[], float] = time.monotonic) -> None:
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

    def serves(self, parts: Sequence[Replicas]) -> bool:
        """Whether a request to these, of which each is needed, could be answered."""
        return all(
            not part.plan.upstreams or part.serves_none or any(map(self._answers, part.upstreams)) for part in parts
        )

    def replicas(self, part: Replicas) -> dict[str, bool]:
        """Which replicas answer, by their names."""
        return {upstream.name: self._answers(upstream) for upstream in part.upstreams}

    def checks(self) -> dict[str, bool]:
        """Each Deployment and its replicas, by name."""
        found: dict[str, bool] = {}
        for name, parts in self._steps.items():
            found[name] = self.serves(parts)
            for part in parts:
                found |= self.replicas(part)
        return found

    def answering(self) -> list[Upstream]:
        """The workers that are worth a question."""
        parts = (part for parts in self._steps.values() for part in parts)
        return [upstream for part in parts for upstream in part.upstreams if self._answers(upstream)]

    def _answers(self, upstream: Upstream) -> bool:
        known = self._probes.get(upstream)
        return upstream.up and (known is None or known.answers(self._clock()))

    async def _ask_on(self) -> None:
        while True:
            local = {
                upstream
                for parts in self._steps.values()
                for part in parts
                for upstream in part.upstreams
                if any(plan.kind == "link" for plan in part.plan.upstreams)
            }
            self._probes = {upstream: self._probes.get(upstream) or ProbeState() for upstream in local}
            for upstream, probe in self._probes.items():
                probe.look(self._clock(), upstream.received)
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
