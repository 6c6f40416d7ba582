"""Crossing between loops and threads: order, wake-ups, cancellation, deadlines."""

import asyncio
import contextvars
import itertools
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest

from jina.errors import DeadlineExceeded
from jina.runtime.process import LoopThread, new_loop
from jina.worker import scheduler
from jina.worker.scheduler import HOLD, IDLE_ROUNDS, BatchingMailbox, Dispatcher, Mailbox, ResultJob


class Work(ResultJob):
    def __init__(self, function, deadline=None):
        super().__init__(deadline)
        self.function = function

    def work(self):
        return self.function()

    async def work_async(self):
        return await self.function()


@contextmanager
def two_loops(**options):
    """A dispatcher whose user loop is a thread and whose protocol loop is the test's."""
    user = LoopThread("user")
    protocol = new_loop()
    dispatcher = Dispatcher(protocol, user.loop, **options)
    try:
        yield dispatcher, lambda work: protocol.run_until_complete(asyncio.wait_for(work, 10))
        protocol.run_until_complete(dispatcher.quiet(5))
    finally:
        dispatcher.stop()
        user.stop()
        protocol.close()


class CountingLoop:
    """Counts wake-ups and keeps what was called."""

    def __init__(self):
        self.calls = []

    def call_soon_threadsafe(self, function, *arguments):
        self.calls.append(partial(function, *arguments))

    call_soon = call_soon_threadsafe

    def run_out(self):
        """Run until nothing is left; gives the number of calls."""
        count = 0
        while self.calls:
            self.calls.pop()()
            count += 1
        return count


def test_many_posts_wake_the_loop_once_and_arrive_in_order():
    loop, got = CountingLoop(), []
    box = Mailbox(loop)
    for number in range(100):
        box.post(got.append, number)
    assert len(loop.calls) == 1
    loop.calls.pop()()
    assert got == list(range(100))
    box.post(got.append, 100)
    assert len(loop.calls) == 1


def test_posts_of_one_round_cross_together():
    home, loop, got = CountingLoop(), CountingLoop(), []
    box = BatchingMailbox(loop, home)
    for number in range(10):
        box.post(got.append, number)
    assert (len(home.calls), len(loop.calls)) == (1, 0)
    rounds = home.run_out()
    assert rounds >= IDLE_ROUNDS
    assert len(loop.calls) == 1
    box.post(got.append, 10)
    assert (len(home.calls), len(loop.calls)) == (0, 1)
    loop.calls.pop()()
    assert got == list(range(11))


def test_a_busy_loop_holds_a_wake_up_back_for_a_moment_only(monkeypatch):
    home, loop = CountingLoop(), CountingLoop()
    ticks = itertools.count(0.0, HOLD / 10)
    monkeypatch.setattr(scheduler, "perf_counter", lambda: next(ticks))
    box = BatchingMailbox(loop, home)
    box.post(print, None)
    assert 10 <= home.run_out() <= 12
    assert len(loop.calls) == 1


def test_nothing_is_lost_between_threads():
    async def main():
        loop = asyncio.get_running_loop()
        box, got, done = Mailbox(loop), [], asyncio.Event()
        total = 4 * 5000

        def take(item):
            got.append(item)
            if len(got) == total:
                done.set()

        threads = [
            threading.Thread(target=lambda base=base: [box.post(take, (base, n)) for n in range(5000)])
            for base in range(4)
        ]
        for thread in threads:
            thread.start()
        await asyncio.wait_for(done.wait(), 20)
        for base in range(4):
            assert [n for b, n in got if b == base] == list(range(5000))

    asyncio.run(main())


def test_a_post_that_raises_does_not_stop_the_next():
    async def main():
        loop = asyncio.get_running_loop()
        seen, reported = asyncio.Event(), []
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        box = Mailbox(loop)
        box.post(int, "no number")
        box.post(lambda _: seen.set(), None)
        await asyncio.wait_for(seen.wait(), 5)
        assert [type(error) for error in reported] == [ValueError]

    asyncio.run(main())


def test_jobs_run_where_they_belong():
    async def here():
        return threading.current_thread().name

    with two_loops() as (dispatcher, run):
        sync = Work(lambda: threading.current_thread().name).outcome(dispatcher, dispatcher.sync_pool)
        assert run(sync).startswith("handler")
        assert run(Work(here).outcome(dispatcher, dispatcher.async_pool)) == "user"


def test_one_loop_can_be_both():
    async def main():
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher(loop, loop)

        async def double():
            await asyncio.sleep(0)
            return asyncio.get_running_loop() is loop

        assert await Work(double).outcome(dispatcher, dispatcher.async_pool)
        assert await Work(lambda: 4).outcome(dispatcher, dispatcher.sync_pool) == 4
        assert await dispatcher.quiet(1)
        dispatcher.stop()

    asyncio.run(main())


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_errors_of_any_kind_reach_the_waiter_and_leave_the_lanes_alive(error):
    def fail():
        raise error

    async def fail_async():
        fail()

    class Told(ResultJob):
        def __init__(self, function):
            super().__init__(None)
            self.function = function

        def work(self):
            try:
                self.function()
            except BaseException as caught:
                return caught

        async def work_async(self):
            try:
                await self.function()
            except BaseException as caught:
                return caught

    async def one():
        return 1

    with two_loops() as (dispatcher, run):
        assert run(Told(fail).outcome(dispatcher, dispatcher.sync_pool)) is error
        assert run(Told(fail_async).outcome(dispatcher, dispatcher.async_pool)) is error
        assert run(Work(one).outcome(dispatcher, dispatcher.async_pool)) == 1


