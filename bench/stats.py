"""Medians and bootstrap intervals of paired measurements."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios, or of other figures of the rounds, with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"

    def at_most(self, bound: float) -> str:
        """`met` if the interval is not above the bound, `not met` if all of it is, else `not resolved`."""
        if self.high <= bound:
            return "met"
        return "not met" if self.low > bound else "not resolved"

    def at_least(self, bound: float) -> str:
        """`met` if the interval is not below the bound, `not met` if all of it is, else `not resolved`."""
        if self.low >= bound:
            return "met"
        return "not met" if self.high < bound else "not resolved"


def interval(values: Sequence[float], draws: int = 4000) -> Ratio:
    """The median of a figure over the rounds; the same values give the same interval."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return Ratio(statistics.median(values), medians[int(draws * 0.025)], medians[int(draws * 0.975)], len(values))


def ratio(above: Sequence[float], below: Sequence[float], draws: int = 4000) -> Ratio:
    """The ratio of two series measured in turns, round by round."""
    return interval([a / b for a, b in zip(above, below, strict=True)], draws)
