"""When a process is started again or given up, when it hangs, and the steps of a change (pure)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from jina.plan.plans import ProcessPlan, WorkerPlan


class HangDetector:
    """Gets regular reports of a worker; tells when it has made no progress for `limit` seconds."""

    __slots__ = ("_done", "_limit", "_since", "reported")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._done = -1
        self._since: float | None = None
        self.reported = False

    @property
    def interval(self) -> float:
        """Seconds between two questions."""
        return max(0.05, self._limit / 4)

    def answered(self, now: float, in_work: int, done: int) -> None:
        """The worker said how many requests it has in work, and how many it has got on with so far."""
        if not in_work or done != self._done or self._since is None:
            self._since, self.reported = (now if in_work else None), False
        self._done = done

    def asked(self, now: float) -> None:
        """A question was sent: a worker that cannot even answer makes no progress either."""
        if self._since is None:
            self._since = now

    def stuck(self, now: float) -> float | None:
        """Seconds without progress, once that is `limit` or more."""
        if self._since is None or now - self._since < self._limit:
            return None
        return now - self._since


FORGIVEN: Final = 5.0
"""Seconds of service that make up for one crash."""
LONGEST: Final = 30.0
"""Seconds that are waited at most before the next start."""


class RestartPolicy(msgspec.Struct, frozen=True):
    """Up to `limit` crashes in a row lead to a restart; 0: none, negative: all. `backoff` is in seconds."""

    limit: int = 10
    backoff: float = 0.5


class Restarts:
    """The crashes of one process and those that took its place.

    The first restart comes at once, the following ones after `backoff` seconds, twice that, and so on. A process
    that serves for `FORGIVEN` seconds makes up for one crash.
    """

    __slots__ = ("_level", "_policy", "count", "given_up")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._level = 0.0
        self.count = 0
        """Restarts so far."""
        self.given_up = False

    def crashed(self, served: float) -> float | None:
        """It ended after it had served so many seconds: seconds until the next start, None to give up."""
        self._level = max(0.0, self._level - served / FORGIVEN) + 1
        limit = self._policy.limit
        if 0 <= limit < self._level:
            self.given_up = True
            return None
        self.count += 1
        if self._level <= 1:
            return 0.0
        doublings = min(math.ceil(self._level) - 2, 30)
        return float(min(LONGEST, self._policy.backoff * 2**doublings))


class Change(msgspec.Struct, frozen=True):
    """What becomes of one process: it is added, a new one takes its place, or it is removed.

    One that is renewed ends before the new one starts, where there cannot be two; it is a stage of its own.
    """

    kind: Literal["add", "replace", "renew", "remove"]
    name: str


class Start(msgspec.Struct, frozen=True):
    """Start a process beside the old one, if there is one; from the plan before the change where `old`.

    One that is `settled` need not be waited for: it is started again until it serves.
    """

    name: str
    old: bool = False
    settled: bool = False


class Take(msgspec.Struct, frozen=True):
    """Replace the old process with the new one; the old one finishes its requests and ends."""

    name: str


class Retire(msgspec.Struct, frozen=True):
    """Give the process no more requests; it finishes what it has in work and ends."""

    name: str


class Discard(msgspec.Struct, frozen=True):
    """End the new process, which never became ready."""

    name: str


Action = Start | Take | Retire | Discard


class Rollout:
    """Tells what to do next. Events are reported by `ready`, `failed` and `gone`, from `begin` to `finished`."""

    def __init__(self, stages: Sequence[Sequence[Change]]) -> None:
        self._stages = deque(list(stage) for stage in stages)
        self._open: dict[str, Change] = {}
        self._taken: set[str] = set()
        self._renewed: set[str] = set()
        self._done: list[Change] = []
        self._undoing = False
        self.finished = False
        self.error: BaseException | None = None
        """Why it was undone."""

    def begin(self) -> list[Action]:
        """The first actions."""
        return self._next()

    def ready(self, name: str) -> list[Action]:
        """The new process serves, and the gateways that send it requests know it."""
        change = self._open.get(name)
        if change is None or self._awaits_end(change):
            return []
        if change.kind == "replace":
            self._taken.add(name)
            return [Take(name)]
        return self._complete(change)

    def gone(self, name: str) -> list[Action]:
        """The old process has ended."""
        change = self._open.get(name)
        if change is None:
            return []
        if change.kind == "renew" and name not in self._renewed:
            self._renewed.add(name)
            start: Action = Start(name, old=self._undoing, settled=self._undoing)
            return [start, *self._complete(change)] if self._undoing else [start]
        if change.kind in {"add", "renew"} or (change.kind == "replace" and name not in self._taken):
            return []
        return self._complete(change)

    def failed(self, name: str, error: BaseException) -> list[Action]:
        """The new process did not become ready."""
        change = self._open.get(name)
        if change is None or self._awaits_end(change):
            return []
        if self._undoing:
            # What runs is all that there is: better the new one than none.
            return [Discard(name), *self._complete(change)]
        self.error = error
        return self._undo()

    def _awaits_end(self, change: Change) -> bool:
        """Whether nothing new runs for it that could become ready or fail."""
        renewing = change.kind == "renew" and change.name not in self._renewed
        return renewing or change.kind == "remove" or change.name in self._taken

    def _complete(self, change: Change) -> list[Action]:
        del self._open[change.name]
        self._taken.discard(change.name)
        self._renewed.discard(change.name)
        self._done.append(change)
        return [] if self._open else self._next()

    def _next(self) -> list[Action]:
        while self._stages:
            stage = self._stages.popleft()
            if stage:
                self._open = {change.name: change for change in stage}
                return [self._first(change) for change in stage]
        self.finished = True
        return []

    def _first(self, change: Change) -> Action:
        if change.kind in {"remove", "renew"}:
            return Retire(change.name)
        return Start(change.name, old=self._undoing)

    def _undo(self) -> list[Action]:
        begun, self._open = list(self._open.values()), {}
        discards: list[Action] = []
        for change in begun:
            if change.name in self._taken or change.kind == "remove":
                self._done.append(change)
            else:
                discards.append(Discard(change.name))
                if change.kind == "renew":
                    discards.append(Start(change.name, old=True, settled=True))
        undone = [inverse for change in reversed(self._done) if (inverse := _inverse(change))]
        self._undoing, self._done, self._taken, self._renewed = True, [], set(), set()
        self._stages = deque([change] for change in undone)
        return [*discards, *self._next()]


def _inverse(change: Change) -> Change | None:
    if change.kind == "remove":
        return None  # comes last, when nothing can fail any more
    return Change("remove", change.name) if change.kind == "add" else change


def stages_between(old: Sequence[ProcessPlan], new: Sequence[ProcessPlan], *, renew: bool) -> list[list[Change]]:
    """The stages from the processes of one plan to those of another, whose names say which take whose place.

    What is added comes first, what is removed last. Workers are replaced one by one: all with `renew`, else those
    that serve other ports than before.
    """
    before = {plan.name: plan for plan in old}
    after = {plan.name: plan for plan in new}
    replaced = [
        plan.name
        for plan in new
        if isinstance(plan, WorkerPlan) and (was := before.get(plan.name)) and (renew or _ports(plan) != _ports(was))
    ]
    stages = [
        [Change("add", name) for name in after if name not in before],
        *([Change("replace", name)] for name in replaced),
        [Change("remove", name) for name in before if name not in after],
    ]
    return [stage for stage in stages if stage]


def _ports(plan: ProcessPlan) -> list[tuple[str, int]]:
    return [(listener.protocol, listener.port) for listener in plan.listeners]
