"""Starting, watching, changing and ending the processes of a plan: the work of one thread."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from jina.errors import CrashLoop, InternalError, JinaError, RuntimeFailToStart, Unavailable
from jina.plan.plans import (
    ChildPlan,
    ForkServerPlan,
    GatewayPlan,
    NodePlan,
    ProcessPlan,
    UpstreamPlan,
    WorkerPlan,
)
from jina.runtime.process import drain_delay
from jina.supervisor.forkserver import fork_server_for
from jina.supervisor.policies import (
    Action,
    Discard,
    HangDetector,
    RestartPolicy,
    Restarts,
    Retire,
    Rollout,
    Start,
    Take,
)
from jina.supervisor.process import ChildProcess
from jina.supervisor.status_socket import open_status_socket

SILENT = 3.0
"""Seconds after which a process whose event loops do not turn, or that answers no question, is called hung."""


class ProcessSlot:
    """A worker or a gateway of the plan. Changed by the supervising thread only, to be read by any.

    `process` is the one that fills it, or filled it last; `successor` replaces it once it is ready. A slot
    that is `joining` was added while the service runs, and has not been ready yet.
    """

    def __init__(self, plan: ProcessPlan, blob: bytes = b"", *, joining: bool = False) -> None:
        self.process = ChildProcess(plan, blob)
        self.successor: ChildProcess | None = None
        self.joining = joining
        self.restarts = Restarts(RestartPolicy(plan.restart.limit, plan.restart.backoff))
        self.restart_at: float | None = None
        """When it is started again, in `time.monotonic()` seconds, while it is down."""
        self.last_end: Unavailable | None = None
        """How the process before ended."""
        self.hang = _hang_detector(plan)

    @property
    def plan(self) -> ProcessPlan:
        """The plan of its process."""
        plan: Any = self.process.plan
        return plan  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """That of the plan, such as `executor/rep-0`."""
        return self.plan.name

    @property
    def owner(self) -> str:
        """The Deployment, or `gateway`."""
        return owner(self.plan)

    @property
    def part(self) -> tuple[str, str, int]:
        """What its replicas have in common: the Deployment, its shard, or what is around the shards."""
        plan = self.plan
        return (self.owner, plan.part, plan.shard_id) if isinstance(plan, WorkerPlan) else (self.owner, "", 0)

    @property
    def processes(self) -> list[ChildProcess]:
        """Its process and the successor, if there is one."""
        return [self.process] if self.successor is None else [self.process, self.successor]

    @property
    def state(self) -> str:
        """One word: starting, ready, draining, restarting, failed, stopped."""
        if self.restarts.given_up:
            return "failed"
        if self.restart_at is not None:
            return "restarting"
        if self.process.exit_status is not None:
            return "stopped"
        phase = self.process.phase
        if phase in {"ready", "draining"}:
            return phase
        return "restarting" if self.last_end is not None else "starting"

    def crashed(self, now: float) -> None:
        """The process ended by itself: decide when it is started again."""
        served = now - self.process.ready_at if self.process.ready_at is not None else 0.0
        self.last_end = self.process.down()
        pause = self.restarts.crashed(served)
        self.restart_at = None if pause is None else now + pause

    def renew(self) -> ChildProcess:
        """A new process for the same plan, not started yet, instead of the one that ended."""
        self.restart_at = None
        restart = replace(self.plan.restart, count=self.restarts.count)
        self.process = ChildProcess(replace(self.plan, restart=restart), self.process.blob)
        self.hang = _hang_detector(self.plan)
        return self.process

    def prepare(self, plan: ProcessPlan, blob: bytes) -> ChildProcess:
        """The successor of the process in this slot, not started yet."""
        self.successor = ChildProcess(plan, blob)
        return self.successor

    def take(self) -> ChildProcess:
        """Put the successor into the slot; returns the process that was in it."""
        assert self.successor is not None
        old, self.process, self.successor = self.process, self.successor, None
        self.restart_at = self.last_end = None
        policy = RestartPolicy(self.plan.restart.limit, self.plan.restart.backoff)
        count, self.restarts = self.restarts.count, Restarts(policy)
        self.restarts.count = count
        self.hang = _hang_detector(self.plan)
        return old

    def down(self) -> Unavailable | None:
        """Why requests cannot be served here, or None while they can, or its first process still starts."""
        if self.restarts.given_up:
            return self._crash_loop()
        if self.process.exit_status is None:
            if self.last_end is None or self.process.ready:
                return None
            return _again(self.last_end, self.process.progress)
        end = self.last_end or self.process.down()
        if end is None or self.restart_at is None:
            return end
        return _again(end, f"in {max(0.0, self.restart_at - time.monotonic()):.1f} s")

    def _crash_loop(self) -> Unavailable:
        end = self.last_end or Unavailable(f"{self.name} is down")
        if not self.restarts.count:
            return Unavailable(end.message, help=_own_help(end) or CrashLoop.advice)
        failure: JinaError = self.process.failure or end
        error = CrashLoop(f"{failure.message}; given up after {self.restarts.count} restarts", help=_own_help(failure))
        error.__cause__ = failure.__cause__
        return error


def _own_help(failure: JinaError) -> str:
    """What the failure itself says to do: asking again is of no use once a process is given up."""
    return "" if failure.help == Unavailable.advice else failure.help


def _again(end: Unavailable, when: str) -> Unavailable:
    return Unavailable(f"{end.message}; it is started again: {when}", help=end.help)


def owner(plan: Any) -> str:
    """The Deployment that a process belongs to, or `gateway`."""
    return str(getattr(plan, "deployment", "gateway"))


def _hang_detector(plan: ProcessPlan) -> HangDetector | None:
    limit = plan.restart.timeout_hang
    return HangDetector(limit) if limit else None


class Linker:
    """Connects the processes of one service as they start; belongs to the thread that starts them.

    The ends travel over the control sockets, under the worker's name, so that a process that is restarted gets
    new ones, and so do the processes linked to it.
    """

    def __init__(self, slots: Sequence[ProcessSlot]) -> None:
        self._slots = slots
        workers = {slot.name for slot in slots if isinstance(slot.plan, WorkerPlan)}
        for slot in slots:
            for name in _linked(slot.plan):
                if name not in workers:
                    raise InternalError(f"{slot.process.name} is to be linked to {name}, which is not started here")

    def started(self, process: ChildProcess) -> None:
        """Link `process` to those that run already."""
        for other in [other for slot in self._slots for other in slot.processes]:
            gateway, worker = (process, other) if process.is_gateway else (other, process)
            if gateway.is_gateway and not worker.is_gateway and gateway.running and worker.running:
                self._link(gateway, worker)

    def in_use(self, worker: ChildProcess) -> bool:
        """Whether each gateway that runs sends requests to the worker, which is ready."""
        name = worker.plan.name
        gateways = [slot.process for slot in self._slots if slot.process.is_gateway and slot.process.running]
        return all(name in gateway.linked for gateway in gateways if _reaches(gateway.plan, worker.plan))

    def left(self, worker: ChildProcess) -> None:
        """Tell the gateways that the worker is to get no more requests."""
        for slot in self._slots:
            if slot.process.is_gateway and slot.process.running:
                slot.process.linked.discard(worker.plan.name)
                slot.process.send_message(unlink=worker.plan.name)

    def given_up(self, worker: ChildProcess) -> None:
        """Tell gateways that still wait for the worker that it will not start.

        Those that reached it keep it, and answer with the cause of its end.
        """
        for slot in self._slots:
            gateway = slot.process
            if gateway.is_gateway and gateway.running and worker.plan.name not in gateway.linked:
                gateway.send_message(unlink=worker.plan.name)

    def current(self, plan: ChildPlan) -> ChildPlan:
        """The plan of a process that is restarted: a gateway then reaches the workers that there are now."""
        if not isinstance(plan, GatewayPlan):
            return plan
        nodes = [self._with_workers(node) for node in plan.graph.nodes]
        return replace(plan, graph=replace(plan.graph, nodes=nodes))

    def _with_workers(self, node: NodePlan) -> NodePlan:
        known = {upstream.name: upstream for upstream in node.upstreams if upstream.kind == "link"}
        if not known:
            return node
        plans = [slot.plan for slot in self._slots if slot.owner == node.name and not slot.restarts.given_up]
        upstreams = [known.get(plan.name) or _upstream(node, plan) for plan in plans if isinstance(plan, WorkerPlan)]
        return replace(node, upstreams=upstreams or list(known.values()))

    def _link(self, gateway: ChildProcess, worker: ChildProcess) -> None:
        name = worker.plan.name
        if not _reaches(gateway.plan, worker.plan):
            return
        gateway.linked.discard(name)
        ends = socket.socketpair()
        with ends[0], ends[1]:
            gateway.send_link(name, ends[0])
            worker.send_link(name, ends[1])


def _upstream(node: NodePlan, worker: WorkerPlan) -> UpstreamPlan:
    return replace(node.upstreams[0], name=worker.name, shard=worker.shard_id, part=worker.part)


def _reaches(gateway: ChildPlan, worker: ChildPlan) -> bool:
    """Whether the gateway has a step whose requests go to the worker by a link."""
    if not isinstance(gateway, GatewayPlan) or not isinstance(worker, WorkerPlan):
        return False
    nodes = [node for node in gateway.graph.nodes if node.name == worker.deployment]
    return any(upstream.kind == "link" for node in nodes for upstream in node.upstreams)


def _linked(plan: ChildPlan) -> list[str]:
    if not isinstance(plan, GatewayPlan):
        return []
    return [upstream.name for node in plan.graph.nodes for upstream in node.upstreams if upstream.kind == "link"]


_ROOT = Path("/sys/fs/cgroup")


class MemoryKills:
    """Tells whether there were more of them since it was last asked."""

    def __init__(self, files: list[Path] | None = None) -> None:
        self._files = _files_of_this_process() if files is None else files
        self._last = self._count()

    def more(self) -> bool:
        """Whether the kernel has ended a process of the group for want of memory since the last look."""
        now = self._count()
        if now is None:
            return False
        grown = self._last is not None and now > self._last
        self._last = now
        return grown

    def _count(self) -> int | None:
        for file in self._files:
            with contextlib.suppress(OSError, ValueError):
                for line in file.read_text().splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return None


def _files_of_this_process() -> list[Path]:
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            inner = path.lstrip("/")
            if not controllers:
                # Within a container the path may be that of the host: the group is then at the root.
                found += [_ROOT / inner / "memory.events", _ROOT / "memory.events"]
            elif "memory" in controllers.split(","):
                found += [_ROOT / "memory" / inner / "memory.oom_control", _ROOT / "memory" / "memory.oom_control"]
    return found


CLOSE_MARGIN = 10.0
"""Seconds beyond the grace time in which `close()` may end before SIGKILL."""


def _time_to_stop(plan: ChildPlan) -> float:
    """Seconds in which a process may end after SIGTERM."""
    delay = 0.0 if isinstance(plan, ForkServerPlan) else drain_delay(plan)
    return delay + plan.grace + CLOSE_MARGIN


Notify = Callable[[str, str], None]
"""Gets a level of severity (`info`, `warning`, `error`) and a line for people."""


class Order(msgspec.Struct, eq=False):
    """A change that was asked for: the plans and pickles of what is new, by name. `done` is set at its end.

    What is new has to be ready `within` seconds of its start, None for as long as it lives.
    """

    rollout: Rollout
    plans: Mapping[str, tuple[ProcessPlan, bytes]]
    within: float | None = None
    before: dict[str, tuple[ProcessPlan, bytes]] = msgspec.field(default_factory=dict)
    limits: dict[str, float] = msgspec.field(default_factory=dict)
    """Until when each that starts has to be ready."""
    done: threading.Event = msgspec.field(default_factory=threading.Event)
    error: JinaError | None = None


class Reconciler:
    """Brings the processes to the wanted state: restarts, replaces and retires them.

    `start` queues a process to be started; `notify` gets lines for people. `slots` changes here, under the lock of
    `changed`.
    """

    def __init__(
        self,
        slots: list[ProcessSlot],
        linker: Linker,
        start: Callable[[ChildProcess], None],
        changed: threading.Condition,
        notify: Notify,
    ) -> None:
        self.settled = False
        """True once all processes have been ready: until then a failure is one of the start."""
        self.leaving: dict[ChildProcess, float] = {}
        """Processes that are to end, and when they are killed."""
        self.orders: deque[Order] = deque()
        self.files: dict[str, set[str]] = {}
        """By Deployment: the user's files that its workers were loaded from, or tried to."""
        self._slots = slots
        self._linker = linker
        self._start = start
        self._changed = changed
        self._notify = notify
        self._order: Order | None = None
        self._retired: dict[ChildProcess, str] = {}
        self._memory = MemoryKills()
        self._asks: dict[ChildProcess, float] = {}
        """When each process is to be asked next how it is."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to wait for though no process runs."""
        return any(slot.restart_at is not None for slot in self._slots)

    def wait_time(self, now: float) -> float | None:
        """Seconds until `reconcile` has something to do, None for ever."""
        times = [slot.restart_at for slot in self._slots if slot.restart_at is not None]
        times += [*self.leaving.values(), *self._asks.values()]
        if self._order is not None:
            times += self._order.limits.values()
        return max(0.0, min(times) - now) if times else None

    # --- what happened ------------------------------------------------------------------------------------

    def ended(self, process: ChildProcess) -> None:
        """A process has ended and was collected."""
        if process.exit_status == -signal.SIGKILL and not process.cause and self._memory.more():
            process.cause = "out of memory"
        self._asks.pop(process, None)
        if process in self.leaving:
            del self.leaving[process]
            name = self._retired.pop(process, None)
            if name is not None and self._order is not None:
                self._do(self._order.rollout.gone(name))
            return
        slot = next((slot for slot in self._slots if process in slot.processes), None)
        if slot is None:
            return
        if process is slot.successor or slot.joining:
            self._failed(slot.name, process.failure or RuntimeFailToStart(f"{process.name} {process.ending}"))
        elif self.settled and slot.successor is None:
            self._crashed(slot)
        elif self.settled:
            slot.last_end = process.down()

    def reported(self, process: ChildProcess) -> None:
        """A process sent a report."""
        now = time.monotonic()
        self.seen(process)
        slot = next((slot for slot in self._slots if process is slot.process), None)
        if slot is not None and slot.hang is not None and process.answered:
            slot.hang.answered(now, *_progress(process))
        if not self.settled and all(slot.process.ready for slot in self._slots):
            self.settled = True
        if slot is not None and slot.last_end is not None and process.ready and process.ready_at == process.since:
            self._notify("info", f"{process.name} serves again (restart {slot.restarts.count})")
            slot.last_end = None
        self._see_who_is_ready()

    def seen(self, process: ChildProcess) -> None:
        """Remember the files that a process has named."""
        if process.files:
            name = owner(process.plan)
            self.files = {**self.files, name: self.files.get(name, set()) | process.files}

    def _crashed(self, slot: ProcessSlot) -> None:
        slot.crashed(time.monotonic())
        end = f"{slot.process.name} (process {slot.process.pid}) {slot.process.ending}"
        if slot.restart_at is None:
            self._linker.given_up(slot.process)
            self._notify("error", f"{end}; not started again (restart_limit={slot.plan.restart.limit})")
            return
        pause = slot.restart_at - time.monotonic()
        when = f"in {pause:.1f} s" if pause > 0 else "at once"
        self._notify("warning", f"{end}; started again {when} (restart {slot.restarts.count})")

    # --- what time brings ---------------------------------------------------------------------------------

    def reconcile(self, now: float) -> None:
        """Do what is due."""
        for slot in self._slots:
            if slot.restart_at is not None and slot.restart_at <= now:
                process = slot.renew()
                process.plan = self._linker.current(process.plan)
                self._start(process)
            self._look_for_hang(slot, now)
        for process, limit in list(self.leaving.items()):
            if limit <= now:
                process.terminate(signal.SIGKILL)
                self.leaving[process] = now + 1.0  # again, should one hang in the kernel
        self._take_orders(now)

    def _look_for_hang(self, slot: ProcessSlot, now: float) -> None:
        process, watch = slot.process, slot.hang
        if watch is None or not process.ready:
            self._asks.pop(process, None)
            return
        if self._asks.setdefault(process, now) <= now:
            self._asks[process] = now + watch.interval
            if process.ask():
                watch.asked(now)
        seconds = watch.stuck(now)
        if seconds is None or watch.reported:
            return
        watch.reported = True
        text = f"{process.name} (process {process.pid}) makes no progress for {seconds:.1f} s (timeout_hang)"
        if slot.plan.restart.replace_hung:
            self._notify("error", f"{text}; it is killed (restart_hung)")
            process.cause = f"it made no progress for {seconds:.1f} s"
            process.terminate(signal.SIGKILL)
        else:
            self._notify("error", text)

    # --- changes ------------------------------------------------------------------------------------------

    def _take_orders(self, now: float) -> None:
        order = self._order
        if order is not None:
            for name in [name for name, limit in order.limits.items() if limit <= now]:
                self._failed(name, RuntimeFailToStart(f"{name} was not ready within timeout_ready"))
        while self._order is None and self.orders and self._all_in_use():
            self._order = self.orders.popleft()
            self._do(self._order.rollout.begin())

    def _all_in_use(self) -> bool:
        """Whether gateways send requests to all workers that are ready: only then a later report is new."""
        ready = [slot.process for slot in self._slots if slot.process.ready and not slot.process.is_gateway]
        return all(map(self._linker.in_use, ready))

    def give_up(self) -> None:
        """The service ends: start nothing more, and end the waits for changes."""
        for slot in self._slots:
            slot.restart_at = None
        for order in [*filter(None, [self._order]), *self.orders]:
            order.error = Unavailable(
                "the service is stopping", help="change it while it runs: within its `with`, before `close()`"
            )
            order.done.set()
        self._order = None
        self.orders.clear()

    def _see_who_is_ready(self) -> None:
        order = self._order
        if order is None:
            return
        for slot in list(self._slots):
            if self._order is not order:
                return
            process = slot.process if slot.joining else slot.successor
            if process is not None and process.ready and (process.is_gateway or self._linker.in_use(process)):
                slot.joining = False
                order.limits.pop(slot.name, None)
                self._do(order.rollout.ready(slot.name))

    def _failed(self, name: str, error: JinaError) -> None:
        if self._order is None:
            return
        self._notify("info", f"{error.message}; what runs stays")
        self._order.limits.pop(name, None)
        self._do(self._order.rollout.failed(name, error))

    def _do(self, actions: Iterable[Action]) -> None:
        order = self._order
        assert order is not None
        with self._changed:
            for action in actions:
                self._do_one(order, action)
            self._changed.notify_all()
        if order.rollout.finished and self._order is order:
            self._order = None
            if isinstance(order.rollout.error, JinaError):
                order.error = order.rollout.error
            order.done.set()

    def _do_one(self, order: Order, action: Action) -> None:
        slot = next((slot for slot in self._slots if slot.name == action.name), None)
        if isinstance(action, Start):
            self._begin(order, slot, action)
            return
        assert slot is not None
        order.limits.pop(slot.name, None)
        if isinstance(action, Take):
            plan = slot.plan
            old = slot.take()
            order.before[slot.name] = (plan, old.blob)
            self._leave(old, slot.name)
        elif isinstance(action, Retire):
            order.before[slot.name] = (slot.plan, slot.process.blob)
            self._slots.remove(slot)
            self._linker.left(slot.process)
            self._leave(slot.process, slot.name)
        else:
            assert isinstance(action, Discard)
            self._discard(slot)

    def _begin(self, order: Order, slot: ProcessSlot | None, action: Start) -> None:
        plan, blob = order.before[action.name] if action.old else order.plans[action.name]
        if slot is None:
            slot = ProcessSlot(plan, blob, joining=not action.settled)
            self._slots.append(slot)
            process = slot.process
        else:
            process = slot.prepare(plan, blob)
        if order.within is not None:
            order.limits[action.name] = time.monotonic() + order.within
        self._start(process)

    def _leave(self, process: ChildProcess, name: str) -> None:
        """Stop a process within its grace time; one that has ended already is gone."""
        self._asks.pop(process, None)
        if not process.running:
            if process.exit_status is None:
                process.give_up()  # it had not been started yet
            assert self._order is not None
            self._do(self._order.rollout.gone(name))
            return
        self._retired[process] = name
        self.leaving[process] = time.monotonic() + _time_to_stop(process.plan)
        process.terminate(signal.SIGTERM)

    def _discard(self, slot: ProcessSlot) -> None:
        if slot.joining:
            self._slots.remove(slot)
            process: ChildProcess | None = slot.process
        else:
            process, slot.successor = slot.successor, None
            if not slot.process.running:
                self._crashed(slot)
            else:
                # Gateways may have changed over to the one that failed, just before it did.
                self._linker.started(slot.process)
        if process is not None and process.running:
            self.leaving[process] = time.monotonic() + 1.0
            process.terminate(signal.SIGKILL)
        elif process is not None and process.exit_status is None:
            process.give_up()


