"""Medians and bootstrap intervals of paired measurements."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"

    def at_most(self, bound: float) -> str:
        """`met` if the interval is below the bound, `not met` if above, else `not resolved`."""
        if self.high <= bound:
            return "met"
        return "not met" if self.low > bound else "not resolved"

    def at_least(self, bound: float) -> str:
        """`met` if the interval is above the bound, `not met` if below, else `not resolved`."""
        if self.low >= bound:
            return "met"
        return "not met" if self.high < bound else "not resolved"


def ratio(above: Sequence[float], below: Sequence[float], draws: int = 4000) -> Ratio:
    """The ratio of two series measured in turns, round by round."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(pairs, k=len(pairs))) for _ in range(draws))
    return Ratio(statistics.median(pairs), medians[int(draws * 0.025)], medians[int(draws * 0.975)], len(pairs))
