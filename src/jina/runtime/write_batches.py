"""Dynamic batching of `@write` methods of stateful Executors: requests are gathered before the log.

What was gathered is one operation of the log, and so the same batch on every replica. A request is never divided: it is
applied as a whole, together with others or alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jina.errors import InternalError, JinaError
from jina.executor.scoping import scope_parameters
from jina.replication import outcomes
from jina.replication.frames import Buffer
from jina.replication.outcomes import Outcome
from jina.replication.replica import Gather
from jina.replication.writes import Mark
from jina.routing.batching import Batcher, Part, Rules
from jina.runtime.batch_job import BatchJob, Ticket
from jina.runtime.dispatch import FunctionJob
from jina.runtime.effort import size_of
from jina.runtime.gathering import Gatherer
from jina.wire.messages import Reply, Request

if TYPE_CHECKING:
    from jina.executor.batching import Batching
    from jina.runtime.dispatch import Dispatcher
    from jina.runtime.handler import Handler

Propose = Callable[[Sequence[tuple[Mark, Sequence[Buffer]]]], None]
"""Brings operations into the log as one."""


class _Waiting:
    """An operation that waits for company."""

    __slots__ = ("mark", "operation", "propose")

    def __init__(self, mark: Mark, operation: Sequence[Buffer], propose: Propose) -> None:
        self.mark = mark
        self.operation = operation
        self.propose = propose


class WriteGatherer(Gatherer):
    """The writes that wait at one endpoint of this replica, and the batches that the log says; on the protocol loop."""

    def __init__(self, handler: Handler, options: Batching, dispatcher: Dispatcher) -> None:
        super().__init__(handler, options, dispatcher)
        rules = Rules(options.preferred_batch_size, options.timeout / 1000, options.flush_all)
        self._writes: Batcher[_Waiting] = Batcher(rules)

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        return self._writes.requests

    async def door(self, request: Request, propose: Propose) -> Gather:
        """What takes the request's operation, and has it proposed together with others."""
        _, weights = await self._measured(request, None)
        weight = float(weights) if isinstance(weights, int) else sum(weights)
        key = _key(self._scoped(request))

        def gather(mark: Mark, operation: Sequence[Buffer]) -> None:
            self._writes.add(time.monotonic(), key, _Waiting(mark, operation, propose), [weight])
            self._look()

        return gather

    def flush(self, *, on: bool) -> None:
        """From now on nothing waits for company, or it does again."""
        self._writes.flush(on=on)
        self._look()

    def _look(self, _: None = None) -> None:
        """Bring into the log what is due, and look again when more will be."""
        now = time.monotonic()
        while batch := self._writes.take(now):
            batch[0].ticket.propose([(part.ticket.mark, part.ticket.operation) for part in batch])
        due = self._writes.due()
        if due is not None:
            self._wake_at(due, now)

    # --- what the log says --------------------------------------------------------------------------------

    async def applied(self, requests: Sequence[Request]) -> list[Outcome]:
        """What the handler answers to each of the requests of one operation."""
        loop, counts, began = self._dispatcher.loop, self.handler.counts, time.perf_counter()
        tickets = [
            Ticket(one, None, None, len(one.payload), self._scoped(one), loop.create_future()) for one in requests
        ]
        for one in requests:
            counts.received.observe(size_of(one.payload))
            self._dispatcher.enter()
        counts.in_flight += len(tickets)
        try:
            self._jobs += 1
            self._dispatcher.submit(_GivenJob(self, tickets), self.handler.lane)
            came = await asyncio.gather(*(ticket.future for ticket in tickets), return_exceptions=True)
        finally:
            counts.in_flight -= len(tickets)
            for _ in tickets:
                self._dispatcher.leave()
        found = [await self._outcome(*one) for one in zip(came, requests, strict=True)]
        for outcome in found:
            failure = type(outcome.told).__name__ if isinstance(outcome.told, JinaError) else None
            counts.ended(time.perf_counter() - began, failure)
        return found

    async def _outcome(self, came: tuple[Reply, bool] | BaseException, request: Request) -> Outcome:
        if isinstance(came, tuple):
            reply, slow = came
            try:
                if slow:
                    encode = FunctionJob(partial(outcomes.of_reply, reply, request), None)
                    written: Outcome = await encode.outcome(self._dispatcher, self._dispatcher.codec_lane)
                    return written
                return outcomes.of_reply(reply, request)
            except JinaError as failure:
                came = failure
        error = came if isinstance(came, JinaError) else InternalError(f"a batch of writes failed: {came!r}")
        return outcomes.of_error(error)

    def _scoped(self, request: Request) -> dict[str, object]:
        return scope_parameters(request.parameters, self.handler.owner.names) if request.parameters else {}


class _GivenJob(BatchJob):
    """Runs the batch that it is given."""

    __slots__ = ("_tickets",)

    def __init__(self, gatherer: Gatherer, tickets: list[Ticket]) -> None:
        super().__init__(gatherer)
        self._tickets = tickets

    def take(self) -> list[Part[Ticket]]:
        now = time.monotonic()
        self.parts = [Part(one, 0, one.documents, float(one.documents), now) for one in self._tickets]
        for one in self._tickets:
            one.jobs.append(self)
        return self.parts


def _key(parameters: dict[str, object]) -> str:
    return json.dumps(parameters, sort_keys=True, default=repr) if parameters else ""
