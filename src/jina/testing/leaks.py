"""What a piece of a program left behind: processes, threads, open sockets and files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PROC = Path("/proc")
_PAUSE = 0.02


@contextmanager
def no_leaks(patience: float = 5.0) -> Generator[None]:
    """Raise `AssertionError` naming what the block left running or open, `patience` seconds after its end.

    Looks at child processes and their children, at threads that do not end with their work, and on Linux at sockets
    and files. What was there before is no leak.
    """
    before = _held()
    yield
    deadline = time.monotonic() + patience
    while left := sorted(_held() - before):
        if time.monotonic() >= deadline:
            raise AssertionError(f"left behind after {patience:g} s: {', '.join(left)}")
        time.sleep(_PAUSE)


def _held() -> set[str]:
    return _children(os.getpid()) | _threads() | _descriptors()


def _threads() -> set[str]:
    return {f"thread {thread.name!r}" for thread in threading.enumerate() if thread.is_alive()}


def _children(parent: int) -> set[str]:
    """All below a process, by Linux's /proc; elsewhere none is found."""
    found: set[str] = set()
    for task in (_PROC / str(parent) / "task").glob("*/children"):
        try:
            pids = [int(pid) for pid in task.read_text().split()]
        except OSError:  # it ended meanwhile
            continue
        for pid in pids:
            found.add(f"process {pid} ({_command(pid)})")
            found |= _children(pid)
    return found


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:80]
    except OSError:
        return "ended"


def _descriptors() -> set[str]:
    found: set[str] = set()
    folder = _PROC / "self" / "fd"
    if not folder.exists():
        return found
    for name in os.listdir(folder):
        try:
            target = os.readlink(folder / name)
        except OSError:
            continue
        if target.startswith(("socket:", "/")) and not target.startswith(("/dev/", "/proc/")):
            found.add(f"descriptor of {target}")
    return found
