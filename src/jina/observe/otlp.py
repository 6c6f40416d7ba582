"""The counts of a process as OpenTelemetry's metric data, sent together with what users measure by `self.meter`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from jina.observe import prometheus

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

    from jina.observe.metrics import Metrics

_TOTAL = AggregationTemporality.CUMULATIVE
_INTERVAL = 15_000
"""Milliseconds between two exports, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise."""


def provider_of(target: dict[str, Any], resource: Any, counts: Callable[[], Metrics | None]) -> MeterProvider:
    """A provider that exports our counts and those of users in one go; `target` says where the collector is.

    `counts` is called for each export; None means that there are none of ours yet.
    """
    interval = None if os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") else _INTERVAL
    reader = PeriodicExportingMetricReader(_Exporter(target, counts), export_interval_millis=interval)
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    began = time.monotonic()
    # Where users measure nothing, nothing else would be there to be exported.
    provider.get_meter("jina.uptime").create_observable_gauge(
        "jina_uptime_seconds",
        [lambda _: [Observation(time.monotonic() - began)]],
        unit="s",
        description="Seconds since the process began to export",
    )
    return provider


class _Exporter(OTLPMetricExporter):
    """Adds our counts to what it sends."""

    def __init__(self, target: dict[str, Any], counts: Callable[[], Metrics | None]) -> None:
        super().__init__(**target)
        self._counts = counts

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Send both."""
        counts = self._counts()
        if counts is not None and metrics_data.resource_metrics:
            # Of several parts with one resource the exporter would send the last alone.
            first, *more = metrics_data.resource_metrics
            own = ScopeMetrics(scope=InstrumentationScope("jina"), metrics=_metrics(counts), schema_url="")
            metrics_data = MetricsData([replace(first, scope_metrics=[*first.scope_metrics, own]), *more])
        return super().export(metrics_data, timeout_millis, **kwargs)


def _metrics(counts: Metrics) -> list[Metric]:
    now, began = time.time_ns(), int(counts.started * 1e9)
    return [one for family in prometheus.families(counts) if (one := _metric(family, began, now)) is not None]


def _metric(family: Family, began: int, now: int) -> Metric | None:
    """A family as OpenTelemetry has it; None where there is no sample."""
    data: Any
    if family.type == "histogram":
        data = Histogram(data_points=_histograms(family, began, now), aggregation_temporality=_TOTAL)
    elif family.type == "summary":
        return _count_and_sum(family, began, now)
    else:
        counting = family.type == "counter"
        points = [_point(one.labels, one.value, began, now) for one in family.samples]
        data = Sum(points, _TOTAL, is_monotonic=True) if counting else Gauge(points)
    if not data.data_points:
        return None
    return Metric(name=family.name, description=family.documentation, unit=_unit(family.name), data=data)


def _point(labels: dict[str, str], value: float, began: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(attributes=dict(labels), start_time_unix_nano=began, time_unix_nano=now, value=value)


def _count_and_sum(family: Family, began: int, now: int) -> Metric | None:
    """OTLP's summaries are for old formats alone: one is a histogram with a single bucket."""
    points = [_as_histogram(labels, [("+Inf", found["count"])], found["sum"], began, now)
              for labels, found in _grouped(family)]  # fmt: skip
    if not points:
        return None
    data = Histogram(data_points=points, aggregation_temporality=_TOTAL)
    return Metric(name=family.name, description=family.documentation, unit=_unit(family.name), data=data)


def _histograms(family: Family, began: int, now: int) -> list[HistogramDataPoint]:
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[str, float]]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            buckets.setdefault(tuple(labels.items()), []).append((sample.labels["le"], sample.value))
    sums = {tuple(labels.items()): found["sum"] for labels, found in _grouped(family)}
    return [_as_histogram(dict(key), rows, sums[key], began, now) for key, rows in buckets.items()]


def _grouped(family: Family) -> list[tuple[dict[str, str], dict[str, float]]]:
    """By labels: the values of the samples `_count` and `_sum`."""
    found: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        kind = sample.name.rpartition("_")[2]
        if kind in {"count", "sum"}:
            found.setdefault(tuple(sample.labels.items()), {})[kind] = sample.value
    return [(dict(key), values) for key, values in found.items()]


def _as_histogram(
    labels: dict[str, str], cumulative: list[tuple[str, float]], total: float, began: int, now: int
) -> HistogramDataPoint:
    below, counts = 0, []
    for _, count in cumulative:
        counts.append(int(count) - below)
        below = int(count)
    return HistogramDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=below,
        sum=total,
        bucket_counts=counts,
        explicit_bounds=[float(bound) for bound, _ in cumulative if bound != "+Inf"],
        min=0,
        max=0,
    )


def _unit(name: str) -> str:
    return "s" if name.endswith("_seconds") else "By" if name.endswith("_bytes") else "1"
