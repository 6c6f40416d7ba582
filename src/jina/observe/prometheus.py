"""The counts of a process as metric families of `prometheus_client`; made again for each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)

from jina.observe import metrics as counts
from jina.observe.counters import (
    batch_families,
    consensus_families,
    cpu_seconds,
    open_files,
    resident_bytes,
    slot_families,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from jina.observe.metrics import EndpointMetrics, Metrics, StepLoad, UpstreamMetrics

__all__ = ["CollectorRegistry", "exposition", "families", "registry_of"]

_ENDPOINT = ["executor", "executor_endpoint", "runtime_name"]
_UPSTREAM = ["deployment", "runtime_name"]
_REPLICA = ["deployment", "replica", "runtime_name"]


class _Collector:
    """The counts of a process, and what collectors of the user's Executors measure."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from families(self._metrics)
        if counts.users is not None:
            yield from counts.users.collect()


def registry_of(metrics: Metrics) -> CollectorRegistry:
    """The registry that is scraped; users may register collectors of their own."""
    if metrics.registry is None:
        metrics.registry = CollectorRegistry(auto_describe=False)
        metrics.registry.register(_Collector(metrics))
    return metrics.registry


def exposition(metrics: Metrics, *, openmetrics: bool = True) -> bytes:
    """Everything as OpenMetrics text, or as that of Prometheus before it (version 0.0.4)."""
    return counts.written(registry_of(metrics), openmetrics=openmetrics)


def families(metrics: Metrics) -> Iterator[Metric]:
    """All of one process; those that can have no sample are left out."""
    endpoints = dict(metrics.endpoints)
    yield from _requests(metrics, endpoints)
    yield from _by_endpoint(metrics, endpoints)
    if batched := [(path, one.batches) for path, one in endpoints.items() if one.batches is not None]:
        rows = [([metrics.executor, path, metrics.process_name], batches) for path, batches in batched]
        yield from batch_families(_ENDPOINT, rows)
    if stepped := [(path, one.slots) for path, one in endpoints.items() if one.slots is not None]:
        slots = [([metrics.executor, path, metrics.process_name], counted) for path, counted in stepped]
        yield from slot_families(_ENDPOINT, slots)
    if upstreams := dict(metrics.upstreams):
        yield from _sending(metrics.process_name, upstreams)
        yield from _replicas(metrics.process_name, upstreams)
    if loads := metrics.loads():
        yield from _loads(metrics.process_name, loads)
    if metrics.consensus is not None:
        yield from consensus_families(metrics.process_name, metrics.consensus)
    yield from _own(metrics)
    yield from _process(metrics)


def _requests(metrics: Metrics, endpoints: Mapping[str, EndpointMetrics]) -> Iterator[Metric]:
    label, value, counted = ["runtime_name"], [metrics.process_name], list(endpoints.values())
    receiving = HistogramMetricFamily(
        "jina_receiving_request_seconds", "Seconds from a request's arrival to its reply", labels=label
    )
    whole = metrics.receiving()
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
    queued.add_metric(value, metrics.queued())
    yield queued
    restarts = CounterMetricFamily("jina_restarts", "Starts in the place of a process that ended", labels=label)
    restarts.add_metric(value, metrics.restarts)
    yield restarts
    ready = GaugeMetricFamily("jina_ready", "1 while the process is ready to serve, 0 otherwise", labels=label)
    ready.add_metric(value, int(metrics.ready()))
    yield ready


def _by_endpoint(metrics: Metrics, endpoints: Mapping[str, EndpointMetrics]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "jina_request_seconds", "Seconds from a request's arrival to its reply, by endpoint", labels=_ENDPOINT
    )
    received = SummaryMetricFamily("jina_received_request_bytes", "Bytes of documents received", labels=_ENDPOINT)
    former = SummaryMetricFamily("jina_request_size_bytes", "The same under its former name", labels=_ENDPOINT)
    sent = SummaryMetricFamily("jina_sent_response_bytes", "Bytes of documents sent", labels=_ENDPOINT)
    pending = GaugeMetricFamily("jina_requests_in_flight", "Requests not yet answered, by endpoint", labels=_ENDPOINT)
    errors = CounterMetricFamily(
        "jina_errors", "Requests answered with an error, by its class", labels=[*_ENDPOINT, "error"]
    )
    for path, one in endpoints.items():
        value = [metrics.executor, path, metrics.process_name]
        seconds.add_metric(value, one.seconds.cumulative(), one.seconds.total)
        received.add_metric(value, one.received.count, one.received.total)
        former.add_metric(value, one.received.count, one.received.total)
        sent.add_metric(value, one.sent.count, one.sent.total)
        pending.add_metric(value, one.in_flight)
        for name, count in list(one.failures.items()):
            errors.add_metric([*value, name], count)
    yield from (seconds, received, former, sent, pending, errors)
    if metrics.executor:
        yield from _handling(metrics, endpoints)


