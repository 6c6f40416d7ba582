"""What a worker answers: results, parameters, errors, cancellation, deadlines, metrics, health."""

import asyncio
import threading
import time

import pytest
from docarray import BaseDoc, DocList

from jina import Executor, dynamic_batching, requests
from jina.codec.messages import Reply
from jina.errors import (
    BadRequest,
    DeadlineExceeded,
    EndpointNotFound,
    ExecutorError,
    Overloaded,
    Unavailable,
    ValidationFailed,
)
from jina.executor.decorators import write
from jina.observe import logs


class Text(BaseDoc):
    text: str = ""


class Number(BaseDoc):
    text: str = ""
    length: int = 0


class Upper(Executor):
    @requests(on="/sync")
    def sync(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper()

    @requests(on="/async")
    async def asynchronous(self, docs: DocList[Text], **kwargs) -> DocList[Number]:
        await asyncio.sleep(0)
        return DocList[Number](Number(text=doc.text[::-1], length=len(doc.text)) for doc in docs)

    @requests(on="/one")
    def one(self, doc: Text, **kwargs) -> Text:
        return Text(text=f"<{doc.text}>")

    @requests(on="/none")
    async def none(self, **kwargs) -> None:
        return None

    @requests(on="/dict")
    async def results(self, docs: DocList[Text], parameters: dict, **kwargs) -> dict:
        return {"seen": parameters.get("k"), "count": len(docs)}

    @requests(on="/wrong")
    async def wrong(self, docs: DocList[Text], **kwargs):
        return 3

    @requests(on="/fail")
    def fail(self, docs: DocList[Text], **kwargs):
        raise KeyError("nope", 3)

    @requests(on="/where")
    async def where(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        return DocList[Text]([Text(text=logs.request_id.get())])

    @requests(on="/threads")
    def threads(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        return DocList[Text]([Text(text=threading.current_thread().name + " " + logs.request_id.get())])

    @requests(on="/stream")
    async def stream(self, doc: Text, **kwargs) -> Text:
        for letter in doc.text:
            yield Text(text=letter)


@pytest.mark.parametrize("one_loop", [False, True])
@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("/sync", ["AB", "C"]),
        ("/async", ["ba", "c"]),
        ("/one", ["<ab>", "<c>"]),
        ("/none", ["ab", "c"]),
        ("/stream", ["a", "b", "c"]),
    ],
)
def test_handlers_of_all_kinds_answer(worker, endpoint, expected, one_loop):
    with worker.serving(Upper(), one_loop=one_loop) as it:
        assert worker.texts(it.run(it.service.call(worker.request(endpoint, ["ab", "c"])))) == expected


def test_no_documents_call_the_handler_with_an_empty_list(worker):
    with worker.serving(Upper()) as it:
        reply = it.run(it.service.call(worker.request("/dict", parameters={"executor__k": 7, "other__k": 8})))
        assert reply.parameters["__results__"] == {"executor/rep-0": {"seen": 7, "count": 0}}
        assert reply.parameters["other__k"] == 8
        assert len(reply.payload) == 0


def test_large_documents_are_converted_on_threads(worker, monkeypatch):
    from jina.worker import service
    from jina.worker.handler import LARGE_FLAT

    large = ["x" * LARGE_FLAT, "y"]
    names = []
    original = service.FunctionJob.work
    monkeypatch.setattr(
        service.FunctionJob, "work", lambda self: (names.append(threading.current_thread().name), original(self))[1]
    )
    with worker.serving(Upper()) as it:
        for endpoint, expected in (("/sync", [text.upper() for text in large]), ("/async", [large[0], "y"])):
            names.clear()
            assert worker.texts(it.run(it.service.call(worker.request(endpoint, large)))) == expected
            assert [name[:5] for name in names] == ["codec", "codec"]


class Odd(BaseDoc):
    thing: object = None


class Unsendable(Executor):
    @requests(on="/async")
    async def asynchronous(self, docs: DocList[Text], **kwargs) -> DocList[Odd]:
        return DocList[Odd](Odd(thing=threading.Lock()) for _ in docs)


def test_objects_that_are_taken_as_they_are_are_not_encoded(worker):
    with worker.serving(Unsendable()) as it:
        reply = it.run(it.service.call(worker.request("/async", ["a", "b"], takes_objects=True)))
        assert [type(doc) for doc in reply.payload.objects()] == [Odd, Odd]
        with pytest.raises(ExecutorError, match="cannot be sent"):
            it.run(it.service.call(worker.request("/async", ["a"])))


def test_the_request_id_is_known_where_the_handler_runs(worker):
    with worker.serving(Upper()) as it:
        assert worker.texts(it.run(it.service.call(worker.request("/where", request_id="abc")))) == ["abc"]
        (text,) = worker.texts(it.run(it.service.call(worker.request("/threads", request_id="def"))))
        assert text.startswith("handler")
        assert text.endswith(" def")


def test_handlers_errors_name_the_exception_and_the_users_frames(worker, caplog):
    with worker.serving(Upper()) as it:
        with caplog.at_level("ERROR", "jina"), pytest.raises(ExecutorError) as caught:
            it.run(it.service.call(worker.request("/fail", ["a"])))
        error = caught.value
        assert (error.name, error.executor) == ("KeyError", "Upper")
        assert error.exception_args == ["nope", "3"]
        assert error.message == "KeyError('nope', 3)"
        frames = [line for line in error.stacks if line.startswith("  File")]
        assert len(frames) == 1
        assert "in fail" in frames[0]
        (record,) = caplog.records
        assert record.exc_info is not None
        with pytest.raises(ExecutorError, match="TypeError") as caught:
            it.run(it.service.call(worker.request("/wrong", ["a"])))
        assert caught.value.name == "TypeError"
        assert worker.texts(it.run(it.service.call(worker.request("/sync", ["a"])))) == ["A"]


def test_quiet_error_leaves_the_traceback_out(worker, caplog):
    from jina.plan.plans import LogPlan

    with worker.serving(Upper(), log=LogPlan(quiet_error=True)) as it, caplog.at_level("ERROR", "jina"):
        with pytest.raises(ExecutorError):
            it.run(it.service.call(worker.request("/fail", ["a"])))
        (record,) = caplog.records
        assert record.exc_info is None
        assert "KeyError" in record.getMessage()


def test_errors_of_the_request_itself_keep_their_class(worker):
    bad = worker.request("/sync", ["a"])
    bad.payload.message.docs[0].data["text"].integer = 3
    with worker.serving(Upper()) as it:
        with pytest.raises(ValidationFailed):
            it.run(it.service.call(bad))
        with pytest.raises(EndpointNotFound, match="did you mean '/sync'"):
            it.run(it.service.call(worker.request("/synk", ["a"])))
        with pytest.raises(BadRequest, match="not a generator"):
            it.run(anext(it.service.stream(worker.request("/sync", ["a"]))))


def test_a_handler_that_says_it_was_cancelled_has_failed(worker):
    class Quitter(Executor):
        @requests(on="/async")
        async def asynchronous(self, **kwargs):
            raise asyncio.CancelledError("by nobody")

        @requests(on="/own-task")
        async def own_task(self, **kwargs):
            asyncio.current_task().cancel("by nobody")
            await asyncio.sleep(0)

        @requests(on="/sync")
        def sync(self, **kwargs):
            raise asyncio.CancelledError("by nobody")

        @dynamic_batching(timeout=1)
        @requests(on="/batch")
        async def batch(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
            raise asyncio.CancelledError("by nobody")

        @requests(on="/stream")
        async def tokens(self, doc: Text, **kwargs) -> Text:
            yield doc
            raise asyncio.CancelledError("by nobody")

    with worker.serving(Quitter()) as it:
        for endpoint in ("/async", "/own-task", "/sync", "/batch", "/stream"):
            with pytest.raises(ExecutorError, match="by nobody") as caught:
                it.run(it.service.call(worker.request(endpoint, ["a"])))
            assert caught.value.name == "CancelledError"

        async def last():
            return [reply async for reply in it.service.stream(worker.request("/stream", ["a"]))]

        with pytest.raises(ExecutorError, match="by nobody"):
            it.run(last())


def test_exit_on_exceptions_and_system_exit_ask_for_the_end_after_the_answer(worker):
    class Fragile(Executor):
        @requests(on="/exit")
        async def leave(self, **kwargs):
            raise SystemExit(7)

        @requests(on="/interrupt")
        def interrupt(self, **kwargs):
            raise KeyboardInterrupt

        @requests(on="/lookup")
        async def lookup(self, **kwargs):
            raise KeyError("x")

        @requests(on="/value")
        async def value(self, **kwargs):
            raise ValueError("x")

    asked = []
    with worker.serving(
        Fragile(), exit_on_exceptions=["LookupError"], give_up=lambda reason, code: asked.append((reason, code))
    ) as it:
        for endpoint in ("/value", "/exit", "/interrupt", "/lookup"):
            with pytest.raises(ExecutorError):
                it.run(it.service.call(worker.request(endpoint)))
    assert [code for _, code in asked] == [7, 130, 1]
    assert asked[2][0] == "/lookup of Fragile raised KeyError"


def test_an_executor_without_endpoints_gives_the_documents_back(worker):
    with worker.serving(Executor()) as it:
        assert worker.texts(it.run(it.service.call(worker.request("/any", ["a"])))) == ["a"]
        assert set(it.service.endpoints) == {"/default"}


def test_default_answers_what_has_no_method_of_its_own(worker):
    class Default(Executor):
        @requests
        def foo(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
            docs[0].text = "default"

    with worker.serving(Default()) as it:
        assert worker.texts(it.run(it.service.call(worker.request("/whatever", ["a"])))) == ["default"]


def test_parameters_models_are_validated(worker):
    from pydantic import BaseModel

    class Options(BaseModel):
        top: int

    class Typed(Executor):
        @requests(on="/x")
        def foo(self, docs: DocList[Text], parameters: Options, **kwargs) -> DocList[Text]:
            docs[0].text = str(parameters.top + 1)

    with worker.serving(Typed()) as it:
        assert worker.texts(it.run(it.service.call(worker.request("/x", ["a"], parameters={"top": 2})))) == ["3"]
        with pytest.raises(ValidationFailed) as caught:
            it.run(it.service.call(worker.request("/x", ["a"], parameters={"top": "many"})))
        assert caught.value.errors[0]["loc"] == ["parameters", "top"]


def test_a_client_that_leaves_cancels_the_async_handler(worker):
    began, ended = threading.Event(), threading.Event()

    class Slow(Executor):
        @requests(on="/slow")
        async def slow(self, **kwargs):
            began.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

    with worker.serving(Slow()) as it:

        async def leave():
            task = asyncio.ensure_future(it.service.call(worker.request("/slow")))
            await asyncio.to_thread(began.wait, 5)
            task.cancel()
            await asyncio.wait({task})
            assert await asyncio.to_thread(ended.wait, 1)

        it.run(leave())
        assert it.service.counts.endpoint("/slow").failures == {"Cancelled": 1}


def test_deadlines_end_the_wait_also_for_handlers_that_cannot_be_stopped(worker):
    release = threading.Event()

    class Slow(Executor):
        @requests(on="/slow")
        def slow(self, **kwargs):
            release.wait(30)

    with worker.serving(Slow()) as it:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            it.run(it.service.call(worker.request("/slow", deadline=started + 0.1)))
        assert time.monotonic() - started < 20
        release.set()


def test_more_requests_than_can_be_kept_are_refused(worker):
    release = threading.Event()

    class Slow(Executor):
        @requests(on="/slow")
        def slow(self, **kwargs):
            release.wait(30)

    with worker.serving(Slow(), max_inflight=3) as it:

        async def main():
            tasks = [asyncio.ensure_future(it.service.call(worker.request("/slow"))) for _ in range(5)]
            await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
            release.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [Reply] * 3 + [Overloaded] * 2

        it.run(main())


def test_a_line_that_is_too_long_is_not_joined(worker):
    release, begun = threading.Event(), threading.Event()

    class Line(Executor):
        @requests(on="/slow")
        def slow(self, **kwargs):
            begun.set()
            release.wait(30)

        @requests(on="/quick")
        async def quick(self, **kwargs):
            pass

    with worker.serving(Line(), max_queue=2) as it:

        def start():
            return asyncio.ensure_future(it.service.call(worker.request("/slow")))

        async def refused():
            with pytest.raises(Overloaded, match=r"has 2 requests waiting for a handler.*max_queue"):
                await it.service.call(worker.request("/slow"))

        async def main():
            running = start()
            while not begun.is_set():
                await asyncio.sleep(0)
            waiting = [start(), start()]
            await asyncio.sleep(0)
            await refused()
            assert isinstance(await it.service.call(worker.request("/quick")), Reply)  # which has no line
            waiting.pop().cancel()
            await asyncio.sleep(0)
            waiting.append(start())  # in the place of the one that left
            await asyncio.sleep(0)
            await refused()
            release.set()
            assert len(await asyncio.gather(running, *waiting)) == 3
            assert it.service.dispatcher.sync_pool.backlog == 0

        it.run(main())


def test_without_a_line_one_comes_after_the_other(worker):
    class Alone(Executor):
        @requests(on="/go")
        def go(self, **kwargs):
            time.sleep(0.01)

    with worker.serving(Alone(), max_queue=0) as it:

        async def main():
            for _ in range(3):
                calls = [it.service.call(worker.request("/go")) for _ in range(4)]
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(answer) for answer in answers] == [Reply] + [Overloaded] * 3
                assert 0.01 <= answers[1].retry_after < 5 or answers[1].retry_after == 0.05

        it.run(main())


def test_writes_take_turns(worker):
    class Writer(Executor):
        running = most = 0

        @write
        @requests(on="/write")
        async def put(self, **kwargs):
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.005)
            self.running -= 1

        @requests(on="/read")
        async def get(self, **kwargs):
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.005)
            self.running -= 1

    executor = Writer()
    with worker.serving(executor) as it:

        async def many(path):
            await asyncio.gather(*(it.service.call(worker.request(path)) for _ in range(5)))

        it.run(many("/write"))
        assert executor.most == 1
        it.run(many("/read"))
        assert executor.most == 5


