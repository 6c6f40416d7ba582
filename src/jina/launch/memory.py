"""Whether the kernel ended processes because memory ran out: the counter of this process's control group.

Children share the group of their parent unless somebody moved them. Linux only; elsewhere nothing is known.
See memory.events in https://docs.kernel.org/admin-guide/cgroup-v2.html and memory.oom_control of version 1.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

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