def _handling(metrics: Metrics, endpoints: Mapping[str, EndpointMetrics]) -> Iterator[Metric]:
    process = HistogramMetricFamily("jina_process_request_seconds", "Seconds in the Executor", labels=_ENDPOINT)
    waiting = HistogramMetricFamily(
        "jina_queue_seconds", "Seconds that requests waited before their handler began", labels=_ENDPOINT
    )
    documents = CounterMetricFamily("jina_document_processed", "Documents given to the Executor", labels=_ENDPOINT)
    for path, one in endpoints.items():
        value = [metrics.executor, path, metrics.process_name]
        process.add_metric(value, one.handler_seconds.cumulative(), one.handler_seconds.total)
        waiting.add_metric(value, one.queue_seconds.cumulative(), one.queue_seconds.total)
        documents.add_metric(value, one.documents)
    yield from (process, waiting, documents)


def _sending(process_name: str, upstreams: Mapping[str, UpstreamMetrics]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily("jina_sending_request_seconds", "Seconds until a worker's reply", labels=_UPSTREAM)
    sent = SummaryMetricFamily("jina_sent_request_bytes", "Bytes of documents sent to workers", labels=_UPSTREAM)
    received = SummaryMetricFamily("jina_received_response_bytes", "Bytes of documents from workers", labels=_UPSTREAM)
    for name, one in upstreams.items():
        value = [name, process_name]
        seconds.add_metric(value, one.seconds.cumulative(), one.seconds.total)
        sent.add_metric(value, one.sent.count, one.sent.total)
        received.add_metric(value, one.received.count, one.received.total)
    yield from (seconds, sent, received)


def _replicas(process_name: str, upstreams: Mapping[str, UpstreamMetrics]) -> Iterator[Metric]:
    up = GaugeMetricFamily("jina_replica_up", "1 while the replica answers the gateway, 0 otherwise", labels=_REPLICA)
    for name, one in upstreams.items():
        for replica, answers in one.up().items():
            up.add_metric([name, replica, process_name], int(answers))
    yield up


def _loads(process_name: str, loads: Mapping[str, StepLoad]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "jina_waiting_requests", "Requests that were not begun by a replica yet", labels=_UPSTREAM
    )
    seconds = GaugeMetricFamily("jina_wait_seconds", "Seconds that a request waits for a replica now", labels=_UPSTREAM)
    wanted = GaugeMetricFamily("jina_wanted_replicas", "Replicas that autoscale asks for", labels=_UPSTREAM)
    for name, load in loads.items():
        value = [name, process_name]
        waiting.add_metric(value, load.waiting)
        seconds.add_metric(value, load.wait)
        if load.wanted is not None:
            wanted.add_metric(value, load.wanted)
    yield from (waiting, seconds, wanted)


def _own(metrics: Metrics) -> Iterator[Metric]:
    """Of the user's `@monitor` and `monitor()`, and gauges that parts of jina gave."""
    for name, text, count, total in metrics.timed():
        family = SummaryMetricFamily(f"jina_{name}", text or "Seconds that a block took", labels=["runtime_name"])
        family.add_metric([metrics.process_name], count, total)
        yield family
    for name, (text, read) in list(metrics.gauges.items()):
        gauge = GaugeMetricFamily(f"jina_{name}", text, labels=["runtime_name"])
        gauge.add_metric([metrics.process_name], read())
        yield gauge


def _process(metrics: Metrics) -> Iterator[Metric]:
    """Under the names of Prometheus's own clients, which all dashboards know."""
    label, value = ["runtime_name"], [metrics.process_name]
    cpu = CounterMetricFamily("process_cpu_seconds", "Processor time of the process", labels=label)
    cpu.add_metric(value, cpu_seconds())
    yield cpu
    began = GaugeMetricFamily("process_start_time_seconds", "Unix time at which the process began", labels=label)
    began.add_metric(value, metrics.started)
    yield began
    memory = GaugeMetricFamily("process_resident_memory_bytes", "Resident memory of the process", labels=label)
    memory.add_metric(value, resident_bytes())
    yield memory
    files = GaugeMetricFamily("process_open_fds", "Open files, sockets and pipes of the process", labels=label)
    files.add_metric(value, open_files())
    yield files
