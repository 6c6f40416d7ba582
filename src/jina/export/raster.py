"""A scene as PNG or JPEG, drawn with Pillow (the extra `plot`); no network and no other program is needed."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import hypot, sqrt
from typing import TYPE_CHECKING, Any, Literal

from jina.errors import MissingExtra, install_command
from jina.export.scene import INKS, Frame, Point, Scene, Stroke, Text, points_of

if TYPE_CHECKING:
    from PIL import ImageDraw

_SCALE = 2.0
"""Pixels of the image to a CSS pixel, as on most screens of today."""

_MOST_PIXELS = 24e6
_FINER = 2
"""Lines are drawn that much larger and then reduced, which makes them smooth."""

_STRIP = 512
"""Rows of the image that are drawn at a time, so that the larger drawing of a large picture fits into memory."""

_FACES = {
    "normal": ("DejaVuSans.ttf", "Arial.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf", "Helvetica.ttc"),
    "bold": ("DejaVuSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf", "LiberationSans-Bold.ttf", "NotoSans-Bold.ttf"),
}
_PLAIN = str.maketrans({"→": "->", "≥": ">=", "≤": "<=", "≠": "!=", "…": "..."})
_HALO = 3.8
_WIDTH = 1.6
_OUTLINE = 1.3


def to_image(scene: Scene, kind: Literal["PNG", "JPEG"]) -> bytes:
    """The picture on light paper, two pixels to a CSS pixel; fewer where it would exceed 24 million pixels.

    Raises `MissingExtra` where Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingExtra(
            f"{kind} pictures need Pillow, which is not installed",
            help=f"{install_command('plot')}, or write .svg, .mmd or .txt, which need nothing",
        ) from None
    scale = min(_SCALE, sqrt(_MOST_PIXELS / (scene.width * scene.height)))
    width, height = max(1, round(scene.width * scale)), max(1, round(scene.height * scale))
    image = Image.new("RGB", (width, height), _colour("paper"))
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        strip = Image.new("RGB", (width * _FINER, rows * _FINER), _colour("paper"))
        shapes = _Shapes(ImageDraw.Draw(strip), scale * _FINER, scene.left, scene.top + top / scale, rows / scale)
        shapes.draw(scene)
        image.paste(strip.resize((width, rows), Image.Resampling.BOX), (0, top))
    pen = ImageDraw.Draw(image)
    for text in (text for group in scene.groups for text in group.texts):
        _write(pen, text, scale, (scene.left, scene.top))
    out = io.BytesIO()
    image.save(out, kind, quality=92)
    return out.getvalue()


class _Shapes:
    """Draws everything but texts on one strip of the picture."""

    def __init__(self, pen: ImageDraw.ImageDraw, scale: float, left: float, top: float, height: float) -> None:
        self._pen = pen
        self._scale = scale
        self._left = left
        self._top = top
        self._bottom = top + height

    def draw(self, scene: Scene) -> None:
        """Draw all of the scene that the strip shows."""
        for bundle in scene.bundles:
            ways = [(stroke, points_of(stroke.pieces)) for stroke in bundle]
            shown = [(stroke, points) for stroke, points in ways if self._shows([y for _, y in points])]
            for _, points in shown:
                self._line(points, "paper", _HALO)
            for stroke, points in shown:
                self._stroke(stroke, points)
        for head in scene.heads:
            if self._shows([y for _, y in head.corners]):
                self._pen.polygon(self._placed(head.corners), fill=_colour(head.ink))
        for group in scene.groups:
            for frame in group.frames:
                if self._shows([frame.top, frame.top + frame.height]):
                    self._frame(frame)

    def _shows(self, ys: Sequence[float]) -> bool:
        return min(ys) - _HALO <= self._bottom and max(ys) + _HALO >= self._top

    def _stroke(self, stroke: Stroke, points: list[Point]) -> None:
        for part in _dashes(points, 5.0, 4.0) if stroke.dashed else (points,):
            self._line(part, stroke.ink, _WIDTH)

    def _line(self, points: Sequence[Point], ink: str, width: float) -> None:
        self._pen.line(self._placed(points), _colour(ink), max(1, round(width * self._scale)), joint="curve")

    def _frame(self, frame: Frame) -> None:
        corners = [(frame.left, frame.top), (frame.left + frame.width, frame.top + frame.height)]
        box, radius = self._placed(corners), frame.radius * self._scale
        width = max(1, round(_OUTLINE * self._scale))
        if not frame.dashed:
            self._pen.rounded_rectangle(box, radius, _colour(frame.fill), _colour(frame.ink), width)
            return
        self._pen.rounded_rectangle(box, radius, _colour(frame.fill))
        for part in _dashes(list(_outline(frame)), 6.0, 4.0):
            self._line(part, frame.ink, _OUTLINE)

    def _placed(self, points: Iterable[Point]) -> list[Point]:
        return [((x - self._left) * self._scale, (y - self._top) * self._scale) for x, y in points]


def _write(pen: ImageDraw.ImageDraw, text: Text, scale: float, origin: Point) -> None:
    font, known = _font(text.weight, text.size * scale)
    words = text.words if known else text.words.translate(_PLAIN)
    # The font that Pillow brings has no bold face: a thin outline in the same colour stands for it.
    outline = 0.3 * scale if text.weight == "bold" and not known else 0.0
    place = ((text.left - origin[0]) * scale, (text.base - origin[1]) * scale)
    colour, anchor = _colour(text.ink), "ms" if text.centred else "ls"
    pen.text(place, words, font=font, fill=colour, anchor=anchor, stroke_width=outline)


@functools.lru_cache(maxsize=32)
def _font(weight: str, size: float) -> tuple[Any, bool]:
    """A font of the system, which knows arrows and other scripts; else the one that Pillow brings."""
    from PIL import ImageFont

    for name in _FACES[weight]:
        try:
            return ImageFont.truetype(name, size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


def _outline(frame: Frame) -> Iterator[Point]:
    """The line around a box as a polyline, its corners as two points."""
    left, top, right, bottom = frame.left, frame.top, frame.left + frame.width, frame.top + frame.height
    cut = frame.radius * 0.45
    yield from ((left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut))
    yield from ((right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut))
    yield (left + cut, top)


def _dashes(points: Sequence[Point], on: float, off: float) -> Iterator[list[Point]]:
    """The parts of a polyline that a dashed pen draws."""
    drawing, left = True, on
    part = [points[0]]
    for start, end in pairwise(points):
        length, done = hypot(end[0] - start[0], end[1] - start[1]), 0.0
        while length - done > left:
            done += left
            point = (
                start[0] + (end[0] - start[0]) * done / length,
                start[1] + (end[1] - start[1]) * done / length,
            )
            if drawing:
                yield [*part, point]
            part, drawing = [point], not drawing
            left = on if drawing else off
        left -= length - done
        part.append(end)
    if drawing and len(part) > 1:
        yield part


def _colour(name: str) -> str:
    return INKS[name][0]
