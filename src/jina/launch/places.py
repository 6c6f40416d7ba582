"""The places of a plan, and the processes that fill them one after the other."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from jina.errors import CrashLoop, JinaError, Unavailable
from jina.launch.child_process import ChildProcess
from jina.launch.hanging import HangWatch
from jina.launch.restarting import RestartPolicy, Restarts
from jina.plan.plans import ProcessPlan, WorkerPlan

SILENT = 3.0
"""Seconds after which a process whose event loops do not turn, or that answers no question, is called hung."""


class Place:
    """A worker or a gateway of the plan. Changed by the supervising thread only, to be read by any.

    `process` is the one that fills it, or filled it last; `successor` is to take its place once it is ready. A place
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
        self.hang = _hang_watch(plan)

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
        """A process for the same plan in the place of the one that ended, not started yet."""
        self.restart_at = None
        restart = msgspec.structs.replace(self.plan.restart, count=self.restarts.count)
        self.process = ChildProcess(msgspec.structs.replace(self.plan, restart=restart), self.process.blob)
        self.hang = _hang_watch(self.plan)
        return self.process

    def prepare(self, plan: ProcessPlan, blob: bytes) -> ChildProcess:
        """A process that is to take the place, not started yet."""
        self.successor = ChildProcess(plan, blob)
        return self.successor

    def take(self) -> ChildProcess:
        """Let the successor have the place; gives the process that had it."""
        assert self.successor is not None
        old, self.process, self.successor = self.process, self.successor, None
        self.restart_at = self.last_end = None
        policy = RestartPolicy(self.plan.restart.limit, self.plan.restart.backoff)
        count, self.restarts = self.restarts.count, Restarts(policy)
        self.restarts.count = count
        self.hang = _hang_watch(self.plan)
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


def _hang_watch(plan: ProcessPlan) -> HangWatch | None:
    limit = plan.restart.timeout_hang
    return HangWatch(limit) if limit else None
