"""Writes that wait until the log brings them back; belongs to one loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b

from jina.errors import BadRequest, JinaError, Unavailable
from jina.observe.consensus_metrics import ConsensusMetrics
from jina.observe.traces import RequestSpan
from jina.replication import entries
from jina.replication.frames import Buffer
from jina.replication.link import AgentLink, Refused
from jina.wire.messages import Reply

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
MAJORITY = "a group works with more than half of its replicas: start those that are down; `jina raft status` lists them"
"""What to do without a majority."""

Mark = tuple[str, bytes]
"""Id and digest of a request."""


def mark_of(operation: Buffer) -> Mark:
    """That of several operations as one."""
    return "together", blake2b(operation, digest_size=16).digest()


class _Write:
    """One operation, and who waits for it."""

    __slots__ = ("began", "give_up", "ident", "operation", "pause", "span", "timer", "waiters")

    def __init__(self, operation: Sequence[Buffer], give_up: float, span: RequestSpan | None) -> None:
        self.began: float | None = time.monotonic()
        self.span = span
        self.operation = operation
        self.give_up = give_up
        self.pause = FIRST_PAUSE
        self.ident = 0
        self.timer: asyncio.TimerHandle | None = None
        self.waiters: list[asyncio.Future[Reply]] = []


class Writes:
    """Proposes operations until the log has them, or has had them: the same one may come twice, and is applied once.

    `agent()` gives the link to the agent or raises `Unavailable`; `hopeless()` says that asking again is no use.
    """

    def __init__(
        self, name: str, agent: Callable[[], AgentLink], hopeless: Callable[[], bool], counts: ConsensusMetrics
    ) -> None:
        self._counts = counts
        self._name = name
        self._agent = agent
        self._hopeless = hopeless
        self._open: dict[Mark, _Write] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, mark: Mark) -> asyncio.Future[Reply] | None:
        """The outcome of a write that is on its way already."""
        write = self._open.get(mark)
        return None if write is None else self._waiter(write)

    def begin(
        self, mark: Mark, operation: Sequence[Buffer], patience: float, span: RequestSpan | None = None
    ) -> asyncio.Future[Reply]:
        """Propose an operation; its outcome. The span ends when a majority has it."""
        write = self._open[mark] = _Write(operation, time.monotonic() + patience, span)
        waiter = self._waiter(write)
        self._send(mark, write)
        return waiter

    def hold(self, mark: Mark, span: RequestSpan | None = None) -> asyncio.Future[Reply]:
        """The outcome of an operation that is to be proposed by `together`."""
        write = self._open[mark] = _Write((), 0.0, span)
        return self._waiter(write)

    def together(self, held: Sequence[tuple[Mark, Sequence[Buffer]]], patience: float) -> None:
        """Propose operations as one, but for those for which nobody waits any more."""
        waited_for = [(mark, operation) for mark, operation in held if mark in self._open]
        if waited_for:
            operation = entries.together([operation for _, operation in waited_for])
            outcome = self.begin(mark_of(operation), (operation,), patience)
            outcome.add_done_callback(partial(self._together_ended, [mark for mark, _ in waited_for]))

    def _together_ended(self, marks: Sequence[Mark], outcome: asyncio.Future[Reply]) -> None:
        error = None if outcome.cancelled() else outcome.exception()
        if isinstance(error, JinaError):
            for mark in marks:
                self.applied(mark, error)

    def leave(self, mark: Mark, waiter: asyncio.Future[Reply]) -> None:
        """This one waits no more."""
        if (write := self._open.get(mark)) is None:
            return
        if waiter in write.waiters:
            write.waiters.remove(waiter)
        if not write.waiters:
            self._close(mark, write)

    def committed(self, mark: Mark) -> None:
        """The log has brought it back: a majority has it, and it is about to be applied."""
        if (write := self._open.get(mark)) is None or write.began is None:
            return
        self._counts.commit_seconds.observe(time.monotonic() - write.began)
        write.began = None
        if write.span is not None:
            write.span.end()

    def applied(self, mark: Mark, told: Reply | JinaError) -> None:
        """The log has brought it back, or will not in time."""
        if (write := self._open.get(mark)) is not None:
            self._finish(mark, write, told)

    def stuck(self, patience: float) -> list[Mark]:
        """Those that have waited for a majority for so many seconds."""
        since = time.monotonic() - patience
        return [mark for mark, write in self._open.items() if write.began is not None and write.began < since]

    def _waiter(self, write: _Write) -> asyncio.Future[Reply]:
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        write.waiters.append(waiter)
        return waiter

    def _send(self, mark: Mark, write: _Write) -> None:
        write.timer = None
        try:
            write.ident = self._agent().propose(write.operation, partial(self._refused, mark, write))
        except Unavailable as error:
            self._refused(mark, write, error)

    def _refused(self, mark: Mark, write: _Write, error: JinaError) -> None:
        if self._open.get(mark) is not write:
            return
        write.ident = 0  # the next connection gives the same number to another write
        if isinstance(error, Refused) and error.code == "refused":
            self._finish(mark, write, BadRequest(error.message))
        elif time.monotonic() > write.give_up or self._hopeless():
            message = f"no majority of the replicas of {self._name}: {error.message}"
            self._finish(mark, write, Unavailable(message, help=MAJORITY))
        else:
            write.timer = asyncio.get_running_loop().call_later(write.pause, self._send, mark, write)
            write.pause = min(2 * write.pause, LONGEST_PAUSE)

    def _finish(self, mark: Mark, write: _Write, told: Reply | JinaError) -> None:
        self._close(mark, write, told if isinstance(told, JinaError) else None)
        for waiter in write.waiters:
            if waiter.done():
                continue
            if isinstance(told, Reply):
                waiter.set_result(told)
            else:
                waiter.set_exception(told)
                waiter.exception()  # seen, also where it is cancelled before it looks

    def _close(self, mark: Mark, write: _Write, told: JinaError | None = None) -> None:
        del self._open[mark]
        if write.span is not None and write.began is not None:
            write.span.end(told)
        if write.timer is not None:
            write.timer.cancel()
        if write.ident:
            self._agent_if_there(write.ident)

    def _agent_if_there(self, ident: int) -> None:
        try:
            self._agent().forget(ident)
        except Unavailable:
            return
