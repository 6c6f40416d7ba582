"""One replica of a stateful Executor, as its worker sees it: writes go through the log, reads wait for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import Protocol, TypeVar

import msgspec

from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload
from jina.codec.session_headers import INDEX, NO_SESSION, SessionRef, index_of
from jina.errors import BadRequest, DeadlineExceeded, JinaError, RuntimeFailToStart, Unavailable
from jina.observe import logs, traces
from jina.observe.counters import ConsensusMetrics
from jina.observe.traces import RequestSpan
from jina.plan.plans import ConsensusPlan
from jina.replication import agent_client
from jina.replication.admin import failure_of, look_for_failure, socket_path
from jina.replication.agent_client import DIVERGED, NUMBER, READ, AgentLink, Buffer, Frame, Operation, Refused
from jina.replication.dedup import DedupTable
from jina.replication.log_entries import (
    NO_LIMIT,
    Entry,
    Member,
    Outcome,
    entry_of,
    is_batch,
    join_operations,
    read_entries,
    reply_or_raise,
    write_entry,
)


class StateMachine(Protocol):
    """The Executor."""

    can_snapshot: bool

    async def execute(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Call the `@write` methods one after another; gives the outcomes of the first ones, of one at least."""
        ...

    async def execute_together(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Call one `@write` method with all the requests as one batch."""
        ...

    async def snapshot(self, folder: str, index: int, window: bytes) -> None:
        """Write the Executor's state into the folder, and seal it."""
        ...

    async def restore(self, folder: str) -> tuple[int, bytes]:
        """Restore the Executor from the folder; returns index and window."""
        ...


class _Diverged(msgspec.Struct):
    index: int
    peer: int
    odd: bool


class _Removed(msgspec.Struct):
    removed: bool


class MembershipState:
    """What the agent has told that keeps a replica from answering."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = logs.get_logger(name)
        self._diverged = False
        self._removed = False

    def take(self, frame: Frame) -> None:
        """Note what a frame of the kinds DIVERGED and REMOVED says."""
        if frame.kind == DIVERGED:
            self._diverge(msgspec.json.decode(frame.body, type=_Diverged))
            return
        self._removed = msgspec.json.decode(frame.body, type=_Removed).removed
        if self._removed:
            self._log.error("%s was removed from its group: it refuses requests until it is added again", self._name)
        else:
            self._log.warning("%s is a member of its group again", self._name)

    def _diverge(self, divergence: _Diverged) -> None:
        self._diverged = self._diverged or divergence.odd
        what = "this replica is taken out" if divergence.odd else f"with replica {divergence.peer}"
        self._log.error("the replicas of %s differ since entry %d: %s", self._name, divergence.index, what)

    def renew(self) -> None:
        """Another agent tells from now on whether this is a member."""
        self._removed = False

    @property
    def can_serve(self) -> bool:
        """Whether nothing is wrong with it."""
        return not (self._diverged or self._removed)

    def check(self) -> None:
        """Raise `Unavailable`, so that another replica is asked, where something is."""
        if not self.can_serve:
            raise self.error()

    def error(self) -> Unavailable:
        """What callers are told where it cannot serve."""
        if self._diverged:
            return Unavailable(
                f"the state of {self._name} differs from that of the other replicas",
                help="another replica answers; end this one, empty its folder in the workspace and start it again: it "
                "then takes the state of the others",
            )
        return Unavailable(
            f"{self._name} was removed from its group", help="end it; `jina raft add-voter` takes a replica in"
        )


class AppliedIndex:
    """The cursor of one replica; belongs to one loop."""

    def __init__(self) -> None:
        self.applied = 0
        self.begun = 0
        """Up to where a handler that runs now may see something of the log, if further."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def reach(self, index: int) -> None:
        """The log is applied up to `index`."""
        self.applied = max(self.applied, index)
        while self._waiting and self._waiting[0][0] <= self.applied:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    def give_up(self, error: Callable[[], JinaError]) -> None:
        """The log is not applied any further: those that wait for it get an error each."""
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error())

    def begin(self, index: int) -> None:
        """What follows up to `index` is being applied."""
        self.begun = max(self.begun, index)

    async def wait(self, index: int) -> None:
        """Return when the log is applied up to `index`."""
        if index > self.applied:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (index, next(self._order), future))
            await future


FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
MAJORITY = "a group works with more than half of its replicas: start those that are down; `jina raft status` lists them"
"""What to do without a majority."""
RequestKey = tuple[str, bytes]
"""Id and digest of a request."""


def batch_key(operation: Buffer) -> RequestKey:
    """That of several operations as one."""
    return "together", blake2b(operation, digest_size=16).digest()


class _Write:
    """One operation, and the callers that wait for it."""

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
        self._open: dict[RequestKey, _Write] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, request_key: RequestKey) -> asyncio.Future[Reply] | None:
        """The outcome of a write that is on its way already."""
        write = self._open.get(request_key)
        return None if write is None else self._waiter(write)

    def begin(
        self, request_key: RequestKey, operation: Sequence[Buffer], patience: float, span: RequestSpan | None = None
    ) -> asyncio.Future[Reply]:
        """Propose an operation; its outcome. The span ends when a majority has it."""
        write = self._open[request_key] = _Write(operation, time.monotonic() + patience, span)
        waiter = self._waiter(write)
        self._send(request_key, write)
        return waiter

    def hold(self, request_key: RequestKey, span: RequestSpan | None = None) -> asyncio.Future[Reply]:
        """The outcome of an operation that is to be proposed by `propose_batch`."""
        write = self._open[request_key] = _Write((), 0.0, span)
        return self._waiter(write)

    def propose_batch(self, held: Sequence[tuple[RequestKey, Sequence[Buffer]]], patience: float) -> None:
        """Propose operations as one, but for those for which no caller waits."""
        waited_for = [(request_key, operation) for request_key, operation in held if request_key in self._open]
        if waited_for:
            operation = join_operations([operation for _, operation in waited_for])
            outcome = self.begin(batch_key(operation), (operation,), patience)
            outcome.add_done_callback(partial(self._batch_ended, [request_key for request_key, _ in waited_for]))

    def _batch_ended(self, request_keys: Sequence[RequestKey], outcome: asyncio.Future[Reply]) -> None:
        error = None if outcome.cancelled() else outcome.exception()
        if isinstance(error, JinaError):
            for request_key in request_keys:
                self.applied(request_key, error)

    def leave(self, request_key: RequestKey, waiter: asyncio.Future[Reply]) -> None:
        """This one waits no more."""
        if (write := self._open.get(request_key)) is None:
            return
        if waiter in write.waiters:
            write.waiters.remove(waiter)
        if not write.waiters:
            self._close(request_key, write)

    def committed(self, request_key: RequestKey) -> None:
        """The log has brought it back: a majority has it, and it is about to be applied."""
        if (write := self._open.get(request_key)) is None or write.began is None:
            return
        self._counts.commit_seconds.observe(time.monotonic() - write.began)
        write.began = None
        if write.span is not None:
            write.span.end()

    def applied(self, request_key: RequestKey, reply: Reply | JinaError) -> None:
        """The log has brought it back, or will not in time."""
        if (write := self._open.get(request_key)) is not None:
            self._finish(request_key, write, reply)

    def give_up(self, error: Callable[[], JinaError]) -> None:
        """The log will bring none of them back to here, whether it has them or not."""
        for request_key in list(self._open):
            self.applied(request_key, error())

    def stuck(self, patience: float) -> list[RequestKey]:
        """Those that have waited for a majority for so many seconds."""
        since = time.monotonic() - patience
        return [
            request_key for request_key, write in self._open.items() if write.began is not None and write.began < since
        ]

    def _waiter(self, write: _Write) -> asyncio.Future[Reply]:
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        write.waiters.append(waiter)
        return waiter

    def _send(self, request_key: RequestKey, write: _Write) -> None:
        write.timer = None
        try:
            write.ident = self._agent().propose(write.operation, partial(self._refused, request_key, write))
        except Unavailable as error:
            self._refused(request_key, write, error)

    def _refused(self, request_key: RequestKey, write: _Write, error: JinaError) -> None:
        if self._open.get(request_key) is not write:
            return
        write.ident = 0  # the next connection gives the same number to another write
        if isinstance(error, Refused) and error.code == "refused":
            self._finish(request_key, write, BadRequest(error.message))
        elif time.monotonic() > write.give_up or self._hopeless():
            message = f"no majority of the replicas of {self._name}: {error.message}"
            self._finish(request_key, write, Unavailable(message, help=MAJORITY))
        else:
            write.timer = asyncio.get_running_loop().call_later(write.pause, self._send, request_key, write)
            write.pause = min(2 * write.pause, LONGEST_PAUSE)

    def _finish(self, request_key: RequestKey, write: _Write, reply: Reply | JinaError) -> None:
        self._close(request_key, write, reply if isinstance(reply, JinaError) else None)
        for waiter in write.waiters:
            if waiter.done():
                continue
            if isinstance(reply, Reply):
                waiter.set_result(reply)
            else:
                waiter.set_exception(reply)
                waiter.exception()  # seen, also where it is cancelled before it looks

    def _close(self, request_key: RequestKey, write: _Write, error: JinaError | None = None) -> None:
        del self._open[request_key]
        if write.span is not None and write.began is not None:
            write.span.end(error)
        if write.timer is not None:
            write.timer.cancel()
        if write.ident:
            self._agent_if_there(write.ident)

    def _agent_if_there(self, ident: int) -> None:
        try:
            self._agent().forget(ident)
        except Unavailable:
            return


