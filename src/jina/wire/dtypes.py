"""Dtypes by the names that come over the network."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_DTYPES: dict[str, np.dtype[Any]] = {}
_KEPT_DTYPES = 256  # remember no more than there are honest ones

_ONE_PART = re.compile(r"[<>=|]?[A-Za-z?][A-Za-z0-9_]*(\[[0-9A-Za-z/]+\])?")
"""A dtype of one part. What numpy reads as repeats or as Python, and how leniently, depends on its version."""


class BadTensor(ValueError):
    """The message does not describe a tensor, or the array cannot be described by one."""


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of that name; raises `BadTensor` for one that is none or does not travel."""
    if (known := _DTYPES.get(name)) is not None:
        return known
    if not _ONE_PART.fullmatch(name):
        raise BadTensor(f"{name!r} is not a dtype that travels")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError, Warning) as error:  # a warning where the program makes them errors
        raise BadTensor(f"{name!r} is not a dtype") from error
    if dtype.hasobject or dtype.kind == "V" or dtype.subdtype is not None:
        raise BadTensor(f"dtype {name!r} does not travel")
    if len(_DTYPES) < _KEPT_DTYPES:
        _DTYPES[name] = dtype
    return dtype
