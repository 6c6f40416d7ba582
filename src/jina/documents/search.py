"""Search in a DocumentArray: exact nearest neighbours by embedding, distances of rows, and filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from docarray import BaseDoc

from jina.documents.base import DocumentList, T_doc, as_document, shallow, stack
from jina.documents.document import FIELDS, LEGACY_FIELDS, Document, NamedScore, to_numpy
from jina.documents.paths import read_path
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
_UNLIMITED = object()


@dataclass(frozen=True)
class _Search:
    """What the caller asked for, checked."""

    metric: Metric
    name: str
    limit: int | None
    normalization: tuple[float, float] | None = None
    exclude_self: bool = False
    only_id: bool = False
    block: int = _BLOCK


class Matching(DocumentList[T_doc]):
    """The part of DocumentArray that searches."""

    def match(  # noqa: PLR0913, PLR0917 - the signature of DocArray 0.21
        self,
        darray: Sequence[Any],
        metric: str | Metric = "cosine",
        limit: float | None = 20,
        normalization: tuple[float, float] | None = None,
        metric_name: str | None = None,
        batch_size: int | None = None,
        exclude_self: bool = False,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - as above
        only_id: bool = False,
        **options: Any,
    ) -> None:
        """Fill `matches` of each document with the nearest documents of `darray`, by embedding.

        A match is a copy with `scores[metric]` set; earlier matches are replaced. `metric` is 'cosine',
        'euclidean', 'sqeuclidean' or a function of two matrices (n, d) and (m, d) that gives distances (n, m).
        `limit` is the largest number of matches (None: all). `normalization=(a, b)` maps the range of the
        distances onto a to b. `exclude_self` leaves out the document itself. `only_id` keeps only the matches'
        ids. `filter` is a query that the documents of `darray` must pass. `batch_size` bounds how many of them
        are compared at once. ValueError when an embedding is missing.
        """
        _check_options("match", options)
        search = _search(metric, limit, metric_name, normalization, exclude_self, only_id, batch_size)
        if not len(self) or not len(darray):
            return
        found = _nearest(self, _filtered(darray, filter), search)
        for doc, matches in zip(self, found, strict=True):
            doc.matches = type(self).construct(matches)

    def find(
        self,
        query: Any = None,
        metric: str | Metric = "cosine",
        limit: Any = _UNLIMITED,
        metric_name: str | None = None,
        exclude_self: bool = False,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - as above
        only_id: bool = False,
        **options: Any,
    ) -> Any:
        """Search this array: by a filter (a dict) or by the nearest embeddings.

        For a vector (an array of the embeddings' shape or a list of numbers) the result is one DocumentArray; for a
        matrix, a Document or a DocumentArray a list with one DocumentArray per query. Options are those of
        `match`, `limit` 20 by default. For a filter the result is the array of all documents that pass,
        at most `limit`. Both together search among those that pass.
        """
        normalization = options.pop("normalization", None)
        _check_options("find", options)
        if isinstance(query, Mapping) and not isinstance(query, BaseDoc):
            if filter is not None:
                raise ValueError("find: give the filter once, as `query` or as `filter`")
            query, filter = None, query  # noqa: A001 - as above
        if query is None:
            if filter is None:
                raise ValueError("find: give a query (embeddings or documents) or a filter")
            limit = None if limit is _UNLIMITED else _checked_limit(limit)
            return type(self).construct(list(_filtered(self, filter))[:limit])
        limit = 20 if limit is _UNLIMITED else limit
        search = _search(metric, limit, metric_name, normalization, exclude_self, only_id, None)
        queries, single = _queries(query, self)
        candidates = _filtered(self, filter)
        found = _nearest(queries, candidates, search) if candidates else [[] for _ in queries]
        results = [type(self).construct(docs) for docs in found]
        return results[0] if single else results


def _check_options(where: str, options: dict[str, Any]) -> None:
    for name in ("use_scipy", "device", "num_worker", "index", "return_root", "on"):
        value = options.pop(name, None)
        if name in {"on", "return_root"} and value:
            raise ValueError(f"{where}: {name} needs an index over chunks, which a DocumentArray in memory has not")
    if options:
        name = next(iter(options))
        known = ["metric", "limit", "normalization", "metric_name", "batch_size", "exclude_self", "filter", "only_id"]
        near = nearest(name, known)
        raise TypeError(f"{where}: no option {name!r}" + (f"; did you mean {near!r}?" if near else ""))


def _search(
    metric: str | Metric,
    limit: Any,
    metric_name: str | None,
    normalization: Any,
    exclude_self: bool,
    only_id: bool,
    batch_size: int | None,
) -> _Search:
    name, function = metric_of(metric)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} is less than 1")
    return _Search(
        metric=function,
        name=metric_name or name,
        limit=_checked_limit(limit),
        normalization=normalization,
        exclude_self=exclude_self,
        only_id=only_id,
        block=batch_size or _BLOCK,
    )


def _checked_limit(limit: Any) -> int | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or limit != int(limit) or limit < 1:
        raise ValueError(f"limit: {limit!r} is not a whole number above 0, nor None for all")
    return int(limit)


def _queries(query: Any, docs: Sequence[Any]) -> tuple[list[Any], bool]:
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


def _filtered(docs: Sequence[Any], query: Mapping[str, Any] | None) -> Sequence[Any]:
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


def _nearest(queries: Sequence[Any], candidates: Sequence[Any], search: _Search) -> list[list[Any]]:
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
        raise ValueError(f"the metric gave shape {distances.shape} where ({len(left)}, {len(right)}) is due")
    return distances


def _matches(
    row: int, query: Any, candidates: Sequence[Any], ids: list[Any], nearest_rows: NearestRows, search: _Search
) -> list[Any]:
    distances = nearest_rows.distances[row]
    if search.normalization is not None:
        distances = nearest_rows.normalised(row, search.normalization)
    matches = []
    for position, distance in zip(nearest_rows.positions[row], distances, strict=True):
        if search.exclude_self and ids[position] == query.id:
            continue
        match = shallow(candidates[position], only_id=search.only_id)
        match.scores[search.name] = NamedScore(float(distance))
        matches.append(match)
    return matches[: search.limit]