T = TypeVar("T")


class Reads:
    """Waits for at most `patience` seconds.

    `agent()` gives the link to the agent or raises `Unavailable`; `hopeless()` says that asking again is no use;
    `check()` raises where the log is not applied any further.
    """

    def __init__(
        self,
        name: str,
        agent: Callable[[], AgentLink],
        hopeless: Callable[[], bool],
        check: Callable[[], None],
        progress: AppliedIndex,
        patience: float,
    ) -> None:
        self._name = name
        self._agent = agent
        self._hopeless = hopeless
        self._check = check
        self._applied_index = progress
        self._patience = patience
        self.asking = 0
        """Reads that wait for the agent now."""

    async def covered(self) -> None:
        """Return when all is applied that was acknowledged anywhere before the call."""
        self.asking += 1
        try:
            index = await self._agreed()
        finally:
            self.asking -= 1
        self._check()
        await self._applied_index.wait(index)

    async def _agreed(self) -> int:
        """The entry that covers all that was acknowledged, as the group's leader tells it."""
        pause, give_up = FIRST_PAUSE, time.monotonic() + self._patience
        while True:
            try:
                (index,) = NUMBER.unpack(await self._agent().ask(READ))
                return int(index)
            except (Refused, Unavailable) as error:
                if time.monotonic() > give_up or self._hopeless():
                    raise Unavailable(
                        f"no majority of the replicas of {self._name}: {error.message}", help=MAJORITY
                    ) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def reached(self, index: int) -> None:
        """Return when the entry is applied, which the client has seen elsewhere."""
        try:
            async with asyncio.timeout(self._patience):
                await self._applied_index.wait(index)
        except TimeoutError:
            raise Unavailable(
                f"{self._name} is at entry {self._applied_index.applied} of the log, the client has already read entry"
                f" {index}",
                help="try again in a moment, or at another replica: this one has to catch up",
            ) from None


async def in_time(work: Awaitable[T], request: Request, name: str) -> T:
    """The result of the work, as long as the deadline of the request has not passed."""
    if request.deadline is None:
        return await work
    limit = asyncio.timeout(max(0.0, request.deadline - time.monotonic()))
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"the deadline of the request passed before {name} could answer") from None


