"""How many requests a process takes on at a time, when those that it refuses should come again, and what it counts."""

from __future__ import annotations

import time
from asyncio import CancelledError
from types import TracebackType
from typing import Any, Self

from jina.errors import Overloaded
from jina.observe.metrics import EndpointMetrics
from jina.observe.traces import RequestSpan
from jina.runtime.process import LARGE, MemoryTrimmer

_WEIGHT = 0.1
"""What the newest request counts in the average."""
_SOONEST, _LATEST = 0.05, 30.0
"""Seconds between which the hint lies."""


class Admission:
    """The limits of one process: at most `inflight` requests in work or waiting, `queue` of them waiting."""

    __slots__ = ("_inflight", "_name", "_queue", "_seconds", "open", "trimmer")

    def __init__(self, name: str, inflight: int, queue: int | None = None) -> None:
        self._name = name
        self._inflight = inflight
        self._queue = inflight if queue is None else queue
        self._seconds = 0.0
        self.open = 0
        """How many are observed now."""
        self.trimmer = MemoryTrimmer()

    def check(self, inflight: int, backlog: int = 0) -> None:
        """Raise `Overloaded` where `inflight` requests are there already, or a new one would make the `backlog` too
        long.

        `backlog` is how many would wait if one more came.
        """
        if inflight >= self._inflight:
            text = f"has {inflight} requests in work or waiting, which is its limit (max_inflight)"
        elif backlog > self._queue:
            text = f"has {backlog - 1} requests waiting for a handler, which is its limit (max_queue)"
        else:
            return
        raise Overloaded(f"{self._name} {text}", retry_after=self.hint)

    def ended(self, seconds: float) -> None:
        """A request was answered after so long."""
        self._seconds += (seconds - self._seconds) * (_WEIGHT if self._seconds else 1.0)

    @property
    def hint(self) -> float:
        """Seconds after which a request should be admitted: as long as one takes at present."""
        return min(max(self._seconds, _SOONEST), _LATEST)


class Observed:
    """What a worker or a gateway keeps of one request while it is in work, as a context manager.

    Its metrics, its span where there is one, and how long it took, which `admission` learns. `size` is that of the
    documents that came. A stream is in work until it is closed; for how long says nothing about other requests.
    """

    __slots__ = ("_admission", "_counts", "_size", "_span", "_streamed", "parts", "started")

    def __init__(
        self,
        counts: EndpointMetrics,
        size: int,
        admission: Admission,
        span: RequestSpan | None,
        *,
        streamed: bool = False,
    ) -> None:
        self._counts = counts
        self._size = size
        self._admission = admission
        self._span = span
        self._streamed = streamed
        self.started = 0.0
        """In `time.perf_counter()` seconds."""
        self.parts: Any = None
        """What is known of its way, where somebody looks; see `jina.observe.observation`."""

    def __enter__(self) -> Self:
        counts, size, admission = self._counts, self._size, self._admission
        received = counts.received
        received.count += 1
        received.total += size
        counts.in_flight += 1
        admission.open += 1
        if size >= LARGE:
            admission.trimmer.used()
        self.started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        counts, admission, seconds = self._counts, self._admission, time.perf_counter() - self.started
        counts.in_flight -= 1
        admission.open -= 1
        failure = None
        if kind is None:
            counts.ended(seconds)
            if not self._streamed:
                admission.ended(seconds)
        else:
            failure = "Cancelled" if issubclass(kind, (CancelledError, GeneratorExit)) else kind.__name__
            counts.ended(seconds, failure)
        if counts.on_end is not None:
            counts.on_end(seconds, failure or "", self.parts)
        if self._span is not None:
            self._span.end(None if kind is GeneratorExit else error)
