"""A loaded Executor as a `Service`."""

from __future__ import annotations

import inspect
import os
import sys
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import size_of
from jina.codec.schema import json_schema_of
from jina.documents.records import is_value, type_name
from jina.errors import BadRequest, JinaError, Unavailable
from jina.executor import Executor
from jina.executor.endpoints import Endpoint, EndpointTable
from jina.net.service import EndpointInfo, Load, flat_fields
from jina.observe import logs, traces
from jina.observe.metrics import Metrics
from jina.plan.plans import WorkerPlan
from jina.runtime.admission import Admission, Observed
from jina.runtime.health import LoopTimer, LoopWatchdog, health_hook
from jina.worker.batching import BatchQueue
from jina.worker.handler import LARGE, ExecutorContext, Handler, HandlerJob, ReplyPayload, slow_to_decode, users_part
from jina.worker.scheduler import Dispatcher, EndpointPools, FunctionJob
from jina.worker.slots import SlotQueue, SlotStream
from jina.worker.streaming import ROOM, StreamJob


def describe_endpoints(endpoints: Iterable[Endpoint]) -> dict[str, EndpointInfo]:
    """By path; the schemas of each document class are made once."""
    schemas: dict[Any, dict[str, Any]] = {}

    def schema_of(doc_type: Any) -> dict[str, Any]:
        if doc_type not in schemas:
            schemas[doc_type] = json_schema_of(doc_type)
        return schemas[doc_type]

    return {one.path: _describe(one, schema_of(one.input_type), schema_of(one.output_type)) for one in endpoints}


def _about(endpoint: Endpoint) -> str:
    """The docstring of the user's class; that of our own base says nothing of it."""
    cls = type(getattr(endpoint.function, "__self__", None))
    return inspect.cleandoc(cls.__doc__ or "") if cls is not Executor and issubclass(cls, Executor) else ""


def _describe(endpoint: Endpoint, input_schema: dict[str, Any], output_schema: dict[str, Any]) -> EndpointInfo:
    model = endpoint.parameters_model
    return EndpointInfo(
        path=endpoint.path,
        input_name=type_name(endpoint.input_type),
        input_schema=input_schema,
        output_name=type_name(endpoint.output_type),
        output_schema=output_schema,
        parameters_name=None if model is None else model.__name__,
        parameters_schema=None if model is None else model.model_json_schema(),
        is_generator=endpoint.is_generator,
        is_single=endpoint.is_single,
        is_write=endpoint.is_write,
        is_safe=endpoint.is_safe,
        methods=endpoint.methods,
        description=endpoint.description,
        about=_about(endpoint),
        executor=type(getattr(endpoint.function, "__self__", None)).__name__ if endpoint.method_name else "",
        flat_fields=flat_fields(input_schema),
        is_passthrough=not endpoint.method_name,
        answers="" if endpoint.plain is None else endpoint.plain.gives,
        input_is_value=is_value(endpoint.input_type),
        output_is_value=is_value(endpoint.output_type),
        offer=endpoint.offer,
    )


_BLOCKED = "an `async def` that computes holds it up: make it a plain `def`, which runs in a thread"
State = Literal["starting", "ready", "leaving", "draining", "stopped"]
"""One that is leaving answers requests, and says that it is not ready."""

_MOST_ENCODED = 4
"""Large answers that wait to be encoded before no more methods are begun."""


