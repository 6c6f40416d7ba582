"""Long graphs in several bands, as a text has lines: a chain of fifty steps is no ribbon of ten thousand pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

_LONGEST = 2200.0
_SHORTEST = 900.0
_SHAPE = 1.7
_BETWEEN = 60.0
_MOST_LANES = 16
_COST = 60.0
"""A line more in a cut weighs as much as that many pixels from the wanted length."""


@dataclass(frozen=True, slots=True)
class Band:
    """The layers from `first` to `last`, both included."""

    first: int
    last: int


def banded(starts: Sequence[float], ends: Sequence[float], lanes: Sequence[int], across: float) -> list[Band]:
    """Cut a graph where few lines pass.

    `starts` and `ends` are those of the layers in pixels, `lanes[i]` the lines between layer i and the next one,
    `across` the extent across the flow. One band where the graph is short enough or nowhere thin.
    """
    length = ends[-1]
    whole = [Band(0, len(starts) - 1)]
    if length <= _LONGEST:
        return whole
    count = ceil(sqrt(length / (_SHAPE * (across + _BETWEEN))))
    wanted = max(length / count, _SHORTEST)
    found: list[Band] = []
    first = 0
    while ends[-1] - starts[first] > 1.3 * wanted:
        cut = _cut(starts, ends, lanes, first, wanted)
        if cut is None:
            break
        found.append(Band(first, cut))
        first = cut + 1
    return [*found, Band(first, len(starts) - 1)] if found else whole


def _cut(starts: Sequence[float], ends: Sequence[float], lanes: Sequence[int], first: int, wanted: float) -> int | None:
    """The last layer of the band that begins with `first`: near the wanted length, and where few lines pass."""
    rows = [
        row
        for row in range(first, len(starts) - 1)
        if lanes[row] <= _MOST_LANES
        and 0.6 * wanted < ends[row] - starts[first] < 1.5 * wanted
        and ends[-1] - starts[row + 1] > 0.3 * wanted
    ]
    return min(rows, key=lambda row: abs(ends[row] - starts[first] - wanted) + _COST * lanes[row], default=None)
