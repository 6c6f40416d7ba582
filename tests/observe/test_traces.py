"""Spans of requests, with a real SDK in a process of its own (loading it switches tracing on)."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed", exc_type=ImportError)


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_span_has_the_callers_parent_and_is_current_for_the_handler():
    run("""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from jina.observe import traces

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    span = traces.begin("/foo", {"traceparent": parent}, {"jina.executor": "Exec"})
    span.attach()
    with trace.get_tracer("user").start_as_current_span("inner"):
        pass
    span.end(ValueError("bad"))
    inner, outer = exporter.get_finished_spans()
    assert f"{outer.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert inner.parent.span_id == outer.context.span_id
    assert outer.attributes["jina.executor"] == "Exec"
    assert outer.status.status_code.name == "ERROR"
    assert outer.events[0].name == "exception"
    """)


def test_a_handler_gets_the_tracing_context_and_spans_of_users_nest():
    run("""
    import asyncio
    from docarray import BaseDoc, DocList
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from jina import Executor, requests
    from jina.plan.plans import ExecutorPlan, WorkerPlan
    from jina.runtime.service import WorkerService
    from jina.wire.messages import Request
    from jina.wire.payloads import BytesPayload

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    class Text(BaseDoc):
        text: str = ""

    class Traced(Executor):
        @requests(on="/x")
        async def x(self, docs: DocList[Text], tracing_context, **kwargs) -> DocList[Text]:
            with self.tracer.start_as_current_span("by context", context=tracing_context):
                pass
            with self.tracer.start_as_current_span("by itself"):
                pass

    async def main():
        loop = asyncio.get_running_loop()
        plan = WorkerPlan(name="w", deployment="w", executor=ExecutorPlan(), faces=[])
        service = WorkerService(Traced(), plan, protocol_loop=loop, user_loop=loop)
        await service.call(Request("/x", BytesPayload(b"")))

    asyncio.run(main())
    first, second, whole = exporter.get_finished_spans()
    assert whole.name == "/x"
    assert first.parent.span_id == second.parent.span_id == whole.context.span_id
    """)
