"""Makes DocArray's `DocVec` of tensors work with NumPy 2.

Cause: NumPy 2.0 gave `numpy.ndarray` the attribute `device` of the array API standard, always 'cpu'
(https://github.com/numpy/numpy/pull/25233). DocArray up to 0.41 builds a tensor column by
`backend.empty(shape, dtype, device=tensor.device if hasattr(tensor, 'device') else None)`, and its NumPy backend
refuses any device: `NotImplementedError: Numpy does not support devices (GPU).` So each `DocVec` with a NumPy tensor
fails, on construction as on `to_doc_vec`.

There is no setting for it and the call sits in the middle of `DocVec.__init__`, so the one function at fault is
wrapped: for NumPy the device 'cpu' counts as none. Any other device is refused as before.
"""

from __future__ import annotations

import threading
from typing import Any

_lock = threading.Lock()


def ensure_docvec() -> bool:
    """Repair DocArray's NumPy backend if it has the fault; whether it was repaired by this call.

    Called where a `DocVec` is about to be made, not on import; safe to call often and from several threads.
    """
    from docarray.computation.numpy_backend import NumpyCompBackend

    with _lock:
        if not _is_at_fault(NumpyCompBackend):
            return False
        _repair(NumpyCompBackend)
        return True


def _is_at_fault(backend: Any) -> bool:
    try:
        backend.empty((0,), device="cpu")
    except NotImplementedError:
        return True
    return False


def _repair(backend: Any) -> None:
    original = backend.empty.__func__

    def empty(cls: Any, shape: tuple[int, ...], dtype: Any = None, device: Any = None) -> Any:
        return original(cls, shape, dtype=dtype, device=None if device == "cpu" else device)

    backend.empty = classmethod(empty)
