"""One replica of a stateful Executor, as its worker sees it: writes go to the log, and come from the log.

All of it belongs to one loop. The Executor itself is behind `StateMachine`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import msgspec

from jina.errors import RuntimeFailToStart, Unavailable
from jina.observe import logs, traces
from jina.observe.consensus_metrics import ConsensusMetrics
from jina.plan.plans import ConsensusPlan
from jina.replication import asking, entries, frames, outcomes
from jina.replication.entries import Entry, Member, entry_of
from jina.replication.fitness import Fitness
from jina.replication.frames import Frame, Operation
from jina.replication.link import AgentLink, Refused
from jina.replication.machine import StateMachine
from jina.replication.memory import Memory
from jina.replication.outcomes import Outcome
from jina.replication.progress import Progress
from jina.replication.reads import Reads, in_time
from jina.replication.writes import FIRST_PAUSE, Mark, Writes, mark_of
from jina.wire.messages import Reply, Request
from jina.wire.payloads import BytesPayload
from jina.wire.standing import INDEX, NO_TURN, Turn, index_of

Gather = Callable[[Mark, Sequence[frames.Buffer]], None]
"""Takes an operation that is to be proposed with others."""

_PATIENCE = 60.0
"""Seconds that a request waits for a leader."""
_SOON = 3.0
"""The same where there are other replicas that may be better off."""
_PULSE = 0.5
_SILENCE = 1.0
"""Seconds after which an agent that answers no ping is not waited for."""
_MOMENT = 0.5
"""Seconds that an agent gets to tell how it is."""
_QUIET = 4
"""Pulses between two pings where nothing waits for the agent: each one wakes two processes."""
_LOOKS = 20
"""Pulses between two looks at how the agent is, where nobody asks."""
ROOM = "make room on the disk of that file; then it is written again, and nothing that was acknowledged is lost"
"""What to do where a disk is full."""
RESTART = 75
"""Exit code of a worker that has to begin anew, from a snapshot."""


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
        self._memory = Memory(plan.group)
        self._progress = Progress()
        self._resume = 0
        self._link: AgentLink | None = None
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.counts = ConsensusMetrics()
        self._alone = sum(map(bool, plan.peers)) == 1
        """Whether nobody else could answer what this replica's agent does not."""
        self._writes = Writes(name, self._agent, self._hopeless, self.counts)
        self.counts.waiting = lambda: len(self._writes)
        self.counts.remembered = lambda: len(self._memory.window)
        self._executing: list[_Step] = []
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._silent = False
        self.fitness = Fitness(name)
        self._patience = _PATIENCE if self._alone else _SOON
        self._reads = Reads(name, self._agent, self._hopeless, self._progress, self._patience)

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
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing more would be applied here, without anybody knowing: a fresh Executor tries again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("applying the log of %s failed: %r", self._name, error, exc_info=error)
            self._begin_anew(f"applying the log failed: {error!r}")

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
                with asking.socket_path(self.plan.socket) as path:
                    _, link = await loop.create_unix_connection(lambda: AgentLink(self._inbox.put_nowait), path)
                break
            except OSError:
                # One that served already waits: its agent may be able to go on, as when a disk has room again.
                if not self._ready.is_set():
                    asking.look_for_failure(self.plan.socket, self._name)
                await asyncio.sleep(FIRST_PAUSE)
        self._link = link
        self.fitness.renew()
        hello = {
            "applied": self._progress.applied,
            "resume": self._resume,
            "can_snapshot": self._machine.can_snapshot,
        }
        link.write_json(frames.HELLO, hello)
        self._tell_chain()

    def _tell_chain(self) -> None:
        """Tell the agent the newest chain, which one that was started since does not know, nor after a restore."""
        if self._link is not None and self._memory.place:
            numbers = (0, self._memory.place, self._memory.chain)
            self._link.write(frames.APPLIED, b"".join(map(frames.NUMBER.pack, numbers)))

    async def _feel(self) -> None:
        """Notice an agent that is there but answers nothing: others may answer what waits for it."""
        for pulse in itertools.count(1):
            await asyncio.sleep(_PULSE)
            link = self._link
            stuck = self._writes.stuck(_SOON)
            if link is None or not link.up:
                self._explain(stuck, *asking.failure_of(self.plan.socket))
                continue
            if pulse % _QUIET and not self._silent and not self._writes and not self._reads.asking:
                continue
            try:
                async with asyncio.timeout(_SILENCE):
                    await link.ask(frames.PING)
                self._silent = False
                if stuck or pulse % _LOOKS == 0:
                    await self.refresh()
                    self._explain(stuck, self._full_disks(), ROOM)
            except (TimeoutError, Refused, Unavailable):
                self._silent = True
                link.fail("the consensus agent is silent")

    def _explain(self, stuck: Sequence[Mark], reason: str, way_out: str) -> None:
        """End writes that cannot be stored with the reason: at their deadline, who waits for them would hear none."""
        for mark in stuck if reason else ():
            error = Unavailable(f"{self._name} cannot store what is written: {reason}", help=way_out)
            self._writes.applied(mark, error)

    def _full_disks(self) -> str:
        """Which disks keep a write from being stored here, or in the group where its leader is here; empty if none."""
        told = self.counts.told
        disks: dict[str, str] = told.get("disks") or {}
        if own := disks.get(str(self.plan.replica)):
            return own
        voters = {name.partition("-")[0] for name, kind in told.get("members", {}).items() if kind == "Voter"}
        full = sorted(voters & disks.keys())
        if not full or len(voters) > 2 * len(full):
            return ""
        return "; ".join(f"replica {number}: {disks[number]}" for number in full)

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

    def _hopeless(self) -> bool:
        """Whether to ask again is no use here, and of use elsewhere."""
        return self._silent and not self._alone

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
                self._memory.place = operation.place
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
        elif frame.kind in {frames.DIVERGED, frames.REMOVED}:
            self.fitness.take(frame)
        elif frame.kind == frames.READY:
            self._ready.set()

    async def _apply(self, operations: Sequence[Operation]) -> list[int]:
        """Apply operations in their order; gives the chain after each.

        New ones are entered into the window one by one, so that it does not matter to what is decided about the next
        how many are executed together.
        """
        chains: list[int] = []
        pending: list[_Step] = []
        keys: set[str] = set()
        for operation in operations:
            members = entries.read(operation.payload)
            for entry, _ in members:
                self._writes.committed((entry.key, entry.digest))
            if entries.gathered(operation.payload):
                await self._execute(pending, chains)
                keys.clear()
                chains.append(await self._apply_together(operation, members))
                self._progress.reach(operation.place)
                continue
            ((entry, request),) = members
            if entry.identity in keys:
                await self._execute(pending, chains)
                keys.clear()
            verdict = self._memory.judge(entry)
            if verdict == "new":
                self._memory.enter(operation.place, entry)
                request.moment = self._memory.moment(entry)
                pending.append((operation.place, entry, request))
                keys.add(entry.identity)
                continue
            await self._execute(pending, chains)
            keys.clear()
            self.counts.repeated += self._memory.judge(entry) == "known"
            self._writes.applied((entry.key, entry.digest), self._memory.told_before(entry))
            chains.append(self._memory.chain)
            self._progress.reach(operation.place)
        await self._execute(pending, chains)
        return chains

    async def _execute(self, pending: list[_Step], chains: list[int]) -> None:
        """Have the state machine execute what is pending, and note what came of it."""
        self._executing = pending
        while pending:
            self._progress.begin(pending[-1][0])
            came = await self._machine.execute([request for _, _, request in pending])
            for (place, entry, _), outcome in zip(pending, came, strict=False):
                chains.append(self._memory.extend(place, outcome.came))
                self._came(place, entry, outcome)
                self._progress.reach(place)
            del pending[: len(came)]

    async def _apply_together(self, operation: Operation, members: Sequence[Member]) -> int:
        """Apply what was gathered: its requests that are new are one batch, each of them is answered as ever."""
        place, steps, others = operation.place, [], []
        for entry, request in members:
            if self._memory.judge(entry) == "new":
                self._memory.enter(place, entry)
                request.moment = self._memory.moment(entry)
                steps.append((entry, request))
            else:
                others.append(entry)
        if steps:
            self._progress.begin(place)
            came = await self._machine.execute_together([request for _, request in steps])
            for (entry, _), outcome in zip(steps, came, strict=True):
                self._came(place, entry, outcome)
            self._memory.extend(place, b",".join(outcome.came for outcome in came))
        for entry in others:
            self.counts.repeated += self._memory.judge(entry) == "known"
            self._writes.applied((entry.key, entry.digest), self._memory.told_before(entry))
        self._writes.applied(mark_of(operation.payload), Reply(BytesPayload(b"")))
        return self._memory.chain

    def _came(self, place: int, entry: Entry, outcome: Outcome) -> None:
        self._memory.settle(entry, outcome.answer)
        if isinstance(outcome.told, Reply):
            outcome.told.headers = self._memory.headers(entry, place)
        self._writes.applied((entry.key, entry.digest), outcome.told)

    async def _carry_out(self, frame: Frame) -> None:
        """A snapshot or a restore; the agent hears how it went, and a restore that failed ends the start."""
        wish = msgspec.json.decode(frame.body, type=_Wish)
        failure: Exception | None = None
        began = time.monotonic()
        try:
            if frame.kind == frames.SNAPSHOT:
                await self._machine.snapshot(wish.dir, wish.index, self._memory.to_bytes())
            else:
                index, window = await self._machine.restore(wish.dir)
                self._memory.load(window)
                self._progress.reach(max(index, wish.index))  # what follows in the snapshot are no operations
                self._tell_chain()
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

    async def write(
        self, request: Request, digest: bytes, turn: Turn | None = None, gather: Gather | None = None
    ) -> Reply:
        """Apply the request on every replica, once; gives what this one answered. Raises a `JinaError`.

        `turn` is its place in a session of the client, where it has one. `gather` takes it where it is to be
        proposed together with others, by `propose`.
        """
        self.fitness.check()
        entry = entry_of(request.request_id, digest, self._progress.applied, turn or NO_TURN)
        if (seen := self._memory.answered(entry)) is not None:
            self.counts.repeated += 1
            return outcomes.raised(self._memory.told(entry, seen))
        mark = (entry.key, digest)
        waiter = self._writes.join(mark)
        if waiter is None:
            operation = entries.write(entry, request, outcomes.NO_LIMIT)
            span = traces.begin("commit", request.headers, {"jina.replica": self._name}, inside=True)
            if gather is None:
                waiter = self._writes.begin(mark, operation, self._patience, span)
            else:
                waiter = self._writes.hold(mark, span)
                gather(mark, operation)
        try:
            return await in_time(waiter, request, self._name)
        finally:
            self._writes.leave(mark, waiter)

    def propose(self, gathered: Sequence[tuple[Mark, Sequence[frames.Buffer]]]) -> None:
        """Bring operations into the log as one."""
        self._writes.together(gathered, self._patience)

    async def covered(self, request: Request) -> None:
        """Return when this replica has applied all that was acknowledged anywhere before the call."""
        self.fitness.check()
        await in_time(self._reads.covered(), request, self._name)

    async def seen(self, request: Request) -> None:
        """Return when this replica has applied what the client has seen of it at any other one."""
        self.fitness.check()
        if (index := index_of(request.headers, self.plan.group)) > self._progress.applied:
            await in_time(self._reads.reached(index), request, self._name)

    @property
    def standing(self) -> dict[str, str]:
        """What a client is told beside the answer to a read: up to where in the log it may have seen something now."""
        return {INDEX: f"{self.plan.group}={max(self._progress.applied, self._progress.begun)}"}
