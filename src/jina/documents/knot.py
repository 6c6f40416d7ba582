"""The one knot of this room: a Document holds DocumentArrays, which hold Documents.

`array` imports `document` as usual; the way back is found at run time, here.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def array_class() -> Any:
    """The class DocumentArray."""
    return importlib.import_module("jina.documents.array").DocumentArray
