"""How many requests a process takes on at a time, and when those that it refuses should come again."""

from __future__ import annotations

from jina.errors import Overloaded

_WEIGHT = 0.1
"""What the newest request counts in the average."""
_SOONEST, _LATEST = 0.05, 30.0
"""Seconds between which the hint lies."""


class Admission:
    """The limits of one process: at most `inflight` requests in work or waiting, `queue` of them waiting."""

    __slots__ = ("_inflight", "_name", "_queue", "_seconds")

    def __init__(self, name: str, inflight: int, queue: int | None = None) -> None:
        self._name = name
        self._inflight = inflight
        self._queue = inflight if queue is None else queue
        self._seconds = 0.0

    def check(self, inflight: int, backlog: int = 0) -> None:
        """Raise `Overloaded` where `inflight` requests are there already, or a new one would make the `backlog` too
        long.

        `backlog` is how many would wait if one more came.
        """
        if inflight >= self._inflight:
            text = f"has {inflight} requests in work or waiting, which is its limit (max_inflight)"
        elif backlog > self._queue:
            text = f"has {backlog - 1} requests waiting for a handler, which is its limit (max_queue)"
        else:
            return
        raise Overloaded(f"{self._name} {text}", retry_after=self.hint)

    def ended(self, seconds: float) -> None:
        """A request was answered after so long."""
        self._seconds += (seconds - self._seconds) * (_WEIGHT if self._seconds else 1.0)

    @property
    def hint(self) -> float:
        """Seconds after which a request should be admitted: as long as one takes at present."""
        return min(max(self._seconds, _SOONEST), _LATEST)
