"""Layers of a graph, and an order in each that lets few edges cross (https://doi.org/10.1109/TSMC.1981.4308636).

All edges that leave a node and go further than the next layer share one trunk: what a step gives is the same for
all who take it, and one line through a layer is easier to follow than ten.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jina.errors import UsageError

_SWEEPS = 16


@dataclass(slots=True)
class Layers:
    """Cells in layers; a cell is a node, or where a trunk passes a layer.

    Cells below `nodes` are the nodes of the graph; `trunk_of[cell]` is the node whose trunk it is (itself for a
    node). `before[cell]` and `after[cell]` are its neighbours one layer up and down.
    """

    nodes: int
    rows: list[list[int]]
    trunk_of: list[int]
    before: list[list[int]] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)

    def is_trunk(self, cell: int) -> bool:
        """Whether the cell is a passing line, not a box."""
        return cell >= self.nodes


def depths(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """How many steps each node is from the start at most; raises `UsageError` where edges go round in a circle."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for start, end in edges:
        after[start].append(end)
        waiting[end] += 1
    depth = [0] * count
    free = [node for node in range(count) if not waiting[node]]
    for node in free:
        for end in after[node]:
            depth[end] = max(depth[end], depth[node] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                free.append(end)
    if len(free) < count:
        raise UsageError("a picture cannot show steps that need each other in a circle")
    return depth


def layered(depth: Sequence[int], edges: Sequence[tuple[int, int]]) -> Layers:
    """Layers with trunks and an order with few crossings."""
    layers = _with_trunks(depth, edges)
    _reduce_crossings(layers)
    return layers


def _with_trunks(depth: Sequence[int], edges: Sequence[tuple[int, int]]) -> Layers:
    count = len(depth)
    rows: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for node in range(count):
        rows[depth[node]].append(node)
    layers = Layers(count, rows, list(range(count)), [[] for _ in range(count)], [[] for _ in range(count)])
    passing: dict[tuple[int, int], int] = {}
    for start, end in sorted(set(edges)):
        cell = start
        for row in range(depth[start] + 1, depth[end]):
            trunk = passing.get((start, row))
            if trunk is None:
                trunk = passing[start, row] = len(layers.trunk_of)
                layers.trunk_of.append(start)
                layers.before.append([])
                layers.after.append([])
                rows[row].append(trunk)
                _link(layers, cell, trunk)
            cell = trunk
        _link(layers, cell, end)
    return layers


def _link(layers: Layers, start: int, end: int) -> None:
    layers.after[start].append(end)
    layers.before[end].append(start)


def _reduce_crossings(layers: Layers) -> None:
    """Sweep down and up by barycentres, exchange neighbours, keep the best order seen."""
    _first_order(layers)
    best, fewest = [row[:] for row in layers.rows], crossings(layers)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        rows = layers.rows[1:] if down else layers.rows[-2::-1]
        place = _places(layers.rows)
        for row in rows:
            _sort_by_neighbours(row, layers.before if down else layers.after, place, from_left=sweep % 4 < 2)
        _exchange_neighbours(layers)
        found = crossings(layers)
        if found < fewest:
            best, fewest = [row[:] for row in layers.rows], found
    layers.rows[:] = best


def _first_order(layers: Layers) -> None:
    """By depth-first search, so that what belongs together starts together."""
    seen: dict[int, int] = {}
    stack = [cell for row in reversed(layers.rows) for cell in reversed(row) if not layers.before[cell]]
    while stack:
        cell = stack.pop()
        if cell not in seen:
            seen[cell] = len(seen)
            stack.extend(reversed(layers.after[cell]))
    for row in layers.rows:
        row.sort(key=seen.__getitem__)


def _places(rows: Sequence[Sequence[int]]) -> dict[int, int]:
    return {cell: place for row in rows for place, cell in enumerate(row)}


def _sort_by_neighbours(
    row: list[int], neighbours: Sequence[Sequence[int]], place: dict[int, int], *, from_left: bool
) -> None:
    if not from_left:  # equal barycentres change places in every other pair of sweeps
        row.reverse()
    centre = {
        cell: sum(place[one] for one in neighbours[cell]) / len(neighbours[cell]) if neighbours[cell] else place[cell]
        for cell in row
    }
    row.sort(key=centre.__getitem__)
    place.update({cell: index for index, cell in enumerate(row)})


def _exchange_neighbours(layers: Layers) -> None:
    place = _places(layers.rows)
    improved, rounds = True, 0
    while improved and rounds < 4:
        improved, rounds = False, rounds + 1
        for row in layers.rows:
            for index in range(len(row) - 1):
                left, right = row[index], row[index + 1]
                if _gain(layers, left, right, place) > 0:
                    row[index], row[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    improved = True


def _gain(layers: Layers, left: int, right: int, place: dict[int, int]) -> int:
    """How many crossings vanish if two neighbours change places."""
    gain = 0
    for side in (layers.before, layers.after):
        ours, theirs = sorted(place[one] for one in side[left]), sorted(place[one] for one in side[right])
        gain += sum(bisect_left(theirs, one) for one in ours) - sum(bisect_left(ours, one) for one in theirs)
    return gain


def crossings(layers: Layers) -> int:
    """How many pairs of edges cross."""
    place = _places(layers.rows)
    total = 0
    for row in layers.rows:
        ends: list[int] = []
        for cell in row:
            found = sorted(place[one] for one in layers.after[cell])
            total += sum(len(ends) - bisect_left(ends, one + 1) for one in found)
            for one in found:
                insort(ends, one)
    return total
