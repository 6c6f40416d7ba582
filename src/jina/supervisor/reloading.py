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


class PeriodicThread:
    """A thread that calls `look` every `INTERVAL` seconds, until that gives False or the thread is halted."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def halted(self) -> bool:
        """Whether `look` is called no more."""
        return self._stop.is_set()

    def halt(self) -> None:
        """Look no more; returns at once, what a look led to may be under way."""
        self._stop.set()

    def stop(self) -> None:
        """Look no more; waits for what is under way, unless that is what calls this."""
        self.halt()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def look(self) -> bool:
        """Look, and do what is due; returns whether to look again."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            if not self.look():
                self.halt()


class Reloader(PeriodicThread):
    """Calls `reload(name)` for each name of which a file has changed, one after the other.

    `files` gives the files of each name, which may become more; None ends the thread.
    """

    def __init__(self, files: Callable[[], Mapping[str, Iterable[str]] | None], reload: Callable[[str], None]) -> None:
        super().__init__("reloader")
        self._files = files
        self._reload = reload
        self._changes: dict[str, Changes] = {}
        self._changed()
        self._thread.start()

    def look(self) -> bool:
        """See `PeriodicThread`."""
        changed = self._changed()
        for name in changed or ():
            if not self.halted:
                self._reload(name)
        return changed is not None

    def _changed(self) -> list[str] | None:
        now, watched = time.monotonic(), self._files()
        if watched is None:
            return None
        looks = {
            name: self._changes.setdefault(name, Changes()).look(now, stamps_of(files))
            for name, files in watched.items()
        }
        return [name for name, changed in looks.items() if changed]
