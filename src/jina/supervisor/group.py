"""The processes of one service: status, changes and stop while they run."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from jina.errors import InternalError, JinaError, RuntimeFailToStart, Unavailable
from jina.observe import logs
from jina.plan.plans import ChildPlan, DeploymentPlan, FlowPlan, GatewayPlan, ProcessPlan, WorkerPlan
from jina.plan.processes import owner as owner_of_part
from jina.supervisor.agents import Agents
from jina.supervisor.policies import Change, Rollout
from jina.supervisor.ports import listeners_of
from jina.supervisor.process import ChildProcess
from jina.supervisor.status import ServiceStatus, status_of, with_agents
from jina.supervisor.status_socket import answer
from jina.supervisor.supervisor import SILENT, Notify, Order, ProcessSlot, Supervisor, owner

if TYPE_CHECKING:
    from jina.supervisor.observing import Observer

_LOOK = 0.2
"""Seconds after which a wait looks up. A signal that another thread receives, or that comes just before the main
thread blocks on a lock, is handled only when the main thread runs Python code again."""
_TELLING = 1.0
"""Seconds that a worker's own failure may come after the failure of the gateway that it caused."""
_NOTICES = 200
"""What people were told that is kept for those who look later."""
_SHOWN = 12
"""Processes that `progress` names."""
_ANSWERING = SILENT + 0.1
"""Seconds that processes get to say how they are."""


def start(
    plan: DeploymentPlan | FlowPlan, blobs: Mapping[str, bytes] | None = None, notify: Notify | None = None
) -> ProcessGroup:
    """Start all processes of a plan and return at once; `wait_ready` tells how it went.

    `blobs` are, by the name of the Deployment (`gateway` for the gateway), what `pickling.dumps` made of a class
    that cannot be imported and of arguments that are no JSON. `notify(level, line)` is for what people should know of
    the processes later; without it, it is logged.
    """
    running = ProcessGroup(plan.name, processes_of(plan), blobs or {}, notify)
    running.begin()
    return running


def processes_of(plan: DeploymentPlan | FlowPlan) -> list[ProcessPlan]:
    """All processes of a plan, gateways last."""
    if isinstance(plan, DeploymentPlan):
        gateways: list[ProcessPlan] = [plan.gateway] if plan.gateway else []
        return [*plan.workers, *gateways]
    return [*(worker for deployment in plan.deployments for worker in deployment.workers), plan.gateway]


