"""When a process that ended by itself is started again, and when that is given up (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FORGIVEN: Final = 5.0
"""Seconds of service that make up for one crash."""

LONGEST: Final = 30.0
"""Seconds that are waited at most before the next start."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """`limit` crashes in a row are mended, 0 none, negative any number; `backoff` is in seconds."""

    limit: int = 10
    backoff: float = 0.5


class Restarts:
    """The crashes of one process and those that took its place.

    The first start anew comes at once, the following ones after `backoff` seconds, twice that, and so on. A process
    that serves for `FORGIVEN` seconds makes up for one crash.
    """

    __slots__ = ("_level", "_policy", "count", "given_up")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._level = 0.0
        self.count = 0
        """Starts anew so far."""
        self.given_up = False

    def crashed(self, served: float) -> float | None:
        """It ended after it had served so many seconds: seconds until the next start, None to give up."""
        self._level = max(0.0, self._level - served / FORGIVEN) + 1
        limit = self._policy.limit
        if 0 <= limit < self._level:
            self.given_up = True
            return None
        self.count += 1
        if self._level <= 1:
            return 0.0
        doublings = min(math.ceil(self._level) - 2, 30)
        return float(min(LONGEST, self._policy.backoff * 2**doublings))
