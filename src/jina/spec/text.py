"""What a piece of text means as a value: on command lines, and where variables of YAML files were filled in."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPECIAL: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_PAIR: Final = re.compile(r"([^:=]+)[:=](.*)", re.DOTALL)


def value_of(text: str) -> Any:
    """The value that `text` spells: whole number, number, true or false, list, JSON object, nothing, or text.

    Quotes around the whole make it text (`'1'` is not a number). A whole number with leading zeros, signs or
    underscores stays text: it is an identifier, not an amount.
    """
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    if stripped[:1] == "[" and stripped[-1:] == "]":
        return _list_of(stripped)
    if stripped[:1] == "{" and stripped[-1:] == "}":
        return _json_or(stripped, text)
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    if _NUMBER.fullmatch(stripped) and not stripped.lstrip("+-").isdigit():
        return float(stripped)
    if stripped.lower() in {"true", "false"}:
        return stripped.lower() == "true"
    return _SPECIAL.get(stripped, text if stripped else None)


def _list_of(text: str) -> list[Any]:
    parsed = _json_or(text, None)
    if isinstance(parsed, list):
        return parsed
    inside = text[1:-1].strip()
    return [value_of(item.strip()) for item in inside.split(",")] if inside else []


def read_json(text: str) -> Any:
    """The value of JSON text; raises ValueError, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _json_or(text: str, otherwise: Any) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return otherwise


def mapping_of(words: list[str]) -> dict[str, Any]:
    """`["a:1", "b=x"]` or one JSON object as a mapping; values are read by `value_of`.

    Raises ValueError for a word that is neither.
    """
    found: dict[str, Any] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            parsed = read_json(word)
            if not isinstance(parsed, dict):
                raise ValueError(f"{word!r} is not a JSON object")
            found |= parsed
            continue
        key, value = pair_of(word)
        found[key] = value_of(value)
    return found


def pair_of(word: str) -> tuple[str, str]:
    """`A=1` or `A: 1` as `("A", "1")`; raises ValueError for a word that is neither."""
    match = _PAIR.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is neither key:value, key=value nor a JSON object")
    return match[1].strip(), match[2].lstrip()
