"""One batch where the handler runs: its requests decoded, one call, each request given its own documents."""

from __future__ import annotations

import copy
import threading
import time
from asyncio import CancelledError, Future
from collections.abc import Generator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from jina.errors import JinaError
from jina.executor import invoke
from jina.observe import logs, traces
from jina.routing.batching import Part, attempts
from jina.runtime.dispatch import Job, too_late
from jina.runtime.failures import executor_error
from jina.runtime.handler import DECODED
from jina.wire.messages import Reply, Request
from jina.wire.payloads import BytesPayload

if TYPE_CHECKING:
    from jina.runtime.gathering import Gatherer


class Ticket:
    """One request on its way through a queue and one batch, or several where it is larger than a batch.

    `over` once nobody waits for it any more: it was answered, cancelled, or came too late.
    """

    __slots__ = ("docs", "documents", "future", "jobs", "left", "over", "parameters", "request", "results", "span")

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
        self.over = False
        self.left = False
        """Nobody waits any more, but a job runs on."""


Answer = Any
"""What came of a part: its documents, or what went wrong."""
Piece = tuple[Part[Ticket], Any]
"""A part and its documents."""
Call = tuple[Any, dict[str, Any]]
"""The documents and the keywords of a call of the handler."""


class BatchJob(Job):
    """Takes a batch when it is started, and runs it."""

    __slots__ = ("_gatherer", "_handler", "_seconds", "_sizes", "_waits", "begun", "parts")

    counts = 0  # its requests are counted
    urgent = True  # those who wait have waited, and those who come meanwhile join

    def __init__(self, gatherer: Gatherer) -> None:
        super().__init__(None)
        self._gatherer = gatherer
        self._handler = gatherer.handler
        self.begun = threading.Lock()
        """Released when it takes its batch."""
        self.begun.acquire()
        self.parts: list[Part[Ticket]] = []
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
            self._deliver([(part, failure) for part in self.parts if not part.ticket.over])
        for part in self.parts:
            part.ticket.jobs.remove(self)
            if part.ticket.left and not part.ticket.jobs:
                self._gatherer.ended()
        self.parts = []

    def expire(self) -> None:
        """Never called: the job itself has no deadline, its requests have."""

    def take(self) -> list[Part[Ticket]]:
        """The batch, as of now; where the handler runs."""
        return self._gatherer.take(self)

    def _all_calls(self) -> Generator[Call, Any, None]:
        """The calls of the handler; to be sent what each returned or raised."""
        batch = self.take()
        if not batch:
            return
        now = time.monotonic()
        self._waits = [now - part.arrived for part in batch]
        tries = attempts(batch, apart=self._gatherer.apart)
        parts, first = next(tries), True
        while not self.abandoned:
            pieces = self._pieces(parts, first=first)
            went_well = True
            if pieces and (arguments := self._arguments(pieces)) is not None:
                docs = self._joined(pieces)
                self._sizes.append(sum(len(part) for part, _ in pieces))
                span = self._span(pieces, arguments)
                outcome: Any = None
                try:
                    outcome = given = yield docs, arguments
                    outcome = _checked(outcome, self._sizes[-1], self._handler.endpoint.where)
                finally:
                    if span is not None:
                        span.end(outcome if isinstance(outcome, BaseException) else None)
                went_well = self._answered(pieces, outcome, raised=isinstance(given, BaseException))
            following = _resumed(tries, went_well)
            if following is None:
                return
            parts, first = following, False

    def _pieces(self, parts: list[Part[Ticket]], *, first: bool) -> list[Piece]:
        """Those parts that are still wanted, with their documents; what cannot be decoded is answered here."""
        pieces: list[Piece] = []
        failed: list[tuple[Part[Ticket], Answer]] = []
        now = time.monotonic()
        for part in parts:
            ticket = part.ticket
            deadline = ticket.request.deadline
            if ticket.over:
                continue
            if deadline is not None and now >= deadline:
                failed.append((part, too_late("before it was started")))
                continue
            try:
                pieces.append((part, self._documents(part, anew=not first)))
            except JinaError as error:
                failed.append((part, error))
        if failed:
            self._post(failed)
        return pieces

    def _documents(self, part: Part[Ticket], *, anew: bool) -> Any:
        """The documents of a part; decoded anew after a failure, since the handler may have changed them."""
        ticket = part.ticket
        docs = ticket.docs
        if docs is None or anew:
            docs = self._handler.documents(ticket.request)
        whole = len(part) == ticket.documents
        if whole and not self._gatherer.apart and isinstance(ticket.request.payload, BytesPayload):
            ticket.request.payload = DECODED  # not needed again, and the batch may run for long
        ticket.docs = None if whole or anew else docs
        began, ticket.request.began = ticket.request.began, None
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
        arguments = [self._arguments_of(pieces[0][0].ticket)]
        if isinstance(arguments[0], dict):
            return arguments[0]
        # An error of its own for each: they are told where they have been.
        arguments += [self._arguments_of(part.ticket) for part, _ in pieces[1:]]
        self._post([(part, one) for (part, _), one in zip(pieces, arguments, strict=True)
                    if isinstance(one, JinaError)])  # fmt: skip
        return None

    def _arguments_of(self, ticket: Ticket) -> dict[str, Any] | JinaError:
        # A copy for each call: what a handler changes in it must not reach the next call or an answer.
        extras = invoke.Extras(parameters=copy.deepcopy(ticket.parameters), moment=ticket.request.moment)
        try:
            return invoke.call_arguments(self._handler.endpoint, extras)
        except JinaError as error:
            return error

    def _span(self, pieces: list[Piece], arguments: dict[str, Any]) -> traces.RequestSpan | None:
        """What logs and traces of the handler read: the ids of the requests, and a span of the batch."""
        ids = [part.ticket.request.request_id for part, _ in pieces]
        logs.request_id.set(ids[0] if len(ids) == 1 else f"{ids[0]}+{len(ids) - 1}")
        spans = [part.ticket.span for part, _ in pieces if part.ticket.span is not None]
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
            owner.failed(outcome, path)
            self._post([(part, executor_error(outcome, owner.class_name)) for part, _ in pieces])
            return True
        if len(pieces) == 1:
            self._post([(pieces[0][0], outcome)])
            return True
        docs, at = list(outcome), 0
        answers: list[tuple[Part[Ticket], Answer]] = []
        for part, _ in pieces:
            answers.append((part, docs[at : at + len(part)]))
            at += len(part)
        self._post(answers)
        return True

    def _post(self, answers: list[tuple[Part[Ticket], Answer]]) -> None:
        self._gatherer.to_protocol.post(self._deliver, answers)

    def _deliver(self, answers: list[tuple[Part[Ticket], Answer]]) -> None:
        """Hand the answers to those who wait; on the protocol loop, so that the next batch need not wait for it."""
        for part, answer in answers:
            ticket = part.ticket
            if ticket.future.done():
                continue
            if isinstance(answer, BaseException):
                ticket.future.set_exception(answer)
            elif (docs := _whole(part, answer)) is not None:
                try:
                    ticket.future.set_result(self._handler.reply(ticket.request, docs))
                except Exception as error:  # noqa: BLE001 - it is of what this request got
                    ticket.future.set_exception(error)


def _whole(part: Part[Ticket], docs: Any) -> Any:
    """The documents that answer the request, None where other parts of it are missing."""
    ticket = part.ticket
    if len(part) == ticket.documents:
        return docs
    ticket.results[part.start] = docs
    if sum(map(len, ticket.results.values())) != ticket.documents:
        return None
    return [doc for start in sorted(ticket.results) for doc in ticket.results[start]]


def _resumed(generator: Generator[Any, Any, None], value: Any) -> Any:
    try:
        return generator.send(value)
    except StopIteration:
        return None


def _checked(outcome: Any, count: int, where: str) -> Any:
    """The documents that a handler gave; what it raised, or the error that nobody knows whose they are."""
    if isinstance(outcome, BaseException):
        return outcome
    docs, results = outcome
    if results is not None:
        return TypeError(f"{where} gave a dict; of a batch nobody knows whose that is, so documents or None are wanted")
    if len(docs) != count:
        return ValueError(
            f"{where} was given {count} documents and gave {len(docs)};"
            " dynamic batching needs one for each, in the same order"
        )
    return docs
