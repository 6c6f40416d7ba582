"""Spans of requests through OpenTelemetry's API; no cost where no SDK is loaded.

Users configure the SDK (exporter, sampler) themselves, in the Executor's `__init__` or by
`opentelemetry-instrument`; jina takes the caller's `traceparent` (https://www.w3.org/TR/trace-context/), makes one
span a request and hands its context on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


class RequestSpan:
    """One span; `context` is what handlers get as `tracing_context`."""

    __slots__ = ("_span", "context")

    def __init__(self, span: Span, context: Context) -> None:
        self._span = span
        self.context = context

    def attach(self) -> None:
        """Make the span the current one in the caller's `contextvars` context."""
        from opentelemetry import context

        context.attach(self.context)

    @property
    def span(self) -> Span:
        """OpenTelemetry's own."""
        return self._span

    def end(self, error: BaseException | None = None) -> None:
        """Close the span; `error` is recorded with its traceback."""
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self._span.end()


def active() -> bool:
    """Whether an OpenTelemetry SDK is loaded, so that spans go anywhere."""
    return "opentelemetry.sdk.trace" in sys.modules


def begin(name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> RequestSpan | None:
    """Start the span of a request; None where no OpenTelemetry SDK is loaded.

    `headers` have lower-case names; the parent is read from them by the configured propagators.
    """
    if not active():
        return None
    from opentelemetry import propagate, trace

    parent = propagate.extract(headers)
    span = trace.get_tracer("jina").start_span(
        name, context=parent, kind=trace.SpanKind.SERVER, attributes=dict(attributes)
    )
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
