"""Starting, watching and ending processes: the work of one thread.

The thread that spawns lives as long as its children do, because the kernel sends the parent-death signal when
the spawning thread ends.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from jina.launch.child_process import ChildProcess
from jina.launch.linking import Linking
from jina.launch.nursing import nursery_for

_CLOSE_MARGIN = 10.0
"""Seconds beyond the grace time in which `close()` may end before SIGKILL."""

_STARTING_A_CORE = 4
"""Processes that start at the same time, for each core: more would only wait for each other, with their memory."""

_LOOK = 0.2
"""Seconds after which the next process may start though nothing was reported."""


class Supervisor:
    """Runs `processes` until all have ended. `changed` is notified of everything that happens to them.

    Wishes come from any thread, and are carried out by the supervisor's own.
    """

    def __init__(self, name: str, processes: Sequence[ChildProcess], changed: threading.Condition) -> None:
        self.on_end: Callable[[], None] = lambda: None
        self.broken: Exception | None = None
        self.thread = threading.Thread(target=self._supervise, name=f"launcher-{name}", daemon=True)
        self._processes = processes
        self._changed = changed
        self._to_start = deque(sorted(processes, key=lambda process: not process.is_gateway))
        self._linking = Linking(processes)
        self._nursery = nursery_for(processes)
        self._at_once = max(_STARTING_A_CORE * (os.cpu_count() or 1), 2)
        self._stages: deque[list[ChildProcess]] | None = None
        self._asked = False
        self._killing = False
        self._within: float | None = None
        self._kill_at: float | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)  # noqa: FBT003 - the standard library's signature

    # --- wishes, from any thread --------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """True once somebody asked for the end."""
        return self._asked

    def request_stop(self, within: float | None = None) -> None:
        """Ask for the end: gateway first, each with its grace time; or all at once, `within` seconds."""
        if within is not None:
            self._within = within
        self._asked = True
        self._wake()

    def request_kill(self) -> None:
        """Ask for the end by SIGKILL; may be called by a signal handler."""
        self._killing = self._asked = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended, or was told often enough
            self._wake_out.send(b"!")

    # --- the thread ---------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                if self._nursery is not None:
                    self._nursery.spawn()
                    _watch(selector, self._nursery)
                self._start_some(selector)
                while self._to_start or any(process.running for process in self._processes):
                    self._turn(selector)
        except Exception as error:  # noqa: BLE001 - told to whoever waits, who would wait for ever
            self.broken = error
        finally:
            self._release()

    def _start_some(self, selector: selectors.BaseSelector) -> None:
        """Start as many as the machine can work on; the others follow as these get on."""
        starting = sum(process.busy_starting for process in self._processes)
        while starting < self._at_once and not self._asked and (process := self._next()):
            if self._nursery is not None and self._nursery.bears(process):
                process.spawn(self._nursery.fork)
            else:
                process.spawn()
            if process.running:
                starting += 1
                _watch(selector, process)
                self._linking.started(process)
            with self._changed:
                self._changed.notify_all()
        if self._nursery is not None and not any(map(self._nursery.bears, self._to_start)):
            self._nursery.dismiss()

    def _next(self) -> ChildProcess | None:
        """The next one to be started that does not wait for the nursery."""
        nursery = self._nursery
        for process in self._to_start:
            if nursery is None or nursery.ready or not nursery.bears(process):
                self._to_start.remove(process)
                return process
        return None

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Wait for one event: a report, an end, a wish, a deadline."""
        for key, _ in selector.select(self._patience()):
            if key.fileobj is self._wake_in:
                self._wake_in.recv(64)
            elif key.data.exit_status is None:
                with self._changed:
                    self._on_event(selector, key)
                    self._changed.notify_all()
        if self._asked:
            self._end_some()
        else:
            self._start_some(selector)

    def _patience(self) -> float | None:
        if self._kill_at is not None:
            return max(0.0, self._kill_at - time.monotonic())
        return _LOOK if self._to_start else None

    def _on_event(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        process: ChildProcess = key.data
        if key.fileobj is process.control:
            if process.read():
                return
            selector.unregister(key.fileobj)
            if process.pidfd is not None:
                return  # its end comes next
        process.reap()
        for handle in process.watched:
            with contextlib.suppress(KeyError):
                selector.unregister(handle)
        process.release()
        self.on_end()

    # --- the end ------------------------------------------------------------------------------------------

    def _end_some(self) -> None:
        """Take the next step towards the end, if it is time for one."""
        if self._stages is None:
            self._give_up_waiting()
            self._stages = self._order()
        elif self._within is not None and len(self._stages) > 1:
            self._stages = deque([[process for stage in self._stages for process in stage]])
            self._kill_at = None
        while self._stages and not any(process.running for process in self._stages[0]):
            self._stages.popleft()
            self._kill_at = None
        if self._killing or (self._kill_at is not None and time.monotonic() >= self._kill_at):
            self._kill()
        elif self._stages and self._kill_at is None:
            self._terminate(self._stages[0])

    def _order(self) -> deque[list[ChildProcess]]:
        if self._within is not None:
            return deque([list(self._processes)])
        gateways = [process for process in self._processes if process.is_gateway]
        workers = [process for process in self._processes if not process.is_gateway]
        return deque([gateways, workers])

    def _give_up_waiting(self) -> None:
        with self._changed:
            while self._to_start:
                self._to_start.popleft().give_up()
            self._changed.notify_all()

    def _terminate(self, stage: list[ChildProcess]) -> None:
        limit = self._within
        if limit is None:
            limit = max(process.plan.grace for process in stage) + _CLOSE_MARGIN
        self._kill_at = time.monotonic() + limit
        for process in stage:
            process.terminate(signal.SIGTERM)

    def _kill(self) -> None:
        """SIGKILL for those whose time is over, or for all; again after a second, should one hang in the kernel."""
        assert self._stages is not None
        condemned = self._processes if self._killing else self._stages[0]
        for process in condemned:
            process.terminate(signal.SIGKILL)
        self._kill_at = time.monotonic() + 1.0

    def _release(self) -> None:
        for process in [*self._processes, *filter(None, [self._nursery])]:
            if process.running:
                process.terminate(signal.SIGKILL)
                process.reap()
            process.release()
        self._wake_in.close()
        self._wake_out.close()
        with self._changed:
            self._changed.notify_all()


def _watch(selector: selectors.BaseSelector, process: ChildProcess) -> None:
    for handle in process.watched:
        selector.register(handle, selectors.EVENT_READ, process)
