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
from jina.net.service import EndpointInfo, Hop, HopLost
from jina.observe import logs
from jina.observe.metrics import HopMetrics
from jina.plan.plans import NodePlan
from jina.routing.balance import Balance
from jina.routing.breaker import Breaker
from jina.routing.walk import named

_log = logs.get_logger("jina.gateway")
_ASKED_FOR = 5.0
"""Seconds in which a replica that was left out says whether it is well."""


class Trust:
    """What a gateway thinks of the replicas of one Deployment; `hops` is its own list, changed in place."""

    def __init__(self, hops: list[Hop]) -> None:
        self._hops = hops
        self._breaker = Breaker(len(hops))
        self._asking: set[asyncio.Task[None]] = set()

    def grow(self) -> None:
        """There is one replica more, the last of the list."""
        self._breaker.grow()

    def replaced(self, place: int) -> None:
        """Another process has the place of a replica."""
        self._breaker.replaced(place)

    def usable(self, tried: Collection[int]) -> Sequence[bool]:
        """The replicas that may have a request."""
        up = [hop.up for hop in self._hops]
        if self._breaker.all_trusted:
            return up
        for place in self._breaker.due(time.monotonic()):
            task = asyncio.get_running_loop().create_task(self._asked(place, self._hops[place]))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return self._breaker.usable(up, tried)

    def well(self, place: int) -> None:
        """The replica has answered."""
        self._breaker.well(place)

    def fault(self, place: int) -> None:
        """The replica has lost a request, refused it for not being ready, or let its time run out."""
        if self._breaker.fault(place, time.monotonic()):
            _log.warning("%s gets no requests for a while: several in a row failed", self._hops[place].name)

    async def _asked(self, place: int, hop: Hop) -> None:
        well = False
        try:
            async with asyncio.timeout(_ASKED_FOR):
                await hop.ready()
            well = True
            _log.info("%s gets requests again", hop.name)
        except (JinaError, TimeoutError) as error:
            _log.debug("%s is not well yet: %s", hop.name, error)
        finally:
            if place < len(self._hops) and self._hops[place] is hop:
                self._breaker.answered(place, time.monotonic(), well=well)


