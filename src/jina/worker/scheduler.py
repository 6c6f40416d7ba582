"""Running jobs for the protocol loop: coroutines on the user loop, everything else on threads."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from asyncio import AbstractEventLoop, CancelledError, Future, Task, timeout
from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Protocol

from jina.errors import DeadlineExceeded
from jina.executor.endpoints import Endpoint


class CallQueue(Protocol):
    """Calls functions on a loop."""

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call `function(argument)` on the loop, in the order of the posts of one thread."""
        ...

    def flush(self) -> None:
        """Deliver what was posted now: its wake-up must not be held back."""
        ...


class Mailbox:
    """Calls for one loop, posted from any thread."""

    __slots__ = ("_items", "_loop", "_woken")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._woken = False

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call `function(argument)` on the loop soon; dropped when the loop is closed."""
        self._items.append((function, argument))
        if not self._woken:
            self._wake()

    def flush(self) -> None:
        """Wake the loop now if anything waits for it."""
        if self._items and not self._woken:
            self._wake()

    def _wake(self) -> None:
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop is closed, and its callers with it.
            self._items.clear()

    def _deliver(self) -> None:
        # Cleared before the first pop: a post that comes later wakes the loop again, at worst for nothing.
        self._woken = False
        items = self._items
        # Not until empty: a thread that posts faster than this loop works would keep it from its sockets.
        for _ in range(len(items)):
            function, argument = items.popleft()
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - the next item belongs to another request
                self._loop.call_exception_handler({"message": f"{function!r} raised", "exception": error})


HOLD = 0.001
"""Seconds for which a `BatchingMailbox` holds back a wake-up at most."""
IDLE_ROUND = 15e-6
"""Seconds below which a round of a loop has done nothing but look."""
IDLE_ROUNDS = 5
"""Idle rounds in a row after which a wake-up is held back no longer."""


class BatchingMailbox(Mailbox):
    """Calls for one loop, posted from the thread of another, the home loop.

    The other loop is woken when the home loop runs out of work, so that requests which arrive together cross
    together: the two threads share one interpreter lock, and each wake-up makes them fight for it. Measured for
    gRPC against a wake-up after each round: three quarters of the CPU and of the waiting at concurrency 32, the
    same within 4 % at 4 and 1.
    """

    __slots__ = ("_home", "_scheduled")

    def __init__(self, loop: AbstractEventLoop, home: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._home = home
        self._scheduled = False

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call `function(argument)` on the loop soon; only from the home loop's thread."""
        self._items.append((function, argument))
        if not (self._scheduled or self._woken):
            self._scheduled = True
            now = perf_counter()
            self._home.call_soon(self._flush, now + HOLD, now, IDLE_ROUNDS)

    def _flush(self, until: float, before: float, idle: int) -> None:
        now = perf_counter()
        idle = idle - 1 if now - before < IDLE_ROUND else IDLE_ROUNDS
        if idle and now < until and not self._woken:
            self._home.call_soon(self._flush, until, now, idle)
            return
        self._scheduled = False
        self.flush()


class ImmediateCalls:
    """Calls at once, where both sides share one loop."""

    __slots__ = ()

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call `function(argument)`."""
        function(argument)

    def flush(self) -> None:
        """Nothing waits."""


LARGE_AHEAD = 2
"""Large outcomes that the threads of a pool may be ahead of the loop."""


class Job:
    """Something to run. `deadline` is in `time.monotonic()` seconds.

    Subclasses implement `work` (threads) or `work_async` (user loop), and `settle` and `expire`, which run on
    the protocol loop.
    """

    counts = 1
    """As how many open requests."""
    slow_to_encode = False
    """What it gave is large, and another pool has to encode it."""
    urgent = False
    """Crosses to the user loop at once, not together with others."""
    # What most jobs never change is kept by the class.
    abandoned = False
    """The caller waits no more: the job is not started, or cancelled where that is possible."""
    taken = False
    """A thread has taken it out of the queue."""
    value: Any = None
    error: BaseException | None = None
    task: Task[None] | None = None
    began = 0.0
    """When it was about to run, in `time.perf_counter()` seconds."""

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline

    def work(self) -> Any:
        """The outcome, computed on a thread."""
        raise NotImplementedError

    async def work_async(self) -> Any:
        """The outcome, computed on the user loop."""
        raise NotImplementedError

    def settle(self) -> None:
        """Deliver `value` or `error` to the waiting caller; on the protocol loop."""
        raise NotImplementedError

    def expire(self) -> None:
        """Tell the waiting caller that the deadline has passed; on the protocol loop."""
        raise NotImplementedError

    def may_start(self) -> bool:
        """Whether the work is still wanted; called where it would run."""
        if self.abandoned:
            return False
        self.began = time.perf_counter()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.error = too_late("before it was started")
            return False
        return True


class JobPool(Protocol):
    """Where jobs run: the user loop, or threads."""

    @property
    def backlog(self) -> int:
        """How many jobs would wait to be begun if one more came."""
        ...

    @property
    def waiting(self) -> int:
        """How many jobs wait to be begun."""
        ...

    def submit(self, job: Job) -> None:
        """Run the job; on the protocol loop."""
        ...

    def abandon(self, job: Job) -> None:
        """The job's outcome is not wanted any more; on the protocol loop."""
        ...


