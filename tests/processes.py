"""Processes as tests see them, each asked for its parent.

Lists of children by thread (/proc/PID/task/TID/children) are no ground to count on: a thread may end before its list
is read, and its children are on the list of another one then, which may have been read already.
"""

from __future__ import annotations

import contextlib

import psutil


def children(pid: int | None = None) -> set[int]:
    """The children of a process, of this one by default; none where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(pid).children()}
    return set()


def descendants(pid: int | None = None) -> set[int]:
    """All processes below one, below this one by default; none where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return set()


def gone(pid: int) -> bool:
    """Whether a process has ended; it may still be a zombie, until its parent asks for its exit status."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
