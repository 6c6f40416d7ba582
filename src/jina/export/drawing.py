"""A picture as a scene: boxes in layers, lines between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jina.export.layout import Layers, Layout, between, crossings, depths, head, lay_out, layered, returning, turned
from jina.export.picture import GATEWAY, GraphPicture, StepPicture
from jina.export.scene import (
    EDGE_INKS,
    Curve,
    Frame,
    Group,
    Line,
    Move,
    Piece,
    Point,
    Scene,
    Stroke,
    Text,
    Weight,
    shortened,
    width_of,
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
