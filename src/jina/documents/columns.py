"""Columns: one field of many documents, read as a list or one array, and set at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jina.documents.fields import to_numpy
from jina.documents.paths import delete_path, read_path, write_path

STACKED = frozenset({"tensor", "embedding"})


def read_column(docs: Sequence[Any], path: str) -> Any:
    """The values of one field or attribute path.

    A list with one value per document. `tensor` and `embedding` come stacked: one array of shape
    (documents, *shape), None when no document has one. ValueError when only some have one, or shapes differ.
    """
    if path in STACKED:
        return stack([doc.__dict__[path] for doc in docs], path)
    if path == "content":
        return _contents(docs)
    return [read_path(doc, path) for doc in docs]


def _contents(docs: Sequence[Any]) -> Any:
    kinds = {doc.content_type for doc in docs}
    if kinds == {"tensor"}:
        return stack([doc.tensor for doc in docs], "tensor")
    return None if kinds <= {None} else [doc.content for doc in docs]


def stack(values: Sequence[Any], name: str) -> Any:
    """The tensors as one array of their framework (a plain NumPy array for NumPy); None when all are None."""
    missing = [position for position, value in enumerate(values) if value is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(f"document {missing[0]} has no {name}, others have: they cannot be stacked")
    if all(isinstance(value, np.ndarray) for value in values):
        return _stack_numpy([to_numpy(value) for value in values], name)
    backend = values[0].get_comp_backend()
    return backend.stack(list(values))


def _stack_numpy(arrays: list[np.ndarray[Any, Any]], name: str) -> np.ndarray[Any, Any]:
    for position, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"the {name} of document {position} has shape {array.shape}, that of document 0 {arrays[0].shape}:"
                " they cannot be stacked"
            )
    return np.stack(arrays)


def write_column(docs: Sequence[Any], path: str, values: Any) -> None:
    """Set one field of each document.

    `values` has one value per document; a single str, bytes or dict, or None, is set on all of them.
    ValueError when the numbers differ.
    """
    for doc, value in zip(docs, _spread(values, len(docs), path), strict=True):
        write_path(doc, path, value)


def _spread(values: Any, size: int, path: str) -> Sequence[Any]:
    if values is None or isinstance(values, str | bytes | int | float):
        return [values] * size
    if isinstance(values, dict):
        return [dict(values) for _ in range(size)]
    given = values if hasattr(values, "__len__") else list(values)
    if len(given) != size:
        raise ValueError(f"{len(given)} values of {path} for {size} documents")
    return given


def delete_column(docs: Sequence[Any], path: str) -> None:
    """Unset one field of each document."""
    for doc in docs:
        delete_path(doc, path)


class Column:
    """An attribute of a DocumentArray that stands for one field of its documents."""

    def __init__(self, field: str, *, stacked: bool = True) -> None:
        self.field = field
        self.stacked = stacked

    def __get__(self, docs: Any, owner: type) -> Any:
        if docs is None:
            return self
        if self.stacked:
            return read_column(docs, self.field)
        return [getattr(doc, self.field) for doc in docs]

    def __set__(self, docs: Any, values: Any) -> None:
        write_column(docs, self.field, values)

    def __delete__(self, docs: Any) -> None:
        delete_column(docs, self.field)
