"""The orchestrator's side of the nursery: which processes come from it and when, and how they are asked for."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from jina.launch import siblings
from jina.launch.child_process import ChildProcess
from jina.plan.plans import ChildPlan, GatewayPlan, NurseryPlan, WorkerPlan

_PATIENCE = 10.0
"""Seconds that a fork may take before the nursery is taken for broken."""


class Nursery(ChildProcess):
    """The process that several workers are forked from, and the gateway before it has imported what only they need.

    All methods belong to the thread that called `spawn`. Where it cannot be started or cannot fork, or ends, `fork`
    gives None, and processes are started by themselves. One that `stays` forks those that are started later, too:
    they serve sooner, without the time that the imports take.
    """

    def __init__(self, sys_path: list[str], *, stays: bool = False) -> None:
        super().__init__(NurseryPlan(sys_path=sys_path))
        self._stays = stays
        self._key = tuple(sys_path)
        self._stages = ["common", "ready"]
        """Those of its phases in which it forks that are not over."""
        self._forked = 0

    def bears(self, process: ChildProcess) -> bool:
        """Whether a process is to be forked rather than started by itself, be it later."""
        return self.phase != "failed" and self.exit_status is None and self._stage_of(process.plan) in self._stages

    def bears_now(self, process: ChildProcess) -> bool:
        """Whether it has imported what there is for the process."""
        return self.bears(process) and self._stage_of(process.plan) == self.phase

    def _stage_of(self, plan: ChildPlan) -> str | None:
        """A gateway comes before the libraries of Executors, unless it is the user's own, which is like an Executor."""
        if not isinstance(plan, GatewayPlan):
            return "ready" if _key(plan) == self._key else None
        if plan.env:
            return None
        return "ready" if plan.custom is not None and tuple(plan.custom.sys_path) == self._key else "common"

    def fork(self, control: socket.socket) -> siblings.Sibling | None:
        """A new process with this control socket, or None when it has to be started otherwise."""
        if self.phase not in self._stages or self.control is None:
            return None
        self._forked = 0
        self.control.settimeout(_PATIENCE)
        try:
            socket.send_fds(self.control, [b"!"], [control.fileno()])
            while not self._forked and self.read():
                pass
        except OSError:
            self._forked = 0
        finally:
            self.control.settimeout(None)
        if not self._forked:
            self.phase, self.ready = "failed", False
            self.terminate(signal.SIGKILL)
            return None
        return siblings.Sibling(self._forked)

    def go_on(self, waiting: Iterable[ChildProcess]) -> None:
        """Have it import the rest, or end, when none of those that wait to be started is to be forked before."""
        if self.phase not in self._stages or self.control is None:
            return
        wanted = {self._stage_of(process.plan) for process in waiting} | ({"ready"} if self._stays else set())
        if self.phase in wanted:
            return
        with contextlib.suppress(OSError):  # it has ended
            if self.phase == "common" and "ready" in wanted:
                self._stages.remove("common")
                self.control.send(b".")
            else:
                self._stages.clear()
                self.control.shutdown(socket.SHUT_WR)

    def _on_report(self, report: dict[str, Any]) -> None:
        super()._on_report(report)
        self._forked = int(report.get("pid", 0))


def nursery_for(processes: Sequence[ChildProcess]) -> Nursery | None:
    """A nursery, not started, for those of the processes that can share one; None for one that is never reloaded."""
    if not siblings.possible():
        return None
    keys = Counter(key for process in processes if (key := _key(process.plan)) is not None)
    for found, count in keys.most_common(1):
        stays = any(isinstance(process.plan, WorkerPlan) and process.plan.watch for process in processes)
        return Nursery(list(found), stays=stays) if count > 1 or stays else None
    return None


def _key(plan: ChildPlan) -> tuple[str, ...] | None:
    """Workers with the same key can be forked from one process; those with None from none.

    Variables of the environment have to be there before libraries are imported, and faces need libraries of their own:
    that is worth it only where a worker is soon to be replaced.
    """
    if not isinstance(plan, WorkerPlan) or plan.env or (plan.faces and not plan.watch):
        return None
    return tuple(plan.executor.sys_path)
