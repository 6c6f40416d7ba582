"""Continuous batching: the streams of one endpoint in their slots, and the job that runs step after step.

Who is in which step is decided by `jina.routing.slots`; here it is done. Streams come and go on the protocol loop,
steps run where the handler runs: on a thread, or on the user loop.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
import time
from asyncio import CancelledError, TimerHandle
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload
from jina.errors import DeadlineExceeded, JinaError
from jina.executor import invoke
from jina.executor.decorators import ContinuousBatching
from jina.executor.slots import Slot
from jina.observe import logs, traces
from jina.observe.counters import SlotMetrics
from jina.routing.slots import Reason, SlotRules, SlotScheduler
from jina.worker.handler import DECODED, executor_error
from jina.worker.scheduler import Dispatcher, Job, too_late
from jina.worker.streaming import Buffer

if TYPE_CHECKING:
    from jina.worker.handler import Handler


class Turn:
    """One document of a stream, from its arrival to its slot and out of it."""

    __slots__ = ("doc", "slot", "stream")

    def __init__(self, stream: SlotStream, doc: Any = None) -> None:
        self.stream = stream
        self.doc = doc
        """None for the first of a stream, whose documents are decoded when it gets a slot."""
        self.slot: Slot[Any, Any] | None = None


class SlotStream:
    """One request: its documents take their turns in a slot, its outputs go to the buffer. As `StreamJob`."""

    def __init__(self, slots: SlotQueue, request: Request, docs: Any = None) -> None:
        self.request = request
        self.docs: deque[Any] | None = None if docs is None else deque(docs)
        """Those that had no turn yet; None until they are decoded."""
        self.buffer = Buffer(slots.dispatcher, slots.to_protocol, self._read)
        self.turn = Turn(self)
        self.over = False
        """Its caller has left, or it has failed: no further document has a turn."""
        self.done = False
        self.error: BaseException | None = None
        self.documents = 0
        self.began = 0.0
        """When it first got a slot, in `time.perf_counter()` seconds."""
        self._slots = slots

    def start(self) -> None:
        """Wait for a slot; on the protocol loop, as all that follows."""
        self._slots.add(self)

    def leave(self) -> None:
        """Read no more: the stream leaves its slot if it has one, without waiting for that."""
        self.buffer.close()
        self._slots.discard(self)

    def end(self, error: BaseException | None) -> None:
        """No output follows."""
        if not self.done:
            self.done, self.error = True, error
            self.buffer.wake()

    def _read(self) -> None:
        self._slots.resume(self)


class StepJob(Job):
    """Runs step after step while any stream runs, and makes way between two for other methods that wait."""

    counts = 0  # its streams are counted
    urgent = True

    def __init__(self, slots: SlotQueue) -> None:
        super().__init__(None)
        self._slots = slots
        self._function = slots.handler.endpoint.function

    def work(self) -> None:
        """The steps of a `def` method; on a thread."""
        slots, pool = self._slots, self._slots.handler.pool
        while turns := slots.begin():
            started, failure = time.perf_counter(), None
            try:
                _check(self._function(slots=[turn.slot for turn in turns]))
            except BaseException as error:  # noqa: BLE001 - told to the streams, also SystemExit
                failure = error
            slots.end(turns, failure, time.perf_counter() - started)
            if pool.waiting:
                return

    async def work_async(self) -> None:
        """The steps of an `async def` method; on the user loop."""
        slots, pool = self._slots, self._slots.handler.pool
        while turns := slots.begin():
            started, failure = time.perf_counter(), None
            try:
                returned = self._function(slots=[turn.slot for turn in turns])
                _check(await returned if inspect.isawaitable(returned) else returned)
            except BaseException as error:  # noqa: BLE001 - told to the streams, also SystemExit
                failure = error
            slots.end(turns, failure, time.perf_counter() - started)
            if pool.waiting or isinstance(failure, CancelledError):
                return
            await asyncio.sleep(0)  # a method that never waits would keep the loop from all else

    def settle(self) -> None:
        """On the protocol loop."""
        self._slots.settled(self.error)

    def expire(self) -> None:
        """Never called: the job has no deadline, its streams have."""


def _check(returned: Any) -> None:
    if returned is not None:
        shown = type(returned).__qualname__
        raise TypeError(f"a step returns None and calls slot.emit(output) for what it has to say, not {shown}")


class SlotQueue:
    """The streams of one endpoint."""

    def __init__(self, handler: Handler, options: ContinuousBatching, slots: int, dispatcher: Dispatcher) -> None:
        self.handler = handler
        self.dispatcher = dispatcher
        self.to_protocol = dispatcher.from_user if handler.endpoint.is_async else dispatcher.back
        """Posts to the protocol loop from where the steps run."""
        rules = SlotRules(slots, options.admit_per_step, options.stall_timeout / 1000)
        self._scheduler: SlotScheduler[Turn] = SlotScheduler(rules)
        self.counts = handler.counts.slots = SlotMetrics(
            slots,
            waiting=lambda: self._scheduler.waiting,
            in_use=lambda: self._scheduler.in_use,
            paused=lambda: self._scheduler.paused,
        )
        self._lock = threading.Lock()
        """Held for microseconds: streams come and go on the protocol loop while steps are made elsewhere."""
        self._running = False
        """A job is on its way or at work; on the protocol loop."""
        self._timer: TimerHandle | None = None
        self._timer_due = math.inf

    @property
    def waiting(self) -> int:
        """How many streams wait for a slot."""
        return self._scheduler.waiting

    @property
    def backlog(self) -> int:
        """How many would wait if one more came."""
        return self._scheduler.backlog

    def flush(self, *, on: bool) -> None:
        """Nothing here waits for others to come."""

    async def outcome(
        self,
        request: Request,
        span: traces.RequestSpan | None,
        docs: Any = None,
        parts: dict[str, Any] | None = None,
    ) -> tuple[Reply, bool]:
        """All outputs of a stream as one answer, and whether it takes long to encode."""
        del span, parts  # a step is of many requests; each is in the span of its call
        counts, stream, items = self.handler.counts, SlotStream(self, request, docs), []
        arrived = time.perf_counter()
        stream.start()
        try:
            while True:
                if taken := stream.buffer.take():
                    items += taken
                elif stream.done:
                    break
                else:
                    await stream.buffer.changed()
            if stream.error is not None:
                raise stream.error
        finally:
            stream.leave()
            counts.documents += stream.documents
            if stream.began:
                counts.queue_seconds.observe(stream.began - arrived)
            counts.handler_seconds.observe(time.perf_counter() - (stream.began or arrived))
        return self.handler.reply(request, invoke.collect(self.handler.endpoint, items))

    # On the protocol loop.

    def add(self, stream: SlotStream) -> None:
        """A stream arrives."""
        self.dispatcher.enter()
        with self._lock:
            self._scheduler.add(stream.turn, stream.request.deadline)
        self._look()

    def discard(self, stream: SlotStream) -> None:
        """Nobody waits for the stream any more."""
        with self._lock:
            stream.over = True
            turn = stream.turn
            if turn.slot is not None:
                turn.slot.cancelled = True
            known = turn in self._scheduler
            had_slot = known and self._scheduler.discard(turn)
        if known and not had_slot:
            self.dispatcher.leave()
        self._look()

    def resume(self, stream: SlotStream) -> None:
        """The client of a stream has read what there was."""
        if self._scheduler.paused:
            with self._lock:
                self._scheduler.resume(stream.turn)
            self._look()

    def settled(self, error: BaseException | None) -> None:
        """The job has ended."""
        self._running = False
        if error is not None:  # nothing that a stream asked for: its code or ours before it
            self.handler.owner.log.error("the steps of %s ended: %r", self.handler.endpoint.path, error)
        self._look()

    def _look(self, _: None = None) -> None:
        """Begin to make steps where there is something to do; look again when a stream has no time left."""
        with self._lock:
            overdue = self._scheduler.overdue(time.monotonic())
            ready, due = self._scheduler.ready, self._scheduler.due()
        if overdue:
            self._tell(overdue)
        if ready and not self._running:
            self._running = True
            self.dispatcher.submit(StepJob(self), self.handler.pool)
        if due < math.inf and (self._timer is None or due < self._timer_due):
            if self._timer is not None:
                self._timer.cancel()
            delay = max(0.0, due - time.monotonic())
            self._timer, self._timer_due = self.dispatcher.loop.call_later(delay, self._ring), due

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def _tell(self, overdue: Sequence[tuple[Turn, Reason, bool]]) -> None:
        """Tell streams that have no time left."""
        for turn, reason, had_slot in overdue:
            stream = turn.stream
            stream.over = True
            if turn.slot is not None:
                turn.slot.cancelled = True
            stream.end(
                too_late("before the stream ended")
                if reason == "deadline"
                else DeadlineExceeded("the client has not read for too long, while others waited for its slot")
            )
            if not had_slot:
                self.dispatcher.leave()

    def _left(self, _: None) -> None:
        self.dispatcher.leave()

    def _end(self, ended: tuple[SlotStream, BaseException | None]) -> None:
        ended[0].end(ended[1])

    # Where the steps run.

    def begin(self) -> list[Turn]:
        """Who is in the next step, with their slots; nobody where there is nothing to do."""
        while True:
            with self._lock:
                overdue = self._scheduler.overdue(time.monotonic())
                step = self._scheduler.step()
            if overdue:
                self.to_protocol.post(self._tell, overdue)
            for _, turn in step.left:
                self._release(turn)
            for index, turn in step.admitted:
                self._admit(index, turn)
            turns = [turn for _, turn in step.running if turn.slot is not None and not turn.slot.finished]
            if turns:
                first = turns[0].stream.request.request_id
                logs.request_id.set(first if len(turns) == 1 else f"{first}+{len(turns) - 1}")
                return turns
            with self._lock:
                if not self._scheduler.ready:
                    return []

    def end(self, turns: list[Turn], failure: BaseException | None, seconds: float) -> None:
        """A step is done: send what was emitted; those that are finished leave, those whose clients lag are paused."""
        self.counts.steps.observe(seconds)
        if failure is not None:
            self.handler.owner.failed(failure, self.handler.endpoint.path)
        full: list[Turn] = []
        for turn in turns:
            slot, stream = turn.slot, turn.stream
            assert slot is not None
            error = self._send(slot, stream.buffer)
            if error is None and slot.error is not None:
                error = self.handler.owner.failed(slot.error, self.handler.endpoint.path)
            elif error is None and failure is not None and not slot.finished:
                error = executor_error(failure, self.handler.owner.class_name)
            if error is not None or slot.finished:
                self._finish(turn, error)
            elif stream.buffer.full:
                full.append(turn)
        if full:
            self._pause(full)

    def _send(self, slot: Slot[Any, Any], buffer: Buffer) -> BaseException | None:
        """Put what was emitted on its way; gives the error where it is nothing that can be sent."""
        if not slot.outputs:
            return None
        outputs, slot.outputs = slot.outputs, []
        if buffer.closed:
            return None
        endpoint = self.handler.endpoint
        try:
            for output in outputs:
                buffer.put(invoke.yielded(endpoint, output))
        except TypeError as error:
            return self.handler.owner.failed(error, endpoint.path)
        return None

    def _finish(self, turn: Turn, error: BaseException | None) -> None:
        stream = turn.stream
        with self._lock:
            self._scheduler.discard(turn)
            stream.over = stream.over or error is not None
            more = bool(stream.docs) and not stream.over
        if not more:
            self.to_protocol.post(self._end, (stream, error))

    def _pause(self, turns: list[Turn]) -> None:
        now = time.monotonic()
        with self._lock:
            for turn in turns:
                self._scheduler.pause(now, turn)
            # Looked at again: a client may have read before it could see that its stream waits for it.
            for turn in turns:
                if not turn.stream.buffer.full:
                    self._scheduler.resume(turn)
        self.to_protocol.post(self._look, None)  # for the time when they have been paused for too long

    def _admit(self, index: int, turn: Turn) -> None:
        """Give a stream its slot, with its next document; ends it where there is none, or it cannot be read."""
        stream = turn.stream
        try:
            if stream.docs is None:
                stream.docs = deque(self._documents(stream.request))
            if turn.doc is None:
                stream.began = time.perf_counter()
                stream.documents = len(stream.docs)
                if not stream.docs:
                    self._finish(turn, None)
                    return
                turn.doc = stream.docs.popleft()
            request = stream.request
            parameters = invoke.scope_parameters(request.parameters, self.handler.owner.names)
            turn.slot = Slot(
                turn.doc,
                index=index,
                parameters=parameters,
                headers=dict(request.headers),
                request_id=request.request_id,
            )
            turn.slot.cancelled = stream.over
        except JinaError as error:
            self._finish(turn, error)

    def _documents(self, request: Request) -> Any:
        docs = self.handler.all_documents(request)
        if isinstance(request.payload, BytesPayload):
            request.payload = DECODED
        if request.began is not None:
            request.began()
        return docs

    def _release(self, turn: Turn) -> None:
        """A stream has left its slot: free what it held, and let its next document wait for a turn."""
        stream = turn.stream
        if turn.slot is not None:
            for error in turn.slot.leave():
                self.handler.owner.log.error("what a stream of %s held was not freed: %r",
                                             self.handler.endpoint.path, error, exc_info=error)  # fmt: skip
        with self._lock:
            more = bool(stream.docs) and not stream.over
            if more:
                assert stream.docs is not None
                stream.turn = Turn(stream, stream.docs.popleft())
                self._scheduler.add(stream.turn, stream.request.deadline)
        if not more:
            self.to_protocol.post(self._left, None)