def too_late(when: str) -> DeadlineExceeded:
    """The error of a request whose deadline passed."""
    return DeadlineExceeded(f"the deadline of the request passed {when}")


class LoopPool:
    """Runs jobs as tasks of the user loop, as many at once as there are."""

    def __init__(
        self, loop: AbstractEventLoop, there: CallQueue, back: CallQueue, settle: Callable[[Job], None]
    ) -> None:
        self._loop = loop
        self._there = there
        self._back = back
        self._settle = settle
        self._context = contextvars.copy_context()

    @property
    def backlog(self) -> int:
        """None ever waits here."""
        return 0

    @property
    def waiting(self) -> int:
        """None ever waits here."""
        return 0

    def submit(self, job: Job) -> None:
        """Start the job's coroutine."""
        self._there.post(self._start, job)
        if job.urgent:
            self._there.flush()

    def abandon(self, job: Job) -> None:
        """Cancel the job's coroutine."""
        job.abandoned = True
        self._there.post(self._cancel, job)

    def _start(self, job: Job) -> None:
        if job.may_start():
            job.task = self._loop.create_task(self._run(job), context=self._context.copy())
        else:
            self._back.post(self._settle, job)

    async def _run(self, job: Job) -> None:
        try:
            job.value = await job.work_async()
        except BaseException as error:  # noqa: BLE001 - delivered to the request, also SystemExit
            job.error = error
        job.task = None
        self._back.post(self._settle, job)

    def _cancel(self, job: Job) -> None:
        if job.task is not None:
            job.task.cancel()


class ThreadPool:
    """Runs jobs on threads of its own; with one thread, the default, handlers never run at the same time."""

    def __init__(self, name: str, threads: int, back: CallQueue, settle: Callable[[Job], None]) -> None:
        self._name = name
        self._limit = threads
        self._back = back
        self._settle = settle
        self._context = contextvars.copy_context()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._outstanding = 0
        self._left: set[Job] = set()
        """Abandoned while they waited: a thread will throw them away."""
        self._begin = threading.Event()
        """Clear while no job is to be begun."""
        self._begin.set()
        self._large = 0
        """Large outcomes that the loop has not seen."""
        self._stopped = False
        self._fewer = threading.Condition()

    @property
    def backlog(self) -> int:
        """How many jobs would wait for a thread if one more came."""
        if self._left:
            self._left = {job for job in self._left if not job.taken}
        return max(0, self._outstanding - len(self._left) + 1 - self._limit)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return self._queue.qsize()

    def submit(self, job: Job) -> None:
        """Queue the job; a thread is started when all are busy and one more is allowed."""
        self._outstanding += 1
        if self._outstanding > len(self._threads) < self._limit:
            # Daemons: a handler that never returns must not keep the process from exiting.
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put(job)

    def abandon(self, job: Job) -> None:
        """Drop the job if it still waits; what runs, runs on."""
        job.abandoned = True
        if not job.taken:
            self._left.add(job)

    def _ended(self, job: Job) -> None:
        """On the protocol loop."""
        self._outstanding -= 1
        if job.slow_to_encode:
            with self._fewer:
                self._large -= 1
                self._fewer.notify()
        self._settle(job)

    def _hold(self) -> None:
        """Wait for the loop, which counts what is held for clients, while it has not seen the last large outcomes."""
        with self._fewer:
            self._large += 1
            while self._large > LARGE_AHEAD and not self._stopped:
                self._fewer.wait()

    def throttle(self, *, on: bool) -> None:
        """Begin no job for now, or begin them again."""
        if on:
            self._begin.clear()
        else:
            self._begin.set()

    def stop(self) -> None:
        """End each thread when it has finished its job."""
        self._begin.set()
        with self._fewer:
            self._stopped = True
            self._fewer.notify_all()
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        take, post, ended, begin = self._queue.get, self._back.post, self._ended, self._begin
        while (job := take()) is not None:
            if not begin.is_set():
                begin.wait()
            job.taken = True
            if job.may_start():
                try:
                    job.value = self._context.copy().run(job.work)
                except BaseException as error:  # noqa: BLE001 - delivered to the request, also SystemExit
                    job.error = error
            large = job.slow_to_encode
            post(ended, job)
            job = None  # the documents must not live until the next request
            if large:
                self._hold()


