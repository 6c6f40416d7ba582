"""Streams: order, coalescing, back-pressure, errors, and generators that are closed when the reader leaves."""

import asyncio
import gc
import threading
import time

import pytest
from docarray import BaseDoc

from jina import Executor, requests
from jina.errors import DeadlineExceeded, ExecutorError
from jina.worker.streaming import ROOM


class Text(BaseDoc):
    text: str = ""


class Streams(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.closed = threading.Event()
        self.made = 0
        self.threads = set()
        self.go_on = threading.Event()

    @requests(on="/async")
    async def asynchronous(self, doc: Text, parameters: dict, **kwargs) -> Text:
        try:
            for number in range(int(parameters["count"])):
                self.made += 1
                yield Text(text=f"{doc.text}{number}")
        finally:
            await asyncio.sleep(0)
            self.closed.set()

    @requests(on="/sync")
    def sync(self, doc: Text, parameters: dict, **kwargs) -> Text:
        self.threads.add(threading.current_thread().name)
        try:
            for number in range(int(parameters["count"])):
                self.made += 1
                yield Text(text=f"{doc.text}{number}")
        finally:
            self.threads.add(threading.current_thread().name)
            self.closed.set()

    @requests(on="/waiting")
    async def waiting(self, doc: Text, **kwargs) -> Text:
        try:
            yield Text(text="first")
            await asyncio.sleep(3600)
        finally:
            self.closed.set()

    @requests(on="/waiting-sync")
    def waiting_sync(self, doc: Text, **kwargs) -> Text:
        try:
            while True:
                yield Text(text="more")
                self.go_on.wait(0.02)
        finally:
            self.closed.set()

    @requests(on="/failing")
    async def failing(self, doc: Text, **kwargs) -> Text:
        yield Text(text="good")
        raise ValueError("mid-stream")

    @requests(on="/failing-sync")
    def failing_sync(self, doc: Text, **kwargs) -> Text:
        yield Text(text="good")
        raise ValueError("mid-stream")

    @requests(on="/other")
    def other(self, **kwargs):
        pass


def stream(worker, it, endpoint, count=0, **options):
    return it.service.stream(worker.request(endpoint, ["t"], parameters={"count": count}, **options))


async def texts_of(worker, replies):
    return [text async for reply in replies for text in worker.texts(reply)]


@pytest.mark.parametrize("one_loop", [False, True])
@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
@pytest.mark.parametrize("count", [0, 1, ROOM - 1, ROOM, ROOM + 1, 10 * ROOM])
def test_all_documents_arrive_in_order(worker, endpoint, count, one_loop):
    executor = Streams()
    with worker.serving(executor, one_loop=one_loop) as it:

        async def main():
            return await texts_of(worker, stream(worker, it, endpoint, count))

        assert it.run(main()) == [f"t{number}" for number in range(count)]
        assert executor.closed.wait(5)
        counts = it.service.counts.endpoint(endpoint)
        assert (counts.succeeded, counts.in_flight, counts.documents) == (1, 0, 1)


def test_what_is_ready_leaves_together(worker):
    with worker.serving(Streams()) as it:

        async def main():
            return [len(reply.payload) async for reply in stream(worker, it, "/async", 20 * ROOM)]

        sizes = it.run(main())
        assert sum(sizes) == 20 * ROOM
        assert max(sizes) <= ROOM
        assert len(sizes) < 20 * ROOM / 2


@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
def test_a_slow_reader_of_large_documents_holds_the_generator_back_by_bytes(worker, endpoint, monkeypatch):
    monkeypatch.setattr("jina.worker.streaming.ROOM_BYTES", 100)
    executor = Streams()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, endpoint, 100 * ROOM)
            first = worker.texts(await anext(replies))
            limit = time.monotonic() + 20
            while executor.made <= len(first):
                assert time.monotonic() < limit
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            # Each document has an id of 32 bytes and a text.
            assert executor.made <= len(first) + 4
            await replies.aclose()
            assert await asyncio.to_thread(executor.closed.wait, 20)

        it.run(main())


@pytest.mark.parametrize("endpoint", ["/sync", "/async"])
def test_a_slow_reader_holds_the_generator_back(worker, endpoint):
    executor = Streams()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, endpoint, 100 * ROOM)
            first = worker.texts(await anext(replies))
            limit = time.monotonic() + 20
            while executor.made < ROOM:
                assert time.monotonic() < limit
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            # What was taken, a full buffer, and the one that the generator was asked for beside.
            assert executor.made <= len(first) + ROOM + 1
            await replies.aclose()
            assert await asyncio.to_thread(executor.closed.wait, 20)

        it.run(main())
    assert len(executor.threads) <= 1


@pytest.mark.parametrize("endpoint", ["/waiting", "/waiting-sync"])
@pytest.mark.parametrize("how", ["aclose", "cancel", "forget"])
def test_a_reader_that_leaves_closes_the_generator(worker, endpoint, how):
    executor = Streams()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, endpoint)
            assert worker.texts(await anext(replies))
            if how == "aclose":
                await replies.aclose()
            elif how == "forget":
                del replies
                gc.collect()
            else:

                async def read():
                    async for _ in replies:
                        pass

                task = asyncio.ensure_future(read())
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.wait({task})
            assert await asyncio.to_thread(executor.closed.wait, 20)
            await asyncio.sleep(0)

        it.run(main())
        counts = it.service.counts.endpoint(endpoint)
        assert (counts.failures, counts.in_flight) == ({"Cancelled": 1}, 0)


@pytest.mark.parametrize("endpoint", ["/failing", "/failing-sync"])
def test_an_error_in_the_middle_is_raised_once_after_what_was_yielded(worker, endpoint):
    with worker.serving(Streams()) as it:

        async def main():
            replies, got = stream(worker, it, endpoint), []
            with pytest.raises(ExecutorError, match="mid-stream") as caught:
                async for reply in replies:
                    got += worker.texts(reply)
            assert got == ["good"]
            assert caught.value.name == "ValueError"
            with pytest.raises(StopAsyncIteration):
                await anext(replies)

        it.run(main())


def test_deadline_ends_a_stream_and_closes_its_generator(worker):
    executor = Streams()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, "/waiting", deadline=time.monotonic() + 1)
            with pytest.raises(DeadlineExceeded):
                await texts_of(worker, replies)
            assert await asyncio.to_thread(executor.closed.wait, 20)

        it.run(main())


def test_a_sync_generator_holds_the_one_thread_until_it_ends(worker):
    executor = Streams()
    with worker.serving(executor) as it:

        async def main():
            replies = stream(worker, it, "/waiting-sync")
            await anext(replies)
            other = asyncio.ensure_future(it.service.call(worker.request("/other")))
            await asyncio.sleep(0.1)
            assert not other.done()
            await replies.aclose()
            await asyncio.wait_for(other, 5)

        it.run(main())


def test_a_stream_that_is_never_read_never_starts(worker):
    executor = Streams()
    with worker.serving(executor) as it:
        replies = stream(worker, it, "/async", 3)
        it.run(replies.aclose())
        with pytest.raises(StopAsyncIteration):
            it.run(anext(replies))
        assert executor.made == 0
        assert it.service.counts.endpoint("/async").in_flight == 0
