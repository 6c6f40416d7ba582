"""The orchestrator's side of the nursery: which workers come from it, and how they are asked for."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jina.launch import siblings
from jina.launch.child_process import ChildProcess
from jina.plan.plans import NurseryPlan, WorkerPlan

_PATIENCE = 10.0
"""Seconds that a fork may take before the nursery is taken for broken."""


class Nursery(ChildProcess):
    """The process that several workers are forked from. All methods belong to the thread that called `spawn`.

    Where it cannot be started or cannot fork, or ends, `fork` gives None, and workers are started by themselves.
    """

    def __init__(self, sys_path: list[str]) -> None:
        super().__init__(NurseryPlan(sys_path=sys_path))
        self._key = tuple(sys_path)
        self._forked = 0

    def bears(self, process: ChildProcess) -> bool:
        """Whether a worker is to be forked rather than started by itself."""
        return self.phase != "failed" and self.exit_status is None and _key(process.plan) == self._key

    def fork(self, control: socket.socket) -> siblings.Sibling | None:
        """A new worker with this control socket, or None when it has to be started otherwise."""
        if not self.ready or self.control is None:
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

    def dismiss(self) -> None:
        """End it: nobody is to be forked any more."""
        if self.ready and self.control is not None:
            self.ready = False
            self.control.shutdown(socket.SHUT_WR)

    def _on_report(self, report: dict[str, Any]) -> None:
        super()._on_report(report)
        self._forked = int(report.get("pid", 0))


def nursery_for(processes: Sequence[ChildProcess]) -> Nursery | None:
    """A nursery, not started, for those of the processes that can share one; None for fewer than two."""
    if not siblings.possible():
        return None
    keys = Counter(key for process in processes if (key := _key(process.plan)) is not None)
    for found, count in keys.most_common(1):
        return Nursery(list(found)) if count > 1 else None
    return None


def _key(plan: Any) -> tuple[str, ...] | None:
    """Workers with the same key can be forked from one process; those with None from none.

    Variables of the environment have to be there before libraries are imported, and faces need libraries of their own.
    """
    if not isinstance(plan, WorkerPlan) or plan.env or plan.faces:
        return None
    return tuple(plan.executor.sys_path)