def _progress(process: ChildProcess) -> tuple[int, int]:
    """What a process has in work, and how far it got.

    A gateway whose requests wait for workers does not hang itself: what has to go on there is its loop.
    """
    if process.is_gateway:
        return 1, process.stats.get("beats", 0)
    return process.stats.get("in_flight", 0), process.stats.get("done", 0)


_STARTING_A_CORE = 4
"""Processes that start at the same time, for each core: more would only wait for each other, with their memory."""
_LOOK = 0.2
"""Seconds after which the next process may start though nothing was reported."""


class Supervisor:
    """Runs the processes of `slots` until all have ended. `changed` is notified of everything that happens to them.

    Requests come from any thread; the supervisor's own thread executes them. `notify` gets lines for people.
    """

    def __init__(self, name: str, slots: list[ProcessSlot], changed: threading.Condition, notify: Notify) -> None:
        self.on_end: Callable[[], None] = lambda: None
        self.on_status_connection: Callable[[socket.socket], None] = socket.socket.close
        """Gets each connection to the status socket, on a thread of its own."""
        self.broken: Exception | None = None
        self.rounds = 0
        """How often all processes were asked how they are."""
        self.thread = threading.Thread(target=self._supervise, name=f"launcher-{name}", daemon=True)
        self._slots = slots
        self._changed = changed
        processes = [slot.process for slot in slots]
        self._to_start = deque(sorted(processes, key=lambda process: not process.is_gateway))
        self._linker = Linker(slots)
        self._reconciler = Reconciler(slots, self._linker, self._to_start.append, changed, notify)
        self._fork_server = fork_server_for(processes)
        self._at_once = max(_STARTING_A_CORE * (os.cpu_count() or 1), 2)
        self._stages: deque[list[ChildProcess]] | None = None
        self._asked = False
        self._killing = False
        self._within: float | None = None
        self._kill_at: float | None = None
        self._rounds_wanted = 0
        self._closely = False
        self._status_socket = open_status_socket()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)  # noqa: FBT003 - the standard library's signature

    # --- requests, from any thread ------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """True once the end was requested."""
        return self._asked

    @property
    def settled(self) -> bool:
        """True once all processes have been ready."""
        return self._reconciler.settled

    @property
    def files(self) -> Mapping[str, set[str]]:
        """See `Reconciler.files`."""
        return self._reconciler.files

    def request_stop(self, within: float | None = None) -> None:
        """Ask for the end: gateway first, each with its grace time; or all at once, `within` seconds."""
        if within is not None:
            self._within = within
        self._asked = True
        self._wake()

    def request_kill(self) -> None:
        """Ask for the end by SIGKILL; may be called by a signal handler."""
        self._killing = self._asked = True
        self._wake()

    def request_change(self, order: Order) -> None:
        """Ask for a change of the processes; `order.done` tells when it is made."""
        self._reconciler.orders.append(order)
        self._wake()

    def request_stats(self, *, closely: bool = False) -> int:
        """Ask for the stats of all processes; returns the value of `rounds` once they were asked.

        `closely` asks for what `ChildProcess.observed` holds too.
        """
        with self._changed:
            self._closely = self._closely or closely
            self._rounds_wanted += 1
            wanted = self._rounds_wanted
        self._wake()
        return wanted

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended, or its buffer is full
            self._wake_out.send(b"!")

    # --- the thread ---------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                if self._status_socket is not None:
                    selector.register(self._status_socket, selectors.EVENT_READ)
                if self._fork_server is not None:
                    self._fork_server.spawn()
                    _watch(selector, self._fork_server)
                self._start_some(selector)
                while self._busy():
                    self._handle_events(selector)
        except Exception as error:  # noqa: BLE001 - passed to the waiting thread, which would wait for ever
            self.broken = error
        finally:
            self._release()

    def _processes(self) -> list[ChildProcess]:
        """All that run or ran last, also those that are about to come or to go."""
        return [process for slot in self._slots for process in slot.processes] + list(self._reconciler.leaving)

    def _busy(self) -> bool:
        running = any(process.running for process in self._processes())
        return running or bool(self._to_start) or (self._reconciler.busy and not self._asked)

    def _start_some(self, selector: selectors.BaseSelector) -> None:
        """Start as many as the machine can work on; the others follow as these get on."""
        starting = sum(process.busy_starting for process in self._processes())
        while starting < self._at_once and not self._asked and (process := self._next()):
            if process.exit_status is not None:
                continue  # given up before its turn
            fork_server = self._fork_server
            process.spawn(fork_server.fork if fork_server is not None and fork_server.can_fork(process) else None)
            if process.running:
                starting += 1
                _watch(selector, process)
                self._linker.started(process)
            else:
                self._reconciler.ended(process)
            with self._changed:
                self._changed.notify_all()
        if self._fork_server is not None:
            self._fork_server.advance(self._to_start)

    def _next(self) -> ChildProcess | None:
        """The next one to be started that does not wait for the fork server."""
        fork_server = self._fork_server
        for process in self._to_start:
            if fork_server is None or fork_server.can_fork_now(process) or not fork_server.can_fork(process):
                self._to_start.remove(process)
                return process
        return None

    def _handle_events(self, selector: selectors.BaseSelector) -> None:
        """Wait for one event: a report, an end, a request, a deadline."""
        for key, _ in selector.select(self._wait_time()):
            if key.fileobj is self._wake_in:
                self._wake_in.recv(64)
            elif key.fileobj is self._status_socket:
                self._accept_status()
            elif key.data.exit_status is None:
                with self._changed:
                    self._on_event(selector, key)
                    self._changed.notify_all()
        if self._asked:
            self._end_some()
            return
        self._ask_all()
        with self._changed:
            self._reconciler.reconcile(time.monotonic())
        self._start_some(selector)

    def _accept_status(self) -> None:
        assert self._status_socket is not None
        with contextlib.suppress(OSError):  # the client has left
            threading.Thread(
                target=self.on_status_connection, args=self._status_socket.accept()[:1], name="status", daemon=True
            ).start()

    def _wait_time(self) -> float | None:
        now = time.monotonic()
        if self._kill_at is not None:
            return max(0.0, self._kill_at - now)
        waits = [_LOOK] if self._to_start else []
        if not self._asked and (wait := self._reconciler.wait_time(now)) is not None:
            waits.append(wait)
        return min(waits, default=None)

    def _on_event(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        process: ChildProcess = key.data
        if key.fileobj is process.control:
            if process.read():
                if not self._asked:
                    self._reconciler.reported(process)
                return
            selector.unregister(key.fileobj)
            if process.pidfd is not None:
                return  # its end comes next
        process.reap()
        self._reconciler.seen(process)
        for handle in process.watched:
            with contextlib.suppress(KeyError):
                selector.unregister(handle)
        process.release()
        if not self._asked:
            self._reconciler.ended(process)
        self.on_end()

    def _ask_all(self) -> None:
        if self.rounds == self._rounds_wanted:
            return
        with self._changed:
            self.rounds, closely, self._closely = self._rounds_wanted, self._closely, False
            for slot in self._slots:
                if slot.process.ready:
                    slot.process.ask(closely=closely)
            self._changed.notify_all()

    # --- the end ------------------------------------------------------------------------------------------

    def _end_some(self) -> None:
        """Take the next step towards the end, if it is time for one."""
        if self._stages is None:
            self._give_up_waiting()
            self._stages = self._order()
        elif self._within is not None and len(self._stages) > 1:
            self._stages = deque([[process for stage in self._stages for process in stage]])
            self._kill_at = None
        while self._stages and not any(process.running for process in self._stages[0]):
            self._stages.popleft()
            self._kill_at = None
        if self._killing or (self._kill_at is not None and time.monotonic() >= self._kill_at):
            self._kill()
        elif self._stages and self._kill_at is None:
            self._terminate(self._stages[0])

    def _order(self) -> deque[list[ChildProcess]]:
        processes = self._processes()
        if self._within is not None:
            return deque([processes])
        gateways = [process for process in processes if process.is_gateway]
        return deque([gateways, [process for process in processes if not process.is_gateway]])

    def _give_up_waiting(self) -> None:
        with self._changed:
            self._reconciler.give_up()
            while self._to_start:
                self._to_start.popleft().give_up()
            self._changed.notify_all()

    def _terminate(self, stage: list[ChildProcess]) -> None:
        limit = self._within
        if limit is None:
            limit = max(_time_to_stop(process.plan) for process in stage)
        self._kill_at = time.monotonic() + limit
        for process in stage:
            if process not in self._reconciler.leaving:  # a second signal would end what it still does
                process.terminate(signal.SIGTERM)

    def _kill(self) -> None:
        """SIGKILL for those whose time is over, or for all; again after a second, should one hang in the kernel."""
        assert self._stages is not None
        condemned = self._processes() if self._killing else self._stages[0]
        for process in condemned:
            process.terminate(signal.SIGKILL)
        self._kill_at = time.monotonic() + 1.0

    def _release(self) -> None:
        for process in [*self._processes(), *filter(None, [self._fork_server])]:
            if process.running:
                process.terminate(signal.SIGKILL)
                process.reap()
            process.release()
        if self._status_socket is not None:
            self._status_socket.close()
        self._wake_in.close()
        self._wake_out.close()
        with self._changed:
            self._reconciler.give_up()
            self._changed.notify_all()


def _watch(selector: selectors.BaseSelector, process: ChildProcess) -> None:
    for handle in process.watched:
        selector.register(handle, selectors.EVENT_READ, process)
