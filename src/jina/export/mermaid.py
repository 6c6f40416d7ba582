"""A picture as Mermaid text: https://mermaid.js.org/syntax/flowchart.html."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jina.export.picture import GATEWAY, GraphPicture, StepPicture
from jina.export.scene import INKS

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


def to_mermaid(picture: GraphPicture, *, vertical: bool = False) -> str:
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
        yield f'{name}(["{_escaped(step.name)}"]);'
        return
    yield f'subgraph {name}["{_escaped(_heading(step))}"];'
    yield "direction LR;"
    label = _escaped("<br/>".join([step.executor or "Executor", *_endpoint_lines(step)]))
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
            yield f'{name}/uses_{part}-0["{_escaped(executor)}<br/>{part} the shards"]:::pod;'
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


def _escaped(words: str) -> str:
    """Text that may stand between quotes; `<br/>` stays a new line."""
    lines = _UNSEEN.sub(" ", words).split("<br/>")
    return "<br/>".join(
        line.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;") for line in lines
    )
