"""OpenTelemetry's global providers, for Executors that make spans and metrics of their own.

Without an SDK configured by the user they do nothing; see https://opentelemetry.io/docs/specs/otel/overview/. The API
comes with the extra `otel`: without it there are stand-ins that do nothing either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


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
