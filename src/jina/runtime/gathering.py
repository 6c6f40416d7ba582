"""Dynamic batching: requests of one endpoint gathered, its handler called with the documents of several at once.

What goes together is decided by `routing.batching`. Here requests join and leave it on the protocol loop, and a
batch is taken from it where the handler runs and when it can run, by one job at a time.
"""

from __future__ import annotations

import inspect
import json
import math
import threading
import time
from asyncio import CancelledError, TimerHandle
from functools import partial
from typing import TYPE_CHECKING, Any

from jina.executor.batching import Batching
from jina.executor.scoping import scope_parameters
from jina.observe import traces
from jina.observe.batch_metrics import BatchMetrics
from jina.routing.batching import Batcher, Part, Rules, Weights
from jina.runtime.batch_job import BatchJob, Ticket
from jina.runtime.dispatch import Dispatcher, FunctionJob, too_late
from jina.wire.messages import Reply, Request

if TYPE_CHECKING:
    from jina.runtime.handler import Handler

HANDOVER = 0.0005
"""Seconds for which the protocol loop stands still, at most, so that an idle handler begins its batch."""


class Gatherer:
    """The requests that wait at one endpoint, and the jobs that take them."""

    def __init__(self, handler: Handler, options: Batching, dispatcher: Dispatcher) -> None:
        self.handler = handler
        self.apart = options.isolate_errors if options.isolate_errors is not None else not handler.endpoint.is_write
        """Whether a batch that failed is run again in halves."""
        self.counts = handler.counts.batches = BatchMetrics(lambda: self.waiting)
        self.to_protocol = dispatcher.from_user if handler.endpoint.is_async else dispatcher.back
        """Posts to the protocol loop from where the handler runs."""
        self._dispatcher = dispatcher
        self._metric = options.custom_metric if options.use_custom_metric else None
        self._metric_takes_docs = self._metric is not None and "docs" in _parameters(self._metric)
        rules = Rules(options.preferred_batch_size, options.timeout / 1000, options.flush_all)
        self._batcher: Batcher[Ticket] = Batcher(rules)
        # Held for microseconds: requests join on the protocol loop while batches are taken on threads.
        self._lock = threading.Lock()
        self._submitted = False
        """A job is on its way to take a batch."""
        self._jobs = 0
        """Those that were submitted and have not ended; on the protocol loop."""
        self._crosses = not (handler.endpoint.is_async and dispatcher.shared)
        """The handler runs on another thread than the protocol loop."""
        self._timer: TimerHandle | None = None
        self._timer_due = math.inf

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        return self._batcher.requests

    async def outcome(self, request: Request, span: traces.RequestSpan | None, docs: Any = None) -> tuple[Reply, bool]:
        """The answer to one request, and whether it takes long to encode; `docs` where they are decoded already.

        Raises a `JinaError`. Cancelling takes the request out of the queue, or leaves its part of a running batch
        to nobody.
        """
        docs, weights = await self._measured(request, docs)
        loop = self._dispatcher.loop
        parameters = scope_parameters(request.parameters, self.handler.owner.names) if request.parameters else {}
        key = json.dumps(parameters, sort_keys=True, default=repr) if parameters else ""
        count = weights if isinstance(weights, int) else len(weights)
        ticket = Ticket(request, span, docs, count, parameters, loop.create_future())
        timer = None
        if request.deadline is not None:
            timer = loop.call_later(max(0.0, request.deadline - time.monotonic()), _expire, ticket)
        self._dispatcher.enter()
        with self._lock:
            self._batcher.add(time.monotonic(), key, ticket, weights)
        self._look()
        try:
            return await ticket.future
        except BaseException as error:
            self._forget(ticket)
            if isinstance(error, CancelledError) and ticket.future.done() and not ticket.future.cancelled():
                ticket.future.exception()  # seen: asyncio would complain that nobody looked at it
            raise
        finally:
            ticket.over = True
            if timer is not None:
                timer.cancel()
            ticket.left = bool(ticket.jobs)
            if not ticket.left:
                self.ended()

    def ended(self) -> None:
        """The code of one request has ended, or will not be begun; on the protocol loop."""
        self._dispatcher.leave()

    def settled(self) -> None:
        """A job has ended; on the protocol loop."""
        self._jobs -= 1

    def flush(self, *, on: bool) -> None:
        """From now on nothing waits for company, or it does again; on the protocol loop."""
        with self._lock:
            self._batcher.flush(on=on)
        self._look()

    def take(self, job: BatchJob) -> list[Part[Ticket]]:
        """The batch that a job is to run, as of now; where the handler runs."""
        with self._lock:
            self._submitted = False
            job.begun.release()
            batch = self._batcher.take(time.monotonic())
            job.parts = batch
            for part in batch:
                part.ticket.jobs.append(job)
            more = self._batcher.requests
        if more:
            self.to_protocol.post(self._look, None)
        return batch

    def _look(self, _: None = None) -> None:
        """Send a job to take a batch where one is due, else look again when one will be; on the protocol loop."""
        now = time.monotonic()
        with self._lock:
            due = self._batcher.due()
            if due is None or (due <= now and self._submitted):
                return
            if due <= now:
                self._submitted = True
        if due <= now:
            self._send()
        else:
            self._wake_at(due, now)

    def _wake_at(self, due: float, now: float) -> None:
        if self._timer is None or due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = self._dispatcher.loop.call_later(due - now, self._ring), due

    def _send(self) -> None:
        """Submit a job that takes a batch; where none runs, see to it that this one begins at once.

        A loop with many sockets to read gives up the interpreter lock for moments that are too short for the thread
        of the handler to wake up in, so that it would begin a millisecond or more later.
        """
        job = BatchJob(self)
        self._jobs += 1
        self._dispatcher.submit(job, self.handler.lane)
        if self._jobs == 1 and self._crosses:
            job.begun.acquire(timeout=HANDOVER)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def _forget(self, ticket: Ticket) -> None:
        """A request is not wanted any more, or has failed: it leaves the queue, and jobs that run for nobody stop."""
        ticket.over = True
        with self._lock:
            self._batcher.discard(ticket)
            idle = [job for job in ticket.jobs if all(part.ticket.over for part in job.parts)]
        for job in idle:
            self.handler.lane.abandon(job)

    async def _measured(self, request: Request, docs: Any) -> tuple[Any, Weights]:
        """The documents where they had to be decoded for it, and what they weigh."""
        if self._metric is None and request.branches is None:
            return docs, len(request.payload if docs is None else docs)
        # Of user code and of merged branches nobody knows how long they take.
        measure = FunctionJob(partial(self._decode_and_measure, request, docs), request.deadline)
        found: tuple[Any, Weights] = await measure.outcome(self._dispatcher, self._dispatcher.codec_lane)
        return found

    def _decode_and_measure(self, request: Request, docs: Any) -> tuple[Any, Weights]:
        docs = self.handler.documents(request) if docs is None else docs
        if self._metric is None:
            return docs, len(docs)
        try:
            inputs = [docs[at : at + 1] for at in range(len(docs))] if self._metric_takes_docs else docs
            return docs, [_weight(self._metric(one)) for one in inputs]
        except Exception as error:
            raise self.handler.owner.failed(error, f"custom_metric of {self.handler.endpoint.path}") from error


def _weight(value: Any) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"custom_metric gave {value!r}; a document weighs 0 or more")
    return number


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _expire(ticket: Ticket) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(too_late("before the handler answered"))
