"""Sending spans and numbers to a collector by OTLP: what `tracing=True` and `metrics=True` switch on.

Needs the extra `otel`. Where nothing says where the collector is, OpenTelemetry's own environment variables do
(https://opentelemetry.io/docs/specs/otel/protocol/exporter/), whose default is `localhost:4317`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from jina.errors import MissingExtra, install_command
from jina.observe import logs

if TYPE_CHECKING:
    from opentelemetry import metrics as otel_metrics
    from opentelemetry import trace as otel_trace

    from jina.observe.metrics import Metrics

    # The names under which other rooms know OpenTelemetry's types: they may not import it.
    Meter = otel_metrics.Meter
    MeterProvider = otel_metrics.MeterProvider
    Tracer = otel_trace.Tracer
    TracerProvider = otel_trace.TracerProvider

_LAST = 3.0
"""Seconds that what is left may take to leave when the process ends."""
_TIMEOUT = 5
"""Seconds that the collector gets to take what is sent."""
_log = logs.get_logger("telemetry")


class Telemetry(Protocol):
    """What `start` reads; `jina.plan.plans.TelemetryPlan` is one."""

    @property
    def tracing(self) -> bool:
        """Whether spans are exported."""
        ...

    @property
    def traces_endpoint(self) -> str:
        """`scheme://host:port` of their collector; empty for OpenTelemetry's default."""
        ...

    @property
    def metrics(self) -> bool:
        """Whether numbers are exported."""
        ...

    @property
    def metrics_endpoint(self) -> str:
        """`scheme://host:port` of their collector; empty for OpenTelemetry's default."""
        ...


class Exporters:
    """What was started for one process."""

    def __init__(self) -> None:
        self.counts: Metrics | None = None
        """The process's own numbers, once they are there."""
        self._ends: list[Callable[[], Any]] = []

    def on_stop(self, end: Callable[[], Any]) -> None:
        """Add a function that `stop` calls."""
        self._ends.append(end)

    def stop(self) -> None:
        """Send what is left, for a few seconds at most."""
        threads = [threading.Thread(target=end, daemon=True) for end in self._ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_LAST)
        self._ends.clear()


def start(plan: Telemetry, process_name: str) -> Exporters:
    """Start what the plan asks for, as OpenTelemetry's global providers; raises `MissingExtra` without the extra."""
    exporters = Exporters()
    if plan.tracing:
        _export_spans(plan.traces_endpoint, process_name, exporters)
    if plan.metrics:
        _export_numbers(plan.metrics_endpoint, process_name, exporters)
    return exporters


def _export_spans(endpoint: str, process_name: str, exporters: Exporters) -> None:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise _missing("tracing", error) from error
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), TracerProvider):
        _log.debug("spans go where the program's own OpenTelemetry SDK sends them")
        return
    provider = TracerProvider(resource=_resource(process_name), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**_target(endpoint))))
    trace.set_tracer_provider(provider)
    exporters.on_stop(provider.shutdown)


def _export_numbers(endpoint: str, process_name: str, exporters: Exporters) -> None:
    try:
        from opentelemetry.sdk.metrics import MeterProvider

        from jina.observe.otlp import provider_of
    except ImportError as error:
        raise _missing("metrics", error) from error
    from opentelemetry import metrics

    if isinstance(metrics.get_meter_provider(), MeterProvider):
        _log.debug("numbers go where the program's own OpenTelemetry SDK sends them")
        return
    provider = provider_of(_target(endpoint), _resource(process_name), lambda: exporters.counts)
    metrics.set_meter_provider(provider)
    exporters.on_stop(provider.shutdown)


def _target(endpoint: str) -> dict[str, Any]:
    timeout = {} if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else {"timeout": _TIMEOUT}
    if not endpoint:
        return timeout
    return {"endpoint": endpoint, "insecure": not endpoint.startswith("https://"), **timeout}


def _resource(process_name: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.name": process_name, "process.pid": os.getpid()})


def _missing(option: str, error: ImportError) -> MissingExtra:
    return MissingExtra(
        f"{option}: sending to a collector needs OpenTelemetry's SDK and OTLP exporter: {error}",
        help=install_command("otel"),
    )


def tracer_provider() -> TracerProvider:
    """The provider of tracers in use."""
    try:
        from opentelemetry import trace
    except ImportError:
        return cast("TracerProvider", _NOTHING)
    return trace.get_tracer_provider()


def meter_provider() -> MeterProvider:
    """The provider of meters in use."""
    try:
        from opentelemetry import metrics
    except ImportError:
        return cast("MeterProvider", _NOTHING)
    return metrics.get_meter_provider()


class _Nothing:
    """A provider, tracer, meter, span and instrument that does nothing: each attribute and each call gives itself.

    So `with tracer.start_as_current_span('a') as span: span.set_attribute('b', 1)` works, and as a decorator, too.
    """

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):  # what Python asks of objects, such as for copying them
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        if len(arguments) == 1 and callable(arguments[0]):
            return arguments[0]  # it decorates a function
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


_NOTHING = _Nothing()
