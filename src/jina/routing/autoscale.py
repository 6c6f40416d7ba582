"""How many replicas a step should have, by how long its requests wait: a state machine without clocks (pure)."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import Final, NamedTuple

from jina.plan.plans import AutoscalePlan

INTERVAL: Final = 0.25
"""Seconds between two samples."""
WINDOW: Final = 2.0
"""Seconds over which rates and means are taken."""
_FULL: Final = 0.8
"""The part of the time that replicas may be busy where more of them are asked for."""
_SPARE: Final = 0.7
"""The same where fewer would do: less, so that the two do not take turns."""
_DRAIN: Final = 5.0
"""Seconds in which requests that wait already should be answered."""
_LONG: Final = 3.0
"""How many times `target_wait` requests wait where replicas are doubled."""
_LEAST: Final = 3
"""Answers from which the rate of one replica is taken."""
_SUSTAINED: Final = 1.0
"""Seconds for which requests wait too long before there is one more replica; less where several are missing."""
_SAME: Final = 1.5
"""How many times the load of the last change downwards is no other load: a change upwards then takes it back."""
_RETRIED: Final = 0.5
"""The part of the load for which a number of replicas did not suffice below which it is tried again: noise reaches no
half."""
_FALLEN: Final = 0.35
"""The part of the replicas that would do where the load has fallen so much that it cannot be noise."""
_PATIENCE: Final = 64.0
"""How many times `cooldown` is waited at most after changes that were wrong."""
_FORGIVEN: Final = 600.0
"""Seconds without a wrong change after which `cooldown` counts as it is."""


class Sample(NamedTuple):
    """What is seen of a step: `waiting` requests have not begun, they are among those `in_flight`.

    `done` is the number that were answered so far, `replicas` how many can get requests.
    """

    now: float
    waiting: int
    in_flight: int
    done: int
    replicas: int


class WaitMeter:
    """How long requests of a step wait, by how many do and how fast they are answered: no request is timed."""

    __slots__ = ("_samples", "_since")

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._since: float | None = None
        """Since when requests wait and none is answered."""

    def add(self, sample: Sample) -> None:
        """The newest sample; they come in order."""
        samples = self._samples
        last = samples[-1] if samples else sample
        if not sample.waiting:
            self._since = None
        elif self._since is None or sample.done > last.done:
            self._since = sample.now
        samples.append(sample)
        while len(samples) > 2 and samples[1].now <= sample.now - WINDOW:
            samples.popleft()

    @property
    def samples(self) -> deque[Sample]:
        """Those of the window."""
        return self._samples

    @property
    def rate(self) -> float:
        """Answers in a second."""
        first, last = self._samples[0], self._samples[-1]
        seconds = last.now - first.now
        return (last.done - first.done) / seconds if seconds > 0 else 0.0

    @property
    def wait(self) -> float:
        """Seconds that a request waits at present: the length of the queue through the rate at which it is served."""
        if not self._samples:
            return 0.0
        rate = self.rate
        if rate > 0:
            return self.mean_waiting / rate
        return 0.0 if self._since is None else self._samples[-1].now - self._since

    @property
    def mean_waiting(self) -> float:
        """Of the window."""
        return sum(one.waiting for one in self._samples) / len(self._samples)

    @property
    def mean_in_flight(self) -> float:
        """Of the window."""
        return sum(one.in_flight for one in self._samples) / len(self._samples)


class Autoscaler:
    """Gets samples, tells how many replicas there should be. `replicas` is how many there are at first."""

    __slots__ = ("_busy_at", "_late_at", "_left", "_loads", "_patience", "_plan", "_refused", "_regret_at", "_speed",
                 "_up_at", "meter", "wanted")  # fmt: skip

    def __init__(self, plan: AutoscalePlan, replicas: int) -> None:
        self.meter = WaitMeter()
        self.wanted = min(max(replicas, plan.min), plan.max)
        self._plan = plan
        self._speed: float | None = None
        """Requests that one replica answers in a second when it has always one to do."""
        self._loads: deque[tuple[float, float, float]] = deque()
        """When how many replicas would have sufficed, and for how many requests a second."""
        self._refused: dict[int, tuple[float, float]] = {}
        """Numbers of replicas that did not suffice: when, and for how many requests a second."""
        self._up_at: float | None = None
        self._busy_at = 0.0
        """When there was a request, or no replica, last."""
        self._late_at: float | None = None
        """Since when requests wait too long."""
        self._left = 0.0
        """Requests a second when there became fewer replicas last."""
        self._regret_at = 0.0
        self._patience = 1.0

    def observe(self, sample: Sample) -> int:
        """The number of replicas that there should be, with what the sample shows."""
        self.meter.add(sample)
        before, now = self.wanted, sample.now
        if self._up_at is None:
            self._up_at = self._busy_at = now
        if sample.in_flight or sample.done != self.meter.samples[0].done or not sample.replicas:
            self._busy_at = now
        self._learn()
        self._loads.append((now, self._load(), self.meter.rate))
        wanted = self._more(sample)
        if wanted <= before:
            wanted = self._fewer(sample)
        if wanted != before:
            self._note(now, wanted)
        return wanted

    def _note(self, now: float, wanted: int) -> None:
        """Remember a change, and whether it takes one back."""
        if wanted < self.wanted:
            self._left = max((rate for _, _, rate in self._loads), default=0.0)
        else:
            arriving = self._arriving()
            if self.wanted and arriving < _SAME * self._left:
                self._patience = min(2 * self._patience, _PATIENCE)
                self._regret_at = now
            self._refused[self.wanted] = (now, arriving)
            self._left, self._up_at = 0.0, now
        self.wanted = wanted

    def _learn(self) -> None:
        """How fast one replica is: what each did while requests waited, and at least what each did at any time."""
        samples = list(self.meter.samples)
        first = len(samples)
        while first and samples[first - 1].waiting:
            first -= 1
        if samples[first:]:
            answers, work = _work(samples[first:])
            if answers >= _LEAST and work > 0:
                self._speed = answers / work
        answers, work = _work(samples)
        if answers >= _LEAST and work > 0 and (self._speed is None or self._speed < answers / work):
            self._speed = answers / work

    def _load(self) -> float:
        """How many replicas would do for what comes now."""
        needed = self.meter.mean_in_flight / _SPARE
        return needed if self._speed is None else min(needed, self.meter.rate / (_SPARE * self._speed))

    def _more(self, sample: Sample) -> int:
        """The number where there are too few, else what is wanted already."""
        plan, wanted = self._plan, self.wanted
        least = max(plan.min, 1) if sample.in_flight else plan.min
        if wanted < least:
            return least
        if not sample.waiting or self.meter.wait <= plan.target_wait:
            self._late_at = None
            return wanted
        if self._late_at is None:
            self._late_at = sample.now
            return wanted
        needed = math.ceil(self._needed(sample))
        if needed <= wanted or (needed <= 2 * wanted + 1 and sample.now - self._late_at < _SUSTAINED):
            return wanted
        return max(wanted, min(needed, sample.in_flight, plan.max))

    def _needed(self, sample: Sample) -> float:
        """By how many requests come, and, where all replicas that were asked for are there, by how many wait."""
        if self._speed is None:
            return 2.0 * sample.replicas if sample.replicas >= self.wanted else self.wanted
        arriving = self._arriving()
        needed = arriving / (_FULL * self._speed)
        if sample.replicas < self.wanted:
            return needed
        settled = all(one.replicas == sample.replicas for one in self.meter.samples)
        if settled and self.meter.wait > _LONG * self._plan.target_wait and arriving >= self.meter.rate:
            needed = max(needed, 2.0 * sample.replicas)  # callers that wait for answers hide how many there would be
        return needed + sample.waiting / (_DRAIN * self._speed)

    def _arriving(self) -> float:
        """Requests that come in a second, of late."""
        last = self.meter.samples[-1]
        first = next(one for one in self.meter.samples if one.now >= last.now - WINDOW / 2)
        seconds = last.now - first.now
        return (last.done + last.in_flight - first.done - first.in_flight) / seconds if seconds > 0 else 0.0

    def _fewer(self, sample: Sample) -> int:
        """The number where there are too many, else what is wanted already."""
        plan, now, wanted = self._plan, sample.now, self.wanted
        if self._patience > 1 and now - self._regret_at > _FORGIVEN:
            self._patience = 1.0
        assert self._up_at is not None
        if not plan.min and wanted and not sample.in_flight and now - self._busy_at >= plan.idle:
            return 0
        longest = plan.cooldown * self._patience
        while self._loads[0][0] < now - longest:
            self._loads.popleft()
        if sample.replicas > wanted or now - self._up_at < plan.cooldown:
            return wanted
        recent = [one for one in self._loads if one[0] >= now - plan.cooldown]
        if max(load for _, load, _ in recent) >= _FALLEN * wanted:
            if now - self._up_at < longest:
                return wanted
            recent = list(self._loads)
        fewer = max(math.ceil(max(load for _, load, _ in recent)), plan.min, 1)
        rate = max(rate for _, _, rate in recent)
        while fewer < wanted and self._refuses(fewer, rate, now):
            fewer += 1
        return min(wanted, fewer)

    def _refuses(self, replicas: int, rate: float, now: float) -> bool:
        """Whether so many replicas did not suffice of late for about as many requests."""
        at, failed = self._refused.get(replicas, (-math.inf, 0.0))
        return now - at < _FORGIVEN and rate > _RETRIED * failed


def _work(samples: list[Sample]) -> tuple[int, float]:
    """Answers, and seconds of all replicas, between the first sample and the last."""
    work = sum((second.now - first.now) * first.replicas for first, second in pairwise(samples))
    return samples[-1].done - samples[0].done, work
