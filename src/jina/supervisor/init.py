"""As process 1 of a container: a child that passes signals on, and ends what was left without a parent."""

from __future__ import annotations

import os
import signal
import sys

_PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def run_as_init() -> None:
    """Where this is process 1: continue in a child, and act as its init. To be called with a single thread."""
    if os.getpid() != 1 or sys.platform != "linux":
        return
    watched = {*(signal.Signals[name] for name in _PASSED_ON), signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl+C comes once, passed on
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_reap_children(pid, watched))


def _reap_children(pid: int, watched: set[signal.Signals]) -> int:
    """Reap processes and pass signals on, until the child has ended; returns its exit code."""
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            os.kill(pid, number)
            continue
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if ended == 0:
                break


def reap_orphans(group: int) -> None:
    """Collect those of a process group that were killed and became children of this process.

    As process 1 it gets all that have no other parent; else what a fork server was forking when it was killed.
    """
    try:
        while os.waitpid(-group, 0)[0]:
            pass
    except ChildProcessError:
        return
