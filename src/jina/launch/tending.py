"""What is done about processes while the service runs: starts anew, changes, hung handlers. For the supervising thread.

Nothing here waits: the supervisor calls `ended` and `reported` for what happens, and `turn` when time has passed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from jina.errors import JinaError, RuntimeFailToStart, Unavailable
from jina.launch.child_process import ChildProcess
from jina.launch.linking import Linking
from jina.launch.memory import MemoryKills
from jina.launch.places import Place, owner
from jina.launch.rollout import Action, Discard, Retire, Rollout, Start, Take
from jina.plan.plans import ProcessPlan

CLOSE_MARGIN = 10.0
"""Seconds beyond the grace time in which `close()` may end before SIGKILL."""

Tell = Callable[[str, str], None]
"""Gets a level of severity (`info`, `warning`, `error`) and a line for people."""


@dataclass(eq=False)
class Order:
    """A change that was asked for: the plans and pickles of what is new, by name. `done` is set at its end.

    What is new has to be ready `within` seconds of its start, None for as long as it lives.
    """

    rollout: Rollout
    plans: Mapping[str, tuple[ProcessPlan, bytes]]
    within: float | None = None
    before: dict[str, tuple[ProcessPlan, bytes]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    """Until when each that starts has to be ready."""
    done: threading.Event = field(default_factory=threading.Event)
    error: JinaError | None = None


class Tending:
    """`start` has a process started soon; `tell` is for people. `places` changes here, under the lock of `changed`."""

    def __init__(
        self,
        places: list[Place],
        linking: Linking,
        start: Callable[[ChildProcess], None],
        changed: threading.Condition,
        tell: Tell,
    ) -> None:
        self.settled = False
        """True once all processes have been ready: until then a failure is one of the start."""
        self.leaving: dict[ChildProcess, float] = {}
        """Processes that are to end, and when they are killed."""
        self.orders: deque[Order] = deque()
        self.files: dict[str, set[str]] = {}
        """By Deployment: the user's files that its workers were loaded from, or tried to."""
        self._places = places
        self._linking = linking
        self._start = start
        self._changed = changed
        self._tell = tell
        self._order: Order | None = None
        self._retired: dict[ChildProcess, str] = {}
        self._memory = MemoryKills()
        self._asks: dict[ChildProcess, float] = {}
        """When each process is to be asked next how it is."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to wait for though no process runs."""
        return any(place.restart_at is not None for place in self._places)

    def patience(self, now: float) -> float | None:
        """Seconds until `turn` has something to do, None for ever."""
        times = [place.restart_at for place in self._places if place.restart_at is not None]
        times += [*self.leaving.values(), *self._asks.values()]
        if self._order is not None:
            times += self._order.limits.values()
        return max(0.0, min(times) - now) if times else None

    # --- what happened ------------------------------------------------------------------------------------

    def ended(self, process: ChildProcess) -> None:
        """A process has ended and was collected."""
        if process.exit_status == -signal.SIGKILL and not process.cause and self._memory.more():
            process.cause = "out of memory"
        self._asks.pop(process, None)
        if process in self.leaving:
            del self.leaving[process]
            name = self._retired.pop(process, None)
            if name is not None and self._order is not None:
                self._do(self._order.rollout.gone(name))
            return
        place = next((place for place in self._places if process in place.processes), None)
        if place is None:
            return
        if process is place.successor or place.joining:
            self._failed(place.name, process.failure or RuntimeFailToStart(f"{process.name} {process.ending}"))
        elif self.settled and place.successor is None:
            self._crashed(place)
        elif self.settled:
            place.last_end = process.down()

    def reported(self, process: ChildProcess) -> None:
        """A process said something."""
        now = time.monotonic()
        self.seen(process)
        place = next((place for place in self._places if process is place.process), None)
        if place is not None and place.hang is not None and process.answered:
            place.hang.answered(now, *_progress(process))
        if not self.settled and all(place.process.ready for place in self._places):
            self.settled = True
        if place is not None and place.last_end is not None and process.ready and process.ready_at == process.since:
            self._tell("info", f"{process.name} serves again (restart {place.restarts.count})")
            place.last_end = None
        self._see_who_is_ready()

    def seen(self, process: ChildProcess) -> None:
        """Remember the files that a process has named."""
        if process.files:
            name = owner(process.plan)
            self.files = {**self.files, name: self.files.get(name, set()) | process.files}

    def _crashed(self, place: Place) -> None:
        place.crashed(time.monotonic())
        end = f"{place.process.name} (process {place.process.pid}) {place.process.ending}"
        if place.restart_at is None:
            self._linking.given_up(place.process)
            self._tell("error", f"{end}; not started again (restart_limit={place.plan.restart.limit})")
            return
        pause = place.restart_at - time.monotonic()
        when = f"in {pause:.1f} s" if pause > 0 else "at once"
        self._tell("warning", f"{end}; started again {when} (restart {place.restarts.count})")

    # --- what time brings ---------------------------------------------------------------------------------

    def turn(self, now: float) -> None:
        """Do what is due."""
        for place in self._places:
            if place.restart_at is not None and place.restart_at <= now:
                process = place.renew()
                process.plan = self._linking.current(process.plan)
                self._start(process)
            self._look_for_hang(place, now)
        for process, limit in list(self.leaving.items()):
            if limit <= now:
                process.terminate(signal.SIGKILL)
                self.leaving[process] = now + 1.0  # again, should one hang in the kernel
        self._take_orders(now)

    def _look_for_hang(self, place: Place, now: float) -> None:
        process, watch = place.process, place.hang
        if watch is None or not process.ready:
            self._asks.pop(process, None)
            return
        if self._asks.setdefault(process, now) <= now:
            self._asks[process] = now + watch.interval
            if process.ask():
                watch.asked(now)
        seconds = watch.stuck(now)
        if seconds is None or watch.reported:
            return
        watch.reported = True
        text = f"{process.name} (process {process.pid}) makes no progress for {seconds:.1f} s (timeout_hang)"
        if place.plan.restart.replace_hung:
            self._tell("error", f"{text}; it is killed (restart_hung)")
            process.cause = f"it made no progress for {seconds:.1f} s"
            process.terminate(signal.SIGKILL)
        else:
            self._tell("error", text)

    # --- changes ------------------------------------------------------------------------------------------

    def _take_orders(self, now: float) -> None:
        order = self._order
        if order is not None:
            for name in [name for name, limit in order.limits.items() if limit <= now]:
                self._failed(name, RuntimeFailToStart(f"{name} was not ready within timeout_ready"))
        while self._order is None and self.orders and self._all_in_use():
            self._order = self.orders.popleft()
            self._do(self._order.rollout.begin())

    def _all_in_use(self) -> bool:
        """Whether gateways send requests to all workers that are ready: only then what they tell later is new."""
        ready = [place.process for place in self._places if place.process.ready and not place.process.is_gateway]
        return all(map(self._linking.in_use, ready))

    def give_up(self) -> None:
        """The service ends: nothing is started any more, and nobody is to wait for a change."""
        for place in self._places:
            place.restart_at = None
        for order in [*filter(None, [self._order]), *self.orders]:
            order.error = Unavailable(
                "the service is stopping", help="change it while it runs: within its `with`, before `close()`"
            )
            order.done.set()
        self._order = None
        self.orders.clear()

    def _see_who_is_ready(self) -> None:
        order = self._order
        if order is None:
            return
        for place in list(self._places):
            if self._order is not order:
                return
            process = place.process if place.joining else place.successor
            if process is not None and process.ready and (process.is_gateway or self._linking.in_use(process)):
                place.joining = False
                order.limits.pop(place.name, None)
                self._do(order.rollout.ready(place.name))

    def _failed(self, name: str, error: JinaError) -> None:
        if self._order is None:
            return
        self._tell("info", f"{error.message}; what runs stays")
        self._order.limits.pop(name, None)
        self._do(self._order.rollout.failed(name, error))

    def _do(self, actions: Iterable[Action]) -> None:
        order = self._order
        assert order is not None
        with self._changed:
            for action in actions:
                self._do_one(order, action)
            self._changed.notify_all()
        if order.rollout.finished and self._order is order:
            self._order = None
            if isinstance(order.rollout.error, JinaError):
                order.error = order.rollout.error
            order.done.set()

    def _do_one(self, order: Order, action: Action) -> None:
        place = next((place for place in self._places if place.name == action.name), None)
        if isinstance(action, Start):
            self._begin(order, place, action)
            return
        assert place is not None
        order.limits.pop(place.name, None)
        if isinstance(action, Take):
            plan = place.plan
            old = place.take()
            order.before[place.name] = (plan, old.blob)
            self._leave(old, place.name)
        elif isinstance(action, Retire):
            order.before[place.name] = (place.plan, place.process.blob)
            self._places.remove(place)
            self._linking.left(place.process)
            self._leave(place.process, place.name)
        else:
            assert isinstance(action, Discard)
            self._discard(place)

    def _begin(self, order: Order, place: Place | None, action: Start) -> None:
        plan, blob = order.before[action.name] if action.old else order.plans[action.name]
        if place is None:
            place = Place(plan, blob, joining=not action.settled)
            self._places.append(place)
            process = place.process
        else:
            process = place.prepare(plan, blob)
        if order.within is not None:
            order.limits[action.name] = time.monotonic() + order.within
        self._start(process)

    def _leave(self, process: ChildProcess, name: str) -> None:
        """Let a process finish and end; one that has ended already is gone."""
        self._asks.pop(process, None)
        if not process.running:
            if process.exit_status is None:
                process.give_up()  # its turn to be started had not come
            assert self._order is not None
            self._do(self._order.rollout.gone(name))
            return
        self._retired[process] = name
        self.leaving[process] = time.monotonic() + process.plan.grace + CLOSE_MARGIN
        process.terminate(signal.SIGTERM)

    def _discard(self, place: Place) -> None:
        if place.joining:
            self._places.remove(place)
            process: ChildProcess | None = place.process
        else:
            process, place.successor = place.successor, None
            if not place.process.running:
                self._crashed(place)
            else:
                # Gateways may have changed over to the one that failed, just before it did.
                self._linking.started(place.process)
        if process is not None and process.running:
            self.leaving[process] = time.monotonic() + 1.0
            process.terminate(signal.SIGKILL)
        elif process is not None and process.exit_status is None:
            process.give_up()


def _progress(process: ChildProcess) -> tuple[int, int]:
    """What a process has in work, and how far it got.

    A gateway whose requests wait for workers does not hang itself: what has to go on there is its loop.
    """
    if process.is_gateway:
        return 1, process.vitals.get("beats", 0)
    return process.vitals.get("in_flight", 0), process.vitals.get("done", 0)
