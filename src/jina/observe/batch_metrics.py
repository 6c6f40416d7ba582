"""What is counted of the batches of one endpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the sizes of batches, in documents."""

WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the waiting, in seconds."""


class Buckets:
    """How many samples fell between bounds; one more bucket holds what is above."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one sample."""
        self.total += value
        self.counts[bisect_left(self.bounds, value)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds and how many samples were not above each."""
        below, rows = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            rows.append((bound, float(below)))
        return rows


class BatchMetrics:
    """Sizes of batches in documents, how long each request waited for its batch, and how many wait now.

    Written by one thread only.
    """

    __slots__ = ("sizes", "waiting", "waits")

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.sizes = Buckets(SIZES)
        self.waits = Buckets(WAITS)
        self.waiting = waiting

    def observe(self, size: int, waits: Iterable[float]) -> None:
        """One batch has been run."""
        self.sizes.observe(size)
        for wait in waits:
            self.waits.observe(wait)


def batch_families(labels: list[str], endpoints: Iterable[tuple[list[str], BatchMetrics]]) -> Iterator[Metric]:
    """The samples as metric families; `endpoints` holds the values of the labels with the counts."""
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    sizes = HistogramMetricFamily("jina_batch_size", "Documents in a batch", labels=labels)
    waits = HistogramMetricFamily("jina_batch_wait_seconds", "Seconds that a request waited for its batch to begin",
                                  labels=labels)  # fmt: skip
    waiting = GaugeMetricFamily("jina_batch_queue_depth", "Requests that wait for a batch", labels=labels)
    for values, one in endpoints:
        sizes.add_metric(values, one.sizes.cumulative(), one.sizes.total)
        waits.add_metric(values, one.waits.cumulative(), one.waits.total)
        waiting.add_metric(values, one.waiting())
    yield from (sizes, waits, waiting)
