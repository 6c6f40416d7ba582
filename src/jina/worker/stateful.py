"""A stateful Executor as a `Service`: `@write` endpoints go through the log, all others are answered here."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from jina.codec.messages import CONSISTENCIES, CONSISTENCY, Payload, Reply, Request
from jina.codec.payloads import BytesPayload, size_of
from jina.codec.session_headers import PASSED_ON, session_of, with_index_of
from jina.errors import BadRequest, InternalError, JinaError, quoted
from jina.executor.binding import without_effect
from jina.executor.endpoints import Endpoint
from jina.observe import logs, traces
from jina.observe.counters import ConsensusMetrics
from jina.plan.plans import ConsensusPlan, WorkerPlan
from jina.replication import snapshots
from jina.replication.log_entries import Outcome, digest_of, outcome_of_error, outcome_of_reply
from jina.replication.replica import RESTART, Replica
from jina.runtime.process import LARGE
from jina.worker.batching import WriteBatchQueue
from jina.worker.handler import DECODED, ExecutorContext, Handler, HandlerJob, slow_to_decode
from jina.worker.scheduler import FunctionJob, ResultJob
from jina.worker.service import WorkerService

_TOGETHER = 0.002
"""Seconds after which a crossing ends, and the callers that wait for what is applied are woken."""


class Step(NamedTuple):
    """One request, and the handler that is to take it."""

    handler: Handler
    request: Request
    span: traces.RequestSpan | None
    call: HandlerJob
    size: int
    """Of its documents as they came, in bytes."""


class ApplyJob(ResultJob):
    """Calls of `@write` methods on one pool; its value are the outcomes of as many as took a moment, at least one."""

    __slots__ = ("_begin", "_calls", "steps")

    def __init__(
        self,
        calls: Sequence[tuple[Handler, Request]],
        begin: Callable[[Request, Handler], traces.RequestSpan | None],
    ) -> None:
        super().__init__(None)
        self._calls = calls
        self._begin = begin
        self.steps: list[Step] = []
        """Those that have been taken."""

    def work(self) -> list[Outcome]:
        """Call `def` methods; on a thread."""
        context, outcomes = copy_context(), []
        for call in self._calls:
            outcomes.append(context.copy().run(_called, self._step(*call)))
            if time.perf_counter() - self.began > _TOGETHER:
                break
        return outcomes

    async def work_async(self) -> list[Outcome]:
        """Call `async def` methods; on the user loop."""
        context, outcomes = copy_context(), []
        for call in self._calls:
            outcomes.append(await asyncio.create_task(_awaited(self._step(*call)), context=context.copy()))
            if time.perf_counter() - self.began > _TOGETHER:
                break
        return outcomes

    def _step(self, handler: Handler, request: Request) -> Step:
        span = self._begin(request, handler)
        step = Step(handler, request, span, HandlerJob(handler, request, span), size_of(request.payload))
        self.steps.append(step)
        return step


def _called(step: Step) -> Outcome:
    try:
        return outcome_of_reply(step.call.work(), step.request)
    except JinaError as error:
        return outcome_of_error(error)
    except Exception as error:  # noqa: BLE001 - the next operation must be applied whatever happened to this one
        return _unexpected(step, error)


async def _awaited(step: Step) -> Outcome:
    try:
        return outcome_of_reply(await step.call.work_async(), step.request)
    except JinaError as error:
        return outcome_of_error(error)
    except Exception as error:  # noqa: BLE001 - the next operation must be applied whatever happened to this one
        return _unexpected(step, error)


def _unexpected(step: Step, error: Exception) -> Outcome:
    return outcome_of_error(InternalError(f"applying {step.request.endpoint} failed: {error!r}"))


_MOST = 10_000
"""Requests in work here beyond which what the log says waits."""
_PAUSE = 0.01
_MOMENT = 1.0
"""Seconds that a scrape waits for what the agent tells."""


class StatefulService(WorkerService):
    """Answers requests with one replica of a stateful Executor."""

    _write_owner: ExecutorContext | None = None

    def __init__(
        self,
        executor: Any,
        plan: WorkerPlan,
        consensus: ConsensusPlan,
        *,
        protocol_loop: AbstractEventLoop,
        user_loop: AbstractEventLoop,
        give_up: Callable[[str, int], None] | None = None,
    ) -> None:
        super().__init__(executor, plan, protocol_loop=protocol_loop, user_loop=user_loop, give_up=give_up)
        self._has_hash = hasattr(executor, "state_hash")
        self.endpoints = {path: replace(info, is_repeatable=True) for path, info in self.endpoints.items()}
        self.can_snapshot = snapshots.can_snapshot(executor)
        self._consistency = consensus.consistency
        self._consensus = consensus
        self._give_up = give_up or (lambda *_: None)
        self._log = logs.get_logger(self.name)
        self._replica: Replica | None = None
        self._counted = ConsensusMetrics()

    def _handler(self, endpoint: Endpoint) -> Handler:
        handler = super()._handler(endpoint)
        if endpoint.is_write:
            # The log would bring back what ended the worker, at each start again: it is a result as any other.
            self._write_owner = self._write_owner or self._owner.without_exit()
            handler.owner = self._write_owner
        if handler.batch_queue is not None and endpoint.is_write and endpoint.batching is not None:
            # Documents of branches that are not merged belong to no batch.
            gathers = not self._owner.no_reduce
            handler.batch_queue = WriteBatchQueue(handler, endpoint.batching, self.dispatcher) if gathers else None
        return handler

    # --- requests -----------------------------------------------------------------------------------------

    async def call(self, request: Request) -> Reply:
        """Answer one request; a write when it is applied here as on a majority. Raises a `JinaError`."""
        assert self._replica is not None
        handler = self._handlers.get(request.endpoint) or self._resolve(request.endpoint)
        if handler.endpoint.is_write:
            self._admission.check(self.dispatcher.open, handler.pool.backlog)
            span = super()._span(request, handler) if traces.active() else None
            if span is None:
                return await self._written(request, handler, self._replica)
            with span:  # the parent of what each replica does about it
                return await self._written(request, handler, self._replica, span)
        if await self._caught_up(request, self._replica) == "eventual":
            return await super().call(request)
        reply = await super().call(request)
        # What was applied while the handler ran, it may have seen.
        reply.headers = with_index_of(self._replica.index_headers, request.headers)
        return reply

    async def _caught_up(self, request: Request, replica: Replica) -> str:
        """Wait until the replica has applied what a read must not miss; gives the consistency that it asks for."""
        replica.membership.check()
        wanted = request.headers.get(CONSISTENCY, self._consistency)
        if wanted not in CONSISTENCIES:
            raise BadRequest(f"{CONSISTENCY} is {quoted(wanted)}; it is one of {', '.join(CONSISTENCIES)}")
        if wanted == "session":
            await replica.seen(request)
        elif wanted == "linearizable":
            await replica.covered(request)
        return wanted

    async def _written(
        self, request: Request, handler: Handler, replica: Replica, span: traces.RequestSpan | None = None
    ) -> Reply:
        session, digest = session_of(request.headers, self._consensus.group), await self._digest(request)
        settled, batch_queue = await self._settled(request, handler), handler.batch_queue
        if isinstance(request.payload, BytesPayload):
            request.payload = DECODED
        if span is not None:
            settled = replace(settled, headers=span.headers(settled.headers))
        gather = (
            await batch_queue.join_batch(settled, replica.propose) if isinstance(batch_queue, WriteBatchQueue) else None
        )
        reply = await replica.write(settled, digest, session, gather)
        if reply.headers:
            reply.headers = with_index_of(reply.headers, request.headers)
        return reply

    async def _digest(self, request: Request) -> bytes:
        """See `digest_of`; on a thread where the documents take long to read."""
        if not slow_to_decode(request.payload, size_of(request.payload)):
            return digest_of(request)
        job = FunctionJob(partial(digest_of, request), request.deadline)
        data: bytes = await job.outcome(self.dispatcher, self.dispatcher.codec_pool)
        return data

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """See `WorkerService`; with what the agent tells, which is asked on the protocol loop."""
        if self._replica is not None:
            asked = asyncio.run_coroutine_threadsafe(self._replica.refresh(), self.dispatcher.loop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(asked), _MOMENT)
        return await super().metrics(openmetrics=openmetrics)

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """Answer with a stream; the documents of a write come when all replicas have them in their log."""
        assert self._replica is not None
        handler = self._handlers.get(request.endpoint)
        if handler is not None and handler.endpoint.is_write:
            yield await self.call(request)
            return
        await self._caught_up(request, self._replica)
        async with contextlib.aclosing(super().stream(request)) as replies:
            async for reply in replies:
                yield reply

    async def _settled(self, request: Request, handler: Handler) -> Request:
        """The request with documents that are the same wherever they are decoded: with their ids and defaults."""
        if request.began is not None:
            request.began()
        headers = {name: value for name, value in request.headers.items() if name not in PASSED_ON}
        request = replace(request, began=None, json_reply=False, headers=headers)
        if request.branches is not None:
            if handler.batch_queue is None:
                return request
            merge = FunctionJob(partial(handler.documents, request), request.deadline)
            docs = await merge.outcome(self.dispatcher, self.dispatcher.codec_pool)
            return replace(request, payload=BytesPayload(handler.codec.to_bytes(docs)), branches=None)

        def settle(payload: Payload = request.payload) -> bytes:
            return handler.codec.to_bytes(payload.decode(handler.codec))

        if not slow_to_decode(request.payload, size_of(request.payload)):
            return replace(request, payload=BytesPayload(settle()))
        data = await FunctionJob(settle, request.deadline).outcome(self.dispatcher, self.dispatcher.codec_pool)
        return replace(request, payload=BytesPayload(data))

    # --- the state machine --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group; returns when this replica has all that was committed before. On the protocol loop."""
        for text in (*without_effect(self.executor), *snapshots.never_taken(self.executor)):
            self._log.warning("%s", text)
        self._replica = Replica(self._consensus, self.name, self, lambda reason: self._give_up(reason, RESTART))
        self.counts.consensus = self._counted = self._replica.counts
        await self._replica.start()

    async def hand_over(self) -> None:
        """Let another replica lead while this one goes on for a while; on the protocol loop."""
        if self._replica is not None:
            await self._replica.hand_over()

    async def stop(self) -> None:
        """Leave the group; on the protocol loop."""
        if self._replica is not None:
            await self._replica.stop()

    async def execute(self, requests: Sequence[Request]) -> list[Outcome]:
        """See `StateMachine`; it applies what the others apply, so it refuses nothing and waits where much is to do."""
        while self.dispatcher.open >= _MOST:  # noqa: ASYNC110 - rare, and nothing tells of it
            await asyncio.sleep(_PAUSE)
        calls: list[tuple[Handler, Request]] = []
        for request in requests:
            try:
                handler = self._handlers.get(request.endpoint) or self._resolve(request.endpoint)
            except JinaError as error:  # the log is of an Executor that had it
                if not calls:
                    return [outcome_of_error(error)]
                break
            request.deadline = None
            if isinstance(handler.batch_queue, WriteBatchQueue):
                if not calls:
                    return await self.execute_together([request])
                break
            if calls and (handler.pool is not calls[0][0].pool or self._has_hash):
                break
            calls.append((handler, request))
        return await self._applied(calls)

    async def execute_together(self, requests: Sequence[Request]) -> list[Outcome]:
        """See `StateMachine`."""
        for request in requests:
            request.deadline = None
        try:
            handler = self._handlers.get(requests[0].endpoint) or self._resolve(requests[0].endpoint)
            if not isinstance(handler.batch_queue, WriteBatchQueue):
                raise InternalError(f"{requests[0].endpoint} has no dynamic batching, and the log holds a batch for it")
            outcomes = await handler.batch_queue.applied(requests)
        except JinaError as error:  # the log is of an Executor that had it
            return [outcome_of_error(error) for _ in requests]
        if self._has_hash:
            outcomes[0] = outcomes[0]._replace(compared=outcomes[0].compared + await self._state_hash())
        return outcomes

    async def _applied(self, calls: Sequence[tuple[Handler, Request]]) -> list[Outcome]:
        job, arrived = ApplyJob(calls, self._span_if_traced), time.perf_counter()
        for handler, _ in calls:
            handler.counts.in_flight += 1
        try:
            outcomes: list[Outcome] = await job.outcome(self.dispatcher, calls[0][0].pool)
        finally:
            for handler, _ in calls:
                handler.counts.in_flight -= 1
        now = time.perf_counter()
        for step, outcome in zip(job.steps, outcomes, strict=True):
            self._account(step, outcome, job.began - arrived, now - arrived)
        if self._has_hash:
            outcomes[0] = outcomes[0]._replace(compared=outcomes[0].compared + await self._state_hash())
        return outcomes

    def _span_if_traced(self, request: Request, handler: Handler) -> traces.RequestSpan | None:
        """None for what is applied again after a start: its trace is over."""
        if not traces.active() or self._replica is None or not self._replica.caught_up:
            return None
        about: dict[str, str | int] = {"jina.replica": self.name, "jina.request_id": request.request_id}
        about["jina.entry"] = self._replica.log_index_of(request)
        return traces.begin(f"apply {handler.endpoint.path}", request.headers, about, inside=True)

    def _account(self, step: Step, outcome: Outcome, waited: float, seconds: float) -> None:
        self._counted.apply_seconds.observe(step.call.seconds)
        counts, failure = step.handler.counts, outcome.reply if isinstance(outcome.reply, JinaError) else None
        if step.size >= LARGE:
            self._admission.trimmer.used()
        counts.received.observe(step.size)
        counts.queue_seconds.observe(waited)
        counts.handler_seconds.observe(step.call.seconds)
        counts.documents += step.call.documents
        counts.ended(seconds, None if failure is None else type(failure).__name__)
        if step.span is not None:
            step.span.end(failure)

    async def _state_hash(self) -> bytes:
        return repr(await self._run(self.executor.state_hash)).encode()

    @property
    def up(self) -> bool:
        """As of any worker, and while its state is that of the others."""
        return super().up and (self._replica is None or self._replica.membership.can_serve)

    async def snapshot(self, folder: str, index: int, window: bytes) -> None:
        """See `StateMachine`; where `def` handlers run, so that none runs meanwhile."""
        target = snapshots.prepare(folder, self.executor)
        await self._run(self.executor.snapshot, target)
        if snapshots.is_empty(target):
            self._log.warning("snapshot() of %s wrote nothing: restore() begins with an empty folder", self.name)
        await self._run(snapshots.seal, folder, index, window)

    async def restore(self, folder: str) -> tuple[int, bytes]:
        """See `StateMachine`."""
        snapshots.require_restore(self.executor)
        state, index, window = await self._run(snapshots.check, folder)
        await self._run(self.executor.restore, state)
        return index, window

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        is_async = inspect.iscoroutinefunction(function)
        pool = self.dispatcher.async_pool if is_async else self.dispatcher.sync_pool
        return await _Call(lambda: function(*arguments), None).outcome(self.dispatcher, pool)


class _Call(FunctionJob):
    """A method of the Executor besides its endpoints."""

    __slots__ = ()

    async def work_async(self) -> Any:
        return await self._function()


def service_of(executor: Any, plan: WorkerPlan, **options: Any) -> WorkerService:
    """The service that a plan asks for."""
    if plan.consensus is None:
        return WorkerService(executor, plan, **options)
    return StatefulService(executor, plan, plan.consensus, **options)
