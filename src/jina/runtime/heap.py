"""What a process of ours does with memory that large requests leave.

The C library gives freed blocks of more than a few MiB back to the kernel, and each new one costs as many page faults
as it has pages. With the thresholds of `tune` they stay for the next request: a Flow of two Executors spends 75 ms
rather than 120 ms of CPU on 16 MiB. When no large request came for a while, `Spare` gives them back.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

LARGE = 1024 * 1024
"""Bytes from which a request counts as large."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of mallopt(3)
_KEPT = 128 * 1024 * 1024
_LARGEST = 32 * 1024 * 1024  # the most that mallopt takes
_QUIET = 5.0
"""Seconds without a large request after which memory is given back."""

_tuned = False


def tune() -> None:
    """Keep up to 128 MiB of freed memory; for processes that are ours alone. Does nothing but with glibc."""
    global _tuned
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)
        # What one thread lets go of is where another's next block goes: requests, documents and replies of a worker
        # come from different threads.
        libc.mallopt(_ARENA_MAX, 1)
        _tuned = True


class Spare:
    """Gives memory back some seconds after the last large request; for one loop."""

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """A large request came."""
        if not _tuned:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET, _trim)


def _trim() -> None:
    ctypes.CDLL(None).malloc_trim(0)
