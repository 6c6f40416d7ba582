"""Dynamic batching: requests of one endpoint gathered, its handler called with the documents of all."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import threading
import time
from asyncio import CancelledError, Future, TimerHandle
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, size_of
from jina.errors import InputRequired, InternalError, JinaError
from jina.executor import invoke
from jina.executor.endpoints import Batching, Endpoint
from jina.executor.invoke import scope_parameters
from jina.executor.offers import InvalidArguments
from jina.observe import logs, traces
from jina.observe.counters import BatchMetrics
from jina.replication.agent_client import Buffer
from jina.replication.log_entries import Outcome, outcome_of_error, outcome_of_reply
from jina.replication.replica import Gather, RequestKey
from jina.routing.batching import Batcher, Part, Rules, Weights, attempts
from jina.worker.handler import DECODED, executor_error
from jina.worker.scheduler import Dispatcher, FunctionJob, Job, too_late

if TYPE_CHECKING:
    from jina.worker.handler import Handler


class BatchItem:
    """One request on its way through a queue and one batch, or several where it is larger than a batch.

    `over` once no caller waits for it: it was answered, cancelled, or came too late.
    """

    __slots__ = (
        "docs", "documents", "future", "jobs", "left", "over", "parameters", "parts", "request", "results", "span",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        span: traces.RequestSpan | None,
        docs: Any,
        documents: int,
        parameters: dict[str, Any],
        future: Future[tuple[Reply, bool]],
    ) -> None:
        self.request = request
        self.span = span
        self.docs = docs
        """Its documents once they are decoded; not kept for longer than they are needed."""
        self.documents = documents
        """How many there are."""
        self.parameters = parameters
        self.future = future
        self.jobs: list[BatchJob] = []
        """Those that run a part of it."""
        self.results: dict[int, Any] = {}
        """Of a request of several parts: the answered documents of each by its start."""
        self.parts: dict[str, Any] | None = None
        """See `Observed.parts`."""
        self.over = False
        self.left = False
        """No caller waits any more, but a job still runs."""


Answer = Any
"""What came of a part: its documents, or what went wrong."""
Piece = tuple[Part[BatchItem], Any]
"""A part and its documents."""
Call = tuple[Any, dict[str, Any]]
"""The documents and the keywords of a call of the handler."""


class BatchJob(Job):
    """Takes a batch when it is started, and runs it."""

    counts = 0  # its requests are counted
    urgent = True  # those who wait have waited, and those who come meanwhile join

    def __init__(self, batch_queue: BatchQueue) -> None:
        super().__init__(None)
        self._gatherer = batch_queue
        self._handler = batch_queue.handler
        self.begun = threading.Lock()
        """Released when it takes its batch."""
        self.begun.acquire()
        self.parts: list[Part[BatchItem]] = []
        self._sizes: list[int] = []
        self._seconds: list[float] = []
        self._waits: list[float] = []

    def work(self) -> None:
        """Call a `def` handler, more than once where a batch fails; on a thread."""
        endpoint, owner = self._handler.endpoint, self._handler.owner
        calls = self._all_calls()
        call = next(calls, None)
        while call is not None:
            outcome: Any
            started = time.perf_counter()
            try:
                with owner.write_lock if endpoint.is_write else nullcontext():
                    outcome = invoke.call(endpoint, *call)
            except BaseException as error:  # noqa: BLE001 - told to the requests, also SystemExit
                outcome = error
            self._seconds.append(time.perf_counter() - started)
            call = _resumed(calls, outcome)

    async def work_async(self) -> None:
        """Call an `async def` handler, more than once where a batch fails; on the user loop."""
        endpoint, owner = self._handler.endpoint, self._handler.owner
        calls = self._all_calls()
        call = next(calls, None)
        while call is not None:
            outcome: Any
            started = time.perf_counter()
            try:
                async with owner.async_write_lock if endpoint.is_write else nullcontext():
                    outcome = await invoke.call_async(endpoint, *call)
            except BaseException as error:
                if self.abandoned and isinstance(error, CancelledError):
                    raise
                outcome = error
            self._seconds.append(time.perf_counter() - started)
            call = _resumed(calls, outcome)

    def settle(self) -> None:
        """Count what was done; the requests have their answers already. On the protocol loop."""
        handler = self._handler
        self._gatherer.settled()
        for seconds in self._seconds:
            handler.counts.handler_seconds.observe(seconds)
        if self._sizes:
            handler.counts.documents += self._sizes[0]
            self._gatherer.counts.observe(self._sizes[0], self._waits)
        if self.error is not None:
            # Nothing that a request asked for: what it raised is in its answer.
            failure: Answer = self.error
            self._deliver([(part, failure) for part in self.parts if not part.item.over])
        for part in self.parts:
            part.item.jobs.remove(self)
            if part.item.left and not part.item.jobs:
                self._gatherer.ended()
        self.parts = []

    def expire(self) -> None:
        """Never called: the job itself has no deadline, its requests have."""

    def take(self) -> list[Part[BatchItem]]:
        """The batch, as of now; where the handler runs."""
        return self._gatherer.take(self)

    def _all_calls(self) -> Generator[Call, Any, None]:
        """The calls of the handler; to be sent what each returned or raised."""
        batch = self.take()
        if not batch:
            return
        now = time.monotonic()
        self._waits = [now - part.arrived for part in batch]
        for part in batch:
            if part.item.parts is not None:
                part.item.parts["queue"] = now - part.arrived
        tries = attempts(batch, apart=self._gatherer.apart)
        parts, first = next(tries), True
        while not self.abandoned:
            pieces = self._pieces(parts, first=first)
            went_well = True
            if pieces and (arguments := self._arguments(pieces)) is not None:
                docs = self._joined(pieces)
                self._sizes.append(sum(len(part) for part, _ in pieces))
                for part, _ in pieces:
                    if part.item.parts is not None:
                        part.item.parts["batch"] = self._sizes[-1]
                span = self._span(pieces, arguments)
                outcome: Any = None
                try:
                    outcome = given = yield docs, arguments
                    outcome = _checked(outcome, self._sizes[-1], self._handler.endpoint)
                finally:
                    if span is not None:
                        span.end(outcome if isinstance(outcome, BaseException) else None)
                went_well = self._answered(pieces, outcome, raised=isinstance(given, BaseException))
            following = _resumed(tries, went_well)
            if following is None:
                return
            parts, first = following, False

    def _pieces(self, parts: list[Part[BatchItem]], *, first: bool) -> list[Piece]:
        """Those parts that are still wanted, with their documents; what cannot be decoded is answered here."""
        pieces: list[Piece] = []
        failed: list[tuple[Part[BatchItem], Answer]] = []
        now = time.monotonic()
        for part in parts:
            item = part.item
            deadline = item.request.deadline
            if item.over:
                continue
            if deadline is not None and now >= deadline:
                failed.append((part, too_late("before it was started")))
                continue
            try:
                pieces.append((part, self._documents(part, again=not first)))
            except JinaError as error:
                failed.append((part, error))
        if failed:
            self._post(failed)
        return pieces

    def _documents(self, part: Part[BatchItem], *, again: bool) -> Any:
        """The documents of a part; decoded again after a failure, since the handler may have changed them."""
        item = part.item
        docs = item.docs
        if docs is None or again:
            docs = self._handler.documents(item.request)
        whole = len(part) == item.documents
        if whole and not self._gatherer.apart and isinstance(item.request.payload, BytesPayload):
            item.request.payload = DECODED  # not needed again, and the batch may run for long
        item.docs = None if whole or again else docs
        began, item.request.began = item.request.began, None
        if began is not None:
            began()
        return docs if whole else docs[part.start : part.stop]

    def _joined(self, pieces: list[Piece]) -> Any:
        if len(pieces) == 1:
            return pieces[0][1]
        docs = [doc for _, found in pieces for doc in found]
        return self._handler.codec.list_type.construct(docs)

    def _arguments(self, pieces: list[Piece]) -> dict[str, Any] | None:
        """The keywords of the call; None where the parameters do not fit, which is answered here."""
        arguments = [self._arguments_of(pieces[0][0].item)]
        if isinstance(arguments[0], dict):
            return arguments[0]
        # An error of its own for each: they are told where they have been.
        arguments += [self._arguments_of(part.item) for part, _ in pieces[1:]]
        self._post([(part, one) for (part, _), one in zip(pieces, arguments, strict=True)
                    if isinstance(one, JinaError)])  # fmt: skip
        return None

    def _arguments_of(self, item: BatchItem) -> dict[str, Any] | JinaError:
        # A copy for each call: what a handler changes in it must not reach the next call or an answer.
        extras = invoke.Extras(parameters=copy.deepcopy(item.parameters), clock_and_seed=item.request.clock_and_seed)
        try:
            return invoke.call_arguments(self._handler.endpoint, extras)
        except JinaError as error:
            return error

    def _span(self, pieces: list[Piece], arguments: dict[str, Any]) -> traces.RequestSpan | None:
        """What logs and traces of the handler read: the ids of the requests, and a span of the batch."""
        ids = [part.item.request.request_id for part, _ in pieces]
        logs.request_id.set(ids[0] if len(ids) == 1 else f"{ids[0]}+{len(ids) - 1}")
        spans = [part.item.span for part, _ in pieces if part.item.span is not None]
        if not spans:
            return None
        span = traces.begin_batch(f"batch {self._handler.endpoint.path}", spans)
        owner, endpoint = self._handler.owner, self._handler.endpoint
        span.attach(f"{owner.class_name}.{endpoint.method_name}")
        if "tracing_context" in arguments:
            arguments["tracing_context"] = span.context
        return span

    def _answered(self, pieces: list[Piece], outcome: Any, *, raised: bool) -> bool:
        """Answer the requests of a call; False where they are to be tried apart instead.

        That is for what a handler `raised`, which may be the fault of one request. A wrong number of documents is the
        fault of the handler: halves that happen to fit would hide it from some of the requests.
        """
        handler, owner = self._handler, self._handler.owner
        path = handler.endpoint.path
        if isinstance(outcome, BaseException):
            final = isinstance(outcome, CancelledError) or owner.ends(outcome)
            if raised and len(pieces) > 1 and self._gatherer.apart and not final:
                owner.log.warning("%s raised %r for a batch of %d requests; trying them apart",
                                  path, outcome, len(pieces))  # fmt: skip
                return False
            failed = owner.failed(outcome, path)
            asks = isinstance(failed, InputRequired | InvalidArguments)
            errors = [failed if asks else executor_error(outcome, owner.class_name) for _ in pieces]
            self._post([(part, error) for (part, _), error in zip(pieces, errors, strict=True)])
            return True
        if len(pieces) == 1:
            self._post([(pieces[0][0], outcome)])
            return True
        docs, at = list(outcome), 0
        answers: list[tuple[Part[BatchItem], Answer]] = []
        for part, _ in pieces:
            answers.append((part, docs[at : at + len(part)]))
            at += len(part)
        self._post(answers)
        return True

    def _post(self, answers: list[tuple[Part[BatchItem], Answer]]) -> None:
        self._gatherer.to_protocol.post(self._deliver, answers)

    def _deliver(self, answers: list[tuple[Part[BatchItem], Answer]]) -> None:
        """Hand the answers to those who wait; on the protocol loop, so that the next batch need not wait for it."""
        for part, answer in answers:
            item = part.item
            if item.future.done():
                continue
            if isinstance(answer, BaseException):
                item.future.set_exception(answer)
            elif (docs := _whole(part, answer)) is not None:
                try:
                    item.future.set_result(self._handler.reply(item.request, docs))
                except Exception as error:  # noqa: BLE001 - it is of what this request got
                    item.future.set_exception(error)


def _whole(part: Part[BatchItem], docs: Any) -> Any:
    """The documents that answer the request, None where other parts of it are missing."""
    item = part.item
    if len(part) == item.documents:
        return docs
    item.results[part.start] = docs
    if sum(map(len, item.results.values())) != item.documents:
        return None
    return [doc for start in sorted(item.results) for doc in item.results[start]]


def _resumed(generator: Generator[Any, Any, None], value: Any) -> Any:
    try:
        return generator.send(value)
    except StopIteration:
        return None


def _checked(outcome: Any, count: int, endpoint: Endpoint) -> Any:
    """The documents that a handler gave; what it raised, or the error that they cannot be assigned to requests."""
    if isinstance(outcome, BaseException):
        return outcome
    docs, results = outcome
    if results is not None:
        return TypeError(f"{endpoint.where} returned a dict; with dynamic batching it must return documents or None")
    if len(docs) != count:
        return ValueError(
            f"{endpoint.where} got {count} documents and returned {len(docs)};"
            " with dynamic batching it must return one for each, in the same order"
        )
    return docs


HANDOVER = 0.0005
"""Seconds for which the protocol loop stands still, at most, so that an idle handler begins its batch."""


class BatchQueue:
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
        self._batcher: Batcher[BatchItem] = Batcher(rules)
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

    async def outcome(
        self,
        request: Request,
        span: traces.RequestSpan | None,
        docs: Any = None,
        parts: dict[str, Any] | None = None,
    ) -> tuple[Reply, bool]:
        """The answer to one request, and whether it takes long to encode; `docs` where they are decoded already.

        `parts` are those of `Observed`, which get the wait and the size of the batch.

        Raises a `JinaError`. Cancelling takes the request out of the queue, or discards the result
        of its part of a running batch.
        """
        weights: Weights
        if self._metric is None and request.branches is None:
            weights = len(request.payload if docs is None else docs)
        else:
            docs, weights = await self._measured(request, docs)
        loop = self._dispatcher.loop
        parameters = scope_parameters(request.parameters, self.handler.owner.names) if request.parameters else {}
        key = json.dumps(parameters, sort_keys=True, default=repr) if parameters else ""
        count = weights if isinstance(weights, int) else len(weights)
        item = BatchItem(request, span, docs, count, parameters, loop.create_future())
        item.parts = parts
        timer = None
        if request.deadline is not None:
            timer = loop.call_later(max(0.0, request.deadline - time.monotonic()), _expire, item)
        self._dispatcher.enter()
        with self._lock:
            self._batcher.add(time.monotonic(), key, item, weights)
        self._look()
        try:
            return await item.future
        except BaseException as error:
            self._forget(item)
            if isinstance(error, CancelledError) and item.future.done() and not item.future.cancelled():
                item.future.exception()  # seen: asyncio would log that it was never retrieved
            raise
        finally:
            item.over = True
            if timer is not None:
                timer.cancel()
            item.left = bool(item.jobs)
            if not item.left:
                self.ended()

    def ended(self) -> None:
        """The code of one request has ended, or will not be begun; on the protocol loop."""
        self._dispatcher.leave()

    def settled(self) -> None:
        """A job has ended; on the protocol loop."""
        self._jobs -= 1

    def flush(self, *, on: bool) -> None:
        """From now on nothing waits for a batch to fill, or it does again; on the protocol loop."""
        with self._lock:
            self._batcher.flush(on=on)
        self._look()

    def take(self, job: BatchJob) -> list[Part[BatchItem]]:
        """The batch that a job is to run, as of now; where the handler runs."""
        with self._lock:
            self._submitted = False
            job.begun.release()
            batch = self._batcher.take(time.monotonic())
            job.parts = batch
            for part in batch:
                part.item.jobs.append(job)
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
        self._dispatcher.submit(job, self.handler.pool)
        if self._jobs == 1 and self._crosses:
            job.begun.acquire(timeout=HANDOVER)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def _forget(self, item: BatchItem) -> None:
        """A request was abandoned or failed: it leaves the queue, and jobs without a waiting request stop."""
        item.over = True
        with self._lock:
            self._batcher.discard(item)
            idle = [job for job in item.jobs if all(part.item.over for part in job.parts)]
        for job in idle:
            self.handler.pool.abandon(job)

    async def _measured(self, request: Request, docs: Any) -> tuple[Any, Weights]:
        """The documents where they had to be decoded for it, and what they weigh."""
        # How long user code and merged branches take is not known.
        measure = FunctionJob(partial(self._decode_and_measure, request, docs), request.deadline)
        found: tuple[Any, Weights] = await measure.outcome(self._dispatcher, self._dispatcher.codec_pool)
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
        raise ValueError(f"custom_metric returned {value!r}; it must return a number, 0 or more")
    return number


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _expire(item: BatchItem) -> None:
    if not item.future.done():
        item.future.set_exception(too_late("before the handler answered"))


Propose = Callable[[Sequence[tuple[RequestKey, Sequence[Buffer]]]], None]
"""Brings operations into the log as one."""


class _Waiting:
    """An operation that waits for its batch."""

    __slots__ = ("operation", "propose", "request_key")

    def __init__(self, request_key: RequestKey, operation: Sequence[Buffer], propose: Propose) -> None:
        self.request_key = request_key
        self.operation = operation
        self.propose = propose


class WriteBatchQueue(BatchQueue):
    """The writes that wait at one endpoint of this replica, and the batches that the log says; on the protocol loop."""

    def __init__(self, handler: Handler, options: Batching, dispatcher: Dispatcher) -> None:
        super().__init__(handler, options, dispatcher)
        rules = Rules(options.preferred_batch_size, options.timeout / 1000, options.flush_all)
        self._writes: Batcher[_Waiting] = Batcher(rules)

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        return self._writes.requests

    async def join_batch(self, request: Request, propose: Propose) -> Gather:
        """What takes the request's operation, and has it proposed together with others."""
        measured = self._metric is not None or request.branches is not None
        weights = (await self._measured(request, None))[1] if measured else len(request.payload)
        weight = float(weights) if isinstance(weights, int) else sum(weights)
        key = _key(self._scoped(request))

        def gather(request_key: RequestKey, operation: Sequence[Buffer]) -> None:
            self._writes.add(time.monotonic(), key, _Waiting(request_key, operation, propose), [weight])
            self._look()

        return gather

    def flush(self, *, on: bool) -> None:
        """From now on nothing waits for a batch to fill, or it does again."""
        self._writes.flush(on=on)
        self._look()

    def _look(self, _: None = None) -> None:
        """Bring into the log what is due, and look again when more will be."""
        now = time.monotonic()
        while batch := self._writes.take(now):
            batch[0].item.propose([(part.item.request_key, part.item.operation) for part in batch])
        due = self._writes.due()
        if due is not None:
            self._wake_at(due, now)

    # --- what the log says --------------------------------------------------------------------------------

    async def applied(self, requests: Sequence[Request]) -> list[Outcome]:
        """What the handler answers to each of the requests of one operation."""
        loop, counts, began = self._dispatcher.loop, self.handler.counts, time.perf_counter()
        items = [
            BatchItem(one, None, None, len(one.payload), self._scoped(one), loop.create_future()) for one in requests
        ]
        for one in requests:
            counts.received.observe(size_of(one.payload))
            self._dispatcher.enter()
        counts.in_flight += len(items)
        try:
            self._jobs += 1
            self._dispatcher.submit(_GivenJob(self, items), self.handler.pool)
            outcomes = await asyncio.gather(*(item.future for item in items), return_exceptions=True)
        finally:
            counts.in_flight -= len(items)
            for _ in items:
                self._dispatcher.leave()
        found = [await self._outcome(*one) for one in zip(outcomes, requests, strict=True)]
        for outcome in found:
            failure = type(outcome.reply).__name__ if isinstance(outcome.reply, JinaError) else None
            counts.ended(time.perf_counter() - began, failure)
        return found

    async def _outcome(self, result: tuple[Reply, bool] | BaseException, request: Request) -> Outcome:
        if isinstance(result, tuple):
            reply, slow = result
            try:
                if slow:
                    encode = FunctionJob(partial(outcome_of_reply, reply, request), None)
                    written: Outcome = await encode.outcome(self._dispatcher, self._dispatcher.codec_pool)
                    return written
                return outcome_of_reply(reply, request)
            except JinaError as failure:
                result = failure
        error = result if isinstance(result, JinaError) else InternalError(f"a batch of writes failed: {result!r}")
        return outcome_of_error(error)

    def _scoped(self, request: Request) -> dict[str, object]:
        return scope_parameters(request.parameters, self.handler.owner.names) if request.parameters else {}


class _GivenJob(BatchJob):
    """Runs the batch that it is given."""

    def __init__(self, batch_queue: BatchQueue, items: list[BatchItem]) -> None:
        super().__init__(batch_queue)
        self._tickets = items

    def take(self) -> list[Part[BatchItem]]:
        now = time.monotonic()
        self.parts = [Part(one, 0, one.documents, float(one.documents), now) for one in self._tickets]
        for one in self._tickets:
            one.jobs.append(self)
        return self.parts


def _key(parameters: dict[str, object]) -> str:
    return json.dumps(parameters, sort_keys=True, default=repr) if parameters else ""
