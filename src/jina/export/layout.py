"""Where the boxes and lines of a graph stand: layers, order, places (Brandes and Köpf), bands."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, inf, sqrt

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


_SETTLING_SWEEPS = 12
_PASSES = 4
_STIFFNESS = (1.0, 2.0, 8.0)
"""How strongly a line pulls: between two nodes, a node and a trunk, two pieces of a trunk."""


def settled(layers: Layers, centre: Sequence[float], separation: Separation) -> list[float]:
    """The centres after some sweeps, the smallest 0; order and separations stay."""
    xs = list(centre)
    for sweep in range(_SETTLING_SWEEPS):
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


_LONGEST = 2200.0
_SHORTEST = 900.0
_SHAPE = 1.7
_GAPS_BETWEEN_BANDS = 60.0
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
    count = ceil(sqrt(length / (_SHAPE * (across + _GAPS_BETWEEN_BANDS))))
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


@dataclass(frozen=True, slots=True)
class Return:
    """The lane of a line that goes on in the next band."""

    far: float
    """Along: where it turns after the end of its band."""
    gutter: float
    """Across: where it runs back."""
    near: float
    """Along: where it turns before the start of the next band."""


_BETWEEN = (26.0, 18.0, 12.0)
"""Between two boxes; a box and a line; two lines."""
_CROWDED = 16
_CLOSER = 15.0
"""Between two boxes of a layer with more than `_CROWDED` boxes and lines."""
_PORT = 14.0
_LEAST_PORT = 7.0
_PORT_EDGE = 14.0
_LEAST_GAP = 54.0
_MOST_GAP = 190.0
_STEEPNESS = 0.2
_LANE = 12.0
_BETWEEN_BANDS = 34.0


@dataclass(slots=True)
class Layout:
    """`length` and `breadth` are the extents of each cell along and across; trunks have the length of their layer.

    `start` is where a cell begins along the flow, `stop` where its layer ends; `centre` is across.
    `ports` are the places across where a line enters a box, by (cell before, node). `lanes` are those of lines
    between bands.
    """

    length: list[float]
    breadth: list[float]
    start: list[float]
    stop: list[float]
    centre: list[float]
    ports: dict[tuple[int, int], float]
    lanes: dict[tuple[int, int], Return]


def lay_out(layers: Layers, sizes: list[tuple[float, float]]) -> Layout:
    """Place all cells; `sizes` are (along, across) of the nodes."""
    length, breadth = _grown(layers, sizes)

    crowded = {cell for row in layers.rows if len(row) > _CROWDED for cell in row}

    def separation(left: int, right: int) -> float:
        apart = _BETWEEN[layers.is_trunk(left) + layers.is_trunk(right)]
        return (breadth[left] + breadth[right]) / 2 + (min(apart, _CLOSER) if left in crowded else apart)

    centre = settled(layers, centres(layers, separation), separation)
    centre = straightened(layers, centre, separation)
    starts, stops = _rows(layers, length, centre)
    passing = [_lanes(layers, index) for index in range(len(layers.rows))]
    tallest = max(centre[cell] + breadth[cell] / 2 for row in layers.rows for cell in row)
    bands = banded(starts, stops, passing, tallest)
    layout = Layout(length, breadth, [0.0] * len(length), [0.0] * len(length), centre, {}, {})
    _stack(layers, layout, bands, starts, stops)
    layout.ports = _ports(layers, layout)
    _find_lanes(layers, layout, bands)
    return layout


def _grown(layers: Layers, sizes: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Boxes grow across until all lines that enter have room."""
    length, breadth = [0.0] * len(layers.trunk_of), [0.0] * len(layers.trunk_of)
    for node, (along, across) in enumerate(sizes):
        room = (len(layers.before[node]) - 1) * _LEAST_PORT + 2 * _PORT_EDGE
        length[node], breadth[node] = along, max(across, room)
    return length, breadth


def _rows(layers: Layers, length: list[float], centre: list[float]) -> tuple[list[float], list[float]]:
    """Where each layer starts and ends: the steeper the lines, the wider the gap before it."""
    starts, stops = [], []
    at = 0.0
    for index, row in enumerate(layers.rows):
        if index:
            steps = [abs(centre[cell] - centre[one]) for cell in row for one in layers.before[cell]]
            at += min(_LEAST_GAP + _STEEPNESS * max(steps, default=0.0), _MOST_GAP)
        starts.append(at)
        at += max(length[cell] for cell in row)
        stops.append(at)
    return starts, stops


def _stack(layers: Layers, layout: Layout, bands: list[Band], starts: list[float], stops: list[float]) -> None:
    """Put the bands below each other."""
    at = 0.0
    for band in bands:
        cells = [cell for row in layers.rows[band.first : band.last + 1] for cell in row]
        low = min(layout.centre[cell] - layout.breadth[cell] / 2 for cell in cells)
        high = max(layout.centre[cell] + layout.breadth[cell] / 2 for cell in cells)
        for row in range(band.first, band.last + 1):
            for cell in layers.rows[row]:
                layout.start[cell] = starts[row] - starts[band.first]
                layout.stop[cell] = stops[row] - starts[band.first]
                layout.centre[cell] += at - low
                layout.length[cell] = layout.length[cell] or stops[row] - starts[row]
        at += high - low + 2 * _BETWEEN_BANDS + _lanes(layers, band.last) * _LANE


def _lanes(layers: Layers, row: int) -> int:
    """How many lines leave a layer, those of one cell counted once."""
    return sum(bool(layers.after[cell]) for cell in layers.rows[row])


def _ports(layers: Layers, layout: Layout) -> dict[tuple[int, int], float]:
    ports = {}
    for node in range(layers.nodes):
        before = sorted(layers.before[node], key=layout.centre.__getitem__)
        room = layout.breadth[node] - 2 * _PORT_EDGE
        step = min(_PORT, room / (len(before) - 1)) if len(before) > 1 else 0.0
        for index, cell in enumerate(before):
            ports[cell, node] = layout.centre[node] + (index - (len(before) - 1) / 2) * step
    return ports


def _find_lanes(layers: Layers, layout: Layout, bands: list[Band]) -> None:
    """A lane for each cell whose lines go on in the next band."""
    far = max(layout.stop) + _BETWEEN_BANDS
    for band in bands[:-1]:
        # The lowest line turns first and ends lowest, so that lines that keep their order do not cross.
        last = [cell for cell in layers.rows[band.last] if layers.after[cell]]
        last.sort(key=layout.centre.__getitem__, reverse=True)
        cells = [cell for row in layers.rows[band.first : band.last + 1] for cell in row]
        below = max(layout.centre[cell] + layout.breadth[cell] / 2 for cell in cells) + _BETWEEN_BANDS
        for index, cell in enumerate(last):
            back = -_BETWEEN_BANDS - (len(last) - 1 - index) * _LANE
            lane = Return(far + index * _LANE, below + index * _LANE, back)
            layout.lanes.update({(cell, end): lane for end in layers.after[cell]})
