"""Counts and times of one process, under the names that Jina 3's dashboards know.

A request costs a few additions to plain Python numbers; `prometheus_client` is loaded and its families are made
only when somebody scrapes.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from jina.observe.batch_metrics import BatchMetrics, batch_families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds; one more bucket holds what is above."""

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Summary:
    """How often and how much in sum; seconds or bytes."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one sample."""
        self.count += 1
        self.total += value


class Histogram(Summary):
    """A summary that also counts per bucket of `BUCKETS`."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        super().__init__()
        self.counts = [0] * (len(BUCKETS) + 1)

    def observe(self, value: float) -> None:
        """Add one sample, in seconds."""
        self.count += 1
        self.total += value
        self.counts[bisect_left(BUCKETS, value)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds and how many samples were not above each."""
        below, rows = 0, []
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], self.counts, strict=True):
            below += count
            rows.append((bound, float(below)))
        return rows


class EndpointMetrics:
    """What is counted for one endpoint. Written by one thread only, so that no lock is needed.

    `seconds` is from the arrival of a request to its reply, `handler_seconds` what the Executor took of it,
    `failures` counts by the error's class name.
    """

    __slots__ = (
        "batches", "documents", "failures", "handler_seconds", "in_flight", "received", "seconds", "sent", "succeeded"
    )  # fmt: skip

    def __init__(self) -> None:
        self.batches: BatchMetrics | None = None
        """Of an endpoint that gathers requests."""
        self.seconds = Histogram()
        self.handler_seconds = Histogram()
        self.received = Summary()
        self.sent = Summary()
        self.documents = 0
        self.succeeded = 0
        self.in_flight = 0
        self.failures: dict[str, int] = {}

    def ended(self, seconds: float, failure: str | None = None) -> None:
        """One request is answered after `seconds`; `failure` is the class name of the error, if it failed."""
        self.seconds.observe(seconds)
        if failure is None:
            self.succeeded += 1
        else:
            self.failures[failure] = self.failures.get(failure, 0) + 1


class HopMetrics:
    """What a gateway counts for the requests that it sends to one Deployment; written by one thread only."""

    __slots__ = ("received", "seconds", "sent")

    def __init__(self) -> None:
        self.seconds = Histogram()
        self.sent = Summary()
        self.received = Summary()


