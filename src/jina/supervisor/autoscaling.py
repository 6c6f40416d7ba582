"""Adds and removes replicas as the gateway of a service asks for them, from a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from jina.supervisor.reloading import PeriodicThread

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
"""Seconds until what failed is tried again."""


class AutoscaleThread(PeriodicThread):
    """Calls `scale(name, replicas)` for each Deployment that should have another number of replicas.

    `wanted` gives these; None ends the thread. `failed` is told what could not be done, which is tried again.
    """

    def __init__(
        self,
        wanted: Callable[[], Mapping[str, int] | None],
        scale: Callable[[str, int], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("autoscale")
        self._wanted = wanted
        self._scale = scale
        self._failed = failed
        self._again: dict[str, tuple[float, float]] = {}
        """By Deployment whose last change failed: when it is tried again, and the pause after that."""
        self._thread.start()

    def look(self) -> bool:
        """See `PeriodicThread`."""
        wanted = self._wanted()
        for name, replicas in (wanted or {}).items():
            at, pause = self._again.get(name, (0.0, _FIRST_PAUSE))
            if time.monotonic() >= at and not self.halted:
                self._change(name, replicas, pause)
        return wanted is not None

    def _change(self, name: str, replicas: int, pause: float) -> None:
        try:
            self._scale(name, replicas)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises is shown
            self._again[name] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
            if not self.halted:
                self._failed(name, error)
        else:
            self._again.pop(name, None)
