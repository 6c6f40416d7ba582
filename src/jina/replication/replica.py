"""One replica of a stateful Executor, as its worker sees it: writes go to the log, and come from the log.

All of it belongs to one loop. The Executor itself is behind `StateMachine`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from jina.errors import BadRequest, DeadlineExceeded, JinaError, RuntimeFailToStart, Unavailable
from jina.observe import logs, traces
from jina.observe.consensus_metrics import ConsensusMetrics
from jina.plan.plans import ConsensusPlan
from jina.replication import entries, frames, outcomes
from jina.replication.entries import Entry
from jina.replication.frames import Frame, Operation
from jina.replication.link import AgentLink, Refused
from jina.replication.outcomes import Outcome
from jina.replication.progress import Progress
from jina.replication.window import Window
from jina.replication.writes import FIRST_PAUSE, LONGEST_PAUSE, Writes
from jina.transport.link_messages import write_request
from jina.wire.messages import Reply, Request

T = TypeVar("T")

_PATIENCE = 60.0
"""Seconds that a request waits for a leader."""
_SOON = 3.0
"""The same where there are other replicas that may be better off."""
_PULSE = 0.5
_SILENCE = 1.0
"""Seconds after which an agent that answers no ping is not waited for."""
_MOMENT = 0.5
"""Seconds that an agent gets to tell how it is."""
_LOOKS = 20
"""Pulses between two looks at how the agent is, where nobody asks."""
RESTART = 75
"""Exit code of a worker that has to begin anew, from a snapshot."""


class StateMachine(Protocol):
    """The Executor."""

    can_snapshot: bool

    async def execute(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Call the `@write` methods one after another; gives the outcomes of the first ones, of one at least."""
        ...

    async def snapshot(self, folder: str, index: int, window: bytes) -> None:
        """Have the Executor write its state into the folder, and seal it."""
        ...

    async def restore(self, folder: str) -> tuple[int, bytes]:
        """Have the Executor read the folder; gives index and window."""
        ...


class _Diverged(msgspec.Struct):
    index: int
    peer: int
    odd: bool


_Step = tuple[int, Entry, Request]
"""A new request at its place in the log."""


class _Wish(msgspec.Struct):
    dir: str
    index: int


