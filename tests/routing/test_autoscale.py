"""The number of replicas by how long requests wait, in virtual time: queues of requests, with seeds."""

import heapq
import random

import pytest

from jina.plan.plans import AutoscalePlan
from jina.routing.autoscale import INTERVAL, Autoscaler, Sample, WaitMeter


class Queue:
    """Requests that come by chance and wait for one of `replicas`, each of which answers one at a time.

    A replica that is added serves `start` seconds later; one that is removed finishes what it has.
    """

    def __init__(self, seed, plan, replicas=1, *, start=1.0, service=0.05, spread=0.0):
        self.random = random.Random(seed)
        self.scaler = Autoscaler(plan, replicas)
        self.now = 0.0
        self.history = [(0.0, self.scaler.wanted)]
        self.replicas = replicas
        self.waits = []
        self._start, self._service, self._spread = start, service, spread
        self._starting = []
        self._waiting = []
        self._busy = []
        self._done = 0
        self._next = None

    def run(self, seconds, rate):
        """Go on for so long with `rate` requests a second; gives the numbers of replicas that were wanted."""
        end, tick = self.now + seconds, self.now
        self._next = self.now + self._pause(rate)
        while tick < end:
            tick += INTERVAL
            self._until(tick, rate)
            self.now = tick
            self._sample()
        return [wanted for at, wanted in self.history if at > end - seconds]

    def _pause(self, rate):
        return self.random.expovariate(rate) if rate else float("inf")

    def _until(self, tick, rate):
        while True:
            events = [self._next, self._busy[0] if self._busy else tick, self._starting[0] if self._starting else tick]
            now = min(events)
            if now >= tick:
                return
            if now == self._next:
                self._waiting.append(now)
                self._next = now + self._pause(rate)
            elif self._busy and now == self._busy[0]:
                heapq.heappop(self._busy)
                self._done += 1
            else:
                heapq.heappop(self._starting)
                self.replicas += 1
            self._begin(now)

    def _begin(self, now):
        while self._waiting and len(self._busy) < self.replicas:
            self.waits.append(now - self._waiting.pop(0))
            spread = self.random.uniform(1 - self._spread, 1 + self._spread)
            heapq.heappush(self._busy, now + self._service * spread)

    def _sample(self):
        in_flight = len(self._waiting) + len(self._busy)
        sample = Sample(self.now, len(self._waiting), in_flight, self._done, self.replicas)
        wanted = self.scaler.observe(sample)
        if wanted != self.history[-1][1]:
            self.history.append((self.now, wanted))
        while self.replicas + len(self._starting) < wanted:
            heapq.heappush(self._starting, self.now + self._start)
        while self.replicas > wanted and not self._starting:
            self.replicas -= 1

    @property
    def changes(self):
        return len(self.history) - 1


SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_follows_ten_times_the_load_and_back_within_ten_seconds(seed):
    queue = Queue(seed, AutoscalePlan(min=1, max=20), service=0.05, spread=0.5)
    queue.run(60, rate=10)  # half of what one replica does
    assert queue.scaler.wanted <= 2
    queue.run(10, rate=100)  # which needs five, and some to spare
    assert 5 <= queue.scaler.wanted <= 12, queue.history
    queue.run(20, rate=100)
    assert queue.scaler.meter.wait <= 0.1, queue.history
    queue.run(10, rate=10)
    assert queue.scaler.wanted <= 2, queue.history


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9, 1.4, 2.6, 3.7])
def test_noise_changes_next_to_nothing_for_ten_minutes(load):
    """`load` replicas would be busy all the time: the number settles, and stays."""
    changes = []
    for seed in SEEDS[:6]:
        queue = Queue(seed, AutoscalePlan(min=1, max=10), service=0.05, spread=0.9)
        queue.run(120, rate=load / 0.05)
        settled = queue.changes
        queue.run(600, rate=load / 0.05)
        changes.append(queue.changes - settled)
    assert max(changes) <= 6, changes
    assert sum(changes) <= 2 * len(changes), changes


@pytest.mark.parametrize("seed", SEEDS)
def test_from_zero_and_back(seed):
    queue = Queue(seed, AutoscalePlan(min=0, max=4, idle=30.0), replicas=1)
    assert set(queue.run(29, rate=0)) <= {1}
    queue.run(10, rate=0)
    assert (queue.scaler.wanted, queue.replicas) == (0, 0)
    at = queue.now
    queue.run(5, rate=10)
    first = next(when for when, wanted in queue.history if when > at)
    assert first <= at + INTERVAL + 0.5  # with the first request, which came by chance
    assert queue.scaler.wanted >= 1
    assert queue.waits
    queue.run(40, rate=0)
    assert queue.replicas == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_hold_whatever_comes(seed):
    chance = random.Random(seed)
    least, most = sorted((chance.randrange(0, 4), chance.randrange(1, 9)))
    plan = AutoscalePlan(min=least, max=max(most, 1), idle=5.0)
    queue = Queue(seed, plan, replicas=max(least, 1), start=chance.uniform(0, 5), service=chance.choice([0.01, 0.3, 3]))
    for _ in range(10):
        queue.run(20, rate=chance.choice([0, 0.1, 1, 20, 200]))
    assert all(least <= wanted <= plan.max for _, wanted in queue.history), queue.history


def test_never_more_replicas_than_requests():
    scaler = Autoscaler(AutoscalePlan(min=1, max=50), 1)
    for step in range(40):
        wanted = scaler.observe(Sample(step * INTERVAL, waiting=2, in_flight=3, done=0, replicas=1))
    assert wanted <= 3


def test_slow_handlers_of_which_none_ends_are_seen_by_their_queue():
    meter = WaitMeter()
    for step in range(9):
        meter.add(Sample(step * 0.5, waiting=1, in_flight=2, done=0, replicas=1))
    assert meter.wait == 4.0
    meter.add(Sample(4.5, waiting=0, in_flight=1, done=1, replicas=1))
    assert meter.wait < 4.0


def test_the_wait_is_the_queue_through_the_rate():
    meter = WaitMeter()
    assert meter.wait == 0.0
    for step in range(9):
        meter.add(Sample(step * 0.25, waiting=10, in_flight=11, done=step * 5, replicas=1))
    assert meter.rate == pytest.approx(20)
    assert meter.wait == pytest.approx(0.5)


def test_what_is_still_starting_is_not_asked_for_again():
    """A model that takes a minute to load: the queue that grows meanwhile is no reason for more than the load needs."""
    queue = Queue(3, AutoscalePlan(min=1, max=50), start=60.0, service=0.1)
    queue.run(60, rate=30)
    assert 4 <= queue.scaler.wanted <= 8, queue.history
