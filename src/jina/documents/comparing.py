"""When two documents are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from docarray import BaseDoc

from jina.documents.contents import is_empty, stored_items
from jina.documents.fields import to_numpy


def equal_documents(one: BaseDoc, other: object) -> bool:
    """Whether both are documents with equal fields, ids included; empty fields count as not set."""
    if one is other:
        return True
    if not isinstance(other, BaseDoc):
        return False
    ours = {name: value for name, value in stored_items(one) if not is_empty(value)}
    theirs = {name: value for name, value in stored_items(other) if not is_empty(value)}
    return ours.keys() == theirs.keys() and all(equal_values(ours[name], theirs[name]) for name in ours)


def equal_values(one: Any, other: Any) -> bool:
    """Equality that also works for arrays, and for lists and dicts that hold some."""
    if _is_array(one) or _is_array(other):
        return _is_array(one) and _is_array(other) and _equal_arrays(to_numpy(one), to_numpy(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_values(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal_values, one, other))
    return bool(one == other)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "get_comp_backend")


def _equal_arrays(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))
