"""Tables of options for the documentation."""

from __future__ import annotations

from typing import Any

from jina.spec.aliases import aliases_of
from jina.spec.base import Spec, descriptions
from jina.spec.form import group_of, type_name
from jina.spec.options import InternalOptions
from jina.spec.rules import UNAVAILABLE


def option_tables(model: type[Spec]) -> str:
    """Every option of a spec in Markdown: a heading and a table for each group, with types, defaults, old names."""
    texts = descriptions(model)
    groups: dict[str, list[str]] = {}
    for name in model.model_fields:
        _, heading = group_of(model, name)
        groups.setdefault(heading, []).append(_row(model, name, texts.get(name, "")))
    head = "| option | type | default | meaning |\n| --- | --- | --- | --- |"
    return "\n\n".join(f"### {heading}\n\n{head}\n" + "\n".join(rows) for heading, rows in groups.items()) + "\n"


def _row(model: type[Spec], name: str, text: str) -> str:
    field = model.model_fields[name]
    old = [f"`{alias}`" for alias, option in aliases_of(model.model_fields).items() if option == name]
    notes = [text]
    if old:
        notes.append(f"Also {', '.join(old)}.")
    if name in UNAVAILABLE and name not in InternalOptions.model_fields:
        notes.append("Not available yet.")
    default = "required" if field.is_required() else _default(field.default, field.default_factory is not None)
    return (
        f"| `{field.alias or name}` | {type_name(field)} | {default} | {' '.join(notes).replace('|', chr(92) + '|')} |"
    )


def _default(value: Any, from_environment: bool) -> str:
    if from_environment:
        return "see meaning"
    return "unset" if value is None else f"`{value!r}`"
