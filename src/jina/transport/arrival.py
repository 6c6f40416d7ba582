"""How long a server waits for what a client has begun to send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LEAST_RATE: Final = 1024
"""Bytes a second that must have arrived on average once the time is up."""


class Arrival:
    """Calls `late` when something awaited did not arrive within `timeout` seconds, and one more for each KiB of it.

    While `paused` says that we do not read ourselves the time does not run. A `timeout` of 0 is no limit.
    """

    __slots__ = ("_due", "_late", "_loop", "_paused", "_timeout", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        late: Callable[[], None],
        paused: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._late = late
        self._paused = paused
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def awaited(self) -> bool:
        """Whether the time runs."""
        return self._timer is not None

    def begin(self) -> None:
        """From now on something is awaited."""
        if not self._timeout:
            return
        self._due = self._loop.time() + self._timeout
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def got(self, size: int) -> None:
        """So many bytes of it came."""
        self._due += size / LEAST_RATE

    def end(self) -> None:
        """It is there, or not awaited any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._paused():
            self._due = now + self._timeout
        if now < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._timer = None
            self._late()
