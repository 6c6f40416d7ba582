"""The boxes of a picture: what stands in them and how large they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jina.export.picture import GraphPicture, StepPicture
from jina.export.scene import Frame, Group, Text, Weight, shortened, width_of

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
