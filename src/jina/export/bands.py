"""Long graphs in several bands, as a text has lines: a chain of fifty steps is no ribbon of ten thousand pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

_LONGEST = 2200.0
_SHORTEST = 900.0
_SHAPE = 1.7
_BETWEEN = 60.0
_MOST_LANES = 5


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
    while ends[-1] - starts[first] > 1.2 * wanted:
        cuts = [
            row
            for row in range(first, len(starts) - 1)
            if lanes[row] <= _MOST_LANES and ends[row] - starts[first] > 0.6 * wanted
        ]
        if not cuts:
            break
        cut = min(cuts, key=lambda row: abs(ends[row] - starts[first] - wanted) + 80.0 * lanes[row])
        found.append(Band(first, cut))
        first = cut + 1
    return [*found, Band(first, len(starts) - 1)] if found else whole
