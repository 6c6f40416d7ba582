"""The replicas of one Deployment as a gateway reaches them: which one gets a request, and what its failure means."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from jina.errors import DeadlineExceeded, JinaError, Unavailable
from jina.observe.metrics import HopMetrics
from jina.plan.plans import NodePlan
from jina.routing.balance import Balance
from jina.routing.walk import named
from jina.runtime.gateway_endpoints import answers
from jina.runtime.gateway_trust import Trust
from jina.transport.hop import Hop, HopLost
from jina.transport.service import EndpointInfo
from jina.wire.messages import Payload, Reply, Request
from jina.wire.payloads import BytesPayload, JsonPayload, ProtoPayload

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
