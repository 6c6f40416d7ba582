"""How long documents take to read and to write: what takes long is done on threads, away from both loops.

A hand-over to a third thread costs more than it saves where the work is short, and tensors are: 4 MiB of them are
read or written in some 2 milliseconds, 500 small documents as well, and 256 KiB of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jina.wire.bulk_reading import has_large_flat_values
from jina.wire.payloads import BytesPayload, JsonPayload, ProtoPayload

if TYPE_CHECKING:
    from jina.wire.messages import Payload

LARGE = 256 * 1024
"""Bytes from which JSON and nested documents take long."""

LARGE_FLAT = 4 * 1024 * 1024
"""Bytes from which tensors, bytes and texts in protobuf take long."""

MANY = 500
"""Documents that take long whatever their size."""

_FLAT_CONTENT = frozenset({"text", "blob", "ndarray", "integer", "float", "boolean", None})
_FLAT = (str, bytes, int, float, np.ndarray, type(None))
_SIZED = frozenset({str, bytes, list, tuple, dict, set})
_SMALL = frozenset({int, float, bool, type(None)})


def size_of(payload: Payload) -> int:
    """Bytes of the documents as they came in; 0 where they did not come as bytes."""
    if isinstance(payload, ProtoPayload):
        return payload.size if payload.size is not None else payload.message.ByteSize()
    if isinstance(payload, BytesPayload):
        return len(payload.data)
    raw = payload._raw if isinstance(payload, JsonPayload) else None  # noqa: SLF001 - to_json() would write parsed ones
    return 0 if raw is None else len(raw)


def slow_to_decode(payload: Payload, size: int) -> bool:
    """Whether documents of `size` bytes take long to decode; judged by the first one. May raise `BadRequest`."""
    if size <= LARGE:
        return False
    if size > LARGE_FLAT:
        return True
    if isinstance(payload, BytesPayload):
        if has_large_flat_values(payload.data):
            return False
        payload = payload.parsed()
    if not isinstance(payload, ProtoPayload):
        return True
    docs = payload.message.docs
    return len(docs) > MANY or not all(
        node.WhichOneof("content") in _FLAT_CONTENT for doc in docs[:1] for node in doc.data.values()
    )


def slow_to_encode(docs: Any, *, as_json: bool) -> bool:
    """Whether documents take long to encode; a guess from the first one."""
    for doc in docs:
        size, flat = 64, True
        for value in vars(doc).values():
            kind = type(value)
            if kind in _SIZED:
                size += len(value)
            elif kind not in _SMALL:
                size += getattr(value, "nbytes", 64)
            flat = flat and isinstance(value, _FLAT)
        size *= len(docs)
        if as_json or not flat:
            return size > LARGE
        return size > LARGE_FLAT or (size > LARGE and len(docs) > MANY)
    return False