class ProcessGroup:
    """Processes that run, or did. Every method may be called from any thread."""

    def __init__(
        self, name: str, plans: list[ProcessPlan], blobs: Mapping[str, bytes], notify: Notify | None = None
    ) -> None:
        self.name = name
        self.agents = Agents(notify)
        plans = self.agents.start(plans)
        self.slots = [ProcessSlot(plan, blobs.get(_executor_of(plan), b"")) for plan in plans]
        self._changed = threading.Condition()
        self._notices: deque[dict[str, Any]] = deque(maxlen=_NOTICES)
        """What people were told of the processes, as log records of the supervisor."""
        notify = notify or _logging(name)

        def tell(level: str, line: str) -> None:
            notify(level, line)
            self._notices.append({"time": time.time(), "level": level.upper(), "message": line})

        self._supervisor = Supervisor(name, self.slots, self._changed, tell)
        self._supervisor.on_status_connection = partial(answer, give=self._answer)
        self._observer: Observer | None = None

    @property
    def processes(self) -> list[ChildProcess]:
        """The process of each slot; one that ended until another one replaces it."""
        return [slot.process for slot in self.slots]

    def begin(self) -> None:
        """Start the thread that starts the processes."""
        self._supervisor.thread.start()

    @property
    def on_end(self) -> Callable[[], None]:
        """Called from the supervising thread when a process has ended, for whatever reason."""
        return self._supervisor.on_end

    @on_end.setter
    def on_end(self, call: Callable[[], None]) -> None:
        self._supervisor.on_end = call

    @property
    def workers(self) -> list[ChildProcess]:
        """Those that run an Executor."""
        return [process for process in self.processes if not process.is_gateway]

    @property
    def front(self) -> list[ChildProcess]:
        """Those that clients connect to: the gateway, else the workers."""
        return [process for process in self.processes if process.is_gateway] or self.processes

    @property
    def alive(self) -> bool:
        """True while every process is ready to serve."""
        return all(slot.process.ready for slot in self.slots if not slot.joining)

    @property
    def progress(self) -> str:
        """What those that are not ready do, a line for each: `in __init__ 34 s`, with their names if several run."""
        waiting = [process for process in self.processes if not process.ready]
        if not waiting:
            return "ready"
        if len(self.processes) == 1:
            return waiting[0].progress
        lines = [f"{len(self.processes) - len(waiting)} of {len(self.processes)} ready"]
        lines += [f"{process.name}: {process.progress}" for process in waiting[:_SHOWN]]
        if len(waiting) > _SHOWN:
            lines.append(f"and {len(waiting) - _SHOWN} more")
        return "\n".join(lines)

    def down(self, wait: float = 0.0) -> Unavailable | None:
        """The error for any request when what clients connect to is down, naming why; None while it runs.

        A connection breaks a moment before the end of the process is known: `wait` that many seconds for it.
        """
        front = [slot for slot in self.slots if slot.process.is_gateway] or self.slots
        found = self._down(front, wait)
        return found[0] if found and len(found) == len(front) else None

    def workers_down(self, deployment: str, wait: float = 0.0) -> list[Unavailable]:
        """The errors for the workers of a Deployment that are down; waits as `down` does for the first of them."""
        return self._down([slot for slot in self.slots if slot.owner == deployment], wait)

    def lost(self) -> Unavailable | None:
        """Why the service cannot go on: all replicas of a Deployment or a shard, or the gateway, ended for good."""
        for part in {slot.part for slot in self.slots}:
            slots = [slot for slot in self.slots if slot.part == part]
            if all(self._over(slot) for slot in slots):
                return next(filter(None, (slot.down() for slot in slots)), None)
        return None

    def _over(self, slot: ProcessSlot) -> bool:
        return slot.restarts.given_up or (not self._supervisor.settled and slot.process.exit_status is not None)

    def _down(self, slots: list[ProcessSlot], wait: float) -> list[Unavailable]:
        deadline = time.monotonic() + wait
        with self._changed:
            while True:
                found = [error for slot in slots if (error := slot.down())]
                left = deadline - time.monotonic()
                if found or not slots or left <= 0:
                    return found
                self._changed.wait(left)

    # --- changes and questions ----------------------------------------------------------------------------

    def change(
        self,
        stages: Sequence[Sequence[Change]],
        plans: Mapping[str, tuple[ProcessPlan, bytes]],
        within: float | None = None,
    ) -> None:
        """Change the processes while they serve, and wait for it; `plans` and pickles are those of what is new.

        Each new one has to be ready `within` seconds, None for as long as it lives. Raises why something new did not
        become ready; what was done before is undone then. Raises `Unavailable` when the service is stopped meanwhile.
        """
        order = Order(Rollout(stages), plans, within)
        self._supervisor.request_change(order)
        while not order.done.wait(_LOOK):
            if not self._supervisor.thread.is_alive() and not order.done.is_set():
                raise Unavailable(
                    f"{self.name} no longer runs",
                    help="change it while it runs: within its `with`, before `close()`",
                )
        if order.error is not None:
            raise order.error

    @property
    def autoscaled(self) -> dict[str, int]:
        """By Deployment with `autoscale`: how many replicas it should have, where it has another number."""
        with self._changed:
            slots = list(self.slots)
        there = Counter(slot.owner for slot in slots if not slot.process.is_gateway)
        found: dict[str, int] = {}
        for gateway in (slot.process for slot in slots if isinstance(slot.plan, GatewayPlan)):
            plan: Any = gateway.plan
            for node in plan.graph.nodes:
                if node.autoscale is not None:
                    # One that starts learns the endpoints from a replica, so there has to be one.
                    wanted = gateway.wanted.get(node.name) if gateway.ready else (there[node.name] or 1)
                    if wanted is not None and wanted != there[node.name]:
                        found[node.name] = wanted
        return found

    @property
    def ports(self) -> set[int]:
        """Those that several of the processes may serve."""
        plans = [slot.plan for slot in self.slots]
        return {listener.port for plan in plans for listener in listeners_of(plan) if listener.share_port}

    @property
    def settled(self) -> bool:
        """True once all processes have been ready."""
        return self._supervisor.settled

    @property
    def files(self) -> Mapping[str, set[str]]:
        """By Deployment: the user's files that its workers were loaded from, or tried to, where they are watched."""
        return self._supervisor.files

    def status(self) -> ServiceStatus:
        """How each process is, asked now."""
        self.refresh()
        return with_agents(self.known_status())

    def known_status(self) -> ServiceStatus:
        """How each process was when it was last heard of; nobody is asked."""
        with self._changed:
            return status_of(self.name, os.getpid(), self.slots)

    def _answer(self, question: bytes) -> bytes:
        """The status as JSON, or what `Observer.answer` says to a question."""
        if not question:
            return msgspec.json.encode(self.status())
        with self._changed:
            if self._observer is None:
                from jina.supervisor.observing import Observer

                self._observer = Observer(self._observed)
        return self._observer.answer(question)

    def _observed(self) -> tuple[ServiceStatus, dict[str, dict[str, Any]], list[dict[str, Any]]]:
        """The status, what each process tells, by its name, and the log records that came since the last question."""
        self.refresh(closely=True)
        observed: dict[str, dict[str, Any]] = {}
        lines = []
        while self._notices:
            lines.append({"process": "supervisor", "pid": os.getpid(), **self._notices.popleft()})
        with self._changed:
            status = status_of(self.name, os.getpid(), self.slots)
            for slot in self.slots:
                process = slot.process
                if process.ready:
                    observed[slot.name] = process.observed
                while process.lines:
                    lines.append({"process": slot.name, **process.lines.popleft()})
        return with_agents(status), observed, lines

    def refresh(self, *, closely: bool = False) -> None:
        """Ask all ready processes for their stats, `closely` as `Supervisor.request_stats` does, and wait a moment."""
        deadline = time.monotonic() + _ANSWERING
        wanted = self._supervisor.request_stats(closely=closely)
        with self._changed:
            while (left := deadline - time.monotonic()) > 0 and self._supervisor.thread.is_alive():
                owing = (one for one in self.processes if one.ready and one.answered != one.asked)
                if self._supervisor.rounds >= wanted and not any(one.silent < SILENT for one in owing):
                    return
                self._changed.wait(min(left, _LOOK))

    @property
    def steps(self) -> Mapping[str, list[list[Any]]]:
        """What the gateway told of the endpoints of each step; empty until it is ready, and without one."""
        return self.front[0].steps

    @property
    def dead(self) -> list[str]:
        """What ended without a request: `a (process 12) was killed by signal 9 (SIGKILL)`."""
        if self._supervisor.stopping:
            return []
        return [str(error) for slot in self.slots if (error := slot.down())]

    def wait_ready(self, timeout: float | None = None, *, on_wait: Callable[[str], None] | None = None) -> None:
        """Block until every process serves; raises the failure of the first that does not.

        `timeout` in seconds, None waits as long as the processes live. `on_wait` is called with `progress` a few
        times a second. Does not stop anything.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self.alive:
                if failure := self._failure():
                    raise failure
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    waiting = next(process for process in self.processes if not process.ready)
                    raise RuntimeFailToStart(
                        f"{waiting.name} is not ready after {timeout:g} s: {waiting.progress}",
                        help="raise timeout_ready (milliseconds; -1 waits as long as the process lives)",
                    )
                if on_wait:
                    on_wait(self.progress)
                self._changed.wait(_LOOK if left is None else min(_LOOK, left))

    def _failure(self) -> JinaError | None:
        if broken := self._supervisor.broken:
            error = InternalError(f"supervising {self.name} failed: {broken!r}")
            error.__cause__ = broken
            return error
        failed = next((slot for slot in self.slots if _failure_of(slot)), None)
        if failed is not None and failed.process.is_gateway:
            failed = self._culprit() or failed
        return _failure_of(failed) if failed is not None else None

    def _culprit(self) -> ProcessSlot | None:
        """The worker that made the gateway fail: its end may be known only a moment later."""
        deadline = time.monotonic() + _TELLING
        while (left := deadline - time.monotonic()) > 0:
            workers = [slot for slot in self.slots if not slot.process.is_gateway]
            if found := next((slot for slot in workers if _failure_of(slot)), None):
                return found
            if all(slot.process.ready for slot in workers):
                return None
            self._changed.wait(left)
        return None

    def stop(self, *, now: bool = False, within: float | None = None) -> None:
        """End all processes and wait for that.

        First the gateway, by SIGTERM and its grace time, then the workers, by theirs. With `within` all at once,
        with SIGKILL after that many seconds; with `now` SIGKILL for all. When the wait is interrupted (Ctrl+C), the
        processes are killed before the interrupt goes on.
        """
        try:
            if now:
                self.kill()
            else:
                self._supervisor.request_stop(within)
            self.join()
        except BaseException:
            self.kill()
            self.join()
            raise

    def join(self) -> None:
        """Wait until all processes have ended."""
        while self._supervisor.thread.is_alive():
            self._supervisor.thread.join(_LOOK)
        self.agents.stop()

    def kill(self) -> None:
        """End all processes by SIGKILL and return within a second; may be called by a signal handler."""
        self._supervisor.request_kill()
        self._supervisor.thread.join(1.0)
        self.agents.stop()


def _logging(name: str) -> Notify:
    log = logs.get_logger(name)
    return lambda level, line: log.log(getattr(logging, level.upper()), "%s", line)


def _executor_of(plan: ChildPlan) -> str:
    """The name under which what travels beside the plan is kept."""
    return owner_of_part(owner(plan), plan.part if isinstance(plan, WorkerPlan) else "")


def _failure_of(slot: ProcessSlot) -> JinaError | None:
    process = slot.process
    if slot.restarts.given_up:
        return slot.down()
    if process.failure and slot.restart_at is None and slot.last_end is None:
        return process.failure
    if process.exit_status is not None and slot.restart_at is None:
        return RuntimeFailToStart(f"{process.name} {process.ending} before it was ready")
    return None
