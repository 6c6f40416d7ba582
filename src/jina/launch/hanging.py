"""Whether a worker makes progress (pure): requests in work, and none of them gets on."""

from __future__ import annotations


class HangWatch:
    """Told now and then how a worker is; says when nothing has got on for `limit` seconds."""

    __slots__ = ("_done", "_limit", "_since", "reported")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._done = -1
        self._since: float | None = None
        self.reported = False

    @property
    def interval(self) -> float:
        """Seconds between two questions."""
        return max(0.05, self._limit / 4)

    def answered(self, now: float, in_work: int, done: int) -> None:
        """The worker said how many requests it has in work, and how many it has got on with so far."""
        if not in_work or done != self._done or self._since is None:
            self._since, self.reported = (now if in_work else None), False
        self._done = done

    def asked(self, now: float) -> None:
        """A question was sent: a worker that cannot even answer makes no progress either."""
        if self._since is None:
            self._since = now

    def stuck(self, now: float) -> float | None:
        """Seconds without progress, once that is `limit` or more."""
        if self._since is None or now - self._since < self._limit:
            return None
        return now - self._since
