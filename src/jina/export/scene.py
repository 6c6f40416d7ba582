"""What is drawn: boxes, lines and texts at their places, in CSS pixels; no format yet."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Point = tuple[float, float]
Weight = Literal["normal", "bold"]


@dataclass(frozen=True, slots=True)
class Move:
    """Where a line starts."""

    end: Point


@dataclass(frozen=True, slots=True)
class Line:
    """Straight to `end`."""

    end: Point


@dataclass(frozen=True, slots=True)
class Curve:
    """A cubic Bézier curve to `end`."""

    first: Point
    second: Point
    end: Point


Piece = Move | Line | Curve


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line; `ink` names a colour."""

    pieces: tuple[Piece, ...]
    ink: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an arrow, a filled triangle."""

    corners: tuple[Point, Point, Point]
    ink: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A box with round corners; `fill` and `ink` name colours."""

    left: float
    top: float
    width: float
    height: float
    fill: str
    ink: str
    radius: float = 8.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text on the base line `base`; `left` is where it starts, or its middle if `centred`."""

    left: float
    base: float
    words: str
    ink: str = "text"
    size: float = 13.0
    weight: Weight = "normal"
    centred: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A box with its texts; `title` is what a pointer over it shows."""

    title: str
    frames: tuple[Frame, ...]
    texts: tuple[Text, ...]


@dataclass(slots=True)
class Scene:
    """A whole picture.

    Lines are drawn first, in bundles of one origin, each of which clears the paper around it, so that one sees which
    line goes on where two cross; then heads; then groups.
    """

    title: str
    description: str
    left: float = 0.0
    top: float = 0.0
    width: float = 0.0
    height: float = 0.0
    bundles: list[list[Stroke]] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


INKS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#0f1419"),
    "text": ("#1b2430", "#e6edf3"),
    "muted": ("#56616f", "#9ba7b4"),
    "box": ("#f3f7fb", "#19222c"),
    "box-line": ("#5b7fa6", "#6f97c2"),
    "gate": ("#e4f4ee", "#12302a"),
    "gate-line": ("#2a8c74", "#3fb598"),
    "join": ("#f4f4f5", "#24282d"),
    "join-line": ("#83898f", "#8b939c"),
    "away": ("#fdf4e7", "#332612"),
    "away-line": ("#b9791c", "#d99c3f"),
    "note": ("#8a4b08", "#e0a458"),
    "edge": ("#5d6b7a", "#8794a1"),
    "edge-0": ("#2f6fb7", "#6aa8ec"),
    "edge-1": ("#c2571a", "#ef9258"),
    "edge-2": ("#2d8a4e", "#5cc283"),
    "edge-3": ("#9a3fa0", "#d384d8"),
    "edge-4": ("#8a6d00", "#d1b23f"),
    "edge-5": ("#0f8390", "#4fc3d0"),
    "edge-6": ("#c23355", "#f2809b"),
    "edge-7": ("#5a54c4", "#9b96f5"),
}
"""Colours by name: on light and on dark paper. Lines and texts have a contrast of at least 4.5 (texts) or 3."""

EDGE_INKS = 8

_NARROW = frozenset("iIjl.,:;'|!()[]{}/\\ ftr\"`")
_BROAD = frozenset("mwMW@%—…")


def width_of(words: str, size: float, weight: Weight = "normal") -> float:
    """How wide a text is at most in the common sans-serif fonts (DejaVu Sans is the widest)."""
    total = 0.0
    for letter in words:
        if unicodedata.east_asian_width(letter) in "WF":
            total += 1.0
        elif letter in _NARROW:
            total += 0.40
        elif letter in _BROAD:
            total += 0.98
        elif letter.isupper() or letter in "→≥≤≠&_":
            total += 0.73
        else:
            total += 0.62
    return total * size * (1.08 if weight == "bold" else 1.0)


def shortened(words: str, size: float, limit: float, weight: Weight = "normal") -> str:
    """The text, cut with an ellipsis where it is wider than `limit` pixels."""
    if width_of(words, size, weight) <= limit:
        return words
    while words and width_of(words + "…", size, weight) > limit:
        words = words[:-1]
    return words.rstrip() + "…"


def points_of(pieces: Iterable[Piece]) -> list[Point]:
    """The line as a polyline, a curve in parts of about ten pixels."""
    points: list[Point] = []
    for piece in pieces:
        if isinstance(piece, Curve):
            start = points[-1]
            steps = 8 + int((abs(piece.end[0] - start[0]) + abs(piece.end[1] - start[1])) / 10)
            points += [_on_curve(start, piece, index / steps) for index in range(1, steps + 1)]
        else:
            points.append(piece.end)
    return points


def _on_curve(start: Point, curve: Curve, t: float) -> Point:
    weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3)
    corners: Sequence[Point] = (start, curve.first, curve.second, curve.end)
    return (
        sum(weight * corner[0] for weight, corner in zip(weights, corners, strict=True)),
        sum(weight * corner[1] for weight, corner in zip(weights, corners, strict=True)),
    )