# Its own state, so that `random.seed` of user code does not let all gateways choose alike.
dice = random.Random()  # noqa: S311 - no secret
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
        hops: Sequence[Hop],
        counts: HopMetrics,
        randrange: Callable[[int], int] = dice.randrange,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.hops: list[Any] = list(hops)
        self._counts = counts
        self._limit = plan.timeout_send
        self._addresses = {hop.name: hop.address for hop in plan.hops if hop.address}
        self._balance = Balance(self.name, [hop.name for hop in self.hops], randrange)
        self._endpoints: Mapping[str, EndpointInfo] = {}
        self._trust = Trust(self.hops)

    @property
    def up(self) -> bool:
        """Whether a request could arrive."""
        return not self.plan.hops or any(hop.up for hop in self.hops)

    @property
    def parts(self) -> list[Replicas]:
        """Of which each has to be up for the whole to be."""
        return [self]

    def put(self, hop: Hop, endpoints: Mapping[str, EndpointInfo] | None = None) -> Hop | None:
        """Take in a hop, which may have told its endpoints; gives the one of the same name whose place it takes."""
        self._endpoints = self._endpoints or endpoints or {}
        for place, other in enumerate(self.hops):
            if other.name == hop.name:
                self.hops[place] = hop
                self._balance.rename(place, hop.name)
                self._trust.replaced(place)
                old: Hop = other
                return None if isinstance(other, Gone) else old
        self.hops.append(hop)
        self._balance.grow(hop.name)
        self._trust.grow()
        return None

    def remove(self, name: str) -> Any:
        """Send no more requests to a replica; gives its hop, on which requests may be in flight, or None."""
        for place, hop in enumerate(self.hops):
            if hop.name == name and not isinstance(hop, Gone):
                # Requests in flight know their replica by its place, so that it stays.
                self.hops[place] = Gone(name)
                self._balance.rename(place, "")
                self._trust.replaced(place)
                return hop
        return None

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints of the first replica, when all that are up have told theirs; the last ones known where none is.

        A replica that goes away meanwhile counts as down.
        """
        asked = (hop.describe() for hop in self.hops if hop.up)
        told = await asyncio.gather(*asked, return_exceptions=True)
        for answer in told:
            if isinstance(answer, BaseException) and not isinstance(answer, HopLost):
                raise answer
        described = [answer for answer in told if not isinstance(answer, BaseException)]
        self._endpoints = described[0] if described else self._endpoints
        return self._endpoints

    async def ready(self) -> None:
        """Ask all replicas whether they would serve; raises what the first failure was, naming the Deployment."""
        if not self.plan.hops:  # a join without an Executor
            return
        hops = [hop for hop in self.hops if not isinstance(hop, Gone)]
        if not hops:
            raise Unavailable(f"{self.name}: no worker is there yet")
        told = await asyncio.gather(*(hop.ready() for hop in hops), return_exceptions=True)
        for hop, answer in zip(hops, told, strict=True):
            if isinstance(answer, HopLost):
                raise named(self._lost(hop, answer), self.name, "")
            if isinstance(answer, BaseException):
                raise answer

    async def call(self, request: Request) -> Reply:
        """The reply of one replica."""
        counts, began, begun = self._counts, time.perf_counter(), 0
        counts.sent.observe(size_of(request.payload))
        tried: list[int] = []
        for attempt in count(1):
            place = self._take(tried)
            hop: Hop = self.hops[place]
            try:
                if self._limit is None and request.deadline is None:
                    reply = await hop.call(request)
                else:
                    reply = await self._in_time(hop, request)
                counts.received.observe(size_of(reply.payload))
                counts.seconds.observe(time.perf_counter() - began)
                self._trust.well(place)
                return reply
            except HopLost as lost:
                failure = lost
                self._trust.fault(place)
            except JinaError as error:
                self._judge(place, error)
                if not (isinstance(error, Unavailable) and self._is_repeatable(request)):
                    raise
                failure = HopLost(error.message, help=error.help)
            finally:
                self._balance.give_back(place)
            if failure.started:
                begun += 1
            safe = self._is_repeatable(request) or (begun < _MOST_BEGUN and self._is_safe(request))
            again = not failure.started or safe
            if not again or not await self._may_retry(place, tried, attempt):
                raise self._lost(hop, failure) from failure
        raise AssertionError("unreachable")

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The replies of one replica; closing this closes the generator there."""
        tried: list[int] = []
        begun, losses = False, 0
        for attempt in count(1):
            place = self._take(tried)
            hop = self.hops[place]
            replies: Any = hop.stream(request)
            try:
                while (reply := await self._next(hop, replies)) is not None:
                    begun = True
                    yield reply
                self._trust.well(place)
                return
            except HopLost as lost:
                failure = lost
                self._trust.fault(place)
            except JinaError as error:
                self._judge(place, error)
                raise
            finally:
                self._balance.give_back(place)
                await replies.aclose()
            if failure.started:
                losses += 1
            again = not begun and (not failure.started or (losses < _MOST_BEGUN and self._is_safe(request)))
            if not again or not await self._may_retry(place, tried, attempt):
                raise self._lost(hop, failure) from failure

    def _is_safe(self, request: Request) -> bool:
        """Whether the request may run twice, so says its endpoint."""
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
            return self._balance.take(self._trust.usable(tried), tried)
        except Unavailable as error:
            self._blame(error)
            raise

    def _judge(self, place: int, error: JinaError) -> None:
        """Name the Deployment in an error, and tell whether it speaks against the replica."""
        silent = isinstance(error, DeadlineExceeded) and error.deployment == self.name  # over timeout_send
        if silent or isinstance(error, Unavailable):
            self._trust.fault(place)
        else:
            self._trust.well(place)
        self._blame(error)

    async def _may_retry(self, place: int, tried: list[int], failed: int) -> bool:
        """Whether another attempt makes sense after `failed` of them; waits before one at a replica that had one."""
        tried.append(place)
        if failed > (self.plan.retries if self.plan.retries >= 0 else max(_LEAST_RETRIES, len(self.hops))):
            return False
        if any(hop.up and other not in tried for other, hop in enumerate(self.hops)):
            return True
        if not self.up:
            return False
        tried.clear()
        await asyncio.sleep(min(_FIRST_PAUSE * 2**failed, _LONGEST_PAUSE))
        return True

    async def _in_time(self, hop: Hop, request: Request) -> Reply:
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
                return await hop.call(request)
        except DeadlineExceeded as error:
            raise (self._silent(hop) if ours else error) from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise (self._silent(hop) if ours else self._too_late(hop)) from None

    async def _next(self, hop: Hop, replies: AsyncIterator[Reply]) -> Reply | None:
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
            raise self._silent(hop) from None

    def _place_of(self, hop: Hop) -> str:
        address = self._addresses.get(hop.name)
        return hop.name if address is None else f"{hop.name} ({address})"

    def _silent(self, hop: Hop) -> DeadlineExceeded:
        error = DeadlineExceeded(
            f"{self._place_of(hop)} gave no answer within the {self._limit:g} s of timeout_send",
            help="raise timeout_send (in milliseconds) of the Flow or the Deployment where that is too short",
        )
        error.deployment = self.name
        return error

    def _too_late(self, hop: Hop) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline of the request passed before {self._place_of(hop)} answered")

    def _lost(self, hop: Hop, lost: HopLost) -> Unavailable:
        place = self._place_of(hop)
        said = lost.message if lost.message.startswith(place) else f"{place}: {lost.message}"
        error = Unavailable(f"no worker answers; {said}", help=lost.help)
        error.deployment = self.name
        return error

    def _blame(self, error: JinaError) -> None:
        error.deployment = error.deployment or self.name


