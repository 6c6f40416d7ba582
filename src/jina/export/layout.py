"""Where the boxes and trunks of a graph stand, in pixels along and across the flow."""

from __future__ import annotations

from dataclasses import dataclass

from jina.export.bands import Band, banded
from jina.export.layering import Layers
from jina.export.placing import centres
from jina.export.routes import Return
from jina.export.settling import settled, straightened

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
