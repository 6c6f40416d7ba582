"""The wish that a process ends, from wherever it comes: a signal, the orchestrator, a handler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable


class Stop:
    """Remembers that a stop was asked for and tells who listens; all methods are thread-safe.

    `hard` asks to skip waiting for requests in flight, as when the orchestrator is gone. With `orchestrated` somebody
    else tells users how the process ends, and why.
    """

    def __init__(self, *, orchestrated: bool = False) -> None:
        self.level = logging.DEBUG if orchestrated else logging.INFO
        """Of log lines that say that the process ends before it was ready."""
        # Re-entrant: a signal handler runs in the middle of whatever the main thread does, here too.
        self._lock = threading.RLock()
        self._listeners: list[Callable[[Stop], None]] = []
        self.requested = False
        self.hard = False
        self.reason = ""
        self.exit_code = 0

    def request_stop(self, reason: str, *, hard: bool = False, exit_code: int = 0) -> None:
        """Ask for the stop; the first reason and exit code stay, a later `hard` counts. Returns at once."""
        with self._lock:
            if not self.requested:
                self.requested, self.reason, self.exit_code = True, reason, exit_code
            self.hard = self.hard or hard
            listeners = list(self._listeners)
        for listener in listeners:
            listener(self)

    def abandon(self) -> None:
        """Ask for the stop because the orchestrator is gone."""
        self.request_stop("the orchestrator is gone", hard=True)

    def listen(self, listener: Callable[[Stop], None]) -> Callable[[], None]:
        """Call `listener` at each request, in the thread that asks, and now if there was one; gives its undo."""
        with self._lock:
            self._listeners.append(listener)
            requested = self.requested
        if requested:
            listener(self)

        def forget() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return forget
