"""Functions over the documents of an array: map, apply, and both by batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from jina.documents.base import DocumentList, T_doc, as_document
from jina.errors import ConfigError


class Applying(DocumentList[T_doc]):
    """The part of DocumentArray that runs functions over documents.

    `backend` is 'thread' or 'process' (the function and the documents are then pickled), `num_worker` the number
    of either (default: one per core); `pool` is one of yours with `imap` or `map`, used instead.
    """

    def batch(self, batch_size: int, shuffle: bool = False, show_progress: bool = False) -> Iterator[Self]:
        """Arrays of at most `batch_size` documents each, in order or shuffled."""
        order = _order(len(self), batch_size, shuffle=shuffle)
        for start in _progress(range(0, len(self), batch_size), "batches", show_progress):
            yield type(self).construct([list.__getitem__(self, place) for place in order[start : start + batch_size]])

    def batch_ids(self, batch_size: int, shuffle: bool = False) -> Iterator[list[str]]:
        """As `batch`, the ids only."""
        for docs in self.batch(batch_size, shuffle):
            yield [str(doc.id) for doc in docs]

    def map(
        self,
        func: Callable[[Any], Any],
        backend: str = "thread",
        num_worker: int | None = None,
        show_progress: bool = False,
        pool: Any = None,
    ) -> Iterator[Any]:
        """What `func` gives for each document, in order."""
        results = _run(func, list(self), backend, num_worker, pool)
        yield from _progress(results, "documents", show_progress, total=len(self))

    def map_batch(
        self,
        func: Callable[[Any], Any],
        batch_size: int,
        backend: str = "thread",
        num_worker: int | None = None,
        shuffle: bool = False,
        show_progress: bool = False,
        pool: Any = None,
    ) -> Iterator[Any]:
        """What `func` gives for each batch, in order."""
        batches = list(self.batch(batch_size, shuffle))
        results = _run(func, batches, backend, num_worker, pool)
        yield from _progress(results, "batches", show_progress, total=len(batches))

    def apply(self, func: Callable[[Any], Any], *args: Any, **options: Any) -> Self:
        """Replace each document by what `func` gives for it, and return this array; options of `map`."""
        self.replace_all(_checked(self.map(func, *args, **options)))
        return self

    def apply_batch(self, func: Callable[[Any], Any], batch_size: int, *args: Any, **options: Any) -> Self:
        """Replace the documents by those that `func` gives for each batch, and return this array."""
        batches = self.map_batch(func, batch_size, *args, **options)
        self.replace_all([doc for docs in batches for doc in _checked_batch(docs)])
        return self


def _order(size: int, batch_size: int, *, shuffle: bool) -> list[int]:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size: {batch_size!r} is not a whole number above 0")
    order = list(range(size))
    if shuffle:
        random.shuffle(order)
    return order


def _run(func: Any, items: Sequence[Any], backend: str, num_worker: int | None, pool: Any) -> Iterator[Any]:
    if pool is not None:
        yield from (pool.imap if hasattr(pool, "imap") else pool.map)(func, items)
    elif backend == "thread":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(num_worker) as threads:
            yield from threads.map(func, items)
    elif backend == "process":
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # Never fork: a process that serves has threads, and their locks would be copied as they are.
        with ProcessPoolExecutor(num_worker, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield from processes.map(func, items)
    else:
        raise ConfigError(f"backend: {backend!r} is not 'thread' or 'process'")


def _progress(items: Any, description: str, show: bool, total: int | None = None) -> Any:
    if not show:
        return items
    from rich.progress import track

    return track(items, description=description, total=total)


def _checked(results: Iterator[Any]) -> list[Any]:
    docs = list(results)
    if any(doc is None for doc in docs):
        raise TypeError("apply: the function gave None for a document; it must return one")
    return [as_document(doc) for doc in docs]


def _checked_batch(docs: Any) -> Any:
    if docs is None:
        raise TypeError("apply_batch: the function gave None for a batch; it must return documents")
    return docs
