"""What worker and gateway processes have in common: start, stop, signals, loops, memory, links from the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from jina.errors import ConfigError
from jina.observe import exporters, logs
from jina.observe.exporters import Exporters
from jina.observe.logs import get_logger
from jina.plan.plans import CLUSTER_DELAY, ProcessPlan

if TYPE_CHECKING:
    from jina.observe.metrics import Metrics
    from jina.observe.observation import Observation
    from jina.server.apis import ApiClass

Report = Callable[[dict[str, Any]], None]
"""Gets `{"phase": ...}`, with what belongs to the phase."""


class Stop:
    """Remembers that a stop was asked for and calls the listeners; all methods are thread-safe.

    `hard` asks to skip waiting for requests in flight, as when the orchestrator has ended. With `orchestrated` the
    supervisor reports how the process ends, and why.
    """

    def __init__(self, *, orchestrated: bool = False) -> None:
        self.level = logging.DEBUG if orchestrated else logging.INFO
        """Of log lines that say that the process ends before it was ready."""
        # Re-entrant: a signal handler runs in the middle of whatever the main thread does, here too.
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[Stop], None]] = []
        self.requested = False
        self.hard = False
        self.reason = ""
        self.exit_code = 0

    def request_stop(self, reason: str, *, hard: bool = False, exit_code: int = 0) -> None:
        """Ask for the stop; the first reason and exit code stay, a later `hard` counts. Returns at once."""
        with self._lock:
            if not self.requested:
                self.requested, self.reason, self.exit_code = True, reason, exit_code
            self.hard = self.hard or hard
            callbacks = list(self._callbacks)
        for handler in callbacks:
            handler(self)

    def abandon(self) -> None:
        """Ask for the stop because the orchestrator is gone."""
        self.request_stop("the orchestrator is gone", hard=True)

    def listen(self, handler: Callable[[Stop], None]) -> Callable[[], None]:
        """Call `handler` at each request, in the thread that asks, and now if there was one; gives its undo."""
        with self._lock:
            self._callbacks.append(handler)
            requested = self.requested
        if requested:
            handler(self)

        def forget() -> None:
            with self._lock:
                if handler in self._callbacks:
                    self._callbacks.remove(handler)

        return forget


class ProcessStats:
    """Numbers by name; `source` gives them once there is a service, and may be called by any thread.

    `in_flight` requests are in work, `queued` of them wait for a thread, `done` grows whenever one gets on; `beats` of
    a gateway grows from one question to the next while its loop goes on. `silent_ms` is for how long one of its event
    loops has not turned. `answered`, `failed` and `took:NUMBER` are those of `Metrics.totals`.
    """

    def __init__(self) -> None:
        self.source: Callable[[], dict[str, int]] | None = None
        self.counts: Metrics | None = None
        """Those of the service, once there is one, for those who look closely."""
        self.shape: Callable[[], Mapping[str, Any]] = dict
        """What such people are told besides: of a gateway, its graph."""
        self.inside: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
        """Of a process that stands for another one: what that tells, empty where it tells nothing now."""
        self._observation: Observation | None = None

    def read(self) -> dict[str, int]:
        """The numbers now; empty before there is a service."""
        return {} if self.source is None else self.source()

    def observe(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """See `Observation.answer`; empty before there is a service. Any thread, one at a time."""
        if self.inside is not None and (found := self.inside(question)):
            return found
        if self.counts is None:
            return {}
        if self._observation is None:
            from jina.observe.observation import Observation

            self._observation = Observation(self.counts, self.shape)
        return self._observation.answer(question)


LARGE = 1024 * 1024
"""Bytes from which a request counts as large."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of mallopt(3)
_KEPT = 128 * 1024 * 1024
_LARGEST = 32 * 1024 * 1024  # the most that mallopt takes
_QUIET = 5.0
"""Seconds without a large request after which memory is given back."""
_tuned = False


def tune() -> None:
    """Keep up to 128 MiB of freed memory; for processes that are ours alone. Does nothing but with glibc."""
    global _tuned
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)
        # One arena, so that memory freed by one thread serves the next allocation of another: requests, documents
        # and replies of a worker come from different threads.
        libc.mallopt(_ARENA_MAX, 1)
        _tuned = True


class MemoryTrimmer:
    """Gives memory back some seconds after the last large request; for one loop."""

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """A large request came."""
        if not _tuned:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET, _trim)


def _trim() -> None:
    ctypes.CDLL(None).malloc_trim(0)


