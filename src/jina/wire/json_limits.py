"""How deep a JSON text is nested, and how many documents it has, without building anything of it.

A list of a million empty documents has three megabytes of text, and a hundred times as much once it is parsed. Only the
brackets are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from typing import Any

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXTS = re.compile(rb'"[^"]*"')
_OTHERS = bytes(code for code in range(256) if code not in b'[]{}"')
_STEPS = bytes(2 if code in b"[{" else 0 for code in range(256))
"""By bracket: one more than what it does to the depth."""


def more_documents_than(limit: int, text: bytes) -> bool:
    """Whether an array has more than `limit` objects; a single object is one document."""
    if len(text) <= limit or text.count(b"{") <= limit:
        return False
    found = _brackets(text)
    outer = 2 if found[:1] == b"[" else 1
    opened = (True for depth, code in zip(_depths(found), found, strict=True) if depth == outer and code == 0x7B)
    return next(islice(opened, limit, None), False)


def deeper_than(limit: int, text: bytes) -> bool:
    """Whether more than `limit` arrays and objects are open at the same time."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    return any(depth > limit for depth in _depths(_brackets(text)))


def nested_deeper_than(limit: int, value: object) -> bool:
    """The same of parsed JSON."""
    level = _nested([value])
    for _ in range(limit):
        if not level:
            return False
        level = _nested(item for one in level for item in (one.values() if isinstance(one, dict) else one))
    return bool(level)


def more_values_than(limit: int, value: object) -> bool:
    """Whether all dicts and lists of parsed JSON together hold more than `limit` values; an empty one counts as 1."""
    total, level = 0, _nested([value])
    while level and total <= limit:
        total += sum(len(one) or 1 for one in level)
        level = _nested(item for one in level for item in (one.values() if isinstance(one, dict) else one))
    return total > limit


def more_values_in_text_than(limit: int, text: bytes) -> bool:
    """The same of a JSON text."""
    if text.count(b",") + text.count(b"{") + text.count(b"[") <= limit:
        return False
    if b"\\" in text:
        text = _ESCAPED.sub(b"", text)
    found = _TEXTS.sub(b"", text)
    return found.count(b",") + found.count(b"{") + found.count(b"[") > limit


def _nested(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _brackets(text: bytes) -> bytes:
    """Those of a JSON text, without those in its strings."""
    if b"\\" in text:
        text = _ESCAPED.sub(b"", text)
    return _TEXTS.sub(b"", text.translate(None, _OTHERS)).translate(None, b'"')


def _depths(found: bytes) -> Iterator[int]:
    """The depth after each bracket."""
    return accumulate(step - 1 for step in found.translate(_STEPS))
