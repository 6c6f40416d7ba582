"""What is written to a terminal on which other processes of this program write as well.

Nothing is said there by going back over lines, which may be theirs: each report is a line of its own. There are few.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

shared = False
"""Whether this program has started processes that write where it does."""
_FIRST = 1.0
"""Seconds before the first report."""
_LONGEST = 10.0
"""Seconds between two reports at most."""


class SparseReports:
    """Says what goes on, on stderr: after a second, and later each time after twice as long, up to ten seconds."""

    def __init__(self) -> None:
        self._last, self._pause = time.monotonic(), _FIRST

    def report(self, line: str) -> None:
        """Write the line if it is time for one."""
        if time.monotonic() - self._last >= self._pause:
            self._last, self._pause = time.monotonic(), min(2 * self._pause, _LONGEST)
            write_line(line)


@contextmanager
def counted(name: str, total: int | None, done: str) -> Generator[Callable[[], None]]:
    """Gives what counts one more; says now and then, and at the end, how many there are."""
    reports, began, count = SparseReports(), time.monotonic(), 0

    def line() -> str:
        return f"{name}: {count}{'' if total is None else f' of {total}'} {done} in {time.monotonic() - began:.1f} s"

    def advance() -> None:
        nonlocal count
        count += 1
        reports.report(line())

    try:
        yield advance
    finally:
        write_line(line())


def write_line(line: str) -> None:
    """Write a line of its own, wherever the cursor is: at the end of a line, or at the start of one that is to stay."""
    sys.stderr.write(f"\n{line}\n")
    sys.stderr.flush()
