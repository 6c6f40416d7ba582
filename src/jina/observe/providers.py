"""OpenTelemetry's global providers, for Executors that make spans and metrics of their own.

Without an SDK configured by the user they do nothing; see https://opentelemetry.io/docs/specs/otel/overview/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


def tracer_provider() -> TracerProvider:
    """The provider of tracers in use."""
    from opentelemetry import trace

    return trace.get_tracer_provider()


def meter_provider() -> MeterProvider:
    """The provider of meters in use."""
    from opentelemetry import metrics

    return metrics.get_meter_provider()
