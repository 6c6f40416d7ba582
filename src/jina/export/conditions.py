"""`when` conditions in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SIGNS = {"$eq": "=", "$ne": "≠", "$gt": ">", "$gte": "≥", "$lt": "<", "$lte": "≤", "$in": "in", "$nin": "not in"}
_SIGNS |= {"$regex": "matches", "$size": "has size"}
_JOINED = {"$and": " and ", "$or": " or "}


def words_of(when: Mapping[str, Any] | None) -> str:
    """`tags__price > 3 and (text = 'a' or text = 'b')`; empty for no condition.

    `when` is in the query language of DocArray: https://docs.docarray.org/API_reference/utils/filter/
    """
    return _all(when, inner=False) if when else ""


def _all(when: Mapping[str, Any], *, inner: bool) -> str:
    parts = [_one(key, value, alone=len(when) == 1 and not inner) for key, value in when.items()]
    text = " and ".join(parts)
    return f"({text})" if inner and len(parts) > 1 else text


def _one(key: str, value: Any, *, alone: bool) -> str:
    if key in _JOINED and isinstance(value, list | tuple):
        text = _JOINED[key].join(_all(one, inner=True) for one in value)
        return text if alone or len(value) < 2 else f"({text})"
    if key == "$not" and isinstance(value, Mapping):
        return f"not ({_all(value, inner=False)})"
    if isinstance(value, Mapping) and value and all(str(name).startswith("$") for name in value):
        return " and ".join(_compared(key, sign, operand) for sign, operand in value.items())
    return f"{key} = {value!r}"


def _compared(field: str, sign: str, operand: Any) -> str:
    if sign == "$exists":
        return f"{field} exists" if operand else f"{field} is missing"
    if sign == "$not" and isinstance(operand, Mapping):
        return f"not ({_one(field, operand, alone=True)})"
    return f"{field} {_SIGNS.get(sign, sign)} {operand!r}"