class Metrics:
    """All counts of one process; `process_name` is the label `runtime_name`."""

    def __init__(self, process_name: str, executor: str = "") -> None:
        self.process_name = process_name
        self.executor = executor
        self.queued: Callable[[], int] = lambda: 0
        self.restarts = 0
        """How often a process was started in the place of one that ended by itself."""
        self._endpoints: dict[str, EndpointMetrics] = {}
        self._hops: dict[str, HopMetrics] = {}
        self._registry: CollectorRegistry | None = None

    def endpoint(self, path: str) -> EndpointMetrics:
        """The counts of one endpoint; the same object each time."""
        found = self._endpoints.get(path)
        return found if found is not None else self._endpoints.setdefault(path, EndpointMetrics())

    def hop(self, deployment: str) -> HopMetrics:
        """The counts of what is sent to one Deployment; the same object each time."""
        found = self._hops.get(deployment)
        return found if found is not None else self._hops.setdefault(deployment, HopMetrics())

    @property
    def done(self) -> int:
        """Grows whenever a request gets on: with each reply, also those of streams, and each error."""
        return sum(one.seconds.count + one.sent.count for one in list(self._endpoints.values()))

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that is scraped; users may register collectors of their own."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry

            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(_Collector(self))
        return self._registry

    def exposition(self) -> bytes:
        """Everything as OpenMetrics text."""
        from prometheus_client.openmetrics.exposition import generate_latest

        return cast("bytes", generate_latest(self.registry))  # type: ignore[no-untyped-call]

    def families(self) -> Iterator[Metric]:
        """The samples as metric families of `prometheus_client`."""
        yield from self._process_families()
        yield from self._endpoint_families()
        if self._hops:
            yield from self._hop_families()
        yield from _timer_families(self.process_name)

    def _process_families(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        label, value, counted = ["runtime_name"], [self.process_name], list(self._endpoints.values())
        receiving = HistogramMetricFamily(
            "jina_receiving_request_seconds", "Seconds from a request's arrival to its reply", labels=label
        )
        whole = Histogram()
        for one in counted:
            whole.count += one.seconds.count
            whole.total += one.seconds.total
            whole.counts = [a + b for a, b in zip(whole.counts, one.seconds.counts, strict=True)]
        receiving.add_metric(value, whole.cumulative(), whole.total)
        yield receiving
        succeeded = CounterMetricFamily("jina_successful_requests", "Requests answered without an error", labels=label)
        succeeded.add_metric(value, sum(one.succeeded for one in counted))
        yield succeeded
        failed = CounterMetricFamily("jina_failed_requests", "Requests answered with an error", labels=label)
        failed.add_metric(value, sum(sum(one.failures.values()) for one in counted))
        yield failed
        pending = GaugeMetricFamily("jina_number_of_pending_requests", "Requests not yet answered", labels=label)
        pending.add_metric(value, sum(one.in_flight for one in counted))
        yield pending
        queued = GaugeMetricFamily("jina_number_of_queued_requests", "Requests that wait for a thread", labels=label)
        queued.add_metric(value, self.queued())
        yield queued
        restarts = CounterMetricFamily("jina_restarts", "Starts in the place of a process that ended", labels=label)
        restarts.add_metric(value, self.restarts)
        yield restarts

    def _endpoint_families(self) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
            SummaryMetricFamily,
        )

        labels = ["executor", "executor_endpoint", "runtime_name"]
        process = HistogramMetricFamily("jina_process_request_seconds", "Seconds in the Executor", labels=labels)
        documents = CounterMetricFamily("jina_document_processed", "Documents given to the Executor", labels=labels)
        received = SummaryMetricFamily("jina_received_request_bytes", "Bytes of documents received", labels=labels)
        sent = SummaryMetricFamily("jina_sent_response_bytes", "Bytes of documents sent", labels=labels)
        pending = GaugeMetricFamily("jina_requests_in_flight", "Requests not yet answered", labels=labels)
        errors = CounterMetricFamily("jina_errors", "Requests answered with an error", labels=[*labels, "error"])
        for path, one in list(self._endpoints.items()):
            value = [self.executor, path, self.process_name]
            process.add_metric(value, one.handler_seconds.cumulative(), one.handler_seconds.total)
            documents.add_metric(value, one.documents)
            received.add_metric(value, one.received.count, one.received.total)
            sent.add_metric(value, one.sent.count, one.sent.total)
            pending.add_metric(value, one.in_flight)
            for name, count in one.failures.items():
                errors.add_metric([*value, name], count)
        yield from (process, documents, received, sent, pending, errors)
        if batched := [(path, one.batches) for path, one in list(self._endpoints.items()) if one.batches is not None]:
            rows = [([self.executor, path, self.process_name], batches) for path, batches in batched]
            yield from batch_families(labels, rows)

    def _hop_families(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily, SummaryMetricFamily

        labels = ["deployment", "runtime_name"]
        seconds = HistogramMetricFamily("jina_sending_request_seconds", "Seconds until a worker's reply", labels=labels)
        sent = SummaryMetricFamily("jina_sent_request_bytes", "Bytes of documents sent to workers", labels=labels)
        received = SummaryMetricFamily("jina_received_response_bytes", "Bytes of documents from workers", labels=labels)
        for name, one in list(self._hops.items()):
            value = [name, self.process_name]
            seconds.add_metric(value, one.seconds.cumulative(), one.seconds.total)
            sent.add_metric(value, one.sent.count, one.sent.total)
            received.add_metric(value, one.received.count, one.received.total)
        yield from (seconds, sent, received)


class _Collector:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()


_timers: dict[str, tuple[str, Summary]] = {}
_timers_lock = threading.Lock()


@contextmanager
def timer(name: str, documentation: str = "") -> Generator[None]:
    """Time the block as the summary `jina_<name>` of this process; any thread, nested at will."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        with _timers_lock:
            if (known := _timers.get(name)) is None:
                known = _timers[name] = (documentation, Summary())
            known[1].observe(seconds)


def _timer_families(process_name: str) -> Iterator[Metric]:
    from prometheus_client.core import SummaryMetricFamily

    with _timers_lock:
        rows = [(name, text, one.count, one.total) for name, (text, one) in _timers.items()]
    for name, text, count, total in rows:
        family = SummaryMetricFamily(f"jina_{name}", text, labels=["runtime_name"])
        family.add_metric([process_name], count, total)
        yield family
