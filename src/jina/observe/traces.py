"""Spans of requests through OpenTelemetry's API; no cost where no SDK is loaded.

The SDK (exporter, sampler) is configured by `tracing=True` (see `exporters`), by `opentelemetry-instrument`, or by the
user in the Executor's `__init__`. The caller's context comes and goes as headers
(https://www.w3.org/TR/trace-context/): a gateway makes a span of each request and of each time it is sent on, a worker
one of each request and, below it, one of the handler's work. A write of a stateful Executor has one until a majority
has it, and one on each replica that applies it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Self

HEADERS = ("traceparent", "tracestate", "baggage")
"""What tells a receiver the span that is the parent of its own."""

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from jina.observe.exporters import Meter, MeterProvider, Tracer, TracerProvider


class RequestSpan:
    """One span, which ends with the block of a `with`; `context` is what handlers get as `tracing_context`."""

    __slots__ = ("_request", "_work", "context")

    def __init__(self, span: Span, context: Context) -> None:
        self._request = span
        self._work: Span | None = None
        self.context = context

    def attach(self, name: str = "", attributes: Mapping[str, str] | None = None) -> None:
        """Make the span the current one in the caller's `contextvars` context; with a name, a child of it."""
        from opentelemetry import context, trace

        if name:
            self._work = trace.get_tracer("jina").start_span(
                name, context=self.context, attributes=dict(attributes or {})
            )
            self.context = trace.set_span_in_context(self._work, self.context)
        context.attach(self.context)

    @property
    def span(self) -> Span:
        """OpenTelemetry's own."""
        return self._request

    def handled(self, error: BaseException | None = None) -> None:
        """The child that `attach` made is over; without a child nothing happens."""
        work, self._work = self._work, None
        if work is not None:
            _end(work, error)

    def end(self, error: BaseException | None = None) -> None:
        """Close the span; `error` is recorded with its traceback."""
        self.handled(error)
        _end(self._request, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end(None if kind is GeneratorExit else error)  # a stream that its reader closed has not failed

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with this span as the parent of what the receiver does."""
        return outgoing(headers, self.context)


SDK = "opentelemetry.sdk.trace"
"""The module of OpenTelemetry's SDK: while it is not loaded, spans go nowhere."""


def active() -> bool:
    """Whether an OpenTelemetry SDK is loaded, so that spans go anywhere."""
    return SDK in sys.modules


def begin(
    name: str,
    headers: Mapping[str, str],
    attributes: Mapping[str, str | int],
    *,
    sending: bool = False,
    inside: bool = False,
) -> RequestSpan | None:
    """Start the span of a request, or of sending one; None where no OpenTelemetry SDK is loaded.

    `headers` have lower-case names; the parent is read from them by the configured propagators. Without one there it
    is the current span, such as that of a web framework around us. `inside` is a part of the work on a request, neither
    sent nor received.
    """
    if not active():
        return None
    from opentelemetry import context, propagate, trace

    parent = propagate.extract(headers, context.get_current())
    kind = trace.SpanKind.CLIENT if sending else trace.SpanKind.INTERNAL if inside else trace.SpanKind.SERVER
    span = trace.get_tracer("jina").start_span(name, context=parent, kind=kind, attributes=dict(attributes))
    return RequestSpan(span, trace.set_span_in_context(span, parent))


def begin_batch(name: str, requests: Sequence[RequestSpan]) -> RequestSpan:
    """Start the span of a batch: below that of its first request, linked to those of the others."""
    from opentelemetry import trace

    first = requests[0].context
    links = [trace.Link(one.span.get_span_context()) for one in requests[1:]]
    span = trace.get_tracer("jina").start_span(
        name, context=first, links=links, attributes={"jina.batch.requests": len(requests)}
    )
    return RequestSpan(span, trace.set_span_in_context(span, first))


def outgoing(headers: Mapping[str, str], context: Context | None = None) -> dict[str, str]:
    """The headers, and what tells the receiver the span of `context`, or the current one; to be asked if `active`."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    return {**headers, **carrier}


def _end(span: Span, error: BaseException | None) -> None:
    if error is not None:
        from opentelemetry.trace import Status, StatusCode

        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
    span.end()


class Instrumented:
    """What classes of users have of OpenTelemetry."""

    runtime_args: SimpleNamespace

    @functools.cached_property
    def tracer_provider(self) -> TracerProvider:
        """OpenTelemetry's provider of tracers."""
        from jina.observe import exporters

        return getattr(self.runtime_args, "tracer_provider", None) or exporters.tracer_provider()

    @functools.cached_property
    def meter_provider(self) -> MeterProvider:
        """OpenTelemetry's provider of meters."""
        from jina.observe import exporters

        return getattr(self.runtime_args, "meter_provider", None) or exporters.meter_provider()

    @functools.cached_property
    def tracer(self) -> Tracer:
        """OpenTelemetry tracer for spans of your own."""
        return self.tracer_provider.get_tracer(type(self).__name__)

    @functools.cached_property
    def meter(self) -> Meter:
        """OpenTelemetry meter for metrics of your own."""
        return self.meter_provider.get_meter(type(self).__name__)
