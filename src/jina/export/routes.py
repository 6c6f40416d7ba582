"""The way of one line: a smooth curve between layers, or back to the start of the next band.

Coordinates are (along, across) the flow; `turned` makes (x, y) of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from jina.export.scene import Curve, Head, Line, Move, Piece, Point

_HEAD = 9.0
_HALF_HEAD = 4.0
_CORNER = 10.0


@dataclass(frozen=True, slots=True)
class Return:
    """The lane of a line that goes on in the next band."""

    far: float
    """Along: where it turns after the end of its band."""
    gutter: float
    """Across: where it runs back."""
    near: float
    """Along: where it turns before the start of the next band."""


def turned(point: Point, *, vertical: bool) -> Point:
    """(x, y) of (along, across)."""
    return (point[1], point[0]) if vertical else point


def between(box_end: float, start: Point, stop: Point, *, arrow: bool) -> list[Piece]:
    """From a box that ends at `box_end` past the end of its layer, `start`, to `stop` in the next layer."""
    tip = stop[0] - (_HEAD - 1 if arrow else 0)
    middle = (start[0] + tip) / 2
    pieces: list[Piece] = [Move((box_end, start[1]))]
    if box_end < start[0]:
        pieces.append(Line(start))
    if abs(start[1] - stop[1]) < 0.01:
        return [*pieces, Line((tip, stop[1]))]
    return [*pieces, Curve((middle, start[1]), (middle, stop[1]), (tip, stop[1]))]


def returning(box_end: float, start: Point, stop: Point, lane: Return, *, arrow: bool) -> list[Piece]:
    """From the end of a band to the start of the next one, around both."""
    tip = stop[0] - (_HEAD - 1 if arrow else 0)
    corners = [
        (lane.far, start[1]),
        (lane.far, lane.gutter),
        (lane.near, lane.gutter),
        (lane.near, stop[1]),
    ]
    return _rounded([(box_end, start[1]), *corners, (tip, stop[1])])


def _rounded(points: list[Point]) -> list[Piece]:
    pieces: list[Piece] = [Move(points[0])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _towards(corner, before), _towards(corner, after)
        pieces += [Line(enter), Curve(_mixed(enter, corner), _mixed(leave, corner), leave)]
    return [*pieces, Line(points[-1])]


def _towards(corner: Point, other: Point) -> Point:
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    part = min(_CORNER, length / 2) / length if length else 0.0
    return corner[0] + (other[0] - corner[0]) * part, corner[1] + (other[1] - corner[1]) * part


def _mixed(point: Point, corner: Point) -> Point:
    return point[0] + (corner[0] - point[0]) * 0.55, point[1] + (corner[1] - point[1]) * 0.55


def head(tip: Point, ink: str, *, vertical: bool) -> Head:
    """The arrow head whose tip touches the box at `tip`."""
    along, across = tip
    corners = (tip, (along - _HEAD, across - _HALF_HEAD), (along - _HEAD, across + _HALF_HEAD))
    first, second, third = (turned(corner, vertical=vertical) for corner in corners)
    return Head((first, second, third), ink)
