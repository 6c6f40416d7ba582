"""Shorter lines: cells move towards their neighbours as far as their own neighbours in the layer let them.

Each layer by itself is a least-squares problem with a fixed order, solved exactly by pooling adjacent violators
(https://doi.org/10.1214/aoms/1177728423); sweeps down and up carry it through the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf

from jina.export.layering import Layers
from jina.export.placing import Separation

_SWEEPS = 12
_PASSES = 4
_STIFFNESS = (1.0, 2.0, 8.0)
"""How strongly a line pulls: between two nodes, a node and a trunk, two pieces of a trunk."""


def settled(layers: Layers, centre: Sequence[float], separation: Separation) -> list[float]:
    """The centres after some sweeps, the smallest 0; order and separations stay."""
    xs = list(centre)
    for sweep in range(_SWEEPS):
        rows = layers.rows if sweep % 2 == 0 else layers.rows[::-1]
        for row in rows:
            wanted, weights = zip(*(_pull(layers, cell, xs) for cell in row), strict=True)
            for cell, x in zip(row, _spread(row, wanted, weights, separation), strict=True):
                xs[cell] = x
    lowest = min(xs, default=0.0)
    return [x - lowest for x in xs]


def _pull(layers: Layers, cell: int, xs: Sequence[float]) -> tuple[float, float]:
    """Where the lines of a cell want it, and how strongly."""
    total = weight = 0.0
    for other in (*layers.before[cell], *layers.after[cell]):
        stiffness = _STIFFNESS[layers.is_trunk(cell) + layers.is_trunk(other)]
        total += stiffness * xs[other]
        weight += stiffness
    return (total / weight, weight) if weight else (xs[cell], 1.0)


def _spread(
    row: Sequence[int], wanted: Sequence[float], weights: Sequence[float], separation: Separation
) -> list[float]:
    """The places nearest to the wanted ones that keep order and separations."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + separation(left, right))
    pools: list[tuple[float, float, int]] = []
    for place, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = place - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavier, more = pools.pop()
            mean = (mean * total + other * heavier) / (total + heavier)
            total, count = total + heavier, count + more
        pools.append((mean, total, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def straightened(layers: Layers, centre: Sequence[float], separation: Separation) -> list[float]:
    """The centres with trunks as straight as the room beside them allows; nodes stay where they are."""
    xs = list(centre)
    neighbours: dict[int, tuple[int | None, int | None]] = {}
    for row in layers.rows:
        for index, cell in enumerate(row):
            right = row[index + 1] if index + 1 < len(row) else None
            neighbours[cell] = (row[index - 1] if index else None, right)
    trunks = _trunks(layers)
    for _ in range(_PASSES):
        for trunk in trunks:
            rooms = [_room(cell, neighbours[cell], xs, separation) for cell in trunk]
            for cell, x in zip(trunk, _straight(rooms, [xs[cell] for cell in trunk]), strict=True):
                xs[cell] = x
    lowest = min(xs, default=0.0)
    return [x - lowest for x in xs]


def _trunks(layers: Layers) -> list[list[int]]:
    """The pieces of each trunk in order, the longest trunk first."""
    found: dict[int, list[int]] = {}
    for row in layers.rows:
        for cell in row:
            if layers.is_trunk(cell):
                found.setdefault(layers.trunk_of[cell], []).append(cell)
    return sorted(found.values(), key=len, reverse=True)


def _room(
    cell: int, neighbours: tuple[int | None, int | None], xs: Sequence[float], separation: Separation
) -> tuple[float, float]:
    left, right = neighbours
    low = -inf if left is None else xs[left] + separation(left, cell)
    high = inf if right is None else xs[right] - separation(cell, right)
    return (low, max(low, high))


def _straight(rooms: Sequence[tuple[float, float]], xs: Sequence[float]) -> list[float]:
    """One value for as many pieces in a row as have a common room, near to where they were."""
    found: list[float] = []
    start = 0
    while start < len(rooms):
        low, high = rooms[start]
        end = start + 1
        while end < len(rooms) and max(low, rooms[end][0]) <= min(high, rooms[end][1]):
            low, high = max(low, rooms[end][0]), min(high, rooms[end][1])
            end += 1
        middle = sum(xs[start:end]) / (end - start)
        found += [min(max(middle, low), high)] * (end - start)
        start = end
    return found
