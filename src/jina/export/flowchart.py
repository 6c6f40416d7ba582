"""Pictures of a Flow in every format: the entry point of this part of the room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from jina.errors import ConfigError, nearest
from jina.export import mermaid, raster, svg
from jina.export.drawing import draw
from jina.export.picture import EndpointLike, GraphPicture, picture_of, picture_text
from jina.plan.plans import FlowPlan

Shown = GraphPicture | FlowPlan
"""A picture, or the plan from which it is made."""


def to_svg(shown: Shown, *, vertical: bool = False) -> str:
    """One self-contained SVG, readable on light and on dark paper."""
    return svg.to_svg(draw(_picture(shown), vertical=vertical))


def to_png(shown: Shown, *, vertical: bool = False) -> bytes:
    """A PNG with two pixels to a CSS pixel. Raises `NotSupportedError` without the extra `plot`."""
    return raster.to_image(draw(_picture(shown), vertical=vertical), "PNG")


def to_jpeg(shown: Shown, *, vertical: bool = False) -> bytes:
    """The same as JPEG."""
    return raster.to_image(draw(_picture(shown), vertical=vertical), "JPEG")


def to_mermaid(shown: Shown, *, vertical: bool = False) -> str:
    """A Mermaid flow chart."""
    return mermaid.to_mermaid(_picture(shown), vertical=vertical)


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
        wrong = f"{suffix!r} is no format of pictures" if suffix else "a picture needs a suffix that tells the format"
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
