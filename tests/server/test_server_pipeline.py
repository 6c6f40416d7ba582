"""The window of one connection."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.net.messages import DEFAULT_WINDOW, Pipeline, window_of
from tests.server.sample_service import run


def reader(items):
    waiting = iter(items)

    async def read():
        await asyncio.sleep(0)
        return next(waiting, None)

    return read


@pytest.mark.parametrize(
    ("text", "window"),
    [("3", 3), ("0", DEFAULT_WINDOW), ("-1", DEFAULT_WINDOW), ("x", DEFAULT_WINDOW), (None, DEFAULT_WINDOW)],
)
def test_window_of(text, window):
    assert window_of(text) == window


@pytest.mark.parametrize(("text", "window"), [("3", 2), ("1", 1), ("0", 2), (None, 2)])
def test_a_client_gets_no_larger_window_than_the_server_has(text, window):
    assert window_of(text, 2) == window


@settings(max_examples=50, deadline=None)
@given(
    delays=st.lists(st.integers(0, 4), max_size=12),
    window=st.integers(1, 5),
    max_bytes=st.integers(1, 30),
    in_order=st.booleans(),
)
def test_each_item_is_answered_once_within_the_window(delays, window, max_bytes, in_order):
    async def main():
        running = most = 0
        written = []

        async def work(item, emit):
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(delays[item]):
                await asyncio.sleep(0)
            await emit((item, "a"))
            await emit((item, "b"))
            running -= 1

        async def write(frame):
            written.append(frame)

        pipeline = Pipeline(work, write, window=window, max_bytes=max_bytes, in_order=in_order)
        await pipeline.run(reader((number, 10) for number in range(len(delays))))
        expected = [(number, part) for number in range(len(delays)) for part in "ab"]
        assert sorted(written) == expected
        if in_order:
            assert written == expected
        assert most <= min(window, 1 + (max_bytes - 1) // 10)

    run(main())


def test_failed_write_ends_everything():
    async def main():
        cancelled = []

        async def work(item, emit):
            try:
                await asyncio.sleep(item)
                await emit(item)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        async def write(_frame):
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await Pipeline(work, write, max_bytes=100).run(reader([(0, 1), (100, 1)]))
        assert cancelled == [100]

    run(main())


def test_failed_read_cancels_the_work():
    async def main():
        cancelled = asyncio.Event()
        items = iter([(1, 1)])

        async def work(_item, _emit):
            try:
                await asyncio.sleep(100)
            finally:
                cancelled.set()

        async def read():
            await asyncio.sleep(0.01)
            try:
                return next(items)
            except StopIteration:
                raise ConnectionResetError from None

        with pytest.raises(ConnectionResetError):
            await Pipeline(work, None, max_bytes=100).run(read)
        assert cancelled.is_set()

    run(main())


def test_a_failure_ends_it_while_it_waits_for_the_next():
    async def main():
        items = iter([1, 2])

        async def read():
            found = next(items, None)
            if found is None:
                await asyncio.sleep(3600)
            return found, 1

        async def work(item, emit):
            await asyncio.sleep(0.01)
            if item == 2:
                raise ZeroDivisionError("a mistake of ours")
            await asyncio.sleep(3600)

        async def write(frame):
            pass

        task = asyncio.current_task()
        with pytest.raises(ZeroDivisionError):
            await Pipeline(work, write, max_bytes=10).run(read)
        assert not task.cancelling()
        assert asyncio.all_tasks() == {task}

    run(main())


def test_who_cancels_it_is_heard():
    async def main():
        async def read():
            await asyncio.sleep(3600)

        async def nothing(*_):
            pass

        task = asyncio.create_task(Pipeline(nothing, nothing, max_bytes=10).run(read))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
