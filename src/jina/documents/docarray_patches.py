"""Repairs of DocArray, made before user code is imported: `DocVec` with NumPy 2, nested lists on Python 3.12."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any, get_origin

from docarray import BaseDoc, DocList

_lock = threading.Lock()


def ensure_docvec() -> bool:
    """Repair DocArray's NumPy backend if it has the fault; whether it was repaired by this call.

    Called where a `DocVec` is about to be made, not on import; safe to call often and from several threads.
    """
    from docarray.computation.numpy_backend import NumpyCompBackend

    with _lock:
        if not _docvec_is_broken(NumpyCompBackend):
            return False
        _repair_docvec(NumpyCompBackend)
        return True


def _docvec_is_broken(backend: Any) -> bool:
    try:
        backend.empty((0,), device="cpu")
    except NotImplementedError:
        return True
    return False


def _repair_docvec(backend: Any) -> None:
    original = backend.empty.__func__

    def empty(cls: Any, shape: tuple[int, ...], dtype: Any = None, device: Any = None) -> Any:
        return original(cls, shape, dtype=dtype, device=None if device == "cpu" else device)

    backend.empty = classmethod(empty)


def ensure_nested_lists() -> bool:
    """Repair DocArray if it has the fault; whether it was repaired by this call.

    It only helps classes that are defined later, so it is called before user code is imported.
    """
    if sys.hexversion < 0x030C0000 or not _nested_lists_are_broken():
        return False
    original = DocList.__class_getitem__.__func__  # type: ignore[attr-defined]

    def subscribe(cls: Any, item: Any) -> Any:
        asked = item[0] if isinstance(item, tuple) and len(item) == 1 else item
        if "doc_type" in vars(cls) and cls.doc_type is asked:
            return types.GenericAlias(cls, asked)
        return original(cls, item)

    DocList.__class_getitem__ = classmethod(subscribe)  # type: ignore[assignment, method-assign]
    return True


def _nested_lists_are_broken() -> bool:
    try:
        typed: Any = get_origin(DocList[BaseDoc])
        typed[(BaseDoc,)]
    except TypeError:
        return True
    return False


def repair_docarray() -> None:
    """Let classes with nested lists be defined and tensors be stacked; imports docarray, safe to call often."""
    ensure_nested_lists()
    ensure_docvec()