def test_handlers_on_threads_run_one_at_a_time_by_default_and_side_by_side_when_allowed():
    for threads, expected in ((1, 1), (4, 4)):
        barrier = threading.Barrier(expected)
        running, most, lock = 0, 0, threading.Lock()

        def work(barrier=barrier, lock=lock):
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            barrier.wait(5)
            with lock:
                running -= 1

        with two_loops(threads=threads) as (dispatcher, run):

            async def all_of_them(dispatcher=dispatcher, work=work):
                await asyncio.gather(*(Work(work).outcome(dispatcher, dispatcher.sync_pool) for _ in range(4)))

            run(all_of_them())
        assert most == expected


def test_queued_work_of_a_client_that_left_never_runs_but_running_work_goes_on():
    release, began, ran = threading.Event(), threading.Event(), []

    def first():
        began.set()
        release.wait(5)
        ran.append("first")

    with two_loops() as (dispatcher, run):

        async def main():
            one = asyncio.ensure_future(Work(first).outcome(dispatcher, dispatcher.sync_pool))
            two = asyncio.ensure_future(Work(lambda: ran.append("second")).outcome(dispatcher, dispatcher.sync_pool))
            await asyncio.to_thread(began.wait, 5)
            for task in (one, two):
                task.cancel()
            await asyncio.wait({one, two})
            assert dispatcher.open == 2  # the slot is not free before the handler returns
            release.set()
            assert await dispatcher.quiet(5)

        run(main())
    assert ran == ["first"]


def test_cancelling_cancels_the_coroutine_on_the_user_loop():
    began, cancelled = threading.Event(), threading.Event()

    async def forever():
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with two_loops() as (dispatcher, run):

        async def main():
            task = asyncio.ensure_future(Work(forever).outcome(dispatcher, dispatcher.async_pool))
            await asyncio.to_thread(began.wait, 5)
            task.cancel()
            await asyncio.wait({task})
            assert await asyncio.to_thread(cancelled.wait, 1)

        run(main())


def test_deadlines_before_the_start_and_while_running():
    cancelled = threading.Event()
    ran = []

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    with two_loops() as (dispatcher, run):
        with pytest.raises(DeadlineExceeded):
            run(Work(lambda: ran.append(1), time.monotonic() - 1).outcome(dispatcher, dispatcher.sync_pool))
        with pytest.raises(DeadlineExceeded):
            run(Work(forever, time.monotonic() + 0.05).outcome(dispatcher, dispatcher.async_pool))
        assert run(asyncio.to_thread(cancelled.wait, 5))
    assert ran == []


def test_each_job_has_a_context_of_its_own_copied_from_where_the_dispatcher_was_made():
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("from the start")

    def swap():
        before = variable.get()
        variable.set("changed by a job")
        return before

    async def swap_async():
        return swap()

    with two_loops() as (dispatcher, run):
        variable.set("of the caller")
        for pool, function in ((dispatcher.sync_pool, swap), (dispatcher.async_pool, swap_async)):
            for _ in range(2):
                assert run(Work(function).outcome(dispatcher, pool)) == "from the start"


def test_no_method_is_begun_on_a_thread_while_it_is_throttled():
    begun = []
    with two_loops() as (dispatcher, wait):
        dispatcher.throttle(on=True)

        async def main():
            works = [
                asyncio.ensure_future(Work(partial(begun.append, number)).outcome(dispatcher, dispatcher.sync_pool))
                for number in range(3)
            ]
            codec = Work(lambda: "encoded")
            assert await codec.outcome(dispatcher, dispatcher.codec_pool) == "encoded"
            assert begun == []
            dispatcher.throttle(on=False)
            await asyncio.gather(*works)

        wait(main())
    assert begun == [0, 1, 2]


def test_threads_end_that_are_throttled():
    with two_loops() as (dispatcher, wait):
        wait(Work(lambda: None).outcome(dispatcher, dispatcher.sync_pool))
        dispatcher.throttle(on=True)
        dispatcher.stop()
        for thread in dispatcher.sync_pool._threads:
            thread.join(10)
            assert not thread.is_alive()
        dispatcher.throttle(on=False)


class LargeWork(Work):
    slow_to_encode = True


def test_threads_wait_for_the_loop_with_large_outcomes():
    """Until the loop has seen them nobody counts them, so that they could fill the memory while it is busy."""
    made, all_made = [], threading.Event()

    def make(number):
        made.append(number)
        if len(made) == 20:
            all_made.set()
        return number

    with two_loops() as (dispatcher, run):

        async def outcomes():
            jobs = [LargeWork(partial(make, number)) for number in range(20)]
            tasks = [asyncio.create_task(job.outcome(dispatcher, dispatcher.sync_pool)) for job in jobs]
            await asyncio.sleep(0)
            assert not all_made.wait(0.3)  # this loop is busy meanwhile
            assert len(made) <= scheduler.LARGE_AHEAD + 1
            return await asyncio.gather(*tasks)

        assert run(outcomes()) == list(range(20))


def test_a_pool_that_stops_does_not_wait_for_the_loop():
    with two_loops() as (dispatcher, run):

        async def outcomes():
            tasks = [
                asyncio.create_task(LargeWork(lambda: None).outcome(dispatcher, dispatcher.sync_pool)) for _ in range(9)
            ]
            await asyncio.sleep(0)
            dispatcher.stop()
            threads = dispatcher.sync_pool._threads
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads)
            await asyncio.gather(*tasks)

        run(outcomes())