class Replica:
    """Brings writes into the log, and applies what the log says to the state machine, each request once.

    `begin_anew(reason)` is called when only a fresh Executor can go on.
    """

    def __init__(
        self, plan: ConsensusPlan, name: str, machine: StateMachine, begin_anew: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self._name = name
        self._machine = machine
        self._begin_anew = begin_anew
        self._log = logs.get_logger(name)
        self._window = Window()
        self._progress = Progress()
        self._resume = 0
        self._link: AgentLink | None = None
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.counts = ConsensusMetrics()
        self._writes = Writes(name, self._agent, lambda: self._silent, self.counts)
        self.counts.waiting = lambda: len(self._writes)
        self.counts.remembered = lambda: len(self._window)
        self._executing: list[_Step] = []
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._silent = False
        self.diverged = 0
        """The entry since which this replica differs from the others; 0 while it does not."""
        self._patience = _PATIENCE if len(plan.peers) == 1 else _SOON

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Return when the Executor has all that was committed before; raises what keeps it from that."""
        self._task = asyncio.create_task(self._run())
        self._pulse = asyncio.create_task(self._feel())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Apply nothing more."""
        tasks = {task for task in (self._task, self._pulse) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._link is not None:
            self._link.close()

    async def _run(self) -> None:
        while True:
            await self._connect()
            while await self._next():
                pass
            self._log.warning("the consensus agent of %s is gone", self._name)

    async def _next(self) -> bool:
        """Take one frame; False when the agent is gone. A frame may be large, so nobody holds the last one."""
        frame = await self._inbox.get()
        if frame is None:
            return False
        await self._take(frame)
        return True

    async def _connect(self) -> None:
        """Wait for the agent, and tell it where this Executor is in the log."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, link = await loop.create_unix_connection(lambda: AgentLink(self._inbox.put_nowait), self.plan.socket)
                break
            except OSError:
                self._look_for_failure()
                await asyncio.sleep(FIRST_PAUSE)
        self._link = link
        hello = {
            "applied": self._progress.applied,
            "resume": self._resume,
            "can_snapshot": self._machine.can_snapshot,
        }
        link.write_json(frames.HELLO, hello)

    async def _feel(self) -> None:
        """Notice an agent that is there but answers nothing: others may answer what waits for it."""
        for pulse in itertools.count(1):
            await asyncio.sleep(_PULSE)
            link = self._link
            if link is None or not link.up:
                continue
            try:
                async with asyncio.timeout(_SILENCE):
                    await link.ask(frames.PING)
                self._silent = False
                if pulse % _LOOKS == 0:
                    await self.refresh()
            except (TimeoutError, Refused, Unavailable):
                self._silent = True
                link.fail("the consensus agent is silent")

    @property
    def caught_up(self) -> bool:
        """Whether all is applied that was committed when this replica began."""
        return self._ready.is_set()

    def place_of(self, request: Request) -> int:
        """The entry that a request is which is being applied; for any thread."""
        return next((place for place, _, one in self._executing if one is request), 0)

    async def refresh(self) -> None:
        """Have the agent tell how it is, within a moment."""
        try:
            async with asyncio.timeout(_MOMENT):
                self.counts.told = msgspec.json.decode(await self._agent().ask(frames.STATUS))
        except (TimeoutError, Refused, Unavailable):
            self.counts.told = {}

    def _look_for_failure(self) -> None:
        try:
            with open(f"{self.plan.socket}.failed", encoding="utf-8", errors="replace") as file:
                told = file.read()
        except OSError:
            return
        raise RuntimeFailToStart(f"the consensus agent of {self._name} does not start: {told}")

    def _agent(self) -> AgentLink:
        if self._link is None or not self._link.up or self._silent:
            raise Unavailable(f"the consensus agent of {self._name} is not there")
        return self._link

    # --- the log ------------------------------------------------------------------------------------------

    async def _take(self, frame: Frame) -> None:
        if frame.kind == frames.APPLY:
            batch = frames.read_batch(frame.body)
            told = bytearray(frames.NUMBER.pack(batch.upto))
            for operation, chain in zip(batch.operations, await self._apply(batch.operations), strict=True):
                told += frames.NUMBER.pack(operation.place) + frames.NUMBER.pack(chain)
            self._progress.reach(batch.upto)
            self._resume = batch.resume
            if self._link is not None:
                self._link.write(frames.APPLIED, bytes(told))
        elif frame.kind in {frames.SNAPSHOT, frames.RESTORE}:
            await self._carry_out(frame)
        elif frame.kind == frames.RESET:
            reason = str(msgspec.json.decode(frame.body)["reason"])
            if not self._ready.is_set():
                raise RuntimeFailToStart(f"{self._name} cannot be brought up: {reason}")
            self._begin_anew(reason)
        elif frame.kind == frames.DIVERGED:
            self._diverge(msgspec.json.decode(frame.body, type=_Diverged))
        elif frame.kind == frames.READY:
            self._ready.set()

    def _diverge(self, told: _Diverged) -> None:
        if told.odd:
            self.diverged = told.index
        what = "this replica is taken out" if told.odd else f"with replica {told.peer}"
        self._log.error("the replicas of %s differ since entry %d: %s", self._name, told.index, what)

    async def _apply(self, operations: Sequence[Operation]) -> list[int]:
        """Apply operations in their order; gives the chain after each.

        New ones are entered into the window one by one, so that it does not matter to what is decided about the next
        how many are executed together.
        """
        chains: list[int] = []
        pending: list[_Step] = []
        keys: set[str] = set()
        for operation in operations:
            entry, request = entries.read(operation.payload)
            self._writes.committed((entry.key, entry.digest))
            if entry.key in keys:
                await self._execute(pending, chains)
                keys.clear()
            verdict = self._window.judge(entry)
            if verdict == "new":
                self._window.enter(operation.place, entry)
                pending.append((operation.place, entry, request))
                keys.add(entry.key)
                continue
            await self._execute(pending, chains)
            keys.clear()
            self._writes.applied((entry.key, entry.digest), self._told_before(entry, verdict))
            chains.append(self._window.chain)
            self._progress.reach(operation.place)
        await self._execute(pending, chains)
        return chains

    async def _execute(self, pending: list[_Step], chains: list[int]) -> None:
        """Have the state machine execute what is pending, and note what came of it."""
        self._executing = pending
        while pending:
            came = await self._machine.execute([request for _, _, request in pending])
            for (place, entry, _), outcome in zip(pending, came, strict=False):
                self._window.settle(entry, outcome.answer)
                chains.append(self._window.extend(place, outcome.came))
                self._writes.applied((entry.key, entry.digest), outcome.told)
                self._progress.reach(place)
            del pending[: len(came)]

    def _told_before(self, entry: Entry, verdict: str) -> Reply | JinaError:
        if verdict == "known":
            self.counts.repeated += 1
            return outcomes.read(self._window.answer(entry.key))
        if verdict == "other":
            return BadRequest(f"the request id {entry.key!r} was used for another request")
        return Unavailable(f"the request {entry.key!r} came back so late that nobody knows if it was applied")

    async def _carry_out(self, frame: Frame) -> None:
        """A snapshot or a restore; the agent hears how it went, and a restore that failed ends the start."""
        wish = msgspec.json.decode(frame.body, type=_Wish)
        failure: Exception | None = None
        began = time.monotonic()
        try:
            if frame.kind == frames.SNAPSHOT:
                await self._machine.snapshot(wish.dir, wish.index, self._window.to_bytes())
            else:
                index, window = await self._machine.restore(wish.dir)
                self._window.load(window)
                self._progress.reach(index)
        except Exception as error:  # noqa: BLE001 - user code
            failure = error
        if self._link is not None:
            self._link.write_json(frames.DONE, {"error": "" if failure is None else repr(failure)}, frame.id)
        what = "snapshot" if frame.kind == frames.SNAPSHOT else "restore"
        if failure is None:
            self._log.info("%s of %s at %d in %.2f s", what, self._name, wish.index, time.monotonic() - began)
            return
        self._log.error("%s of %s failed: %r", what, self._name, failure, exc_info=failure)
        if frame.kind == frames.RESTORE:
            raise failure

    # --- requests -----------------------------------------------------------------------------------------

    async def write(self, request: Request, digest: bytes) -> Reply:
        """Apply the request on every replica, once; gives what this one answered. Raises a `JinaError`."""
        self._fit()
        entry = Entry(request.request_id or os.urandom(16).hex(), digest, self._progress.applied)
        if (answer := self._window.answered(entry)) is not None:
            self.counts.repeated += 1
            return outcomes.raised(outcomes.read(answer))
        mark = (entry.key, digest)
        waiter = self._writes.join(mark)
        if waiter is None:
            operation = entries.write(entry, request, outcomes.NO_LIMIT)
            span = traces.begin("commit", request.headers, {"jina.replica": self._name}, inside=True)
            waiter = self._writes.begin(mark, operation, self._patience, span)
        try:
            return await self._in_time(waiter, request)
        finally:
            self._writes.leave(mark, waiter)

    def _fit(self) -> None:
        if self.diverged:
            raise Unavailable(f"the state of {self._name} differs from that of the other replicas")

    async def covered(self, request: Request) -> None:
        """Return when this replica has applied all that was acknowledged anywhere before the call."""
        self._fit()
        await self._in_time(self._covered(), request)

    async def _covered(self) -> None:
        pause, give_up = FIRST_PAUSE, time.monotonic() + self._patience
        while True:
            try:
                (index,) = frames.NUMBER.unpack(await self._agent().ask(frames.READ))
                break
            except (Refused, Unavailable) as error:
                if time.monotonic() > give_up or self._silent:
                    raise Unavailable(f"no majority of the replicas of {self._name}: {error.message}") from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        await self._progress.wait(index)

    async def _in_time(self, work: Awaitable[T], request: Request) -> T:
        if request.deadline is None:
            return await work
        limit = asyncio.timeout(max(0.0, request.deadline - time.monotonic()))
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"the deadline of the request passed before {self._name} could answer") from None


def digest_of(request: Request) -> bytes:
    """What tells one request from another under the same id."""
    _, _, body = write_request(request, outcomes.NO_LIMIT)
    return hashlib.blake2b(body, digest_size=16, person=b"jina write", key=request.endpoint.encode()[:64]).digest()
