"""The processes of one deployment: started, supervised and stopped by one thread of their own.

The thread that spawns lives as long as its children do, because the kernel sends the parent-death signal when
the spawning thread ends.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable

from jina.errors import InternalError, JinaError, RuntimeFailToStart, Unavailable
from jina.launch.worker_process import WorkerProcess
from jina.plan.plans import DeploymentPlan

_CLOSE_MARGIN = 10.0
"""Seconds beyond the grace time in which `close()` may end before SIGKILL."""

_LOOK = 0.2
"""Seconds after which a wait looks up. A signal that another thread receives, or that comes just before the main
thread blocks on a lock, is handled only when the main thread runs Python code again."""


def start(plan: DeploymentPlan, blob: bytes = b"") -> RunningDeployment:
    """Start all processes of a plan and return at once; `wait_ready` tells how it went.

    `blob` is what `pickling.dumps` made of a class that cannot be imported and of arguments that are no JSON.
    """
    running = RunningDeployment(plan, blob)
    running.begin()
    return running


class RunningDeployment:
    """Workers that run, or did. Every method may be called from any thread."""

    def __init__(self, plan: DeploymentPlan, blob: bytes) -> None:
        self.plan = plan
        self.workers = [WorkerProcess(worker) for worker in plan.workers]
        self.on_end: Callable[[], None] = lambda: None
        """Called from the supervising thread when a worker has ended, for whatever reason."""
        self._blob = blob
        self._changed = threading.Condition()
        self._broken: Exception | None = None
        self._stop_at: float | None = None
        self._kill_at: float | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._supervise, name=f"launcher-{plan.name}", daemon=True)

    def begin(self) -> None:
        """Start the thread that starts the processes."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while every worker is ready to serve."""
        return all(worker.ready for worker in self.workers)

    @property
    def progress(self) -> str:
        """What the first worker that is not ready does: `in __init__ 34 s`."""
        waiting = [worker.progress for worker in self.workers if not worker.ready]
        return waiting[0] if waiting else "ready"

    def down(self, wait: float = 0.0) -> Unavailable | None:
        """The error for a request when a worker has died, naming how; None while all run.

        A connection breaks a moment before the end of the process is known: `wait` that many seconds for it.
        """
        deadline = time.monotonic() + wait
        with self._changed:
            while True:
                errors = (worker.down() for worker in self.workers)
                found = next((error for error in errors if error), None)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                self._changed.wait(left)

    def wait_ready(self, timeout: float | None = None, *, on_wait: Callable[[str], None] | None = None) -> None:
        """Block until every worker serves; raises the failure of the first that does not.

        `timeout` in seconds, None waits as long as the workers live. `on_wait` is called with `progress` a few
        times a second. Does not stop anything.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self.alive:
                if failure := self._failure():
                    raise failure
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    waiting = next(worker for worker in self.workers if not worker.ready)
                    raise RuntimeFailToStart(
                        f"{waiting.name} is not ready after {timeout:g} s: {waiting.progress}",
                        help="raise timeout_ready (milliseconds; -1 waits as long as the process lives)",
                    )
                if on_wait:
                    on_wait(self.progress)
                self._changed.wait(_LOOK if left is None else min(_LOOK, left))

    def _failure(self) -> JinaError | None:
        if self._broken:
            error = InternalError(f"supervising {self.plan.name} failed: {self._broken!r}")
            error.__cause__ = self._broken
            return error
        for worker in self.workers:
            if worker.failure:
                return worker.failure
            if worker.exit_status is not None:
                return RuntimeFailToStart(f"{worker.name} {worker.ending} before it was ready")
        return None

    def stop(self, *, now: bool = False) -> None:
        """End all processes and wait for that: SIGTERM and their grace time first, SIGKILL at once with `now`.

        When the wait is interrupted (Ctrl+C), the processes are killed before the interrupt goes on.
        """
        try:
            self._request_stop(now=now)
            self.join()
        except BaseException:
            self._request_stop(now=True)
            self.join()
            raise

    def join(self) -> None:
        """Wait until all processes have ended."""
        while self._thread.is_alive():
            self._thread.join(_LOOK)

    def kill(self) -> None:
        """End all processes by SIGKILL and return within a second; may be called by a signal handler."""
        self._kill_at = time.monotonic()
        self._stop_at = self._stop_at or self._kill_at
        self._wake()
        self._thread.join(1.0)

    def _request_stop(self, *, now: bool) -> None:
        moment = time.monotonic()
        if now:
            self.kill()
        elif self._stop_at is None:
            grace = max((worker.plan.grace for worker in self.workers), default=0.0)
            self._kill_at = moment + grace + _CLOSE_MARGIN
            self._stop_at = moment
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended
            self._wake_out.send(b"!")

    def _supervise(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                self._spawn_all(selector)
                while self._running():
                    self._turn(selector)
        except Exception as error:  # noqa: BLE001 - told to whoever waits, who would wait for ever
            self._broken = error
        finally:
            self._release()

    def _running(self) -> bool:
        return any(worker.exit_status is None for worker in self.workers)

    def _spawn_all(self, selector: selectors.BaseSelector) -> None:
        for worker in self.workers:
            worker.spawn(self._blob)
            if worker.exit_status is None and worker.control is not None:
                selector.register(worker.control, selectors.EVENT_READ, worker)
                if worker.pidfd is not None:
                    selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        with self._changed:
            self._changed.notify_all()

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Wait for one event: a report, an end, a wish to stop, a deadline."""
        timeout = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        events = selector.select(timeout)
        for key, _ in events:
            if key.fileobj is self._wake_in:
                self._wake_in.recv(64)
                self._signal_all(signal.SIGTERM)
            elif key.data.exit_status is None:
                with self._changed:
                    self._on_event(selector, key)
                    self._changed.notify_all()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._signal_all(signal.SIGKILL)
            self._kill_at = time.monotonic() + 1.0

    def _on_event(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        worker: WorkerProcess = key.data
        if key.fileobj is worker.control:
            if worker.read():
                return
            selector.unregister(key.fileobj)
            if worker.pidfd is not None:
                return  # its end comes next
        worker.reap()
        for fileobj in (worker.control, worker.pidfd):
            if fileobj is not None:
                with contextlib.suppress(KeyError):
                    selector.unregister(fileobj)
        worker.release()
        self.on_end()

    def _signal_all(self, signum: int) -> None:
        for worker in self.workers:
            worker.terminate(signum)

    def _release(self) -> None:
        for worker in self.workers:
            if worker.pid and worker.exit_status is None:
                worker.terminate(signal.SIGKILL)
                worker.reap()
            worker.release()
        self._wake_in.close()
        self._wake_out.close()
        with self._changed:
            self._changed.notify_all()