def test_documents_that_have_no_place_on_the_wire_are_the_handlers_fault(worker):
    class Odd(BaseDoc):
        count: int = 0

    class Counter(Executor):
        @requests(on="/count")
        async def count(self, docs: DocList[Odd], **kwargs) -> DocList[Odd]:
            return DocList[Odd]([Odd(count=2**60)])

        @requests(on="/count_sync")
        def count_sync(self, docs: DocList[Odd], **kwargs) -> DocList[Odd]:
            return DocList[Odd]([Odd(count=2**60)])

    async def answer(service, path):
        return (await service.call(worker.request(path))).payload.to_bytes()

    with worker.serving(Counter()) as it:
        for path in ("/count", "/count_sync"):
            with pytest.raises(ExecutorError, match="count"):
                it.run(answer(it.service, path))


@pytest.mark.parametrize("as_json", [True, False])
def test_replies_of_async_handlers_come_encoded_and_are_counted_once(worker, as_json, monkeypatch):
    from jina.codec.codec import Codec
    from jina.codec.json import JsonCodec

    threads = []
    for codec, name in ((Codec, "to_bytes"), (JsonCodec, "encode")):
        original = getattr(codec, name)
        monkeypatch.setattr(
            codec, name, lambda *a, original=original: (threads.append(threading.current_thread()), original(*a))[1]
        )
    with worker.serving(Upper()) as it:
        reply = it.run(it.service.call(worker.request("/async", ["ab"], json_reply=as_json)))
        assert [thread is threading.current_thread() for thread in threads] == [False]
        data = reply.payload.to_json() if as_json else reply.payload.to_bytes()
        assert reply.payload.to_json() if as_json else reply.payload.to_bytes()
        assert len(threads) == 1
        sent = it.service.counts.endpoint("/async").sent
        assert (sent.count, sent.total) == (1, len(data))


