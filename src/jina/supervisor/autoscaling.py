"""Adds and removes replicas as the gateway of a service asks for them, from a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

INTERVAL: Final = 0.1
"""Seconds between two looks."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
"""Seconds until what failed is tried again."""


class AutoscaleThread:
    """A thread that calls `scale(name, replicas)` for each Deployment that should have another number of replicas.

    `wanted` gives these; None ends the thread. `failed` is told what could not be done, which is tried again.
    """

    def __init__(
        self,
        wanted: Callable[[], Mapping[str, int] | None],
        scale: Callable[[str, int], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._wanted = wanted
        self._scale = scale
        self._failed = failed
        self._stop = threading.Event()
        self._again: dict[str, tuple[float, float]] = {}
        """By Deployment whose last change failed: when it is tried again, and the pause after that."""
        self._thread = threading.Thread(target=self._run, name="autoscale", daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """Change nothing more; returns at once, a change may be under way."""
        self._stop.set()

    def stop(self) -> None:
        """Change nothing more; waits for a change that is under way, unless that is what calls this."""
        self.halt()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            wanted = self._wanted()
            if wanted is None:
                return
            for name, replicas in wanted.items():
                at, pause = self._again.get(name, (0.0, _FIRST_PAUSE))
                if time.monotonic() >= at and not self._stop.is_set():
                    self._change(name, replicas, pause)

    def _change(self, name: str, replicas: int, pause: float) -> None:
        try:
            self._scale(name, replicas)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises is shown
            self._again[name] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
            if not self._stop.is_set():
                self._failed(name, error)
        else:
            self._again.pop(name, None)
