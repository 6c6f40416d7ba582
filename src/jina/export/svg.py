"""A scene as SVG 1.1: one file without references, readable on light and on dark paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from jina.export.scene import INKS, Curve, Frame, Group, Head, Move, Piece, Scene, Stroke, Text

_FONTS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_ROOT = "jina-flow"
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold: https://www.w3.org/TR/xml/#charsets"""


def to_svg(scene: Scene) -> str:
    """The picture as one `<svg>` element; colours follow `prefers-color-scheme`."""
    view = " ".join(_number(value) for value in (scene.left, scene.top, scene.width, scene.height))
    size = f'width="{_number(scene.width)}" height="{_number(scene.height)}"'
    root = f'class="{_ROOT}" {size} viewBox="{view}" role="img" font-family="{_FONTS}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {root} aria-label={_attribute(scene.title)}>',
        f"<title>{_escaped(scene.title)}</title>",
        f"<desc>{_escaped(scene.description)}</desc>",
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
    yield f"<g><title>{_escaped(group.title)}</title>"
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
    return f'<text {place}{anchor}{weight} xml:space="preserve" {_fill(text.ink)}>{_escaped(text.words)}</text>'


def _fill(name: str) -> str:
    return f'class="f-{name}" fill="{INKS[name][0]}"'


def _stroke(name: str) -> str:
    return f'class="s-{name}" stroke="{INKS[name][0]}"'


def _point(point: tuple[float, float]) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _escaped(words: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", words))


def _attribute(words: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", words))
