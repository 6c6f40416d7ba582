"""Continuous batching: which streams are in the next step. No clock, no I/O: `now` is given to each call.

A stream waits, is admitted to a slot, is in every step while its client reads, and leaves: finished, cancelled,
late, or stalled. The slot is free from the first step after that.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T", bound=Hashable)

Reason = Literal["deadline", "stalled"]
"""Why a stream has to leave: its deadline passed, or its client did not read while others waited."""


class SlotRules(msgspec.Struct, frozen=True):
    """`slots` streams run at once; at most `admit_per_step` join with one step. `stall_timeout` is in seconds."""

    slots: int
    admit_per_step: int | None = None
    stall_timeout: float = 10.0


class Step(msgspec.Struct, Generic[T]):
    """What the next step is made of; each list holds slots with their streams, in the order of the slots."""

    left: list[tuple[int, T]] = msgspec.field(default_factory=list)
    """Gone since the last step: what they hold is to be freed first."""
    admitted: list[tuple[int, T]] = msgspec.field(default_factory=list)
    running: list[tuple[int, T]] = msgspec.field(default_factory=list)
    """Those of the step, the admitted ones among them."""


class SlotScheduler(Generic[T]):
    """The streams of one endpoint. `T` is whatever stands for a stream, hashable and unique."""

    def __init__(self, rules: SlotRules) -> None:
        self._rules = rules
        self._waiting: OrderedDict[T, None] = OrderedDict()
        """In the order of their arrival, which is that of their admission."""
        self._slots: dict[T, int] = {}
        self._leaving: dict[T, int] = {}
        """Not wanted any more; their slots are taken until the next step begins, since a step may be running."""
        self._free = list(range(rules.slots))
        """A heap: the lowest is given first, so that those in use are close together."""
        self._paused: dict[T, float] = {}
        """Since when their clients do not read; the longest first."""
        self._deadlines: list[tuple[float, int, T]] = []
        """A heap; streams that are gone are dropped when they come up."""
        self._tokens = 0

    @property
    def waiting(self) -> int:
        """How many streams wait for a slot."""
        return len(self._waiting)

    @property
    def in_use(self) -> int:
        """How many slots are taken."""
        return len(self._slots) + len(self._leaving)

    @property
    def paused(self) -> int:
        """How many of them are in no step until their clients read."""
        return len(self._paused)

    @property
    def backlog(self) -> int:
        """How many streams would wait if one more came."""
        return max(0, self.waiting + 1 - len(self._free) - len(self._leaving))

    def __contains__(self, stream: T) -> bool:
        return stream in self._waiting or stream in self._slots

    def add(self, stream: T, deadline: float | None = None) -> None:
        """A stream arrives."""
        self._waiting[stream] = None
        if deadline is not None:
            self._tokens += 1
            heapq.heappush(self._deadlines, (deadline, self._tokens, stream))
            if len(self._deadlines) > 4 * (len(self._waiting) + len(self._slots)) + 64:
                self._deadlines = [one for one in self._deadlines if one[2] in self]
                heapq.heapify(self._deadlines)

    def discard(self, stream: T) -> bool:
        """The stream is over: finished, failed or cancelled. Gives whether it had a slot, which the next step frees."""
        if stream in self._waiting:
            del self._waiting[stream]
            return False
        if stream not in self._slots:
            return False
        self._leaving[stream] = self._slots.pop(stream)
        self._paused.pop(stream, None)
        return True

    def pause(self, now: float, stream: T) -> None:
        """Its client does not read: it keeps its slot and is in no step."""
        if stream in self._slots:
            self._paused.setdefault(stream, now)

    def resume(self, stream: T) -> None:
        """Its client reads again."""
        self._paused.pop(stream, None)

    def overdue(self, now: float) -> list[tuple[T, Reason, bool]]:
        """Discard the streams that have no time left; gives each with the reason, and whether it had a slot."""
        found: list[tuple[T, Reason, bool]] = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2] not in self):
            stream = heapq.heappop(self._deadlines)[2]
            if stream in self:
                found.append((stream, "deadline", self.discard(stream)))
        for stream in list(self._paused):
            if not self._short() or now < self._paused[stream] + self._rules.stall_timeout:
                break
            found.append((stream, "stalled", self.discard(stream)))
        return found

    def _short(self) -> bool:
        """Whether more streams wait than slots will be free in the next step."""
        return self.waiting > len(self._free) + len(self._leaving)

    def due(self) -> float:
        """When a stream has no time left if nothing happens until then."""
        while self._deadlines and self._deadlines[0][2] not in self:
            heapq.heappop(self._deadlines)
        due = self._deadlines[0][0] if self._deadlines else math.inf
        if self._paused and self._short():
            due = min(due, next(iter(self._paused.values())) + self._rules.stall_timeout)
        return due

    @property
    def ready(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._leaving or len(self._slots) > len(self._paused) or (self._waiting and self._free))

    def step(self) -> Step[T]:
        """Free the slots of those that left, admit who waits longest, and say who runs."""
        left = sorted(((index, stream) for stream, index in self._leaving.items()), key=_index)
        self._leaving.clear()
        for index, _ in left:
            heapq.heappush(self._free, index)
        admitted: list[tuple[int, T]] = []
        most = self._rules.slots if self._rules.admit_per_step is None else self._rules.admit_per_step
        while self._waiting and self._free and len(admitted) < most:
            stream, _ = self._waiting.popitem(last=False)
            self._slots[stream] = index = heapq.heappop(self._free)
            admitted.append((index, stream))
        running = [(index, stream) for stream, index in self._slots.items() if stream not in self._paused]
        running.sort(key=_index)
        return Step(left, admitted, running)


def _index(one: tuple[int, object]) -> int:
    return one[0]