class Gone:
    """In the place of the hop to a replica that was removed."""

    up = False

    def __init__(self, name: str) -> None:
        self.name = name

    def hurry(self) -> None:
        """Nobody is there who could."""


def size_of(payload: Payload) -> int:
    """Bytes of the documents as they came in; 0 where they did not come as bytes."""
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


class Vitals:
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
    def hops(self) -> Sequence[Any]:
        """The workers."""
        ...


class Watch:
    """Asks every worker of this machine; those elsewhere count by their connection alone."""

    def __init__(self, steps: Mapping[str, Watched], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._vitals: dict[Hop, Vitals] = {}
        self._open: set[Task[None]] = set()
        self._asking: Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._asking = asyncio.get_running_loop().create_task(self._ask_on())

    def stop(self) -> None:
        """Ask no more."""
        for task in [*self._open, *([self._asking] if self._asking else [])]:
            task.cancel()

    def serves(self, step: Watched) -> bool:
        """Whether a request to the Deployment could be answered."""
        return all(not part.plan.hops or any(self._answers(hop) for hop in part.hops) for part in step.parts)

    def replicas(self, step: Watched) -> dict[str, bool]:
        """Which replicas answer, by their names; those that were removed are left out."""
        return {hop.name: self._answers(hop) for hop in step.hops if not isinstance(hop, Gone)}

    def checks(self) -> dict[str, bool]:
        """Each Deployment and its replicas, by name."""
        found: dict[str, bool] = {}
        for name, step in self._steps.items():
            found[name] = self.serves(step)
            found |= self.replicas(step)
        return found

    def answering(self) -> list[Hop]:
        """The workers that are worth a question."""
        return [hop for hop in self._hops() if self._answers(hop)]

    def _answers(self, hop: Hop) -> bool:
        known = self._vitals.get(hop)
        return hop.up and (known is None or known.answers(self._clock()))

    def _hops(self) -> Iterator[Hop]:
        for step in self._steps.values():
            yield from step.hops

    async def _ask_on(self) -> None:
        while True:
            local = {
                hop
                for step in self._steps.values()
                for hop in step.hops
                if any(plan.kind == "link" for plan in step.plan.hops)
            }
            self._vitals = {hop: self._vitals.get(hop) or Vitals() for hop in local}
            for hop, vitals in self._vitals.items():
                if hop.up and vitals.ask(self._clock()):
                    task = asyncio.create_task(self._ask(hop, vitals))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
            await asyncio.sleep(INTERVAL)

    async def _ask(self, hop: Hop, vitals: Vitals) -> None:
        try:
            await hop.ready()
        except JinaError as error:
            if vitals.answers(self._clock()) and not isinstance(error, HopLost):  # that `up` tells
                _watch_log.warning("%s is not ready: %s", hop.name, error.message)
            vitals.answered(error.message or type(error).__name__)
        else:
            vitals.answered()


async def worker_metrics(hops: Sequence[Hop], *, openmetrics: bool) -> list[tuple[str, bytes]]:
    """Name and metrics of each worker that gives them in time."""

    async def of(hop: Hop) -> bytes:
        try:
            async with asyncio.timeout(_SCRAPE):
                return await hop.metrics(openmetrics=openmetrics)
        except (JinaError, TimeoutError) as error:
            _watch_log.debug("no metrics of %s: %r", hop.name, error)
            return b""

    texts = await asyncio.gather(*(of(hop) for hop in hops))
    return [(hop.name, text) for hop, text in zip(hops, texts, strict=True) if text]
