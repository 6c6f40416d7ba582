"""Pictures of a Flow in every format: SVG, PNG and JPEG, Mermaid, text."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import hypot, sqrt
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape, quoteattr

from jina.errors import ConfigError, MissingExtra, install_command, nearest
from jina.export.drawing import (
    INKS,
    Curve,
    Frame,
    Group,
    Head,
    Move,
    Piece,
    Point,
    Scene,
    Stroke,
    Text,
    draw,
    points_of,
)
from jina.export.picture import GATEWAY, EndpointLike, GraphPicture, StepPicture, picture_of, picture_text
from jina.plan.plans import FlowPlan

if TYPE_CHECKING:
    from PIL import ImageDraw

Shown = GraphPicture | FlowPlan
"""A picture, or the plan from which it is made."""


def to_svg(shown: Shown, *, vertical: bool = False) -> str:
    """One self-contained SVG, readable on light and on dark paper."""
    return _svg(draw(_picture(shown), vertical=vertical))


def to_png(shown: Shown, *, vertical: bool = False) -> bytes:
    """A PNG with two pixels to a CSS pixel. Raises `NotSupportedError` without the extra `plot`."""
    return _image(draw(_picture(shown), vertical=vertical), "PNG")


def to_jpeg(shown: Shown, *, vertical: bool = False) -> bytes:
    """The same as JPEG."""
    return _image(draw(_picture(shown), vertical=vertical), "JPEG")


def to_mermaid(shown: Shown, *, vertical: bool = False) -> str:
    """A Mermaid flow chart."""
    return _mermaid(_picture(shown), vertical=vertical)


def to_text(shown: Shown) -> str:
    """Plain text for a terminal."""
    return picture_text(_picture(shown))


_FORMATS: dict[str, Callable[[Shown, bool], bytes]] = {
    ".svg": lambda shown, vertical: to_svg(shown, vertical=vertical).encode(),
    ".png": lambda shown, vertical: to_png(shown, vertical=vertical),
    ".jpg": lambda shown, vertical: to_jpeg(shown, vertical=vertical),
    ".jpeg": lambda shown, vertical: to_jpeg(shown, vertical=vertical),
    ".mmd": lambda shown, vertical: to_mermaid(shown, vertical=vertical).encode(),
    ".mermaid": lambda shown, vertical: to_mermaid(shown, vertical=vertical).encode(),
    ".txt": lambda shown, _: to_text(shown).encode(),
}

SUFFIXES = tuple(_FORMATS)
"""What a file name may end with."""


def check_suffix(suffix: str) -> str:
    """The suffix in lower case; raises `ConfigError` naming those that exist."""
    known = suffix.lower() if suffix.startswith(".") else f".{suffix.lower()}"
    if known not in _FORMATS:
        near = nearest(known, _FORMATS)
        wrong = f"{suffix!r} is not a picture format" if suffix else "a picture needs a suffix that tells the format"
        raise ConfigError(f"{wrong}{f', did you mean {near}?' if near else ''}", help=f"formats: {', '.join(_FORMATS)}")
    return known


def render(
    plan: Shown,
    suffix: str,
    *,
    vertical: bool = False,
    endpoints: Mapping[str, Iterable[EndpointLike]] | None = None,
    classes: Mapping[str, str] | None = None,
    running: bool = True,
) -> bytes:
    """The picture in the format that a file of that suffix has (`.svg`, `.png`, `.jpg`, `.mmd`, `.txt`).

    `endpoints`, `classes` and `running` as in `picture_of`; they are for plans. Raises `ConfigError` for other
    suffixes, and `NotSupportedError` for images without the extra `plot`.
    """
    known = check_suffix(suffix)
    made = plan if isinstance(plan, GraphPicture) else picture_of(plan, endpoints, classes, running=running)
    return _FORMATS[known](made, vertical)


def mimebundle(shown: Shown, *, vertical: bool = False) -> dict[str, str]:
    """What Jupyter shows of a Flow: the picture, or its text where no picture can be shown."""
    picture = _picture(shown)
    return {"image/svg+xml": to_svg(picture, vertical=vertical), "text/plain": to_text(picture)}


def _picture(shown: Shown) -> GraphPicture:
    return shown if isinstance(shown, GraphPicture) else picture_of(shown)


# --- SVG 1.1: one file without references, readable on light and on dark paper ----------------------------

_FONTS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_ROOT = "jina-flow"
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold: https://www.w3.org/TR/xml/#charsets"""