class Dispatcher:
    """The pools of one Executor, seen from the protocol loop.

    Made on the user loop's thread, from whose context (`contextvars`) each job gets a copy.
    """

    def __init__(self, protocol_loop: AbstractEventLoop, user_loop: AbstractEventLoop, *, threads: int = 1) -> None:
        self.loop = protocol_loop
        self.back: Mailbox = Mailbox(protocol_loop)
        """Posts to the protocol loop, from any thread."""
        self.open = 0
        """Requests whose code has not ended: jobs, and requests that wait for a batch or are part of one."""
        self.throttled = False
        """Whether too much waits for clients that do not take it."""
        self.shared = shared = protocol_loop is user_loop
        """One loop is both."""
        self.to_user: CallQueue = ImmediateCalls() if shared else BatchingMailbox(user_loop, protocol_loop)
        self.from_user: CallQueue = ImmediateCalls() if shared else self.back
        """Posts to the protocol loop, from the user loop."""
        self.async_pool = LoopPool(user_loop, self.to_user, self.from_user, self._settle)
        self.sync_pool = ThreadPool("handler", threads, self.back, self._settle)
        # One thread: all that it runs holds the interpreter lock.
        self.codec_pool = ThreadPool("codec", 1, self.back, self._settle)
        self._user_loop = user_loop
        self._more: list[ThreadPool] = []
        self._quiet: list[Future[None]] = []

    def new_loop_pool(self, then: Callable[[Job], None]) -> LoopPool:
        """One more pool on the user loop; `then` is called on the protocol loop when a job has ended."""

        def settle(job: Job) -> None:
            self._settle(job)
            then(job)

        return LoopPool(self._user_loop, self.to_user, self.from_user, settle)

    def new_thread_pool(self, name: str, threads: int) -> ThreadPool:
        """One more pool with threads of its own."""
        pool = ThreadPool(name, threads, self.back, self._settle)
        self._more.append(pool)
        return pool

    def submit(self, job: Job, pool: JobPool) -> None:
        """Run the job; `settle` or, at its deadline, `expire` is called."""
        self.open += job.counts
        pool.submit(job)

    async def quiet(self, seconds: float) -> bool:
        """Wait until no job is open, at most `seconds`; returns whether that is so."""
        if not self.open:
            return True
        waiter = self.loop.create_future()
        self._quiet.append(waiter)
        try:
            async with timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        return True

    def throttle(self, *, on: bool) -> None:
        """Begin no more handlers on threads for now, and let generators wait with one document each; or go on."""
        self.throttled = on
        for pool in (self.sync_pool, *self._more):
            pool.throttle(on=on)

    def stop(self) -> None:
        """End the threads; running jobs are not interrupted."""
        for pool in (self.sync_pool, self.codec_pool, *self._more):
            pool.stop()

    def enter(self) -> None:
        """A request is open that is no job of its own: one that waits for a batch."""
        self.open += 1

    def leave(self) -> None:
        """It is no longer open."""
        self.open -= 1
        if not self.open and self._quiet:
            self._tell_quiet()

    def _settle(self, job: Job) -> None:
        self.open -= job.counts
        job.settle()
        if not self.open and self._quiet:
            self._tell_quiet()

    def _tell_quiet(self) -> None:
        waiting, self._quiet = self._quiet, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class ResultJob(Job):
    """A job with one outcome, awaited with `outcome`."""

    _future: Future[Any] | None = None

    async def outcome(self, dispatcher: Dispatcher, pool: JobPool) -> Any:
        """Run on the pool and give the value or raise the error; cancelling abandons the work."""
        loop = dispatcher.loop
        future = self._future = loop.create_future()
        timer = None
        if self.deadline is not None:
            timer = loop.call_later(max(0.0, self.deadline - time.monotonic()), self.expire)
        dispatcher.submit(self, pool)
        try:
            return await future
        except CancelledError:
            pool.abandon(self)
            if future.done() and not future.cancelled():
                future.exception()  # seen: asyncio would log that it was never retrieved
            raise
        except DeadlineExceeded:
            pool.abandon(self)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def settle(self) -> None:
        """Deliver the outcome, unless the caller waits no more."""
        future = self._future
        if future is None or future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.value)

    def expire(self) -> None:
        """Raise `DeadlineExceeded` in the waiting caller."""
        if self._future is not None and not self._future.done():
            self._future.set_exception(too_late("before the handler answered"))


