"""Looks at files that a service was loaded from, and restarts what was loaded from them when they change."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

INTERVAL: Final = 0.1
"""Seconds between two looks."""
QUIET: Final = 0.15
"""Seconds without a further change after which a change counts: editors write a file in several steps."""
Stamps = Mapping[str, object]
"""By file: anything that differs when the file has changed; None where there is none."""


class Changes:
    """Whether files have changed (pure): told what they look like, now and then."""

    def __init__(self) -> None:
        self._seen: dict[str, object] = {}
        self._changed: set[str] = set()
        self._since: float | None = None

    def look(self, now: float, stamps: Stamps) -> set[str]:
        """The files that changed and have been left alone since; a file that is seen for the first time has not."""
        moved = {file for file, stamp in stamps.items() if file in self._seen and self._seen[file] != stamp}
        self._seen.update(stamps)
        if moved:
            self._changed |= moved
            self._since = now
        if self._since is None or now - self._since < QUIET:
            return set()
        found, self._changed, self._since = self._changed, set(), None
        return found


def stamps_of(files: Iterable[str]) -> dict[str, object]:
    """What each file looks like now."""
    found: dict[str, object] = {}
    for file in files:
        try:
            status = os.stat(file)
            found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            found[file] = None
    return found


def wait_for_change(files: Iterable[str], stop: threading.Event) -> bool:
    """Return True when one of the files has changed, False when `stop` is set."""
    changes, watched = Changes(), list(files)
    changes.look(time.monotonic(), stamps_of(watched))
    while not stop.wait(INTERVAL):
        if changes.look(time.monotonic(), stamps_of(watched)):
            return True
    return False


class Reloader:
    """A thread that calls `reload(name)` for each name of which a file has changed, one after the other.

    `files` gives the files of each name, which may become more; None ends the thread.
    """

    def __init__(self, files: Callable[[], Mapping[str, Iterable[str]] | None], reload: Callable[[str], None]) -> None:
        self._files = files
        self._reload = reload
        self._stop = threading.Event()
        self._changes: dict[str, Changes] = {}
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)
        self._look()
        self._thread.start()

    @property
    def halted(self) -> bool:
        """Whether `halt` was called."""
        return self._stop.is_set()

    def halt(self) -> None:
        """Look no more; returns at once, a reload may be under way."""
        self._stop.set()

    def stop(self) -> None:
        """Look no more; waits for a reload that is under way, unless that is what calls this."""
        self.halt()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            for name in self._look():
                if not self._stop.is_set():
                    self._reload(name)

    def _look(self) -> list[str]:
        now, watched = time.monotonic(), self._files()
        if watched is None:
            self._stop.set()
            return []
        looks = {
            name: self._changes.setdefault(name, Changes()).look(now, stamps_of(files))
            for name, files in watched.items()
        }
        return [name for name, changed in looks.items() if changed]
