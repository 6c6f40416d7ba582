"""A picture as a scene: boxes in layers, lines between them, in CSS pixels and inks; no format yet."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from jina.export.layout import Layers, Layout, Return, crossings, depths, lay_out, layered
from jina.export.picture import GATEWAY, GraphPicture, StepPicture

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


_PAD = 12.0
_NAME = 14.0
_SMALL = 12.0
_LINE = 17.0
_WIDEST = 290.0
_NARROWEST = 76.0
_STACK = 5.0
_MOST_LINES = 8
_FEW_LINES = 3
_MANY_STEPS = 16
Kind = Literal["box", "gate", "join", "away"]


@dataclass(frozen=True, slots=True)
class Words:
    """One line in a box."""

    words: str
    ink: str = "muted"
    size: float = _SMALL
    weight: Weight = "normal"


@dataclass(frozen=True, slots=True)
class Box:
    """What stands in a box, and its size in pixels; `title` tells everything."""

    lines: tuple[Words, ...]
    kind: Kind
    title: str
    width: float
    height: float
    dashed: bool = False
    stacked: bool = False

    def drawn(self, left: float, top: float, width: float, height: float) -> Group:
        """The box at its place, at least as large as it asked for; the texts in the middle of its height."""
        radius = 8.0 if self.kind in {"box", "away"} else min(18.0, self.height / 2)
        shifts = (_STACK, 0.0) if self.stacked else (0.0,)
        frames = tuple(
            Frame(left + shift, top + shift, width, height, self.kind, f"{self.kind}-line", radius, self.dashed)
            for shift in shifts
        )
        base = top + (height - len(self.lines) * _LINE) / 2 + _LINE - 4.5
        centred = self.kind in {"gate", "join"}
        texts = []
        for index, line in enumerate(self.lines):
            start = left + (width / 2 if centred else _PAD)
            texts.append(Text(start, base + index * _LINE, line.words, line.ink, line.size, line.weight, centred))
        return Group(self.title, frames, tuple(texts))


def step_box(step: StepPicture, *, steps: int) -> Box:
    """The box of a step; pictures of many steps show less of each, the titles tell the rest."""
    most = _FEW_LINES if steps > _MANY_STEPS else _MOST_LINES
    kind: Kind = "away" if step.external else "join" if step.joins else "box"
    lines = [Words(step.name, "text", _NAME, "bold"), *_facts(step), *_endpoint_lines(step, most)]
    return _sized(lines, kind, _title(step), dashed=step.external or step.floating, stacked=step.copies != "")


def request_box(picture: GraphPicture) -> Box:
    """Where requests come in."""
    lines = [Words("gateway", "text", _NAME, "bold")]
    lines += [Words(one) for one in (picture.gateway, *picture.addresses) if one]
    return _sized(lines, "gate", "gateway: takes requests")


def reply_box() -> Box:
    """Where replies leave."""
    lines = [Words("gateway", "text", _NAME, "bold"), Words("reply")]
    return _sized(lines, "gate", "gateway: gives replies")


def _sized(lines: list[Words], kind: Kind, title: str, *, dashed: bool = False, stacked: bool = False) -> Box:
    fitted = tuple(
        Words(shortened(one.words, one.size, _WIDEST - 2 * _PAD, one.weight), one.ink, one.size, one.weight)
        for one in lines
    )
    wide = max(width_of(one.words, one.size, one.weight) for one in fitted) + 2 * _PAD
    return Box(fitted, kind, title, max(wide, _NARROWEST), len(fitted) * _LINE + 14.0, dashed, stacked)


def _facts(step: StepPicture) -> Iterator[Words]:
    if step.executor:
        yield Words(step.executor)
    if step.copies:
        yield Words(step.copies, "note")
    if step.when:
        yield Words(f"when {step.when}", "note")
    for word, holds in (("floating", step.floating), ("not merged", step.is_unmerged)):
        if holds:
            yield Words(word, "note")
    if step.external:
        yield Words(", ".join(("external", *step.addresses[:1])) + (" …" if len(step.addresses) > 1 else ""), "note")


def _endpoint_lines(step: StepPicture, most: int) -> Iterator[Words]:
    shown = step.endpoints if len(step.endpoints) <= most else step.endpoints[: most - 1]
    for one in shown:
        yield Words("  ".join(filter(None, (one.path, one.types, "(stream)" if one.is_generator else ""))))
    if len(shown) < len(step.endpoints):
        yield Words(f"and {len(step.endpoints) - len(shown)} more endpoints")


def _title(step: StepPicture) -> str:
    facts = [f"{step.name}: {step.executor}" if step.executor else step.name]
    facts += [f"needs {', '.join(step.needs)}", step.copies, f"when {step.when}" if step.when else ""]
    facts += ["floating" if step.floating else "", "external" if step.external else "", *step.addresses]
    facts += [
        " ".join(filter(None, (one.path, one.types, "(stream)" if one.is_generator else ""))) for one in step.endpoints
    ]
    return "\n".join(filter(None, facts))


_MARGIN = 24.0
_FEW_CROSSINGS = 3


def draw(picture: GraphPicture, *, vertical: bool = False) -> Scene:
    """The scene of a picture, left to right, or top to bottom if `vertical`.

    Raises `UsageError` where steps need each other in a circle.
    """
    boxes = [request_box(picture), *(step_box(step, steps=len(picture.steps)) for step in picture.steps), reply_box()]
    layers = _layers(picture)
    layout = lay_out(layers, _sizes(layers, boxes, vertical=vertical))
    scene = Scene(
        title=picture.title,
        description="; ".join(f"{step.name} needs {', '.join(step.needs)}" for step in picture.steps),
    )
    _draw_lines(scene, picture, layers, layout, vertical=vertical)
    for node, box in enumerate(boxes):
        left, top = turned((layout.start[node], layout.centre[node] - layout.breadth[node] / 2), vertical=vertical)
        width, height = turned((layout.length[node], layout.breadth[node]), vertical=vertical)
        scene.groups.append(box.drawn(left, top, width, height))
    _frame(scene)
    return scene


def _layers(picture: GraphPicture) -> Layers:
    """Node 0 takes requests, the last one gives replies, the steps are in between in their order."""
    numbers = {GATEWAY: 0, **{step.name: index for index, step in enumerate(picture.steps, start=1)}}
    last = len(numbers)
    edges = [(numbers[start], numbers[end]) for start, end in picture.edges]
    edges += [(numbers[name], last) for name in picture.ends]
    depth = depths(last + 1, edges)
    depth[last] = 1 + max(depth[:last])
    return layered(depth, edges)


def _sizes(layers: Layers, boxes: list[Box], *, vertical: bool) -> list[tuple[float, float]]:
    """(along, across); the boxes of a column are equally wide."""
    if vertical:
        return [(box.height, box.width) for box in boxes]
    sizes = [(0.0, 0.0)] * len(boxes)
    for row in layers.rows:
        nodes = [cell for cell in row if not layers.is_trunk(cell)]
        widest = max((boxes[node].width for node in nodes), default=0.0)
        for node in nodes:
            sizes[node] = widest, boxes[node].height
    return sizes


def _draw_lines(scene: Scene, picture: GraphPicture, layers: Layers, layout: Layout, *, vertical: bool) -> None:
    inks = _inks(layers)
    floating = _only_floating(picture, layers)
    bundles: dict[int, list[Stroke]] = {}
    for cell in (cell for row in layers.rows for cell in row):
        origin = layers.trunk_of[cell]
        for end in layers.after[cell]:
            into = (layout.start[end], layout.ports.get((cell, end), layout.centre[end]))
            arrow = not layers.is_trunk(end)
            leaving = layout.start[cell] + (0.0 if layers.is_trunk(cell) else layout.length[cell])
            out = (layout.stop[cell], layout.centre[cell])
            lane = layout.lanes.get((cell, end))
            pieces = (
                returning(leaving, out, into, lane, arrow=arrow) if lane else between(leaving, out, into, arrow=arrow)
            )
            turned_pieces = tuple(_turned(piece, vertical=vertical) for piece in pieces)
            bundles.setdefault(origin, []).append(Stroke(turned_pieces, inks[origin], end in floating))
            if arrow:
                scene.heads.append(head(into, inks[origin], vertical=vertical))
    scene.bundles = list(bundles.values())


def _inks(layers: Layers) -> list[str]:
    """One colour for all where few lines cross, else neighbours differ."""
    if crossings(layers) <= _FEW_CROSSINGS:
        return ["edge"] * layers.nodes
    inks = ["edge"] * layers.nodes
    order = [cell for row in layers.rows for cell in row if not layers.is_trunk(cell)]
    for index, node in enumerate(order[1:]):
        inks[node] = f"edge-{index % EDGE_INKS}"
    return inks


def _only_floating(picture: GraphPicture, layers: Layers) -> set[int]:
    """Cells behind which nothing but floating steps comes."""
    found = {index for index, step in enumerate(picture.steps, start=1) if step.floating}
    for row in reversed(layers.rows):
        found |= {cell for cell in row if layers.is_trunk(cell) and all(end in found for end in layers.after[cell])}
    return found


def _turned(piece: Piece, *, vertical: bool) -> Piece:
    if isinstance(piece, Curve):
        first, second, end = (turned(one, vertical=vertical) for one in (piece.first, piece.second, piece.end))
        return Curve(first, second, end)
    end = turned(piece.end, vertical=vertical)
    return Move(end) if isinstance(piece, Move) else Line(end)


def _frame(scene: Scene) -> None:
    """Set the extent: everything, with a margin."""
    corners = [corner for group in scene.groups for frame in group.frames for corner in _corners(frame)]
    corners += [piece.end for bundle in scene.bundles for stroke in bundle for piece in stroke.pieces]
    scene.left, scene.top = min(x for x, _ in corners) - _MARGIN, min(y for _, y in corners) - _MARGIN
    scene.width = max(x for x, _ in corners) + _MARGIN - scene.left
    scene.height = max(y for _, y in corners) + _MARGIN - scene.top


def _corners(frame: Frame) -> tuple[Point, Point]:
    return (frame.left, frame.top), (frame.left + frame.width, frame.top + frame.height)


_HEAD = 9.0
_HALF_HEAD = 4.0
_CORNER = 10.0


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
