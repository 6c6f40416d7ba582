"""Dynamic batching in a worker: what the handler is called with, and what each request gets back."""

import asyncio
import gc
import random
import threading
import time
import weakref
from collections import Counter

import pytest
from docarray import BaseDoc, DocList, DocVec
from pydantic import BaseModel

from jina import Document, DocumentArray, Executor, requests
from jina.errors import DeadlineExceeded, ExecutorDefinitionError, ExecutorError, ValidationFailed
from jina.executor.decorators import dynamic_batching, write
from jina.observe import logs
from jina.worker import batching

LONG = 600_000
"""Milliseconds that no test waits."""


class Line(BaseDoc):
    text: str = ""


class Counted(BaseDoc):
    text: str = ""
    size: int = 0


class Wanted(BaseModel):
    k: int


class GatheringExec(Executor):
    """Notes the texts of each call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []
        self.seen = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def note(self, docs):
        self.calls.append([doc.text for doc in docs])

    @dynamic_batching(preferred_batch_size=4, timeout=150)
    @requests(on="/sync")
    def sync(self, docs: DocList[Line], **kwargs) -> DocList[Counted]:
        self.note(docs)
        return DocList[Counted](Counted(text=doc.text.upper(), size=len(docs)) for doc in docs)

    @requests(on="/async")
    @dynamic_batching(preferred_batch_size=4, timeout=150)
    async def asynchronous(self, docs: DocList[Line], **kwargs) -> DocList[Counted]:
        self.note(docs)
        await asyncio.sleep(0)
        return DocList[Counted](Counted(text=doc.text.upper(), size=len(docs)) for doc in docs)

    @dynamic_batching(preferred_batch_size=4, timeout=150)
    @requests(on="/place")
    def in_place(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        for doc in docs:
            doc.text += "!"

    @dynamic_batching(preferred_batch_size=4, timeout=LONG)
    @requests(on="/bare")
    async def bare(self, docs: DocumentArray, **kwargs):
        self.note(docs)
        assert isinstance(docs, DocumentArray)
        docs.texts = [text.upper() for text in docs.texts]

    @dynamic_batching(preferred_batch_size=4, timeout=LONG)
    @requests(on="/vec")
    def columns(self, docs: DocList[Line], **kwargs) -> DocList[Counted]:
        self.note(docs)
        return DocVec[Counted]([Counted(text=doc.text.upper(), size=len(docs)) for doc in docs])

    @dynamic_batching(preferred_batch_size=8, timeout=LONG)
    @requests(on="/picky")
    def picky(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        for doc in docs:
            if doc.text == "bad":
                raise ValueError("no bad ones")
            doc.text += "!"

    @dynamic_batching(preferred_batch_size=8, timeout=LONG)
    @requests(on="/picky_async")
    async def picky_async(self, docs: DocList[Line], **kwargs):
        self.picky(docs)

    @write
    @dynamic_batching(preferred_batch_size=3, timeout=LONG)
    @requests(on="/write")
    def index(self, docs: DocList[Line], **kwargs):
        self.picky(docs)

    @dynamic_batching(preferred_batch_size=3, timeout=LONG, isolate_errors=False)
    @requests(on="/together")
    async def together(self, docs: DocList[Line], **kwargs):
        self.picky(docs)

    @dynamic_batching(preferred_batch_size=2, timeout=150)
    @requests(on="/parameters")
    def with_parameters(self, docs: DocList[Line], parameters: dict, **kwargs):
        self.note(docs)
        self.seen.append(dict(parameters))
        parameters["k"] = "changed"

    @dynamic_batching(preferred_batch_size=2, timeout=LONG)
    @requests(on="/model")
    def with_model(self, docs: DocList[Line], parameters: Wanted, **kwargs):
        self.note(docs)
        self.seen.append(parameters)

    @dynamic_batching(preferred_batch_size=2, timeout=0)
    @requests(on="/blocked")
    def blocked(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        self.begun.set()
        assert self.go.wait(10)

    @dynamic_batching(preferred_batch_size=2, timeout=LONG)
    @requests(on="/held")
    def held(self, docs: DocList[Line], **kwargs):
        self.blocked(docs)

    @dynamic_batching(preferred_batch_size=2, timeout=LONG)
    @requests(on="/suspended")
    async def suspended(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        self.begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise

    @dynamic_batching(preferred_batch_size=2, timeout=150, flush_all=True)
    @requests(on="/flush")
    def everything(self, docs: DocList[Line], **kwargs):
        self.note(docs)

    @dynamic_batching(preferred_batch_size=6, timeout=150, custom_metric=lambda x: len(x.text), use_custom_metric=True)
    @requests(on="/letters")
    def letters(self, docs: DocList[Line], **kwargs):
        self.note(docs)

    @dynamic_batching(
        preferred_batch_size=6,
        timeout=150,
        custom_metric=lambda docs: sum(len(doc.text) for doc in docs),
        use_custom_metric=True,
    )
    @requests(on="/letters_docs")
    def letters_docs(self, docs: DocList[Line], **kwargs):
        self.note(docs)

    @dynamic_batching(preferred_batch_size=6, custom_metric=lambda x: x.nothing, use_custom_metric=True)
    @requests(on="/metric_fails")
    def metric_fails(self, docs: DocList[Line], **kwargs):
        self.note(docs)

    @dynamic_batching(preferred_batch_size=2, timeout=150)
    @requests(on="/fewer")
    def fewer(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        return docs[: 1 if docs[0].text == "a" else len(docs)]

    @dynamic_batching(preferred_batch_size=2, timeout=150)
    @requests(on="/dict")
    def results(self, docs: DocList[Line], **kwargs):
        return {"count": len(docs)}

    @dynamic_batching(preferred_batch_size=2, timeout=LONG)
    @requests(on="/single")
    def single(self, doc: Line, **kwargs) -> Line:
        return Line(text=f"<{doc.text}>")

    @dynamic_batching(preferred_batch_size=3, timeout=LONG)
    @requests(on="/exit")
    def leave(self, docs: DocList[Line], **kwargs):
        self.note(docs)
        raise SystemExit(7)

    @dynamic_batching(preferred_batch_size=2, timeout=LONG)
    @requests(on="/id")
    async def ids(self, docs: DocList[Line], **kwargs):
        self.seen.append(logs.request_id.get())


@pytest.fixture
def executor():
    return GatheringExec()


def ask(it, worker, endpoint, *requests_texts, **options):
    """The texts that each request got, or its error; all are sent in one round of the loop, in order."""
    requests = [worker.request(endpoint, texts, **options) for texts in requests_texts]
    return send(it, worker, *requests)


def send(it, worker, *requests):
    async def call(request):
        return await it.service.call(request)

    async def all_of_them():
        return await asyncio.gather(*map(call, requests), return_exceptions=True)

    return [one if isinstance(one, BaseException) else worker.texts(one) for one in it.run(all_of_them())]


@pytest.mark.parametrize("one_loop", [False, True])
@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
def test_small_requests_are_gathered_and_each_gets_its_own(worker, executor, endpoint, one_loop):
    with worker.serving(executor, one_loop=one_loop) as it:
        answers = ask(it, worker, endpoint, ["a", "b"], ["c"], ["d"], ["e", "f", "g", "h"], ["i"])
        assert answers == [["A", "B"], ["C"], ["D"], ["E", "F", "G", "H"], ["I"]]
        assert executor.calls == [["a", "b", "c", "d"], ["e", "f", "g", "h"], ["i"]]
        assert it.service.waiting_for_batches == 0
        assert it.service.dispatcher.open == 0


@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
def test_an_idle_handler_takes_its_batch_before_the_next_request_is_read(worker, executor, endpoint, monkeypatch):
    monkeypatch.setattr(batching, "HANDOVER", 10)  # however busy the machine is

    async def waiting_after_the_last(requests):
        waiting = asyncio.get_running_loop().create_future()
        calls = [asyncio.ensure_future(it.service.call(request)) for request in requests]
        asyncio.get_running_loop().call_soon(lambda: waiting.set_result(it.service.waiting_for_batches))
        found = await waiting
        await asyncio.gather(*calls)
        return found

    with worker.serving(executor) as it:
        for _ in range(5):
            requests = [worker.request(endpoint, ["a"]) for _ in range(4)]
            assert it.run(waiting_after_the_last(requests)) == 0


def test_nobody_stands_still_for_a_handler_that_is_busy(worker, executor, monkeypatch):
    monkeypatch.setattr(batching, "HANDOVER", 30)

    async def two_batches():
        first = [asyncio.ensure_future(it.service.call(worker.request("/held", [text]))) for text in "ab"]
        await asyncio.to_thread(executor.begun.wait, 10)
        began = time.monotonic()
        more = [asyncio.ensure_future(it.service.call(worker.request("/held", [text]))) for text in "cd"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        executor.go.set()
        await asyncio.gather(*first, *more)
        return time.monotonic() - began

    with worker.serving(executor) as it:
        assert it.run(two_batches()) < 20
        assert executor.calls == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
@pytest.mark.parametrize("one_loop", [False, True])
def test_a_large_request_is_split_and_put_together_again(worker, executor, endpoint, one_loop):
    with worker.serving(executor, one_loop=one_loop) as it:
        assert ask(it, worker, endpoint, list("abcdefghi")) == [list("ABCDEFGHI")]
        assert executor.calls == [list("abcd"), list("efgh"), ["i"]]
        executor.calls.clear()
        assert ask(it, worker, endpoint, list("abcde"), [], list("fgh")) == [list("ABCDE"), [], list("FGH")]
        assert executor.calls == [list("abcd"), list("efgh")]


def test_documents_changed_in_place_and_replies_as_json(worker, executor):
    with worker.serving(executor) as it:
        assert ask(it, worker, "/place", ["a"], ["b", "c"], list("defgh")) == [
            ["a!"], ["b!", "c!"], ["d!", "e!", "f!", "g!", "h!"]
        ]  # fmt: skip
        reply = it.run(it.service.call(worker.request("/async", ["x"], json_reply=True)))
        assert b'"text":"X"' in reply.payload.to_json()


def test_schemaless_documents_and_columns(worker, executor):
    with worker.serving(executor) as it:
        assert ask(it, worker, "/bare", ["a"], ["b", "c", "d"]) == [["A"], ["B", "C", "D"]]
        assert ask(it, worker, "/vec", ["a"], ["b", "c", "d"]) == [["A"], ["B", "C", "D"]]
        assert executor.calls == [["a", "b", "c", "d"], ["a", "b", "c", "d"]]


@pytest.mark.parametrize("endpoint", ["/picky", "/picky_async"])
def test_one_bad_request_fails_alone_and_the_others_are_run_again_from_what_was_sent(worker, executor, endpoint):
    texts = [["a"], ["b"], ["c"], ["bad", "x"], ["e"], ["f"], ["g"]]
    with worker.serving(executor) as it:
        answers = ask(it, worker, endpoint, *texts)
        assert isinstance(answers[3], ExecutorError)
        assert answers[3].name == "ValueError"
        assert answers[:3] + answers[4:] == [["a!"], ["b!"], ["c!"], ["e!"], ["f!"], ["g!"]]
        assert executor.calls == [
            ["a", "b", "c", "bad", "x", "e", "f", "g"],
            ["a", "b", "c"],
            ["bad", "x", "e", "f", "g"],
            ["bad", "x", "e"],
            ["bad", "x"],
            ["e"],
            ["f", "g"],
        ]
        counts = it.service.counts.endpoint(endpoint)
        assert (counts.succeeded, counts.failures, counts.handler_seconds.count) == (6, {"ExecutorError": 1}, 7)


@pytest.mark.parametrize("endpoint", ["/write", "/together"])
def test_a_batch_of_writes_is_not_run_again(worker, executor, endpoint):
    with worker.serving(executor) as it:
        answers = ask(it, worker, endpoint, ["a"], ["bad"], ["c"])
        assert [type(answer) for answer in answers] == [ExecutorError] * 3
        assert len({id(answer) for answer in answers}) == 3
        assert executor.calls == [["a", "bad", "c"]]


def test_a_handler_that_asks_for_the_end_is_not_called_again(worker, executor):
    asked = []
    with worker.serving(executor, give_up=lambda *why: asked.append(why)) as it:
        answers = ask(it, worker, "/exit", ["a"], ["b"], ["c"])
        assert [type(answer) for answer in answers] == [ExecutorError] * 3
        assert executor.calls == [["a", "b", "c"]]
    assert asked == [("/exit of GatheringExec raised SystemExit", 7)]


def test_requests_with_other_parameters_wait_apart(worker, executor):
    given = [{"k": 1}, {"k": 1.0}, {"executor__k": 1, "other__k": 3}, {}, {"k": "1"}, {"k": 1, "__results__": {}}]
    with worker.serving(executor) as it:
        requests = [
            worker.request("/parameters", [str(number)], parameters=parameters)
            for number, parameters in enumerate(given)
        ]
        assert send(it, worker, *requests) == [[str(number)] for number in range(6)]
        assert executor.calls[0] == ["0", "2"]
        assert sorted(executor.calls) == [["0", "2"], ["1"], ["3"], ["4"], ["5"]]
        assert sorted(map(repr, executor.seen)) == sorted(
            ["{'k': 1}", "{'k': 1.0}", "{}", "{'k': '1'}", "{'k': 1, '__results__': {}}"]
        )
        assert [request.parameters for request in requests] == given


def test_parameters_that_do_not_fit_are_told_to_each_request(worker, executor):
    with worker.serving(executor) as it:
        answers = ask(it, worker, "/model", ["a"], ["b"], parameters={"k": "x"})
        assert [type(answer) for answer in answers] == [ValidationFailed] * 2
        assert answers[0] is not answers[1]
        assert ask(it, worker, "/model", ["a"], ["b"], parameters={"k": 3}) == [["a"], ["b"]]
        assert executor.seen == [Wanted(k=3)]


def test_documents_that_do_not_fit_fail_alone(worker, executor):
    wrong = worker.request("/picky", ["x"] * 2)
    wrong.payload.message.docs[1].data["text"].integer = 3
    with worker.serving(executor) as it:
        right = [worker.request("/picky", texts) for texts in (["a"], ["b", "c", "d", "e", "f"])]
        first, failed, last = send(it, worker, right[0], wrong, right[1])
        assert (first, last) == (["a!"], ["b!", "c!", "d!", "e!", "f!"])
        assert isinstance(failed, ValidationFailed)
        assert failed.errors[0]["loc"][:2] == [1, "text"]
        assert executor.calls == [["a", "b", "c", "d", "e", "f"]]


def test_a_cancelled_request_leaves_the_queue(worker, executor):
    async def leave_one():
        tasks = [asyncio.ensure_future(it.service.call(worker.request("/picky", [text]))) for text in "abc"]
        await asyncio.sleep(0)
        assert it.service.waiting_for_batches == 3
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert it.service.waiting_for_batches == 2
        it.service.flush()
        return [worker.texts(await task) for task in (tasks[0], tasks[2])]

    with worker.serving(executor) as it:
        assert it.run(leave_one()) == [["a!"], ["c!"]]
        assert executor.calls == [["a", "c"]]
        assert it.service.counts.endpoint("/picky").failures == {"Cancelled": 1}


def test_what_comes_while_the_handler_computes_still_joins(worker, executor):
    async def ask_slowly():
        first = asyncio.ensure_future(it.service.call(worker.request("/blocked", ["a"])))
        await asyncio.to_thread(executor.begun.wait, 10)
        # Due at once, but the thread is busy: the job that takes the batch waits for it.
        others = [asyncio.ensure_future(it.service.call(worker.request("/blocked", [text]))) for text in "bcd"]
        await asyncio.sleep(0.01)
        others[1].cancel()
        await asyncio.sleep(0)
        executor.go.set()
        return [worker.texts(await task) for task in (first, others[0], others[2])]

    with worker.serving(executor) as it:
        assert it.run(ask_slowly()) == [["a"], ["b"], ["d"]]
        assert executor.calls == [["a"], ["b", "d"]]


def test_requests_are_open_until_the_code_that_runs_them_has_ended(worker, executor):
    async def leave():
        tasks = [asyncio.ensure_future(it.service.call(worker.request("/held", [text]))) for text in "abc"]
        await asyncio.to_thread(executor.begun.wait, 10)
        assert it.service.dispatcher.open == 3
        assert it.service.waiting_for_batches == 1
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert it.service.dispatcher.open == 2
        executor.go.set()
        assert await it.service.dispatcher.quiet(5)

    with worker.serving(executor) as it:
        it.run(leave())
        assert executor.calls == [["a", "b"]]


def test_expired_requests_are_not_started(worker, executor):
    async def too_late():
        first = asyncio.ensure_future(it.service.call(worker.request("/blocked", ["a"])))
        await asyncio.to_thread(executor.begun.wait, 10)
        late = it.service.call(worker.request("/blocked", ["b"], deadline=time.monotonic() + 0.02))
        with pytest.raises(DeadlineExceeded):
            await late
        executor.go.set()
        await first

    with worker.serving(executor) as it:
        it.run(too_late())
        answers = ask(it, worker, "/picky", ["x"], deadline=time.monotonic() - 1)
        assert [type(answer) for answer in answers] == [DeadlineExceeded]
        assert it.service.waiting_for_batches == 0
        assert executor.calls == [["a"]]


def test_a_running_batch_is_cancelled_when_nobody_waits_any_more(worker, executor):
    async def leave():
        tasks = [asyncio.ensure_future(it.service.call(worker.request("/suspended", [text]))) for text in "ab"]
        while not executor.begun.is_set():
            await asyncio.sleep(0.001)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert executor.seen == []
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert await it.service.dispatcher.quiet(5)

    with worker.serving(executor) as it:
        it.run(leave())
        assert executor.calls == [["a", "b"]]
        assert executor.seen == ["cancelled"]


def test_flush_all_gives_everything_at_once(worker, executor):
    with worker.serving(executor) as it:
        assert ask(it, worker, "/flush", ["a"], list("bcdef")) == [["a"], list("bcdef")]
        assert executor.calls == [list("abcdef")]


@pytest.mark.parametrize("endpoint", ["/letters", "/letters_docs"])
def test_a_metric_of_ones_own_is_counted(worker, executor, endpoint):
    with worker.serving(executor) as it:
        ask(it, worker, endpoint, ["aaa"], ["bb"], ["cc", "ddd"], ["eeeeeee", "f"])
        assert executor.calls == [["aaa", "bb"], ["cc", "ddd"], ["eeeeeee"], ["f"]]


def test_a_metric_that_fails_fails_the_request(worker, executor):
    with worker.serving(executor) as it:
        (answer,) = ask(it, worker, "/metric_fails", ["a"])
        assert isinstance(answer, ExecutorError)
        assert answer.name == "AttributeError"
        assert it.service.dispatcher.open == 0


def test_another_number_of_documents_is_an_error_of_all_requests_of_the_batch(worker, executor):
    with worker.serving(executor) as it:
        assert ask(it, worker, "/fewer", ["b"], ["c"]) == [["b"], ["c"]]
        first, second = ask(it, worker, "/fewer", ["x"], ["a"])
        assert (first, second) == (["x"], ["a"])
        # Each would get its document if it were tried alone, which would hide the fault from both.
        for answer in ask(it, worker, "/fewer", ["a"], ["x"]):
            assert "got 2 documents and returned 1; with dynamic batching it must return one for each" in str(answer)
        assert executor.calls == [["b", "c"], ["x", "a"], ["a", "x"]]
        (answer,) = ask(it, worker, "/fewer", ["a", "b"])
        assert "got 2 documents and returned 1; with dynamic batching it must return one for each" in str(answer)
        first, second = ask(it, worker, "/dict", ["a"], ["b"])
        assert "returned a dict; with dynamic batching it must return documents or None" in str(first)
        assert isinstance(second, ExecutorError)


def test_handlers_of_one_document_are_called_as_ever(worker, executor, caplog):
    with caplog.at_level("WARNING", "jina"), worker.serving(executor) as it:
        assert ask(it, worker, "/single", ["a", "b"], ["c"]) == [["<a>", "<b>"], ["<c>"]]
    assert "/single takes `doc` and is called once for each document" in caplog.text


def test_handlers_that_take_headers_are_refused(worker):
    class HeadersGathered(Executor):
        @dynamic_batching
        @requests(on="/x")
        def foo(self, docs: DocList[Line], headers: dict, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match="takes `headers`, but a batch is made of several requests"):
        worker.serving(HeadersGathered()).__enter__()


def test_a_log_line_of_a_handler_names_the_first_request_and_how_many_more(worker, executor):
    with worker.serving(executor) as it:
        requests = [worker.request("/id", ["a"], request_id=name) for name in ("first", "second")]
        send(it, worker, *requests)
        assert executor.seen == ["first+1"]


def test_several_threads_run_batches_at_once(worker):
    meeting = threading.Barrier(2, timeout=10)

    class MeetingExec(Executor):
        @dynamic_batching(preferred_batch_size=1, timeout=LONG)
        @requests(on="/x")
        def foo(self, docs: DocList[Line], **kwargs):
            meeting.wait()

    with worker.serving(MeetingExec(), allow_concurrent=True) as it:
        assert ask(it, worker, "/x", ["a"], ["b"]) == [["a"], ["b"]]


def test_batches_of_async_handlers_run_at_once(worker):
    class ManyExec(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inside, self.all = 0, asyncio.Event()

        @dynamic_batching(preferred_batch_size=1, timeout=LONG)
        @requests(on="/x")
        async def foo(self, docs: DocList[Line], **kwargs):
            self.inside += 1
            if self.inside == 5:
                self.all.set()
            await asyncio.wait_for(self.all.wait(), 10)

    with worker.serving(ManyExec()) as it:
        assert ask(it, worker, "/x", *(["a"] for _ in range(5))) == [["a"]] * 5


def test_the_work_on_each_request_is_told_to_have_begun_once(worker, executor):
    begun = []

    def note_begin(name):
        return lambda: begun.append(name)

    with worker.serving(executor) as it:
        requests = [worker.request("/picky", [text], began=note_begin(text)) for text in ("a", "bad", "c")]
        requests.append(worker.request("/picky", list("abcdefghijk"), began=note_begin("large")))
        send_all = [*requests, worker.request("/picky", list("abcde"), began=note_begin("last"))]
        send(it, worker, *send_all)
        assert begun == ["a", "bad", "c", "large", "last"]


def test_batches_are_counted(worker, executor):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    with worker.serving(executor) as it:
        ask(it, worker, "/sync", ["a"], ["b", "c", "d"], ["e"])
        families = {one.name: one for one in text_string_to_metric_families(it.run(it.service.metrics()).decode())}
    values = {
        (sample.name, sample.labels["executor_endpoint"], sample.labels.get("le")): sample.value
        for name in (
            "jina_batch_size",
            "jina_batch_wait_seconds",
            "jina_batch_queue_depth",
            "jina_process_request_seconds",
        )
        for sample in families[name].samples
    }
    assert values["jina_batch_size_bucket", "/sync", "1.0"] == 1
    assert values["jina_batch_size_bucket", "/sync", "4.0"] == 2
    assert values["jina_batch_size_sum", "/sync", None] == 5
    assert values["jina_batch_wait_seconds_count", "/sync", None] == 3
    assert 0.15 <= values["jina_batch_wait_seconds_sum", "/sync", None] < 5
    assert values["jina_batch_queue_depth", "/sync", None] == 0
    assert values["jina_process_request_seconds_count", "/sync", None] == 2
    assert families["jina_document_processed"].samples


@pytest.mark.parametrize("docs", [[], [Document(text="a")]])
def test_a_request_waits_no_longer_than_the_timeout(worker, executor, docs):
    with worker.serving(executor) as it:
        began = time.monotonic()
        assert ask(it, worker, "/sync", [doc.text for doc in docs]) == [[doc.text.upper() for doc in docs]]
        assert time.monotonic() - began < 5


class StormExec(Executor):
    """Fails for "bad", answers each text with itself and the parameter."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sizes = []

    def answer(self, docs, parameters):
        self.sizes.append(len(docs))
        if "bad" in docs.text:
            raise ValueError("bad")
        return DocList[Line](Line(text=f"{doc.text} {parameters.get('k')}") for doc in docs)

    @dynamic_batching(preferred_batch_size=5, timeout=2)
    @requests(on="/sync")
    def sync(self, docs: DocList[Line], parameters: dict, **kwargs) -> DocList[Line]:
        time.sleep(0.0005)
        return self.answer(docs, parameters)

    @dynamic_batching(preferred_batch_size=5, timeout=2)
    @requests(on="/async")
    async def asynchronous(self, docs: DocList[Line], parameters: dict, **kwargs) -> DocList[Line]:
        await asyncio.sleep(0.0005)
        return self.answer(docs, parameters)


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("/sync", {}),
        ("/sync", {"allow_concurrent": True}),
        ("/async", {}),
        ("/async", {"one_loop": True}),
        ("/sync", {"one_loop": True}),
    ],
)
def test_each_of_many_requests_gets_its_own_whatever_happens_to_the_others(worker, endpoint, options):
    rng = random.Random(7)
    executor = StormExec()
    seen = Counter()

    async def one(number):
        sent = [f"{number}.{place}" for place in range(rng.choice([0, 1, 1, 1, 2, 3, 7, 16]))]
        if fails := rng.random() < 0.1:
            sent.append("bad")
        k, patience = rng.choice([1, 2, "x"]), rng.choice([10, 10, 10, 0.004])
        request = worker.request(endpoint, sent, parameters={"k": k})
        if rng.random() < 0.1:
            request.deadline = time.monotonic() + 0.004
        await asyncio.sleep(rng.random() * 0.05)
        try:
            reply = await asyncio.wait_for(it.service.call(request), patience)
        except TimeoutError:
            seen["cancelled"] += 1
        except DeadlineExceeded:
            assert request.deadline is not None
            seen["late"] += 1
        except ExecutorError as error:
            assert fails
            seen[error.name] += 1
        else:
            assert not fails
            assert worker.texts(reply) == [f"{text} {k}" for text in sent]
            seen["answered"] += 1

    async def storm():
        await asyncio.gather(*(one(number) for number in range(300)))
        assert await it.service.dispatcher.quiet(5)

    with worker.serving(executor, **options) as it:
        it.run(storm(), 30)
        assert it.service.waiting_for_batches == 0
    assert sum(seen.values()) == 300
    assert seen["answered"] > 100
    assert seen["ValueError"]
    assert max(executor.sizes) == 5


@pytest.mark.parametrize("endpoint", ["/place", "/async"])
def test_documents_do_not_outlive_their_request(worker, executor, endpoint):
    kept = []
    note = executor.note

    def keep(docs):
        kept.extend(weakref.ref(doc) for doc in docs)
        note(docs)

    executor.note = keep
    gc.collect()
    gc.disable()
    try:
        with worker.serving(executor) as it:
            ask(it, worker, endpoint, ["a"], ["b", "c", "d"], list("efghi"))
            assert len(kept) == 9
            assert [ref() for ref in kept if ref() is not None] == []
    finally:
        gc.enable()
