"""How often callers may come: a bucket of tokens for each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_CALLERS: Final = 10_000
"""Buckets that are remembered; of more callers those that have been silent longest start afresh."""
_ROUNDING: Final = 1e-9


class Buckets:
    """Token buckets: `burst` tokens at first, `per_second` more each second, never above `burst`.

    Times are seconds of any clock that does not run backwards.
    """

    __slots__ = ("_burst", "_known", "_per_second")

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Take a token of the caller: 0 where there was one, else the seconds until there is one."""
        tokens, then = self._known.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - then) * self._per_second)
        wait = 0.0 if tokens >= 1.0 - _ROUNDING else (1.0 - tokens) / self._per_second
        self._known[caller] = (tokens if wait else max(0.0, tokens - 1.0), max(now, then))
        if len(self._known) > MOST_CALLERS:
            self._known.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._known)
