"""Distances between rows of two matrices, and the nearest rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jina.errors import ConfigError, nearest

Matrix = np.ndarray[Any, np.dtype[Any]]
Metric = Callable[[Matrix, Matrix], Matrix]
"""Takes matrices of shape (n, d) and (m, d), gives the distances, shape (n, m); smaller is nearer."""


def cosine(left: Matrix, right: Matrix) -> Matrix:
    """One minus the cosine of the angle, 0 to 2; 1 for a vector of zeros, which has no direction."""
    return np.asarray(1.0 - np.clip(_unit(left) @ _unit(right).T, -1.0, 1.0))


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def sqeuclidean(left: Matrix, right: Matrix) -> Matrix:
    """The squared Euclidean distance."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(squares - 2.0 * (left @ right.T), 0.0))


def euclidean(left: Matrix, right: Matrix) -> Matrix:
    """The Euclidean distance."""
    return np.asarray(np.sqrt(sqeuclidean(left, right)))


METRICS: dict[str, Metric] = {"cosine": cosine, "euclidean": euclidean, "sqeuclidean": sqeuclidean}


def metric_of(metric: str | Metric) -> tuple[str, Metric]:
    """The name and the function of a metric given by name or as a function; ConfigError for an unknown name."""
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    if metric in METRICS:
        return metric, METRICS[metric]
    near = nearest(str(metric), METRICS)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(METRICS)}, or give a function"
    raise ConfigError(f"metric: no {metric!r}; {hint}")


def as_rows(array: Any) -> Matrix:
    """The embeddings as a matrix of floats, one row each; those of several dimensions are flattened.

    Computed in float64, so that the distance of a vector to itself does not drown in rounding.
    """
    rows = np.asarray(array)
    return np.ascontiguousarray(rows.reshape(rows.shape[0], -1), dtype=np.float64)


class NearestRows:
    """Collects, block by block, the nearest columns of each row, and the range of all distances."""

    def __init__(self, rows: int, limit: int | None) -> None:
        self.limit = limit
        self.distances: list[Matrix] = [np.empty(0) for _ in range(rows)]
        self.positions: list[Matrix] = [np.empty(0, dtype=np.int64) for _ in range(rows)]
        self.low = np.full(rows, np.inf)
        self.high = np.full(rows, -np.inf)

    def add(self, block: Matrix, offset: int) -> None:
        """Take the distances to columns `offset` and following; shape (rows, columns)."""
        self.low = np.minimum(self.low, block.min(axis=1))
        self.high = np.maximum(self.high, block.max(axis=1))
        columns = np.arange(offset, offset + block.shape[1])
        for row, distances in enumerate(block):
            joined = np.concatenate([self.distances[row], distances])
            places = np.concatenate([self.positions[row], columns])
            order = _smallest(joined, self.limit)
            self.distances[row] = joined[order]
            self.positions[row] = places[order]

    def normalised(self, row: int, bounds: Sequence[float]) -> Matrix:
        """The distances of a row, with the range of all its distances mapped onto `bounds`."""
        low, high = bounds
        width = self.high[row] - self.low[row]
        share = (self.distances[row] - self.low[row]) / width if width > 0 else np.zeros_like(self.distances[row])
        return np.asarray(low + share * (high - low))


def _smallest(distances: Matrix, limit: int | None) -> Matrix:
    """Positions of the smallest distances in order; equal ones keep the order in which they came."""
    if limit is None or limit >= len(distances):
        return np.argsort(distances, kind="stable")
    bound = np.partition(distances, limit - 1)[limit - 1]
    candidates = np.flatnonzero(distances <= bound)
    return candidates[np.argsort(distances[candidates], kind="stable")][:limit]
