"""Generators in a graph: order, first item first, back-pressure, leaving, nesting."""

import asyncio
import gc
import tracemalloc
from collections import Counter

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import gateway, request, texts

from jina import Executor, requests
from jina.errors import BadRequest, ExecutorError, NotSupportedError
from jina.gateway.graph_runner import pipelined


class Text(BaseDoc):
    text: str = ""
    left: str = ""
    right: str = ""


class Tokens(Executor):
    """Yields as many documents as the parameter `count` says, and waits for `more` before each but the first."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.log = Counter()
        self.gate = None

    @requests(on="/go")
    async def go(self, doc: Text, parameters: dict, **kwargs) -> Text:
        self.log["opened"] += 1
        try:
            for number in range(parameters.get("count", 3)):
                if self.gate is not None and number:
                    await self.gate.wait()
                if number == parameters.get("fail_at"):
                    raise ValueError("in the middle")
                self.log["yielded"] += 1
                yield Text(text=f"{doc.text}{number}")
        finally:
            self.log["closed"] += 1


class SyncTokens(Executor):
    @requests(on="/go")
    def go(self, doc: Text, parameters: dict, **kwargs) -> Text:
        for number in range(parameters.get("count", 3)):
            yield Text(text=f"{doc.text}{number}")


class AppendMark(Executor):
    """Appends its mark; `slow` makes each call wait."""

    mark = "!"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []
        self.gate = None

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        self.calls.append(len(docs))
        if self.gate is not None:
            await self.gate.wait()
        if (fail := parameters.get("mark_fails_at")) is not None and docs[0].text.startswith(fail):
            raise ValueError("behind the generator")
        for doc in docs:
            doc.text += self.mark


class Left(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.left = f"l{doc.text}"


class Right(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.right = f"r{doc.text}"


class Plain(Executor):
    @requests(on="/other")
    async def other(self, docs: DocList[Text], **kwargs) -> DocList[Text]: ...


async def collected(replies):
    return [text async for reply in replies for text in texts(reply)]


def run(executors, asked, nodes=None, **options):
    """All texts that a stream gives."""

    async def main():
        async with gateway(executors, nodes, **options) as service:
            return await asyncio.wait_for(collected(service.stream(asked)), 20)

    return asyncio.run(main())


@pytest.mark.parametrize("generator", [Tokens, SyncTokens])
def test_one_generator(generator):
    assert run({"a": generator}, request("/go", ["x"], parameters={"count": 200})) == [f"x{n}" for n in range(200)]


def test_steps_before_and_behind_a_generator():
    assert run({"a": AppendMark, "b": Tokens, "c": AppendMark}, request("/go", ["x"])) == ["x!0!", "x!1!", "x!2!"]


def test_generators_behind_generators():
    assert run({"a": Tokens, "b": AppendMark, "c": Tokens}, request("/go", ["x"], parameters={"count": 2})) == [
        "x0!0", "x0!1", "x1!0", "x1!1",
    ]  # fmt: skip


def test_each_document_goes_on_alone():
    async def main():
        async with gateway({"a": Tokens, "b": AppendMark}) as service:
            await collected(service.stream(request("/go", ["x"], parameters={"count": 50})))
            assert service.workers["b"].executor.calls == [1] * 50

    asyncio.run(main())


def test_single_documents_are_merged_behind_a_generator():
    class Say(Executor):
        @requests(on="/go")
        async def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
            for doc in docs:
                doc.text = doc.left + doc.right

    nodes = {"a": ["gateway"], "left": ["a"], "right": ["a"], "say": ["left", "right"]}
    found = run({"a": Tokens, "left": Left, "right": Right, "say": Say}, request("/go", ["x"]), nodes)
    assert found == ["lx0rx0", "lx1rx1", "lx2rx2"]


def test_documents_that_a_condition_keeps_from_the_generator_keep_their_place():
    nodes = {"a": {"needs": ["gateway"], "when": {"text": {"$eq": "y"}}}, "b": ["a"]}
    found = run({"a": Tokens, "b": AppendMark}, request("/go", ["x", "y", "z"], parameters={"count": 2}), nodes)
    assert found == ["x!", "y0!", "y1!", "z!"]


def test_a_stream_cannot_be_joined_with_what_came_once():
    nodes = {"a": ["gateway"], "b": ["gateway"], "c": ["a", "b"]}
    with pytest.raises(NotSupportedError, match="a streams"):
        run({"a": Tokens, "b": AppendMark, "c": AppendMark}, request("/go", ["x"]), nodes)


def test_without_a_generator_there_is_no_stream():
    with pytest.raises(BadRequest, match="no Executor streams on /go"):
        run({"a": AppendMark, "b": Plain}, request("/go", ["x"]))


def test_a_call_collects_what_generators_yield():
    async def main():
        async with gateway({"a": Tokens, "b": AppendMark}) as service:
            assert texts(await service.call(request("/go", ["x"]))) == ["x0!", "x1!", "x2!"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "executors", [{"a": Tokens}, {"a": Tokens, "b": AppendMark}, {"a": Tokens, "b": AppendMark, "c": Tokens}]
)
def test_the_first_item_comes_before_the_second_is_made(executors):
    async def main():
        async with gateway(executors) as service:
            generator = service.workers["a"].executor
            generator.gate = asyncio.Event()
            replies = service.stream(request("/go", ["x"], parameters={"count": 2}))
            first = await asyncio.wait_for(anext(replies), 5)
            assert texts(first)[0].startswith("x0")
            assert generator.log["yielded"] == 1
            generator.gate.set()
            rest = await asyncio.wait_for(collected(replies), 5)
            assert rest[-1].startswith("x1")

    asyncio.run(main())


@pytest.mark.parametrize("executors", [{"a": Tokens}, {"a": Tokens, "b": AppendMark}])
def test_an_error_comes_after_what_came_before_it(executors):
    async def main():
        async with gateway(executors) as service:
            replies = service.stream(request("/go", ["x"], parameters={"count": 9, "fail_at": 2}))
            seen = []
            with pytest.raises(ExecutorError, match="in the middle") as caught:
                async for reply in replies:
                    seen += texts(reply)
            assert [text[:2] for text in seen] == ["x0", "x1"]
            assert caught.value.deployment == "a"

    asyncio.run(main())


def test_an_error_behind_the_generator_closes_it():
    async def main():
        async with gateway({"a": Tokens, "b": AppendMark}) as service:
            asked = request("/go", ["x"], parameters={"count": 10**9, "mark_fails_at": "x5"})
            seen = []
            with pytest.raises(ExecutorError, match="behind the generator") as caught:
                async for reply in service.stream(asked):
                    seen += texts(reply)
            assert [text[:2] for text in seen] == ["x0", "x1", "x2", "x3", "x4"]
            assert caught.value.deployment == "b"
            assert await service.workers["a"].dispatcher.quiet(5)
            assert service.workers["a"].executor.log["closed"] == 1

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("executors", [{"a": Tokens}, {"a": AppendMark, "b": Tokens, "c": AppendMark}])
@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_clients_that_leave_close_the_generators(executors, how):
    """A thousand streams, left in the middle: no task, no generator, nothing counted as in flight."""

    async def leave(service):
        replies = service.stream(request("/go", ["x"], parameters={"count": 10**9}))
        if how == "closed":
            await anext(replies)
            await replies.aclose()
            return
        began = asyncio.Event()

        async def read():
            async for _ in replies:
                began.set()

        reading = asyncio.create_task(read())
        await began.wait()
        reading.cancel()
        await asyncio.wait([reading])

    async def main():
        async with gateway(executors) as service:
            before = len(asyncio.all_tasks())
            for _ in range(10):
                await asyncio.wait_for(asyncio.gather(*(leave(service) for _ in range(25))), 30)
            for worker in service.workers.values():
                assert await worker.dispatcher.quiet(5)
            generator = next(w.executor for w in service.workers.values() if isinstance(w.executor, Tokens))
            assert generator.log["opened"] == generator.log["closed"] == 250
            assert len(asyncio.all_tasks()) <= before
            assert service._admission.open == 0
            assert service.counts.endpoint("/go").in_flight == 0

    asyncio.run(main())


def test_a_slow_step_holds_the_generator_back():
    async def main():
        async with gateway({"a": Tokens, "b": AppendMark}) as service:
            slow = service.workers["b"].executor
            slow.gate = asyncio.Event()
            replies = service.stream(request("/go", ["x"], parameters={"count": 100_000}))
            reading = asyncio.create_task(anext(replies))
            yielded, quiet = -1, 0
            while quiet < 50:
                await asyncio.sleep(0.001)
                now = service.workers["a"].executor.log["yielded"]
                yielded, quiet = now, quiet + 1 if now == yielded else 0
            assert 1 < yielded < 300
            slow.gate.set()
            assert texts(await asyncio.wait_for(reading, 5)) == ["x0!"]
            await replies.aclose()

    asyncio.run(main())


@pytest.mark.slow
def test_memory_stays_flat_under_a_slow_reader():
    async def main():
        async with gateway({"a": Tokens, "b": AppendMark}) as service:
            replies = service.stream(request("/go", ["x" * 10_000], parameters={"count": 1500}))
            peaks = []
            tracemalloc.start()
            try:
                number = 0
                async for _ in replies:
                    number += 1
                    if number % 500 == 0:
                        gc.collect()
                        peaks.append(tracemalloc.get_traced_memory()[1])
                        tracemalloc.reset_peak()
            finally:
                tracemalloc.stop()
            assert number == 1500
            assert peaks[-1] < peaks[0] * 1.5 + 1_000_000

    asyncio.run(main())


def test_a_pipeline_keeps_order_and_its_window():
    async def main():
        busy = most = 0

        async def numbers():
            for number in range(100):
                yield number

        async def work(number):
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            for _ in range(number % 7):
                await asyncio.sleep(0)
            busy -= 1
            return number

        assert [number async for number in pipelined(numbers(), work, window=5)] == list(range(100))
        assert 2 < most <= 5

    asyncio.run(main())
