"""Tables and headings of options for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jina.config.base import Spec, aliases_of, descriptions
from jina.config.command_line import group_of, type_name
from jina.config.options import ServiceOptions
from jina.config.rules import UNAVAILABLE


class _Option(NamedTuple):
    """One option in words."""

    name: str
    type: str
    default: str
    meaning: str


def option_tables(model: type[Spec]) -> str:
    """Every option of a spec in Markdown: a heading and a table for each group, with types, defaults, old names."""
    head = "| option | type | default | meaning |\n| --- | --- | --- | --- |"
    return _blocks(f"### {heading}\n\n{head}\n{_rows(options)}" for heading, options in _groups(model).items())


def option_sections(model: type[Spec], level: int = 3, *, besides: Sequence[type[Spec]] = ()) -> str:
    """Every option of a spec in Markdown, each under a heading of its own that links can name.

    `level` is that of the groups' headings; the options are one below. Options that mean the same in a spec of
    `besides` are left out.
    """
    names = own_options(model, besides)
    groups = {
        heading: [option for option in options if option.name in names] for heading, options in _groups(model).items()
    }
    return _blocks(
        f"{'#' * level} {heading}\n\n{_blocks(_section(option, level + 1) for option in options)}"
        for heading, options in groups.items()
        if options
    )


def own_options(model: type[Spec], besides: Sequence[type[Spec]]) -> set[str]:
    """The options, as users write them, that no spec of `besides` has with the same meaning."""
    texts, others = descriptions(model), [descriptions(other) for other in besides]
    return {
        field.alias or name
        for name, field in model.model_fields.items()
        if name not in model.made_by_methods and all(other.get(name) != texts.get(name) for other in others)
    }


def _section(option: _Option, level: int) -> str:
    return f"{'#' * level} `{option.name}`\n\n{option.type}, default: {option.default}\n\n{option.meaning}"


def _rows(options: list[_Option]) -> str:
    return "\n".join(
        f"| `{option.name}` | {option.type} | {option.default} | {option.meaning.replace('|', chr(92) + '|')} |"
        for option in options
    )


def _blocks(texts: Any) -> str:
    return "\n\n".join(text.strip("\n") for text in texts) + "\n"


def _groups(model: type[Spec]) -> dict[str, list[_Option]]:
    """Heading of each group -> its options."""
    texts = descriptions(model)
    groups: dict[str, list[_Option]] = {}
    for name in (name for name in model.model_fields if name not in model.made_by_methods):
        heading = group_of(model, name)
        groups.setdefault(heading, []).append(_option(model, name, texts.get(name, "")))
    return groups


def _option(model: type[Spec], name: str, text: str) -> _Option:
    field = model.model_fields[name]
    old = [f"`{alias}`" for alias, option in aliases_of(model.model_fields).items() if option == name]
    notes = [text]
    if old:
        notes.append(f"Also {', '.join(old)}.")
    if name in UNAVAILABLE and name not in ServiceOptions.INTERNAL.names:
        notes.append("Not available yet.")
    default = "required" if field.is_required() else _default(field.default, field.default_factory is not None)
    return _Option(field.alias or name, type_name(field), default, " ".join(notes))


def _default(value: Any, from_environment: bool) -> str:
    if from_environment:
        return "see meaning"
    return "unset" if value is None else f"`{value!r}`"