T = TypeVar("T")
_log = get_logger("jina.runtime")
SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes in Python lets another one run; the interpreter's default is ten
times that, and the protocol loop would wait for it at each of its system calls."""
_NESTING = ("nest_asyncio", "nest_asyncio2")


def new_loop() -> AbstractEventLoop:
    """A loop of uvloop where it is installed and `JINA_DISABLE_UVLOOP` is unset, else of asyncio.

    Of asyncio too where `nest_asyncio.apply()` was called, which makes loops run inside themselves: uvloop's cannot.
    """
    nested: list[Any] = [sys.modules[name] for name in _NESTING if name in sys.modules]
    if nested and hasattr(asyncio, "_nest_patched"):
        loop = asyncio.new_event_loop()
        nested[0].apply(loop)
        return loop
    if not os.environ.get("JINA_DISABLE_UVLOOP"):
        try:
            fast: AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        except ImportError:
            pass
        else:
            return fast
    return asyncio.new_event_loop()


LEAST_OPEN_FILES = 64
"""What the processes of a service were seen to need; below some 30, libraries end the process without a word."""


def check_open_files() -> None:
    """Raise `ConfigError` where so few files may be open (RLIMIT_NOFILE of getrlimit(2)) that no service can start."""
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < LEAST_OPEN_FILES:
        raise ConfigError(
            f"only {allowed} files may be open at a time (ulimit -n), and a service needs {LEAST_OPEN_FILES} or more",
            help="raise it before the start: ulimit -n 1024, LimitNOFILE= of systemd, --ulimit nofile=1024 of docker",
        )


class LoopThread:
    """A running loop in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = new_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it here, on another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def stop(self, seconds: float = 5.0) -> None:
        """Cancel what is left on the loop, close it, and wait for the thread at most `seconds`."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            finish(self.loop)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


class LoopHere:
    """The running loop in the place of a `LoopThread`."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine."""
        return await work

    def stop(self) -> None:
        """The loop ends with its thread."""


