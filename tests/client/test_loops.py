"""How the client's coroutines run without an event loop, and what they share on either side."""

import asyncio
import threading

import pytest

from jina import Client
from jina.client.loops import BLOCKING, Pool, Window, iterate, run
from tests.client.note_server import Note


def test_a_coroutine_that_would_suspend_is_refused():
    with pytest.raises(RuntimeError, match="waits for an event loop"):
        run(asyncio.sleep(0))


def test_a_generator_is_closed_with_the_loop_over_it():
    closed = []

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            closed.append(True)

    items = iterate(numbers())
    assert next(items) == 0
    items.close()
    assert closed == [True]
    assert list(iterate(numbers())) == list(range(10))


def test_blocking_code_on_the_thread_of_a_loop_leaves_no_generator_to_it(server):
    async def main():
        with Client(host=server.url("grpc")) as client:
            documents = client.stream_doc("/tokens", Note(number=5), return_type=Note)
            next(documents)
            client.post("/echo", [Note()] * 3, request_size=1)
            return len(asyncio.get_running_loop()._asyncgens)

    assert asyncio.run(main()) == 0


def test_a_window_holds_requests_up_until_one_is_answered():
    async def numbers():
        for number in range(3):
            yield number

    window = Window(numbers(), BLOCKING, 2)
    assert [run(window.next()) for _ in range(2)] == [0, 1]
    taken = []
    thread = threading.Thread(target=lambda: taken.append(run(window.next())))
    thread.start()
    assert not taken
    window.answered()
    thread.join(20)
    assert taken == [2]
    window.stop()
    assert run(window.next()) is None


class Names(Pool[str, str]):
    dropped = ()

    def is_fresh(self, connection):
        return connection != "old"

    def drop(self, connection):
        self.dropped = (*self.dropped, connection)


def test_a_pool_gives_the_one_that_was_used_last_and_ends_the_oldest():
    pool = Names(3)
    for name in ("old", "a", "b"):
        pool.keep("key", name)
    pool.keep("other", "c")
    assert pool.dropped == ("old",)
    assert pool.take("key") == "b"
    assert pool.take("none") is None
    pool.keep("key", "old")
    assert pool.take("other") == "c"
    assert pool.take("key") == "old"  # the caller asks the system whether it is usable
    assert pool.clear() == ["a"]