def test_metrics_count_what_was_done(worker):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    with worker.serving(Upper()) as it:
        worker.texts(it.run(it.service.call(worker.request("/sync", ["a", "b"]))))
        with pytest.raises(ExecutorError):
            it.run(it.service.call(worker.request("/fail", ["a"])))
        families = text_string_to_metric_families(it.run(it.service.metrics()).decode())
    got = {(s.name, s.labels.get("executor_endpoint")): s.value for f in families for s in f.samples}
    assert got["jina_successful_requests_total", None] == 1
    assert got["jina_failed_requests_total", None] == 1
    assert got["jina_number_of_pending_requests", None] == 0
    assert got["jina_document_processed_total", "/sync"] == 2
    assert got["jina_process_request_seconds_count", "/sync"] == 1
    assert got["jina_received_request_bytes_sum", "/sync"] > 0
    assert got["jina_sent_response_bytes_sum", "/sync"] > 0


def test_ready_tells_the_truth(worker, monkeypatch):
    from jina.runtime import health

    monkeypatch.setattr(health, "LIMIT", 1.0)
    monkeypatch.setattr(health.LoopWatchdog.__init__, "__kwdefaults__", {"limit": 1.0, "interval": 0.02})
    release, computing = threading.Event(), threading.Event()

    class Moody(Executor):
        mood = True

        async def health(self):
            return self.mood

        @requests(on="/block")
        async def block(self, **kwargs):
            release.wait(30)

        @requests(on="/compute")
        def compute(self, **kwargs):
            computing.set()
            release.wait(30)

    def becomes(it, *, ready):
        limit = time.monotonic() + 20
        while it.service.up is not ready:
            assert time.monotonic() < limit
            threading.Event().wait(0.01)

    executor = Moody()
    with worker.serving(executor) as it:
        becomes(it, ready=True)
        executor.mood = False
        becomes(it, ready=False)
        with pytest.raises(Unavailable, match="health"):
            it.run(it.service.ready())
        executor.mood = True
        becomes(it, ready=True)
        it.run(it.service.ready())

        async def while_running(endpoint, check):
            release.clear()
            task = asyncio.ensure_future(it.service.call(worker.request(endpoint)))
            await asyncio.to_thread(check)
            release.set()
            await task

        def computes():
            assert computing.wait(20)
            threading.Event().wait(1.5)  # longer than the limit
            assert it.service.up

        it.run(while_running("/compute", computes))
        it.run(while_running("/block", lambda: becomes(it, ready=False)))
        becomes(it, ready=True)


def test_endpoints_describe_types_and_flat_fields(worker):
    with worker.serving(Upper()) as it:
        info = it.service.endpoints["/async"]
    assert (info.input_name, info.output_name) == ("Text", "Number")
    assert info.flat_fields["text"] == "string"
    assert info.output_schema["properties"]["length"]["type"] == "integer"
    assert it.service.endpoints["/stream"].is_generator
