"""A picture as a scene: boxes in layers, lines between them."""

from __future__ import annotations

from jina.export.boxes import Box, reply_box, request_box, step_box
from jina.export.layering import Layers, crossings, depths, layered
from jina.export.layout import Layout, lay_out
from jina.export.picture import GATEWAY, GraphPicture
from jina.export.routes import between, head, returning, turned
from jina.export.scene import EDGE_INKS, Curve, Frame, Line, Move, Piece, Point, Scene, Stroke

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
