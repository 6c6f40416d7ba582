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


@pytest.mark.slow
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
    from jina.worker.service import WorkerService
    from jina.codec.messages import Request
    from jina.codec.payloads import BytesPayload

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
        plan = WorkerPlan(name="w", deployment="w", executor=ExecutorPlan(), listeners=[])
        service = WorkerService(Traced(), plan, protocol_loop=loop, user_loop=loop)
        await service.call(Request("/x", BytesPayload(b"")))

    asyncio.run(main())
    first, second, handler, whole = exporter.get_finished_spans()
    assert (handler.name, whole.name) == ("Traced.x", "/x")
    assert first.parent.span_id == second.parent.span_id == handler.context.span_id
    assert handler.parent.span_id == whole.context.span_id
    """)


def test_a_batch_is_a_child_of_its_first_request_with_links_to_the_others():
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
    spans = [traces.begin("/foo", {}, {}) for _ in range(3)]
    batch = traces.begin_batch("batch", spans)
    batch.attach("Exec.foo")
    batch.handled()
    batch.end()
    for span in spans:
        span.end()
    handler, whole, first, *others = exporter.get_finished_spans()
    assert (handler.name, whole.name) == ("Exec.foo", "batch")
    assert handler.parent.span_id == whole.context.span_id
    assert whole.parent.span_id == first.context.span_id
    assert [link.context.span_id for link in whole.links] == [one.context.span_id for one in others]
    assert len({one.context.trace_id for one in (first, *others)}) == 3
    """)


def test_what_is_sent_on_names_the_span_of_the_hop():
    run("""
    import asyncio
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from jina import Executor, DocumentArray, requests
    from tests.gateway.gateways import gateway, request

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    class Hopped(Executor):
        @requests(on="/x")
        async def x(self, docs: DocumentArray, **kwargs):
            pass

    async def main():
        nodes = {"a": ["gateway"], "b": ["gateway"], "c": ["a", "b"]}
        async with gateway({"a": Hopped, "b": Hopped, "c": Hopped}, nodes) as service:
            await service.call(request("/x", ["t"]))

    asyncio.run(main())
    spans = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans}
    assert len({span.context.trace_id for span in spans}) == 1
    (root,) = [span for span in spans if span.parent is None]
    assert (root.name, root.attributes["jina.process"]) == ("/x", "gateway")
    upstreams = [span for span in spans if span.name in {"a /x", "b /x", "c /x"}]
    assert len(upstreams) == 3 and {span.parent.span_id for span in upstreams} == {root.context.span_id}
    handlers = [span for span in spans if span.name == "Hopped.x"]
    assert {by_id[by_id[span.parent.span_id].parent.span_id].name for span in handlers} == {"a /x", "b /x", "c /x"}
    """)


def test_the_call_of_a_batch_is_a_span_below_its_first_request_with_links_to_the_others():
    run("""
    import asyncio, logging
    from docarray import BaseDoc, DocList
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from jina import Executor, dynamic_batching, requests
    from jina.plan.plans import ExecutorPlan, WorkerPlan
    from jina.worker.service import WorkerService
    from jina.codec import pb
    from jina.codec.messages import Request
    from jina.codec.payloads import ProtoPayload

    logging.disable(logging.CRITICAL)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    class Text(BaseDoc):
        text: str = ""

    class TracedBatches(Executor):
        @dynamic_batching(preferred_batch_size=3)
        @requests(on="/x")
        async def x(self, docs: DocList[Text], tracing_context, **kwargs):
            with self.tracer.start_as_current_span("by context", context=tracing_context):
                pass
            with self.tracer.start_as_current_span("by itself"):
                pass
            if "bad" in docs.text:
                raise ValueError("bad")

    def request(text):
        message = pb.DocListProto()
        message.docs.add().data["text"].text = text
        return Request("/x", ProtoPayload(message))

    async def main(*texts):
        loop = asyncio.get_running_loop()
        plan = WorkerPlan(name="w", deployment="w", executor=ExecutorPlan(), listeners=[])
        service = WorkerService(TracedBatches(), plan, protocol_loop=loop, user_loop=loop)
        return await asyncio.gather(*(service.call(request(text)) for text in texts), return_exceptions=True)

    asyncio.run(main("a", "b", "c"))
    inner, other, handler, batch, *wholes = exporter.get_finished_spans()
    assert batch.name == "batch /x"
    assert [whole.name for whole in wholes] == ["/x"] * 3
    ids = {whole.context.span_id: whole.context.trace_id for whole in wholes}
    assert ids.pop(batch.parent.span_id) == batch.context.trace_id
    assert {link.context.span_id: link.context.trace_id for link in batch.links} == ids
    assert inner.parent.span_id == other.parent.span_id == handler.context.span_id
    assert handler.parent.span_id == batch.context.span_id
    assert batch.attributes["jina.batch.requests"] == 3

    exporter.clear()
    asyncio.run(main("a", "bad", "c"))
    batches = [span for span in exporter.get_finished_spans() if span.name == "batch /x"]
    assert [(span.attributes["jina.batch.requests"], span.status.status_code.name) for span in batches] == [
        (3, "ERROR"), (1, "UNSET"), (2, "ERROR"), (1, "ERROR"), (1, "UNSET")
    ]
    """)