Gather = Callable[[RequestKey, Sequence[agent_client.Buffer]], None]
"""Takes an operation that is to be proposed with others."""
_PATIENCE = 60.0
"""Seconds that a request waits for a leader."""
_SOON = 3.0
"""The same where there are other replicas that may be better off."""
_TICK = 0.5
_SILENCE = 1.0
"""Seconds after which an agent that answers no ping is not waited for."""
_STATUS_TIMEOUT = 0.5
"""Seconds that an agent gets to tell how it is."""
_HAND_OVER = 2.0
"""Seconds that another replica gets to take the leadership over."""
_QUIET = 4
"""Pulses between two pings where nothing waits for the agent: each one wakes two processes."""
_LOOKS = 20
"""Pulses between two status questions to the agent while no write is stuck."""
ROOM = "make room on the disk of that file; then it is written again, and nothing that was acknowledged is lost"
"""What to do where a disk is full."""
RESTART = 75
"""Exit code of a worker that has to start over, from a snapshot."""
_Step = tuple[int, Entry, Request]
"""A new request at its place in the log."""


class _SnapshotRequest(msgspec.Struct):
    dir: str
    index: int


class Replica:
    """Brings writes into the log, and applies what the log says to the state machine, each request once.

    `restart_from_snapshot(reason)` is called when only a fresh Executor can go on.
    """

    def __init__(
        self, plan: ConsensusPlan, name: str, machine: StateMachine, restart_from_snapshot: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self._name = name
        self._machine = machine
        self._restart_from_snapshot = restart_from_snapshot
        self._log = logs.get_logger(name)
        self._dedup = DedupTable(plan.group)
        self._applied_index = AppliedIndex()
        self._resume = 0
        self._link: AgentLink | None = None
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.counts = ConsensusMetrics()
        self._alone = sum(map(bool, plan.peers)) == 1
        """Whether no other replica could answer in the place of this one's agent."""
        self._writes = Writes(name, self._agent, self._hopeless, self.counts)
        self.counts.waiting = lambda: len(self._writes)
        self.counts.remembered = lambda: len(self._dedup.window)
        self._executing: list[_Step] = []
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._silent = False
        self.membership = MembershipState(name)
        self._patience = _PATIENCE if self._alone else _SOON
        self._reads = Reads(
            name, self._agent, self._hopeless, self.membership.check, self._applied_index, self._patience
        )

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Return when the Executor has all that was committed before; raises what keeps it from that."""
        self._task = asyncio.create_task(self._run())
        self._heartbeat_task = asyncio.create_task(self._heartbeat())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            self._task.result()
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing more would be applied here, unnoticed: restart, and let a fresh Executor try again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("applying the log of %s failed: %r", self._name, error, exc_info=error)
            self._restart_from_snapshot(f"applying the log failed: {error!r}")

    async def stop(self) -> None:
        """Apply nothing more."""
        tasks = {task for task in (self._task, self._heartbeat_task) if task is not None}
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
            self._log.warning("the consensus agent of %s has ended", self._name)

    async def _next(self) -> bool:
        """Take one frame; False when the agent is gone. It may be large, so no reference to the last one is kept."""
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
                with socket_path(self.plan.socket) as path:
                    _, link = await loop.create_unix_connection(lambda: AgentLink(self._inbox.put_nowait), path)
                break
            except OSError:
                # One that served already waits: its agent may be able to go on, as when a disk has room again.
                if not self._ready.is_set():
                    look_for_failure(self.plan.socket, self._name)
                await asyncio.sleep(FIRST_PAUSE)
        self._link = link
        self.membership.renew()
        hello = {
            "applied": self._applied_index.applied,
            "resume": self._resume,
            "can_snapshot": self._machine.can_snapshot,
        }
        link.write_json(agent_client.HELLO, hello)
        self._tell_chain()

    def _tell_chain(self) -> None:
        """Tell the agent the newest chain, which one that was started since does not know, nor after a restore."""
        if self._link is not None and self._dedup.log_index:
            numbers = (0, self._dedup.log_index, self._dedup.chain)
            self._link.write(agent_client.APPLIED, b"".join(map(agent_client.NUMBER.pack, numbers)))

    async def _heartbeat(self) -> None:
        """Notice an agent that is connected but does not answer: other replicas may answer what waits for it."""
        for pulse in itertools.count(1):
            await asyncio.sleep(_TICK)
            link = self._link
            stuck = self._writes.stuck(_SOON)
            if link is None or not link.up:
                self._explain(stuck, *failure_of(self.plan.socket))
                continue
            if pulse % _QUIET and not self._silent and not self._writes and not self._reads.asking:
                continue
            try:
                async with asyncio.timeout(_SILENCE):
                    await link.ask(agent_client.PING)
                self._silent = False
                if stuck or pulse % _LOOKS == 0:
                    await self.refresh()
                    self._explain(stuck, self._full_disks(), ROOM)
            except (TimeoutError, Refused, Unavailable):
                self._silent = True
                link.fail("the consensus agent does not answer")

    def _explain(self, stuck: Sequence[RequestKey], reason: str, way_out: str) -> None:
        """End writes that cannot be stored with the reason: at their deadline the callers would get none."""
        for request_key in stuck if reason else ():
            error = Unavailable(f"{self._name} cannot store what is written: {reason}", help=way_out)
            self._writes.applied(request_key, error)

    def _full_disks(self) -> str:
        """Which disks keep a write from being stored here, or in the group where its leader is here; empty if none."""
        result = self.counts.agent_status
        disks: dict[str, str] = result.get("disks") or {}
        if own := disks.get(str(self.plan.replica)):
            return own
        voters = {name.partition("-")[0] for name, kind in result.get("members", {}).items() if kind == "Voter"}
        full = sorted(voters & disks.keys())
        if not full or len(voters) > 2 * len(full):
            return ""
        return "; ".join(f"replica {number}: {disks[number]}" for number in full)

    @property
    def caught_up(self) -> bool:
        """Whether all is applied that was committed when this replica began."""
        return self._ready.is_set()

    def log_index_of(self, request: Request) -> int:
        """The entry that a request is which is being applied; for any thread."""
        return next((log_index for log_index, _, one in self._executing if one is request), 0)

    async def refresh(self) -> None:
        """Ask the agent for its status, with a short timeout."""
        try:
            async with asyncio.timeout(_STATUS_TIMEOUT):
                self.counts.agent_status = msgspec.json.decode(await self._agent().ask(agent_client.STATUS))
        except (TimeoutError, Refused, Unavailable):
            self.counts.agent_status = {}

    async def hand_over(self) -> None:
        """Let another replica lead, where this one does: it is to end, and may be killed before it has."""
        await self.refresh()
        if self._alone or self.counts.agent_status.get("role") != "Leader":
            return  # an agent that does not lead would pass it on to the one that does
        try:
            async with asyncio.timeout(_HAND_OVER):
                await self._agent().ask(agent_client.ADMIN, msgspec.json.encode({"do": "transfer"}))
        except (TimeoutError, Refused, Unavailable) as error:
            self._log.debug("%s still leads: %s", self._name, error)

    def _hopeless(self) -> bool:
        """Whether to ask again is no use here, and of use elsewhere."""
        return self._silent and not self._alone

    def _agent(self) -> AgentLink:
        if self._link is None or not self._link.up or self._silent:
            raise Unavailable(f"the consensus agent of {self._name} is not running")
        return self._link

    # --- the log ------------------------------------------------------------------------------------------

    async def _take(self, frame: Frame) -> None:
        if frame.kind == agent_client.APPLY:
            batch = agent_client.read_batch(frame.body)
            result = bytearray(agent_client.NUMBER.pack(batch.upto))
            for operation, chain in zip(batch.operations, await self._apply(batch.operations), strict=True):
                result += agent_client.NUMBER.pack(operation.log_index) + agent_client.NUMBER.pack(chain)
                self._dedup.log_index = operation.log_index
            self._applied_index.reach(batch.upto)
            self._resume = batch.resume
            if self._link is not None:
                self._link.write(agent_client.APPLIED, bytes(result))
        elif frame.kind in {agent_client.SNAPSHOT, agent_client.RESTORE}:
            await self._carry_out(frame)
        elif frame.kind == agent_client.RESET:
            reason = str(msgspec.json.decode(frame.body)["reason"])
            if not self._ready.is_set():
                raise RuntimeFailToStart(f"{self._name} cannot be started: {reason}")
            self._restart_from_snapshot(reason)
        elif frame.kind in {agent_client.DIVERGED, agent_client.REMOVED}:
            self.membership.take(frame)
            if not self.membership.can_serve:
                # Their callers need not wait for their time to pass: another replica can answer at once.
                self._writes.give_up(self.membership.error)
                self._applied_index.give_up(self.membership.error)
        elif frame.kind == agent_client.READY:
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
            members = read_entries(operation.payload)
            for entry, _ in members:
                self._writes.committed((entry.key, entry.digest))
            if is_batch(operation.payload):
                await self._execute(pending, chains)
                keys.clear()
                chains.append(await self._apply_together(operation, members))
                self._applied_index.reach(operation.log_index)
                continue
            ((entry, request),) = members
            if entry.identity in keys:
                await self._execute(pending, chains)
                keys.clear()
            verdict = self._dedup.classify(entry)
            if verdict == "new":
                self._dedup.enter(operation.log_index, entry)
                request.clock_and_seed = self._dedup.clock_and_seed(entry)
                pending.append((operation.log_index, entry, request))
                keys.add(entry.identity)
                continue
            await self._execute(pending, chains)
            keys.clear()
            self.counts.repeated += self._dedup.classify(entry) == "known"
            self._writes.applied((entry.key, entry.digest), self._dedup.previous_reply(entry))
            chains.append(self._dedup.chain)
            self._applied_index.reach(operation.log_index)
        await self._execute(pending, chains)
        return chains

    async def _execute(self, pending: list[_Step], chains: list[int]) -> None:
        """Execute the pending operations on the state machine, and record their outcomes."""
        self._executing = pending
        while pending:
            self._applied_index.begin(pending[-1][0])
            outcomes = await self._machine.execute([request for _, _, request in pending])
            for (log_index, entry, _), outcome in zip(pending, outcomes, strict=False):
                chains.append(self._dedup.extend(log_index, outcome.compared))
                self._on_outcome(log_index, entry, outcome)
                self._applied_index.reach(log_index)
            del pending[: len(outcomes)]

    async def _apply_together(self, operation: Operation, members: Sequence[Member]) -> int:
        """Apply what was gathered: its requests that are new are one batch, each of them is answered as ever."""
        log_index, steps, others = operation.log_index, [], []
        for entry, request in members:
            if self._dedup.classify(entry) == "new":
                self._dedup.enter(log_index, entry)
                request.clock_and_seed = self._dedup.clock_and_seed(entry)
                steps.append((entry, request))
            else:
                others.append(entry)
        if steps:
            self._applied_index.begin(log_index)
            outcomes = await self._machine.execute_together([request for _, request in steps])
            for (entry, _), outcome in zip(steps, outcomes, strict=True):
                self._on_outcome(log_index, entry, outcome)
            self._dedup.extend(log_index, b",".join(outcome.compared for outcome in outcomes))
        for entry in others:
            self.counts.repeated += self._dedup.classify(entry) == "known"
            self._writes.applied((entry.key, entry.digest), self._dedup.previous_reply(entry))
        self._writes.applied(batch_key(operation.payload), Reply(BytesPayload(b"")))
        return self._dedup.chain

    def _on_outcome(self, log_index: int, entry: Entry, outcome: Outcome) -> None:
        self._dedup.settle(entry, outcome.answer)
        if isinstance(outcome.reply, Reply):
            outcome.reply.headers = self._dedup.headers(entry, log_index)
        self._writes.applied((entry.key, entry.digest), outcome.reply)

    async def _carry_out(self, frame: Frame) -> None:
        """A snapshot or a restore; its outcome is sent to the agent, and a restore that failed ends the start."""
        snapshot_request = msgspec.json.decode(frame.body, type=_SnapshotRequest)
        failure: Exception | None = None
        began = time.monotonic()
        try:
            if frame.kind == agent_client.SNAPSHOT:
                await self._machine.snapshot(snapshot_request.dir, snapshot_request.index, self._dedup.to_bytes())
            else:
                index, window = await self._machine.restore(snapshot_request.dir)
                self._dedup.load(window)
                self._applied_index.reach(
                    max(index, snapshot_request.index)
                )  # what follows in the snapshot are no operations
                self._tell_chain()
        except Exception as error:  # noqa: BLE001 - user code
            failure = error
        if self._link is not None:
            self._link.write_json(agent_client.DONE, {"error": "" if failure is None else repr(failure)}, frame.id)
        what = "snapshot" if frame.kind == agent_client.SNAPSHOT else "restore"
        if failure is None:
            self._log.info(
                "%s of %s at %d in %.2f s", what, self._name, snapshot_request.index, time.monotonic() - began
            )
            return
        self._log.error("%s of %s failed: %r", what, self._name, failure, exc_info=failure)
        if frame.kind == agent_client.RESTORE:
            raise failure

    # --- requests -----------------------------------------------------------------------------------------

    async def write(
        self, request: Request, digest: bytes, session: SessionRef | None = None, gather: Gather | None = None
    ) -> Reply:
        """Apply the request on every replica, once; gives what this one answered. Raises a `JinaError`.

        `session` is its place in a session of the client, where it has one. `gather` takes it where it is to be
        proposed together with others, by `propose`.
        """
        self.membership.check()
        entry = entry_of(request.request_id, digest, self._applied_index.applied, session or NO_SESSION)
        if (seen := self._dedup.answered(entry)) is not None:
            self.counts.repeated += 1
            return reply_or_raise(self._dedup.stored_reply(entry, seen))
        request_key = (entry.key, digest)
        waiter = self._writes.join(request_key)
        if waiter is None:
            operation = write_entry(entry, request, NO_LIMIT)
            span = traces.begin("commit", request.headers, {"jina.replica": self._name}, inside=True)
            if gather is None:
                waiter = self._writes.begin(request_key, operation, self._patience, span)
            else:
                waiter = self._writes.hold(request_key, span)
                gather(request_key, operation)
        try:
            return await in_time(waiter, request, self._name)
        finally:
            self._writes.leave(request_key, waiter)

    def propose(self, gathered: Sequence[tuple[RequestKey, Sequence[agent_client.Buffer]]]) -> None:
        """Bring operations into the log as one."""
        self._writes.propose_batch(gathered, self._patience)

    async def covered(self, request: Request) -> None:
        """Return when this replica has applied all that was acknowledged anywhere before the call."""
        self.membership.check()
        await in_time(self._reads.covered(), request, self._name)

    async def seen(self, request: Request) -> None:
        """Return when this replica has applied what the client has seen of it at any other one."""
        self.membership.check()
        if (index := index_of(request.headers, self.plan.group)) > self._applied_index.applied:
            await in_time(self._reads.reached(index), request, self._name)

    @property
    def index_headers(self) -> dict[str, str]:
        """What a client is told beside the answer to a read: up to where in the log it may have seen something now."""
        return {INDEX: f"{self.plan.group}={max(self._applied_index.applied, self._applied_index.begun)}"}
