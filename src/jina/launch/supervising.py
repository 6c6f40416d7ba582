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
from collections.abc import Callable, Mapping

from jina.launch import doors
from jina.launch.child_process import ChildProcess
from jina.launch.linking import Linking
from jina.launch.nursing import nursery_for
from jina.launch.places import Place
from jina.launch.tending import CLOSE_MARGIN, Order, Tell, Tending

_STARTING_A_CORE = 4
"""Processes that start at the same time, for each core: more would only wait for each other, with their memory."""

_LOOK = 0.2
"""Seconds after which the next process may start though nothing was reported."""


class Supervisor:
    """Runs the processes of `places` until all have ended. `changed` is notified of everything that happens to them.

    Wishes come from any thread, and are carried out by the supervisor's own. `tell` gets what people should know.
    """

    def __init__(self, name: str, places: list[Place], changed: threading.Condition, tell: Tell) -> None:
        self.on_end: Callable[[], None] = lambda: None
        self.on_guest: Callable[[socket.socket], None] = socket.socket.close
        """Gets the connection of one who asks how the service is, on a thread of its own."""
        self.broken: Exception | None = None
        self.rounds = 0
        """How often all processes were asked how they are."""
        self.thread = threading.Thread(target=self._supervise, name=f"launcher-{name}", daemon=True)
        self._places = places
        self._changed = changed
        processes = [place.process for place in places]
        self._to_start = deque(sorted(processes, key=lambda process: not process.is_gateway))
        self._linking = Linking(places)
        self._tending = Tending(places, self._linking, self._to_start.append, changed, tell)
        self._nursery = nursery_for(processes)
        self._at_once = max(_STARTING_A_CORE * (os.cpu_count() or 1), 2)
        self._stages: deque[list[ChildProcess]] | None = None
        self._asked = False
        self._killing = False
        self._within: float | None = None
        self._kill_at: float | None = None
        self._rounds_wanted = 0
        self._door = doors.opened()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)  # noqa: FBT003 - the standard library's signature

    # --- wishes, from any thread --------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """True once somebody asked for the end."""
        return self._asked

    @property
    def settled(self) -> bool:
        """True once all processes have been ready."""
        return self._tending.settled

    @property
    def files(self) -> Mapping[str, set[str]]:
        """See `Tending.files`."""
        return self._tending.files

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

    def request_change(self, order: Order) -> None:
        """Ask for a change of the processes; `order.done` tells when it is made."""
        self._tending.orders.append(order)
        self._wake()

    def request_vitals(self) -> int:
        """Have all processes asked how they are; gives what `rounds` will be then."""
        with self._changed:
            self._rounds_wanted += 1
            wanted = self._rounds_wanted
        self._wake()
        return wanted

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended, or was told often enough
            self._wake_out.send(b"!")

    # --- the thread ---------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                if self._door is not None:
                    selector.register(self._door, selectors.EVENT_READ)
                if self._nursery is not None:
                    self._nursery.spawn()
                    _watch(selector, self._nursery)
                self._start_some(selector)
                while self._busy():
                    self._turn(selector)
        except Exception as error:  # noqa: BLE001 - told to whoever waits, who would wait for ever
            self.broken = error
        finally:
            self._release()

    def _processes(self) -> list[ChildProcess]:
        """All that run or ran last, also those that are about to come or to go."""
        return [process for place in self._places for process in place.processes] + list(self._tending.leaving)

    def _busy(self) -> bool:
        running = any(process.running for process in self._processes())
        return running or bool(self._to_start) or (self._tending.busy and not self._asked)

    def _start_some(self, selector: selectors.BaseSelector) -> None:
        """Start as many as the machine can work on; the others follow as these get on."""
        starting = sum(process.busy_starting for process in self._processes())
        while starting < self._at_once and not self._asked and (process := self._next()):
            if process.exit_status is not None:
                continue  # given up before its turn
            if self._nursery is not None and self._nursery.bears(process):
                process.spawn(self._nursery.fork)
            else:
                process.spawn()
            if process.running:
                starting += 1
                _watch(selector, process)
                self._linking.started(process)
            else:
                self._tending.ended(process)
            with self._changed:
                self._changed.notify_all()
        if self._nursery is not None:
            self._nursery.go_on(self._to_start)

    def _next(self) -> ChildProcess | None:
        """The next one to be started that does not wait for the nursery."""
        nursery = self._nursery
        for process in self._to_start:
            if nursery is None or nursery.bears_now(process) or not nursery.bears(process):
                self._to_start.remove(process)
                return process
        return None

    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Wait for one event: a report, an end, a wish, a deadline."""
        for key, _ in selector.select(self._patience()):
            if key.fileobj is self._wake_in:
                self._wake_in.recv(64)
            elif key.fileobj is self._door:
                self._let_in()
            elif key.data.exit_status is None:
                with self._changed:
                    self._on_event(selector, key)
                    self._changed.notify_all()
        if self._asked:
            self._end_some()
            return
        self._ask_all()
        with self._changed:
            self._tending.turn(time.monotonic())
        self._start_some(selector)

    def _let_in(self) -> None:
        assert self._door is not None
        with contextlib.suppress(OSError):  # who came has left
            threading.Thread(target=self.on_guest, args=self._door.accept()[:1], name="guest", daemon=True).start()

    def _patience(self) -> float | None:
        now = time.monotonic()
        if self._kill_at is not None:
            return max(0.0, self._kill_at - now)
        waits = [_LOOK] if self._to_start else []
        if not self._asked and (wait := self._tending.patience(now)) is not None:
            waits.append(wait)
        return min(waits, default=None)

    def _on_event(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        process: ChildProcess = key.data
        if key.fileobj is process.control:
            if process.read():
                if not self._asked:
                    self._tending.reported(process)
                return
            selector.unregister(key.fileobj)
            if process.pidfd is not None:
                return  # its end comes next
        process.reap()
        self._tending.seen(process)
        for handle in process.watched:
            with contextlib.suppress(KeyError):
                selector.unregister(handle)
        process.release()
        if not self._asked:
            self._tending.ended(process)
        self.on_end()

    def _ask_all(self) -> None:
        if self.rounds == self._rounds_wanted:
            return
        with self._changed:
            self.rounds = self._rounds_wanted
            for place in self._places:
                if place.process.ready:
                    place.process.ask()
            self._changed.notify_all()

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
        processes = self._processes()
        if self._within is not None:
            return deque([processes])
        gateways = [process for process in processes if process.is_gateway]
        return deque([gateways, [process for process in processes if not process.is_gateway]])

    def _give_up_waiting(self) -> None:
        with self._changed:
            self._tending.give_up()
            while self._to_start:
                self._to_start.popleft().give_up()
            self._changed.notify_all()

    def _terminate(self, stage: list[ChildProcess]) -> None:
        limit = self._within
        if limit is None:
            limit = max(process.plan.grace for process in stage) + CLOSE_MARGIN
        self._kill_at = time.monotonic() + limit
        for process in stage:
            if process not in self._tending.leaving:  # a second signal would end what it still does
                process.terminate(signal.SIGTERM)

    def _kill(self) -> None:
        """SIGKILL for those whose time is over, or for all; again after a second, should one hang in the kernel."""
        assert self._stages is not None
        condemned = self._processes() if self._killing else self._stages[0]
        for process in condemned:
            process.terminate(signal.SIGKILL)
        self._kill_at = time.monotonic() + 1.0

    def _release(self) -> None:
        for process in [*self._processes(), *filter(None, [self._nursery])]:
            if process.running:
                process.terminate(signal.SIGKILL)
                process.reap()
            process.release()
        if self._door is not None:
            self._door.close()
        self._wake_in.close()
        self._wake_out.close()
        with self._changed:
            self._tending.give_up()
            self._changed.notify_all()


def _watch(selector: selectors.BaseSelector, process: ChildProcess) -> None:
    for handle in process.watched:
        selector.register(handle, selectors.EVENT_READ, process)