def _svg(scene: Scene) -> str:
    """The picture as one `<svg>` element; colours follow `prefers-color-scheme`."""
    view = " ".join(_number(value) for value in (scene.left, scene.top, scene.width, scene.height))
    size = f'width="{_number(scene.width)}" height="{_number(scene.height)}"'
    root = f'class="{_ROOT}" {size} viewBox="{view}" role="img" font-family="{_FONTS}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {root} aria-label={_attribute(scene.title)}>',
        f"<title>{_xml(scene.title)}</title>",
        f"<desc>{_xml(scene.description)}</desc>",
        f"<style>{_style(scene)}</style>",
        f'<rect x="{_number(scene.left)}" y="{_number(scene.top)}" {size} {_fill("paper")}/>',
        *_lines(scene.bundles),
        *(_head(one) for one in scene.heads),
        *(line for group in scene.groups for line in _group(group)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style(scene: Scene) -> str:
    """Colours of dark paper; those of light paper are attributes, which every reader of SVG knows.

    Selectors begin with the class of the root, because a page that holds the picture gets the rules too.
    """
    rules = []
    for name in sorted(_inks(scene)):
        rules.append(f".{_ROOT} .f-{name}{{fill:{INKS[name][1]}}}")
        rules.append(f".{_ROOT} .s-{name}{{stroke:{INKS[name][1]}}}")
    return "@media (prefers-color-scheme:dark){" + "".join(rules) + "}"


def _inks(scene: Scene) -> set[str]:
    names = {"paper"} | {stroke.ink for bundle in scene.bundles for stroke in bundle}
    for group in scene.groups:
        names |= {name for frame in group.frames for name in (frame.fill, frame.ink)}
        names |= {text.ink for text in group.texts}
    return names


def _lines(bundles: Iterable[list[Stroke]]) -> Iterator[str]:
    for bundle in bundles:
        ways = [(stroke, "".join(_command(piece) for piece in stroke.pieces)) for stroke in bundle]
        halo = "".join(way for _, way in ways)
        yield f'<path d="{halo}" fill="none" {_stroke("paper")} stroke-width="3.8"/>'
        for dashed in (False, True):
            if together := "".join(way for stroke, way in ways if stroke.dashed == dashed):
                dashes = ' stroke-dasharray="5 4"' if dashed else ""
                yield f'<path d="{together}" fill="none" {_stroke(bundle[0].ink)} stroke-width="1.6"{dashes}/>'


def _command(piece: Piece) -> str:
    if isinstance(piece, Curve):
        return "C" + " ".join(_point(point) for point in (piece.first, piece.second, piece.end))
    return ("M" if isinstance(piece, Move) else "L") + _point(piece.end)


def _head(head: Head) -> str:
    first, second, third = (_point(corner) for corner in head.corners)
    return f'<path d="M{first}L{second}L{third}Z" {_fill(head.ink)}/>'


def _group(group: Group) -> Iterator[str]:
    yield f"<g><title>{_xml(group.title)}</title>"
    yield from (_frame(frame) for frame in group.frames)
    yield from (_text(text) for text in group.texts)
    yield "</g>"


def _frame(frame: Frame) -> str:
    names = ("x", "y", "width", "height", "rx")
    values = (frame.left, frame.top, frame.width, frame.height, frame.radius)
    place = " ".join(f'{name}="{_number(value)}"' for name, value in zip(names, values, strict=True))
    dashes = ' stroke-dasharray="6 4"' if frame.dashed else ""
    colours = f'class="f-{frame.fill} s-{frame.ink}" fill="{INKS[frame.fill][0]}" stroke="{INKS[frame.ink][0]}"'
    return f'<rect {place} {colours} stroke-width="1.3"{dashes}/>'


def _text(text: Text) -> str:
    weight = ' font-weight="600"' if text.weight == "bold" else ""
    place = f'x="{_number(text.left)}" y="{_number(text.base)}" font-size="{_number(text.size)}"'
    anchor = ' text-anchor="middle"' if text.centred else ""
    return f'<text {place}{anchor}{weight} xml:space="preserve" {_fill(text.ink)}>{_xml(text.words)}</text>'


def _fill(name: str) -> str:
    return f'class="f-{name}" fill="{INKS[name][0]}"'


def _stroke(name: str) -> str:
    return f'class="s-{name}" stroke="{INKS[name][0]}"'


def _point(point: tuple[float, float]) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _xml(words: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", words))


def _attribute(words: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", words))


# --- PNG and JPEG, drawn with Pillow (the extra `plot`); no network and no other program is needed --------

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


def _image(scene: Scene, kind: Literal["PNG", "JPEG"]) -> bytes:
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


# --- Mermaid: https://mermaid.js.org/syntax/flowchart.html ------------------------------------------------

_RESERVED = frozenset(
    {
        "end", "graph", "flowchart", "subgraph", "style", "linkstyle", "classdef", "class", "click", "call", "href",
        "default", "direction", "interpolate", "start", "lr", "rl", "tb", "td", "bt", "br", "o", "x",
    }
)  # fmt: skip
"""Words that mean something to Mermaid, or did so once: no names of nodes."""

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_CLASSES = {
    "DEPLOYMENT": ("box", "box-line", ""),
    "GATEWAY": ("gate", "gate-line", ""),
    "EXTERNAL": ("away", "away-line", "stroke-dasharray:6 4"),
    "JOIN": ("join", "join-line", ""),
    "pod": ("paper", "box-line", ""),
}


def _mermaid(picture: GraphPicture, *, vertical: bool = False) -> str:
    """A flow chart with one subgraph for each Executor, its replicas and shards inside; joins are plain nodes."""
    lines = ['%%{init: {"theme": "base", "themeVariables": {"lineColor": "#5d6b7a"}}}%%']
    lines.append(f"flowchart {'TD' if vertical else 'LR'};")
    for step in picture.steps:
        lines += _subgraph(step)
    lines += _edges(picture)
    for name, (fill, line, more) in _CLASSES.items():
        style = f"fill:{INKS[fill][0]},stroke:{INKS[line][0]},color:{INKS['text'][0]}" + (f",{more}" if more else "")
        lines.append(f"classDef {name} {style};")
    return "\n".join(lines) + "\n"


def _subgraph(step: StepPicture) -> Iterator[str]:
    name = _identifier(step.name)
    if step.joins:
        yield f'{name}(["{_quoted(step.name)}"]);'
        return
    yield f'subgraph {name}["{_quoted(_heading(step))}"];'
    yield "direction LR;"
    label = _quoted("<br/>".join([step.executor or "Executor", *_endpoint_lines(step)]))
    for shard in range(step.shards):
        inside = f"{name}/shard-{shard}"
        if step.shards > 1:
            yield f'subgraph {inside}["shard {shard}"];'
            yield "direction LR;"
        for replica in range(step.replicas):
            node = f"{inside if step.shards > 1 else name}/rep-{replica}"
            yield f'{node}["{label}"]:::pod;'
        if step.shards > 1:
            yield "end;"
    for part, executor in (("before", step.before), ("after", step.after)):
        if executor:
            yield f'{name}/uses_{part}-0["{_quoted(executor)}<br/>{part} the shards"]:::pod;'
    yield "end;"


def _heading(step: StepPicture) -> str:
    facts = [step.name, f"when {step.when}" if step.when else "", "floating" if step.floating else ""]
    return ", ".join([*filter(None, facts), *step.addresses[:1]])


def _endpoint_lines(step: StepPicture) -> list[str]:
    return [f"{one.path} {one.types}".rstrip() for one in step.endpoints]


def _edges(picture: GraphPicture) -> Iterator[str]:
    kinds = {step.name: _kind(step) for step in picture.steps}
    floating = {step.name for step in picture.steps if step.floating}
    for start, end in picture.edges:
        line = "-.->" if end in floating else "-->"
        yield f"{_end(start, kinds)} {line} {_end(end, kinds)};"
    for name in picture.ends:
        yield f"{_end(name, kinds)} --> gatewayend[gateway]:::GATEWAY;"


def _end(name: str, kinds: dict[str, str]) -> str:
    return "gatewaystart[gateway]:::GATEWAY" if name == GATEWAY else f"{_identifier(name)}:::{kinds[name]}"


def _kind(step: StepPicture) -> str:
    return "EXTERNAL" if step.external else "JOIN" if step.joins else "DEPLOYMENT"


def _identifier(name: str) -> str:
    plain = re.sub(r"\W", "_", name)
    return f"{plain}_" if plain.lower() in _RESERVED else plain


def _quoted(words: str) -> str:
    """Text that may stand between quotes; `<br/>` stays a new line."""
    lines = _UNSEEN.sub(" ", words).split("<br/>")
    return "<br/>".join(
        line.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;") for line in lines
    )
