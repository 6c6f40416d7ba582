"""Continuous batching in a worker: shared steps, admission, errors, readers that lag or leave, and what is freed."""

import asyncio
import threading
import time

import pytest
from docarray import BaseDoc

from jina import Executor, Slot, continuous_batching, requests
from jina.errors import DeadlineExceeded, ExecutorError, Overloaded
from jina.executor.endpoints import EndpointTable
from jina.worker.streaming import ROOM


class Text(BaseDoc):
    text: str = ""


class Counting(Executor):
    """Emits `count` texts to each stream, one in a step; `gate` lets steps be made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.batches, self.indexes, self.freed = [], [], []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.inside = 0

    def one_step(self, slots):
        self.inside += 1
        assert self.inside == 1
        self.batches.append([slot.doc.text for slot in slots])
        self.indexes.append([slot.index for slot in slots])
        for slot in slots:
            if slot.state is None:
                slot.state = 0
                slot.on_leave(self.freed.append, slot.doc.text)
            slot.state += 1
            if slot.state > slot.parameters.get("count", 3):
                slot.finish()
            else:
                slot.emit(Text(text=f"{slot.doc.text}{slot.state}"))
        self.inside -= 1

    @requests(on=["/sync", "/alias"])
    @continuous_batching(slots=2, stall_timeout=100)
    def step(self, slots: list[Slot[Text, Text]]) -> None:
        self.entered.release()
        assert self.gate.wait(20)
        self.one_step(slots)

    @continuous_batching(slots=2, stall_timeout=100)
    @requests(on="/async")
    async def step_async(self, slots: list[Slot[Text, Text]]) -> None:
        self.entered.release()
        assert await asyncio.to_thread(self.gate.wait, 20)
        self.one_step(slots)

    @requests(on="/failing")
    @continuous_batching(slots=4)
    def failing(self, slots: list[Slot[Text, Text]]) -> None:
        for slot in slots:
            slot.on_leave(self.freed.append, slot.doc.text)
            slot.emit(Text(text="good"))
        assert self.gate.wait(20)
        raise ValueError("the engine is broken")

    @requests(on="/one-fails")
    @continuous_batching(slots=4)
    def one_fails(self, slots: list[Slot[Text, Text]]) -> None:
        for slot in slots:
            slot.state = (slot.state or 0) + 1
            slot.emit(Text(text=str(slot.state)))
            if slot.state == 2:
                slot.fail(KeyError(slot.doc.text)) if slot.doc.text == "bad" else slot.finish()

    @requests(on="/wrong")
    @continuous_batching()
    def wrong(self, slots: list[Slot[Text, Text]]) -> None:
        for slot in slots:
            slot.emit("no document")

    @requests(on="/returns")
    @continuous_batching()
    def returns(self, slots: list[Slot[Text, Text]]) -> None:
        return [Text(text="returned")]

    @requests(on="/leak")
    @continuous_batching(slots=1)
    def leak(self, slots: list[Slot[Text, Text]]) -> None:
        for slot in slots:
            slot.on_leave(self.freed.append, "first")
            slot.on_leave(int, "no number")
            slot.finish()

    @requests(on="/other")
    def other(self, **kwargs):
        self.batches.append("other")


BOTH = pytest.mark.parametrize("endpoint", ["/sync", "/async"])


def stream(worker, it, endpoint, *names, **options):
    return it.service.stream(worker.request(endpoint, names or ["t"], **options))


async def texts_of(worker, replies):
    return [text async for reply in replies for text in worker.texts(reply)]


async def until(condition, what):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, what
        await asyncio.sleep(0.002)


def begun(it, endpoint, **waiting_and_in_use):
    """Whether so many streams wait and have slots."""
    counts = it.service.counts.endpoint(endpoint).slots
    return all(getattr(counts, name)() == number for name, number in waiting_and_in_use.items())


@pytest.mark.parametrize("one_loop", [False, True])
@BOTH
def test_streams_share_steps_and_one_joins_when_another_has_left(worker, endpoint, one_loop):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor, one_loop=one_loop) as it:

        async def main():
            tasks = []
            for name, count in (("a", 2), ("b", 5), ("c", 1)):
                replies = stream(worker, it, endpoint, name, parameters={"count": count})
                tasks.append(asyncio.ensure_future(texts_of(worker, replies)))
            await until(lambda: it.service.dispatcher.open == 3, "three streams")
            executor.gate.set()
            texts = await asyncio.gather(*tasks)
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")
            return texts

        assert it.run(main()) == [["a1", "a2"], ["b1", "b2", "b3", "b4", "b5"], ["c1"]]
        batches = executor.batches
        assert max(map(len, batches)) == 2
        assert ["b", "c"] in [sorted(batch) for batch in batches]
        assert not any("a" in batch and "c" in batch for batch in batches)
        assert sorted(executor.freed) == ["a", "b", "c"]
        counts = it.service.counts.endpoint(endpoint)
        assert (counts.succeeded, counts.in_flight, counts.documents) == (3, 0, 3)
        assert any(counts.slots.steps.counts)
        assert begun(it, endpoint, waiting=0, in_use=0, paused=0)


@BOTH
def test_a_call_gets_all_outputs_together(worker, endpoint):
    with worker.serving(Counting()) as it:
        reply = it.run(it.service.call(worker.request(endpoint, ["x"], parameters={"count": 3})))
        assert worker.texts(reply) == ["x1", "x2", "x3"]


@BOTH
def test_documents_of_one_request_take_turns(worker, endpoint):
    executor = Counting()
    with worker.serving(executor) as it:
        replies = stream(worker, it, endpoint, "x", "y", parameters={"count": 2})
        assert it.run(texts_of(worker, replies)) == ["x1", "x2", "y1", "y2"]
        assert it.run(texts_of(worker, it.service.stream(worker.request(endpoint)))) == []
        it.run(until(lambda: it.service.dispatcher.open == 0, "nothing open"))
        assert executor.freed == ["x", "y"]


def test_paths_of_one_method_share_its_slots(worker):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor) as it:

        async def main():
            tasks = [
                asyncio.ensure_future(texts_of(worker, stream(worker, it, path, path[1])))
                for path in ("/sync", "/alias", "/sync")
            ]
            await until(lambda: it.service.dispatcher.open == 3, "three streams")
            executor.gate.set()
            await asyncio.gather(*tasks)

        it.run(main())
        assert max(map(len, executor.batches)) == 2
        assert all(len(set(indexes)) == len(indexes) for indexes in executor.indexes)


@pytest.mark.parametrize("how", ["aclose", "cancel"])
@BOTH
def test_a_reader_that_leaves_frees_its_slot_for_one_that_waits(worker, endpoint, how):
    executor = Counting()
    with worker.serving(executor, concurrency={"/sync": 1, "/async": 1}) as it:

        async def main():
            replies = stream(worker, it, endpoint, "long", parameters={"count": 10_000_000})
            assert worker.texts(await anext(replies))
            waits = asyncio.ensure_future(texts_of(worker, stream(worker, it, endpoint, "next")))
            await until(lambda: begun(it, endpoint, waiting=1), "one that waits")
            if how == "aclose":
                await replies.aclose()
            else:
                task = asyncio.ensure_future(texts_of(worker, replies))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
            assert await waits == ["next1", "next2", "next3"]
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")

        it.run(main())
        assert executor.freed == ["long", "next"]


@BOTH
def test_one_that_leaves_while_it_waits_never_gets_a_slot(worker, endpoint):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor, concurrency={"/sync": 1, "/async": 1}) as it:

        async def main():
            first = asyncio.ensure_future(texts_of(worker, stream(worker, it, endpoint, "first")))
            await until(lambda: begun(it, endpoint, in_use=1), "the first in its slot")
            second = asyncio.ensure_future(texts_of(worker, stream(worker, it, endpoint, "second")))
            await until(lambda: begun(it, endpoint, waiting=1), "the second")
            second.cancel()
            await asyncio.wait({second})
            assert begun(it, endpoint, waiting=0)
            executor.gate.set()
            texts = await first
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")
            return texts

        assert it.run(main()) == ["first1", "first2", "first3"]
        assert executor.freed == ["first"]


@BOTH
def test_a_client_that_does_not_read_pauses_its_own_stream_alone(worker, endpoint):
    executor = Counting()
    with worker.serving(executor) as it:

        async def main():
            slow = stream(worker, it, endpoint, "slow", parameters={"count": 5 * ROOM})
            got = worker.texts(await anext(slow))
            await until(lambda: begun(it, endpoint, paused=1), "the slow one is paused")
            made = sum("slow" in batch for batch in executor.batches)
            assert made <= len(got) + ROOM + 1
            fast = await texts_of(worker, stream(worker, it, endpoint, "fast", parameters={"count": 3 * ROOM}))
            assert len(fast) == 3 * ROOM
            assert sum("slow" in batch for batch in executor.batches) == made
            got += await texts_of(worker, slow)
            assert got == [f"slow{number}" for number in range(1, 5 * ROOM + 1)]

        it.run(main())


@BOTH
def test_a_stalled_stream_loses_its_slot_when_another_waits(worker, endpoint):
    executor = Counting()
    with worker.serving(executor, concurrency={"/sync": 1, "/async": 1}) as it:

        async def main():
            slow = stream(worker, it, endpoint, "slow", parameters={"count": 5 * ROOM})
            await anext(slow)
            await until(lambda: begun(it, endpoint, paused=1), "the slow one is paused")
            assert len(await texts_of(worker, stream(worker, it, endpoint, "fast"))) == 3
            with pytest.raises(DeadlineExceeded, match="has not read for too long"):
                await texts_of(worker, slow)
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")

        it.run(main())
        assert executor.freed == ["slow", "fast"]


@BOTH
def test_a_deadline_ends_a_stream_that_runs_and_one_that_waits(worker, endpoint):
    executor = Counting()
    with worker.serving(executor, concurrency={"/sync": 1, "/async": 1}) as it:

        async def main():
            deadline = time.monotonic() + 0.2
            runs = stream(worker, it, endpoint, "runs", parameters={"count": 10_000_000}, deadline=deadline)
            first = asyncio.ensure_future(texts_of(worker, runs))
            await until(lambda: begun(it, endpoint, in_use=1), "the first in its slot")
            waits = asyncio.ensure_future(texts_of(worker, stream(worker, it, endpoint, deadline=deadline - 0.1)))
            for task in (waits, first):
                with pytest.raises(DeadlineExceeded):
                    await task
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")

        it.run(main())
        assert executor.freed == ["runs"]


@BOTH
def test_a_deadline_does_not_wait_for_a_step_that_hangs(worker, endpoint):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor) as it:

        async def main():
            with pytest.raises(DeadlineExceeded):
                await texts_of(worker, stream(worker, it, endpoint, deadline=time.monotonic() + 0.1))
            executor.gate.set()
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")

        it.run(main())
        assert executor.freed == ["t"]


def test_an_error_of_a_step_ends_all_its_streams_with_the_reason_after_what_they_emitted(worker):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor) as it:

        async def outcome(name):
            got = []
            with pytest.raises(ExecutorError, match="the engine is broken") as caught:
                async for reply in stream(worker, it, "/failing", name):
                    got += worker.texts(reply)
            assert caught.value.name == "ValueError"
            return got

        async def main():
            tasks = [asyncio.ensure_future(outcome(name)) for name in "ab"]
            await until(lambda: it.service.dispatcher.open == 2, "two streams")
            executor.gate.set()
            got = await asyncio.gather(*tasks)
            await until(lambda: it.service.dispatcher.open == 0, "nothing open")
            return got

        assert it.run(main()) == [["good"], ["good"]]
        assert executor.freed == ["a", "b"]
        assert it.service.counts.endpoint("/failing").failures == {"ExecutorError": 2}
        assert worker.texts(it.run(it.service.call(worker.request("/sync", ["t"])))) == ["t1", "t2", "t3"]


def test_one_stream_can_fail_alone(worker):
    with worker.serving(Counting()) as it:

        async def main():
            good = asyncio.ensure_future(texts_of(worker, stream(worker, it, "/one-fails", "good")))
            with pytest.raises(ExecutorError, match="KeyError"):
                await texts_of(worker, stream(worker, it, "/one-fails", "bad"))
            return await good

        assert it.run(main()) == ["1", "2"]


def test_what_is_no_document_and_what_is_returned_is_refused(worker):
    with worker.serving(Counting()) as it:
        for path, message in (("/wrong", "has to yield documents"), ("/returns", "slot.emit")):
            with pytest.raises(ExecutorError, match=message):
                it.run(texts_of(worker, stream(worker, it, path)))


def test_a_callback_that_raises_is_logged_and_the_slot_is_free(worker, caplog):
    executor = Counting()
    with worker.serving(executor) as it:
        for _ in range(3):
            assert it.run(texts_of(worker, stream(worker, it, "/leak"))) == []
        it.run(until(lambda: it.service.dispatcher.open == 0, "nothing open"))
    assert executor.freed == ["first"] * 3


def test_steps_make_way_for_other_methods(worker):
    executor = Counting()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, "/sync", "long", parameters={"count": 10_000_000})
            await anext(replies)
            reader = asyncio.ensure_future(texts_of(worker, replies))
            await it.service.call(worker.request("/other"))
            assert not reader.done()
            reader.cancel()
            await asyncio.wait({reader})

        it.run(main())
        assert "other" in executor.batches


def test_no_more_wait_than_max_queue(worker):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor, concurrency={"/sync": 1}, max_queue=1) as it:

        async def main():
            tasks = []
            for name in "ab":
                tasks.append(asyncio.ensure_future(texts_of(worker, stream(worker, it, "/sync", name))))
                await until(lambda: it.service.dispatcher.open == len(tasks), "a stream")
                await until(lambda: begun(it, "/sync", in_use=1), "the first in its slot")
            with pytest.raises(Overloaded, match="max_queue"):
                await texts_of(worker, stream(worker, it, "/sync", "c"))
            executor.gate.set()
            return await asyncio.gather(*tasks)

        assert it.run(main()) == [["a1", "a2", "a3"], ["b1", "b2", "b3"]]


def test_metrics(worker):
    executor = Counting()
    executor.gate.clear()
    with worker.serving(executor) as it:

        async def main():
            tasks = [asyncio.ensure_future(texts_of(worker, stream(worker, it, "/sync"))) for _ in range(3)]
            await until(lambda: begun(it, "/sync", in_use=2, waiting=1), "two in slots")
            text = (await it.service.metrics()).decode()
            executor.gate.set()
            await asyncio.gather(*tasks)
            return text, (await it.service.metrics()).decode()

        before, after = it.run(main())
    labels = '{endpoint="/sync",executor="Counting",runtime_name="executor/rep-0"}'
    row = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in before.splitlines()}
    assert any(line.startswith("jina_slots_in_use") and line.endswith(" 2.0") for line in before.splitlines()), labels
    assert any(line.startswith("jina_slot_queue_depth") and line.endswith(" 1.0") for line in before.splitlines()), row
    assert any(line.startswith("jina_slots{") and line.endswith(" 2.0") for line in before.splitlines())
    assert any(line.startswith("jina_slots_paused") and line.endswith(" 0.0") for line in before.splitlines())
    assert any(line.startswith("jina_slot_step_seconds_count") and " 0" not in line for line in after.splitlines())


def test_a_step_is_a_plain_call():
    executor = Counting()
    slot = Slot(Text(text="x"), parameters={"count": 1})
    executor.step([slot])
    assert [output.text for output in slot.outputs] == ["x1"]
    executor.step([slot])
    assert slot.finished
    assert slot.leave() == []
    assert executor.freed == ["x"]


def test_types_are_those_of_the_slot_and_the_endpoint_streams():
    endpoint = EndpointTable(Counting()).resolve("/sync")
    assert (endpoint.input_type, endpoint.output_type) == (Text, Text)
    assert endpoint.is_generator
    assert endpoint.slots.slots == 2