def finish(loop: AbstractEventLoop, seconds: float = 1.0) -> None:
    """Cancel the tasks of a loop that no longer runs and let them end, at most `seconds`."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=seconds))
    loop.run_until_complete(loop.shutdown_asyncgens())


LinkHandler = Callable[[str, socket.socket | None], None]


class LinkInbox:
    """Holds each socket until a listener is registered. Every method may be called from any thread.

    A socket comes under the name of its worker (`executor/rep-0`), at both ends of the link. One that comes under a
    name that came before replaces the earlier one, whose other end is gone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.on_use: Callable[[str], None] = lambda _: None
        """Told by the listener when the link of a worker is used for requests."""
        self._waiting: list[tuple[str, socket.socket | None]] = []
        self._handler: LinkHandler | None = None

    def add(self, name: str, sock: socket.socket | None) -> None:
        """Give a socket to the listener, or keep it until there is one."""
        with self._lock:
            handler = self._handler
            if handler is None:
                self._waiting.append((name, sock))
                return
        handler(name, sock)

    def listen(self, handler: LinkHandler) -> Callable[[], None]:
        """Call `handler(name, socket)` for what waits, here, and for each later one in the thread that adds it.

        The listener owns the socket and returns at once. Gives the function that ends it.
        """
        with self._lock:
            self._handler = handler
            waiting, self._waiting = self._waiting, []
        for name, sock in waiting:
            handler(name, sock)

        def forget() -> None:
            with self._lock:
                self._handler = None

        return forget

    def close(self) -> None:
        """Close the sockets that no listener took."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, sock in waiting:
            if sock is not None:
                sock.close()


class Parent:
    """What a process has of the one that started it.

    It reports its phases to `report`, ends when `stop` asks for it, is given links to other processes by `links`, and
    is asked for its `stats`.
    """

    def __init__(
        self,
        report: Report,
        stop: Stop | None = None,
        links: LinkInbox | None = None,
        stats: ProcessStats | None = None,
    ) -> None:
        self.report = report
        self.tell: Report = lambda _: None
        """Tells it what belongs to no phase."""
        self.ask_service: Callable[[bytes], bytes] = lambda _: b"{}"
        """Answers a question about all processes of the service, see `jina.supervisor.observing`; blocks."""
        self.stop = stop or Stop()
        self.links = links or LinkInbox()
        self.stats = stats or ProcessStats()


def drain_delay(plan: ProcessPlan) -> float:
    """Seconds that a process goes on taking requests after it was told to stop; none where nobody reaches it directly.

    A gateway of the same machine, by whose links alone a worker is reached, is told of the stop.
    """
    if not plan.listeners:
        return 0.0
    if plan.drain_delay is not None:
        return plan.drain_delay
    return CLUSTER_DELAY if os.environ.get("KUBERNETES_SERVICE_HOST") else 0.0


def console_of(plan: ProcessPlan, ask: Callable[[bytes], bytes]) -> list[ApiClass]:
    """The console as an adapter, where the plan has one and a listener that can serve it; see `ConsoleApi`."""
    if not plan.http.console or all(listener.protocol == "grpc" for listener in plan.listeners):
        return []
    from jina.runtime.console import ConsoleApi

    return [partial(ConsoleApi, ask=ask)]


class ProcessMain(ABC):
    """What a worker or a gateway process does on the loop of its main thread, from its start to its exit code.

    SIGTERM and SIGINT ask for the stop, as the parent may; the second signal ends the process at once.
    """

    def __init__(self, name: str, parent: Parent, loop: AbstractEventLoop) -> None:
        self._report, self._stop, self._links, self._stats = parent.report, parent.stop, parent.links, parent.stats
        self._tell_parent = parent.tell
        self._ask_service = parent.ask_service
        self._loop = loop
        self._log = get_logger(name)
        self._signalled = False
        self._asked = asyncio.Event()
        """Set when the stop is asked for."""
        self._hard = asyncio.Event()
        """Set when what is in flight is not to be waited for."""

    @abstractmethod
    async def _serve(self) -> int:
        """Start, serve until `_asked` is set, and end; gives the exit code."""

    async def run(self) -> int:
        """See the class; gives the exit code."""
        forget = self._stop.listen(self._tell)
        try:
            return await self._serve()
        finally:
            forget()

    def _tell(self, stop: Stop) -> None:
        self._loop.call_soon_threadsafe(self._asked.set)
        if stop.hard:
            self._loop.call_soon_threadsafe(self._hard.set)

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do what belongs to the start; returns whether it was done before a stop was requested."""
        starting = asyncio.create_task(work)
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not starting.done():
                starting.cancel()
        if self._asked.is_set():
            self._log.log(self._stop.level, "stopped while starting: %s", self._stop.reason)
            await asyncio.wait({starting})
            return False
        await starting
        return True

    def _delay(self, plan: ProcessPlan) -> float:
        """Seconds to go on now: none where the process ends because of a failure, or its parent has gone."""
        return 0.0 if self._stop.exit_code or self._hard.is_set() else drain_delay(plan)

    async def _stay(self, seconds: float) -> None:
        """Go on for so long; a hard stop ends that."""
        self._report({"phase": "draining", "reason": self._stop.reason})
        self._log.debug("not ready any more, and serving for %g s (drain_delay): %s", seconds, self._stop.reason)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hard.wait(), seconds)

    async def _drain(self, gently: Coroutine[Any, Any, None]) -> None:
        """Answer what is in flight within the grace time, as `gently` does; a hard stop ends the waiting."""
        self._report({"phase": "draining", "reason": self._stop.reason})
        self._log.debug("stopping: %s", self._stop.reason)
        draining, hard = asyncio.create_task(gently), asyncio.create_task(self._hard.wait())
        try:
            await asyncio.wait({draining, hard}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hard.cancel()
        if not draining.done():
            draining.cancel()
        elif (error := draining.exception()) is not None:
            self._log.error("stopping the servers failed: %r", error, exc_info=error)

    @contextmanager
    def signals(self) -> Generator[None]:
        """Handle signals while it runs."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self._stop.request_stop(signal.Signals(number).name)


def run_process_main(
    plan: ProcessPlan, parent: Parent, made: Callable[[AbstractEventLoop, Exporters], ProcessMain]
) -> int:
    """Run what `made` gives on a new loop of the main thread; gives its exit code.

    Where the user's code calls `nest_asyncio.apply()` while it is imported or constructed, which uvloop's loops refuse,
    it begins once more on asyncio's: nothing was served until then.
    """
    logs.setup(plan.log, plan.name)
    telemetry = exporters.start(plan.telemetry, plan.name)
    again = True
    try:
        while True:
            loop = new_loop()
            asyncio.set_event_loop(loop)
            try:
                main = made(loop, telemetry)
                with main.signals():
                    code = loop.run_until_complete(main.run())
                    finish(loop)
                    return code
            except Exception as error:
                if not again or not _nesting_refused(error):
                    raise
                again = False
                _log.info("nest_asyncio: runs on asyncio's event loop instead of uvloop's")
            finally:
                asyncio.set_event_loop(None)
                loop.close()
    finally:
        parent.links.close()
        telemetry.stop()


def _nesting_refused(error: BaseException | None) -> bool:
    """Whether `nest_asyncio.apply()` raised it, or what it comes from, because the loop is not asyncio's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if isinstance(error, ValueError) and trace and trace.tb_frame.f_globals.get("__name__") in _NESTING:
            return True
        error = error.__cause__ or error.__context__
    return False