class FunctionJob(ResultJob):
    """A function of ours to be run on a pool."""

    def __init__(self, function: Callable[[], Any], deadline: float | None) -> None:
        super().__init__(deadline)
        self._function = function

    def work(self) -> Any:
        """Call it, on a thread."""
        return self._function()

    async def work_async(self) -> Any:
        """Call it, on the user loop."""
        return self._function()


class LimitedPool:
    """At most `limit` jobs at once on the user loop; the others wait in the order in which they came."""

    def __init__(self, make: Callable[[Callable[[Job], None]], LoopPool], limit: int) -> None:
        self._pool = make(self._ended)
        self._free = limit
        self._waiting: deque[Job] = deque()
        self._left = 0

    @property
    def backlog(self) -> int:
        """How many jobs would wait for their turn if one more came."""
        return 0 if self._free else len(self._waiting) - self._left + 1

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Start the job's coroutine, now or when it is its turn."""
        if self._free:
            self._free -= 1
            self._pool.submit(job)
        else:
            self._waiting.append(job)

    def abandon(self, job: Job) -> None:
        """Cancel the job's coroutine; one that still waits is dropped when it is its turn."""
        if not job.abandoned and job in self._waiting:
            self._left += 1
        self._pool.abandon(job)

    def _ended(self, _: Job) -> None:
        """A job has ended; on the protocol loop."""
        if self._waiting:
            job = self._waiting.popleft()
            self._left -= job.abandoned
            self._pool.submit(job)
        else:
            self._free += 1


class EndpointPools:
    """Gives each endpoint its pool.

    Without a number, `def` methods of the Executor share one pool, where they take turns, and `async def` ones run
    as they come. A number above 1 gives a `def` method threads of its own beside that pool; 1 leaves it there. For an
    `async def` method the number is how many of its calls run at once. `configured` maps endpoints to numbers, which
    count before those of the class; its `*` counts where neither says anything.
    """

    def __init__(self, dispatcher: Dispatcher, configured: Mapping[str, int]) -> None:
        self._dispatcher = dispatcher
        self._configured = configured
        self._own: dict[tuple[str, int], LimitedPool | ThreadPool] = {}

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread or their turn."""
        return self._dispatcher.sync_pool.waiting + sum(pool.waiting for pool in self._own.values())

    def pool(self, endpoint: Endpoint) -> JobPool:
        """The pool of the endpoint; endpoints of one method share it."""
        given = self._configured
        if endpoint.slots is not None:  # its steps take turns among themselves, however many streams run
            return self._dispatcher.async_pool if endpoint.is_async else self._dispatcher.sync_pool
        limit = given.get(endpoint.path) or endpoint.concurrency or given.get("*")
        if limit is None or (limit == 1 and not endpoint.is_async):
            return self._dispatcher.async_pool if endpoint.is_async else self._dispatcher.sync_pool
        key = (endpoint.method_name, limit)
        if key not in self._own:
            self._own[key] = self._made(endpoint, limit)
        return self._own[key]

    def _made(self, endpoint: Endpoint, limit: int) -> LimitedPool | ThreadPool:
        dispatcher = self._dispatcher
        if endpoint.is_async:
            return LimitedPool(dispatcher.new_loop_pool, limit)
        return dispatcher.new_thread_pool(f"handler-{endpoint.method_name}", limit)
