"""The replicas of one Deployment as a gateway reaches them: which one gets a request, and what its failure means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jina.errors import DeadlineExceeded, JinaError, Unavailable
from jina.plan.plans import NodePlan
from jina.transport.hop import Hop, HopLost
from jina.transport.service import EndpointInfo
from jina.wire.messages import Reply, Request

_LEAST_RETRIES = 3
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Replica:
    """One hop and how many requests it has in work."""

    __slots__ = ("hop", "in_flight")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.in_flight = 0


class Replicas:
    """Sends each request to the idlest replica, and to another one where the first certainly did not begin.

    Failures name the Deployment: those of a worker keep their class, a lost one is `Unavailable`, a silent one
    `DeadlineExceeded`.
    """

    def __init__(self, plan: NodePlan, hops: Sequence[Hop]) -> None:
        self.plan = plan
        self.name = plan.name
        self._replicas = [Replica(hop) for hop in hops]
        self._limit = plan.timeout_send
        self._addresses = {hop.name: hop.address for hop in plan.hops if hop.address}
        self._turn = 0

    @property
    def hops(self) -> list[Hop]:
        """All of them, in the order of the plan."""
        return [replica.hop for replica in self._replicas]

    @property
    def up(self) -> bool:
        """Whether a request could arrive."""
        return any(replica.hop.up for replica in self._replicas)

    def put(self, hop: Hop) -> Hop | None:
        """Take in a hop; gives the one of the same name whose place it takes."""
        for position, replica in enumerate(self._replicas):
            if replica.hop.name == hop.name:
                self._replicas[position] = Replica(hop)
                return replica.hop
        self._replicas.append(Replica(hop))
        return None

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints of the first replica, when all have told theirs."""
        described = await asyncio.gather(*(replica.hop.describe() for replica in self._replicas))
        return described[0] if described else {}

    async def ready(self) -> None:
        """Ask all replicas whether they would serve; raises what the first failure was, naming the Deployment."""
        answers = await asyncio.gather(*(replica.hop.ready() for replica in self._replicas), return_exceptions=True)
        for replica, answer in zip(self._replicas, answers, strict=True):
            if isinstance(answer, HopLost):
                raise self._lost(replica, answer)
            if isinstance(answer, BaseException):
                raise answer
        if not answers:
            raise Unavailable(f"{self.name}: no worker is there yet")

    async def call(self, request: Request) -> Reply:
        """The reply of one replica."""
        tried: list[Replica] = []
        while True:
            replica = self._idlest(tried)
            replica.in_flight += 1
            try:
                if self._limit is None and request.deadline is None:
                    return await replica.hop.call(request)
                return await self._in_time(replica, request)
            except HopLost as lost:
                if lost.started or not await self._may_retry(replica, tried):
                    raise self._lost(replica, lost) from lost
            except JinaError as error:
                self._blame(error)
                raise
            finally:
                replica.in_flight -= 1

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The replies of one replica; closing this closes the generator there."""
        tried: list[Replica] = []
        begun = False
        while True:
            replica = self._idlest(tried)
            replica.in_flight += 1
            replies: Any = replica.hop.stream(request)
            try:
                if self._limit is None:
                    async for reply in replies:
                        begun = True
                        yield reply
                else:
                    while (reply := await self._next(replica, replies)) is not None:
                        begun = True
                        yield reply
                return
            except HopLost as lost:
                if begun or lost.started or not await self._may_retry(replica, tried):
                    raise self._lost(replica, lost) from lost
            except JinaError as error:
                self._blame(error)
                raise
            finally:
                replica.in_flight -= 1
                await replies.aclose()

    def _idlest(self, tried: list[Replica]) -> Replica:
        replicas = self._replicas
        if len(replicas) == 1:
            return replicas[0]
        if not replicas:
            raise Unavailable(f"{self.name}: no worker is there yet")
        self._turn += 1
        able = [one for one in replicas if one.hop.up and one not in tried] or [one for one in replicas if one.hop.up]
        able = able or [one for one in replicas if one not in tried] or replicas
        start = self._turn % len(able)
        return min(able[start:] + able[:start], key=_load)

    async def _may_retry(self, replica: Replica, tried: list[Replica]) -> bool:
        """Whether another attempt makes sense; waits before one at a replica that failed already."""
        tried.append(replica)
        retries = self.plan.retries if self.plan.retries >= 0 else max(_LEAST_RETRIES, len(self._replicas))
        if len(tried) > retries:
            return False
        if any(one not in tried for one in self._replicas):
            return True
        if not self.up:
            return False
        await asyncio.sleep(min(_FIRST_PAUSE * 2 ** (len(tried) - len(self._replicas)), _LONGEST_PAUSE))
        return True

    async def _in_time(self, replica: Replica, request: Request) -> Reply:
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
                return await replica.hop.call(request)
        except DeadlineExceeded as error:
            raise (self._silent(replica) if ours else error) from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise (self._silent(replica) if ours else self._too_late(replica)) from None

    async def _next(self, replica: Replica, replies: AsyncIterator[Reply]) -> Reply | None:
        """The next reply of a stream, which may be silent for `timeout_send` at most; None at its end."""
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                return await anext(replies, None)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._silent(replica) from None

    def _place_of(self, replica: Replica) -> str:
        address = self._addresses.get(replica.hop.name)
        return replica.hop.name if address is None else f"{replica.hop.name} ({address})"

    def _silent(self, replica: Replica) -> DeadlineExceeded:
        error = DeadlineExceeded(
            f"{self.name}: {self._place_of(replica)} gave no answer within the {self._limit:g} s of timeout_send",
            help="raise timeout_send (in milliseconds) of the Flow or the Deployment where that is too short",
        )
        error.deployment = self.name
        return error

    def _too_late(self, replica: Replica) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self.name}: the deadline of the request passed before {self._place_of(replica)} answered"
        )

    def _lost(self, replica: Replica, lost: HopLost) -> Unavailable:
        error = Unavailable(
            f"{self.name}: no worker answers; {self._place_of(replica)}: {lost.message}", help=lost.help
        )
        error.deployment = self.name
        return error

    def _blame(self, error: JinaError) -> None:
        error.deployment = error.deployment or self.name


def _load(replica: Replica) -> int:
    return replica.in_flight