class WorkerService:
    """Answers requests with the methods of one Executor.

    Made on the user loop's thread, after the Executor's constructor; `call`, `stream`, `ready`, `metrics` are
    for the protocol loop, which may be the same loop. `give_up(reason, exit code)` is called when a handler
    asks for the end of the worker. Raises `ConfigError` for an Executor that cannot be served.
    """

    forwards = False

    def __init__(
        self,
        executor: Any,
        plan: WorkerPlan,
        *,
        protocol_loop: AbstractEventLoop,
        user_loop: AbstractEventLoop,
        give_up: Callable[[str, int], None] | None = None,
    ) -> None:
        self.name = plan.name
        self.executor = executor
        self.state: State = "starting"
        self.table = EndpointTable(executor)
        threads = (os.cpu_count() or 1) + 4 if plan.allow_concurrent else 1
        self.dispatcher = Dispatcher(protocol_loop, user_loop, threads=threads)
        self._admission = Admission(plan.name, plan.max_inflight, plan.max_queue)
        self.counts = Metrics(plan.name, type(executor).__name__)
        self.counts.restarts = plan.restart.count
        self._pools = EndpointPools(self.dispatcher, plan.concurrency)
        self.counts.queued = lambda: self._pools.waiting
        self.counts.ready = lambda: self.up
        self._owner = ExecutorContext(
            executor,
            plan.name,
            names={plan.deployment, executor.metas.name},
            exit_on=plan.exit_on_exceptions,
            quiet_error=plan.log.quiet_error,
            no_reduce=plan.no_reduce,
            give_up=give_up,
        )
        self._concurrency = plan.concurrency
        self._slot_queues: dict[str, SlotQueue] = {}
        """By method: the streams of all its endpoints share its slots."""
        offers = self.table.offers.values()
        self._handlers = {endpoint.path: self._handler(endpoint) for endpoint in (*self.table, *offers)}
        self.awaits_endpoints = False
        self.scaling = None
        """It has no steps."""
        self._encoding_late = False
        self._throttling = 0
        """How many callers want no more answers for now."""
        self._flushing = 0
        """How many callers want batches to be flushed at once."""
        self._by_identity = {id(handler.endpoint): handler for handler in self._handlers.values()}
        own = [self.table.resolve("/default")] if self.table.passthrough else self.table
        self.endpoints: Mapping[str, EndpointInfo] = describe_endpoints([*own, *offers])
        """By path."""
        hook = health_hook(executor, {endpoint.method_name for endpoint in self.table})
        self.watchdog = LoopWatchdog(user_loop, self._owner.log, hook)
        self.loop_timer = LoopTimer(protocol_loop)

    @property
    def up(self) -> bool:
        """True while the Executor is loaded, not stopping, and its user loop answers."""
        return self.state == "ready" and self.watchdog.healthy

    @property
    def started(self) -> bool:
        """True once the Executor is constructed and served."""
        return self.state != "starting"

    def freed(self) -> None:
        """Much memory was freed: return it to the system soon."""
        self._admission.trimmer.used()

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError`. Cancelling drops or cancels the handler's work."""
        handler = self._handlers.get(request.endpoint) or self._resolve(request.endpoint)
        slot_queue = handler.batch_queue if isinstance(handler.batch_queue, SlotQueue) else None
        self._admission.check(self.dispatcher.open, (slot_queue or handler.pool).backlog)
        counts, size = handler.counts, size_of(request.payload)
        span = self._span(request, handler) if traces.SDK in sys.modules else None
        with Observed(counts, size, self._admission, span) as observed:
            parts = observed.parts = None if counts.on_end is None else {"id": request.request_id}
            slow = size > LARGE and request.branches is None and slow_to_decode(request.payload, size)
            docs = await self._decoded(request, handler) if slow else None
            batch_queue = handler.batch_queue
            if batch_queue is not None and (request.branches is None or not self._owner.no_reduce or slot_queue):
                reply, slow = await batch_queue.outcome(request, span, docs, parts)
            else:
                job = HandlerJob(handler, request, span, docs)
                del docs
                reply, slow = await job.outcome(self.dispatcher, handler.pool), job.slow_to_encode
                counts.queue_seconds.observe(job.began - observed.started)
                counts.handler_seconds.observe(job.seconds)
                counts.documents += job.documents
                if parts is not None:
                    parts |= {"queue": job.began - observed.started, "handler": job.seconds}
            return reply if not slow else await self._encoded(request, reply)

    async def _decoded(self, request: Request, handler: Handler) -> Any:
        """The documents of a request that takes long to read, decoded on a thread."""
        job = FunctionJob(partial(request.payload.decode, handler.codec), request.deadline)
        return await job.outcome(self.dispatcher, self.dispatcher.codec_pool)

    async def _encoded(self, request: Request, reply: Reply) -> Reply:
        """A reply that takes long to write, encoded on a thread."""
        assert isinstance(reply.payload, ReplyPayload)
        encode = partial(reply.payload.encode, as_json=request.json_reply)
        pool = self.dispatcher.codec_pool
        # Methods that answer faster than this thread encodes would fill the memory.
        if pool.backlog > _MOST_ENCODED and not self._encoding_late:
            self._encoding_late = True
            self.throttle(on=True)
        try:
            await FunctionJob(encode, request.deadline).outcome(self.dispatcher, pool)
        finally:
            if self._encoding_late and pool.backlog <= _MOST_ENCODED // 2:
                self._encoding_late = False
                self.throttle(on=False)
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """Answer with a stream, each reply with all documents that are ready; closing it closes the user's generator.

        One that is neither read to its end nor closed is closed by its loop when it is collected.
        """
        handler = self._handlers.get(request.endpoint) or self._resolve(request.endpoint)
        slot_queue = handler.batch_queue if isinstance(handler.batch_queue, SlotQueue) else None
        self._admission.check(self.dispatcher.open, (slot_queue or handler.pool).backlog)
        if not handler.endpoint.is_generator:
            raise BadRequest(
                f"{request.endpoint} of {self._owner.class_name} is not a generator, so it cannot be streamed",
                help="call it without streaming, or let the method yield",
            )
        counts, span = handler.counts, self._span(request, handler) if traces.active() else None
        with Observed(counts, size_of(request.payload), self._admission, span, streamed=True) as observed:
            job: SlotStream | StreamJob
            if slot_queue is not None:
                job = SlotStream(slot_queue, request)
            else:
                job = StreamJob(handler, request, span, self.dispatcher)
            ended = False
            buffer = job.buffer
            job.start()
            try:
                while not ended:
                    if docs := buffer.take():
                        yield handler.stream_reply(docs)
                    elif job.done:
                        ended = True
                    else:
                        await buffer.changed()
                if job.error is not None:
                    raise job.error
            finally:
                job.leave()
                counts.documents += job.documents
                if counts.on_end is not None:
                    waited = (job.began or observed.started) - observed.started
                    observed.parts = {"id": request.request_id, "stream": True, "queue": waited}
                if job.began:
                    counts.queue_seconds.observe(job.began - observed.started)
                counts.handler_seconds.observe(time.perf_counter() - observed.started)
                if not ended or job.documents >= ROOM:
                    self.freed()

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints by path."""
        return self.endpoints

    async def ready(self) -> list[Route]:
        """Cross to the user loop and back; raises `Unavailable` where that does not work."""
        if self.state != "ready":
            raise Unavailable(f"{self.name} is {self.state}")
        deadline = time.monotonic() + 5.0
        try:
            await FunctionJob(lambda: None, deadline).outcome(self.dispatcher, self.dispatcher.async_pool)
        except JinaError as error:
            raise Unavailable(
                f"the handlers' loop of {self.name} does not answer: {error.message}", help=_BLOCKED
            ) from None
        if not self.watchdog.healthy:
            raise Unavailable(
                f"health() of {self._owner.class_name} does not return True",
                help="correct what it checks; until it returns True, send no requests here",
            )
        return []

    @property
    def checks(self) -> Mapping[str, bool]:
        """What `up` depends on, by name."""
        return {"executor-loaded": self.state in {"ready", "leaving"}, **self.watchdog.checks}

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """The metrics of this process as text."""
        from jina.observe.prometheus import exposition

        return exposition(self.counts, openmetrics=openmetrics)

    @property
    def waiting_for_batches(self) -> int:
        """How many requests wait for a batch or a slot, over all endpoints."""
        queues = {handler.batch_queue for handler in self._handlers.values()} - {None}
        return sum(queue.waiting for queue in queues if queue is not None)

    @property
    def load(self) -> Load:
        """See `LocalService`."""
        counted = list(self.counts.endpoints.values())
        waiting = self._pools.waiting + self.waiting_for_batches
        return Load(waiting, sum(one.in_flight for one in counted), sum(one.seconds.count for one in counted))

    def flush(self, *, on: bool = True) -> None:
        """See `Service`; on the protocol loop."""
        self._flushing += 1 if on else -1
        for handler in self._handlers.values():
            if handler.batch_queue is not None:
                handler.batch_queue.flush(on=self._flushing > 0)

    def throttle(self, *, on: bool = True) -> None:
        """See `Service`: what waits for its turn, waits on."""
        self._throttling += 1 if on else -1
        self.dispatcher.throttle(on=self._throttling > 0)

    async def close(self) -> None:
        """End the threads; the Executor is closed by `close`, on the user loop."""
        self.state = "stopped"
        self.watchdog.stop()
        self.dispatcher.stop()

    def stats(self) -> dict[str, int]:
        """See `jina.runtime.process`; for any thread."""
        waiting = self.dispatcher.sync_pool.waiting + self.waiting_for_batches
        silent = round(1000 * max(self.watchdog.silent, self.loop_timer.silent))
        numbers = {"in_flight": self.dispatcher.open, "queued": waiting, "done": self.counts.done, "silent_ms": silent}
        return {**numbers, **self.counts.totals()}

    def _handler(self, endpoint: Endpoint) -> Handler:
        handler = Handler(endpoint, self._owner, self._pools.pool(endpoint), self.counts.endpoint(endpoint.path))
        if endpoint.slots is not None:
            handler.batch_queue = self._slot_queues.get(endpoint.method_name)
            if handler.batch_queue is None:
                slots = self._concurrency.get(endpoint.path) or endpoint.concurrency or endpoint.slots.slots
                handler.batch_queue = SlotQueue(handler, endpoint.slots, slots, self.dispatcher)
                self._slot_queues[endpoint.method_name] = handler.batch_queue
        elif endpoint.batching is not None:
            if endpoint.is_single:
                alone = "%s takes `doc` and is called once for each document: dynamic batching changes nothing"
                self._owner.log.warning(alone, endpoint.path)
            else:
                handler.batch_queue = BatchQueue(handler, endpoint.batching, self.dispatcher)
        return handler

    def _resolve(self, path: str) -> Handler:
        endpoint = self.table.resolve(path)
        handler = self._by_identity.get(id(endpoint))
        if handler is None:
            handler = self._by_identity[id(endpoint)] = self._handler(endpoint)
        return handler

    def _span(self, request: Request, handler: Handler) -> traces.RequestSpan | None:
        attributes = {"jina.executor": self._owner.class_name, "jina.request_id": request.request_id}
        return traces.begin(handler.endpoint.path, request.headers, attributes)


def extension_of(executor: Any) -> Callable[[Any], Any] | None:
    """What the Executor does to the HTTP application that serves it; None where it does nothing."""
    own = getattr(type(executor), "extend_http", Executor.extend_http)
    return None if own is Executor.extend_http else executor.extend_http


async def close(executor: Any, log: logs.JinaLogger) -> bool:
    """Call the Executor's `close()`, on the user loop; returns whether it went well, and logs where not."""
    try:
        closing = executor.close()
        if inspect.isawaitable(closing):
            await closing
        return True
    except BaseException as error:  # noqa: BLE001 - user code; the exit code tells
        failure = error
    trace = (type(failure), failure, users_part(failure.__traceback__))
    log.error("close() of %s raised %r", type(executor).__name__, failure, exc_info=trace)
    return False
