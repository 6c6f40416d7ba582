"""Where the cells of each layer stand: the method of Brandes and Köpf (https://doi.org/10.1007/3-540-45848-4_3).

Four alignments (up or down, left or right) are made and averaged; trunks run straight wherever they can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from jina.export.layering import Layers

Separation = Callable[[int, int], float]
"""The least distance between the centres of two neighbours of a layer, in their order."""


def centres(layers: Layers, separation: Separation) -> list[float]:
    """The centre of each cell across the direction of the flow, the smallest 0 or more; pixels."""
    count = len(layers.trunk_of)
    if not count:
        return []
    conflicts = _conflicts(layers)
    found = [
        _aligned(layers, separation, conflicts, upward=upward, mirrored=mirrored)
        for upward in (False, True)
        for mirrored in (False, True)
    ]
    narrow = min(found, key=lambda xs: max(xs) - min(xs))
    low, high = min(narrow), max(narrow)
    for index, xs in enumerate(found):
        shift = high - max(xs) if index % 2 else low - min(xs)
        found[index] = [x + shift for x in xs]
    middle = [sum(sorted(one)[1:3]) / 2 for one in zip(*found, strict=True)]
    lowest = min(middle)
    return [x - lowest for x in middle]


def _conflicts(layers: Layers) -> set[tuple[int, int]]:
    """Edges that cross a piece of a trunk: the trunk stays straight, they yield."""
    place = {cell: index for row in layers.rows for index, cell in enumerate(row)}
    conflicts = set()
    for row in layers.rows:
        edges = [(cell, end) for cell in row for end in layers.after[cell]]
        inner = [(a, b) for a, b in edges if layers.is_trunk(a) and layers.is_trunk(b)]
        outer = [(a, b) for a, b in edges if not (layers.is_trunk(a) and layers.is_trunk(b))]
        for start, end in outer:
            if any((place[start] - place[a]) * (place[end] - place[b]) < 0 for a, b in inner):
                conflicts.add((start, end))
    return conflicts


def _aligned(
    layers: Layers, separation: Separation, conflicts: set[tuple[int, int]], *, upward: bool, mirrored: bool
) -> list[float]:
    rows = [row[::-1] if mirrored else row for row in (layers.rows[::-1] if upward else layers.rows)]
    neighbours = layers.after if upward else layers.before
    root = _blocks(rows, neighbours, conflicts)
    apart = (lambda left, right: separation(right, left)) if mirrored else separation
    xs = _compacted(rows, root, apart)
    return [-x for x in xs] if mirrored else xs


def _blocks(
    rows: Sequence[Sequence[int]], neighbours: Sequence[Sequence[int]], conflicts: set[tuple[int, int]]
) -> list[int]:
    """The first cell of the block that each cell belongs to; a block has one coordinate."""
    count = len(neighbours)
    root = list(range(count))
    align = list(range(count))
    place = {cell: index for row in rows for index, cell in enumerate(row)}
    for row in rows[1:]:
        furthest = -1
        for cell in row:
            around = sorted(neighbours[cell], key=place.__getitem__)
            for middle in sorted({(len(around) - 1) // 2, len(around) // 2}) if around else ():
                other = around[middle]
                yields = (other, cell) in conflicts or (cell, other) in conflicts
                if align[cell] == cell and not yields and furthest < place[other]:
                    align[other] = cell
                    root[cell] = root[other]
                    align[cell] = root[cell]
                    furthest = place[other]
    return root


def _compacted(rows: Sequence[Sequence[int]], root: Sequence[int], separation: Separation) -> list[float]:
    """As close together as the separations allow: first all to the left, then each block as near as it can."""
    lower: dict[int, dict[int, float]] = defaultdict(dict)
    upper: dict[int, dict[int, float]] = defaultdict(dict)
    for row in rows:
        for left, right in pairwise(row):
            a, b = root[left], root[right]
            apart = max(lower[b].get(a, 0.0), separation(left, right))
            lower[b][a] = upper[a][b] = apart
    order = _sorted_blocks(sorted(set(root)), lower, upper)
    x: dict[int, float] = {}
    for block in order:
        x[block] = max((x[other] + apart for other, apart in lower[block].items()), default=0.0)
    for block in reversed(order):
        if upper[block]:
            x[block] = max(x[block], min(x[other] - apart for other, apart in upper[block].items()))
    return [x[one] for one in root]


def _sorted_blocks(
    blocks: Sequence[int], lower: dict[int, dict[int, float]], upper: dict[int, dict[int, float]]
) -> list[int]:
    waiting = {block: len(lower[block]) for block in blocks}
    free = [block for block in blocks if not waiting[block]]
    order = []
    while free:
        block = free.pop()
        order.append(block)
        for other in upper[block]:
            waiting[other] -= 1
            if not waiting[other]:
                free.append(other)
    return order
