"""Search in a DocumentArray: exact nearest neighbours by embedding, distances of rows, and filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from docarray import BaseDoc

from jina.documents.document import (
    FIELDS,
    LEGACY_FIELDS,
    Document,
    NamedScore,
    as_document,
    blank_values,
    make_document,
    to_numpy,
)
from jina.documents.paths import read_path, stack
from jina.documents.query import Query
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


_BLOCK = 65_536  # columns compared at once, so that memory stays bounded


class Search(msgspec.Struct, frozen=True):
    """What the caller asked for, checked."""

    metric: Metric
    name: str
    limit: int | None
    normalization: tuple[float, float] | None = None
    exclude_self: bool = False
    only_id: bool = False
    block: int = _BLOCK


def check_options(where: str, options: dict[str, Any]) -> None:
    """Refuse options that a search does not have; those of DocArray 0.21 without effect here are accepted."""
    for name in ("use_scipy", "device", "num_worker", "index", "return_root", "on"):
        value = options.pop(name, None)
        if name in {"on", "return_root"} and value:
            raise ValueError(f"{where}: {name} needs an index over chunks, which a DocumentArray in memory has not")
    if options:
        name = next(iter(options))
        known = ["metric", "limit", "normalization", "metric_name", "batch_size", "exclude_self", "filter", "only_id"]
        near = nearest(name, known)
        raise TypeError(f"{where}: no option {name!r}" + (f"; did you mean {near!r}?" if near else ""))


def make_search(
    metric: str | Metric,
    limit: Any,
    metric_name: str | None,
    normalization: Any,
    exclude_self: bool,
    only_id: bool,
    batch_size: int | None,
) -> Search:
    """The options of a caller, checked; ConfigError for an unknown metric, ValueError for a bad number."""
    name, function = metric_of(metric)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} is less than 1")
    return Search(
        metric=function,
        name=metric_name or name,
        limit=checked_limit(limit),
        normalization=normalization,
        exclude_self=exclude_self,
        only_id=only_id,
        block=batch_size or _BLOCK,
    )


def checked_limit(limit: Any) -> int | None:
    """The largest number of results, None for all; ValueError for what is no such number."""
    if limit is None:
        return None
    if isinstance(limit, bool) or limit != int(limit) or limit < 1:
        raise ValueError(f"limit: {limit!r} is not a whole number above 0, nor None for all")
    return int(limit)


def queries_of(query: Any, docs: Sequence[Any]) -> tuple[list[Any], bool]:
    """The documents to search for, and whether the caller asked for a single one."""
    if isinstance(query, BaseDoc):
        return [query], False
    if isinstance(query, list | tuple) and query and isinstance(query[0], BaseDoc):
        return [as_document(doc) for doc in query], False
    if isinstance(query, str):
        raise ValueError(  # noqa: TRY004 - a search that exists elsewhere
            "find: a DocumentArray in memory has no text search; give an embedding or a filter"
        )
    array = np.asarray(query) if isinstance(query, list | tuple) else to_numpy(query)
    shape = next((doc.embedding.shape for doc in docs if doc.embedding is not None), array.shape)
    single = array.shape == shape or (array.ndim == 1)
    return [Document(embedding=row) for row in ([array] if single else array)], single


def filtered(docs: Sequence[Any], query: Mapping[str, Any] | None) -> Sequence[Any]:
    """The documents that pass the filter."""
    if query is None:
        return docs
    compiled = Query(query)
    _check_names(compiled, docs)
    return [doc for doc in docs if compiled.matches(reader(doc))]


def reader(doc: BaseDoc) -> Callable[[str], Any]:
    """What `Query.matches` asks a document with: its value at a path, None where there is none."""

    def read(path: str) -> Any:
        try:
            return read_path(doc, path)
        except AttributeError:
            return None

    return read


def _check_names(query: Query, docs: Sequence[Any]) -> None:
    """A name that no document has is a mistake, not a filter that nothing passes."""
    known = {*FIELDS, *LEGACY_FIELDS, "uri", "content", "content_type"}
    for name in query.names - known:
        if docs and not any(hasattr(doc, name) for doc in docs):
            near = nearest(name, known)
            hint = f"; did you mean {near!r}?" if near else f"; for a tag write 'tags__{name}'"
            raise AttributeError(f"filter: no document has {name!r}{hint}")


def nearest_of(queries: Sequence[Any], candidates: Sequence[Any], search: Search) -> list[list[Any]]:
    """The nearest candidates of each query, nearest first, as copies with their distance as score."""
    left = _matrix(queries)
    ids = [doc.id for doc in candidates]
    limit = search.limit
    if limit is not None and search.exclude_self:
        limit += 1
    nearest_rows = NearestRows(len(queries), limit)
    right = _matrix(candidates)
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"embeddings of {left.shape[1]} values cannot be compared with those of {right.shape[1]}")
    for offset in range(0, len(candidates), search.block):
        nearest_rows.add(_distances(search.metric, left, right[offset : offset + search.block]), offset)
    return [_matches(row, query, candidates, ids, nearest_rows, search) for row, query in enumerate(queries)]


def _matrix(docs: Sequence[Any]) -> Matrix:
    embeddings = [None if doc.embedding is None else to_numpy(doc.embedding) for doc in docs]
    for position, embedding in enumerate(embeddings):
        if embedding is None:
            raise ValueError(f"document {position} ({docs[position].id}) has no embedding to compare")
    return as_rows(stack(embeddings, "embedding"))


def _distances(metric: Metric, left: Matrix, right: Matrix) -> Matrix:
    distances = np.asarray(metric(left, right), dtype=np.float64)
    if distances.shape != (len(left), len(right)):
        raise ValueError(f"the metric gave shape {distances.shape} instead of ({len(left)}, {len(right)})")
    return distances


def _matches(
    row: int, query: Any, candidates: Sequence[Any], ids: list[Any], nearest_rows: NearestRows, search: Search
) -> list[Any]:
    distances = nearest_rows.distances[row]
    if search.normalization is not None:
        distances = nearest_rows.normalised(row, search.normalization)
    matches = []
    for position, distance in zip(nearest_rows.positions[row], distances, strict=True):
        if search.exclude_self and ids[position] == query.id:
            continue
        match = _shallow(candidates[position], only_id=search.only_id)
        match.scores[search.name] = NamedScore(float(distance))
        matches.append(match)
    return matches[: search.limit]


def _shallow(doc: Any, *, only_id: bool = False) -> Document:
    """A second Document with the same values, whose fields and scores can be changed without touching the first."""
    if only_id:
        return make_document(blank_values(doc.id))
    values = dict(doc.__dict__)
    if values["scores"] is not None:
        values["scores"] = dict(values["scores"])
    return make_document(values, dict(doc.__pydantic_extra__ or {}))
