"""Continuous batching in virtual time: admission, order, pauses, deadlines, cancels; and a model of it."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jina.routing.slots import SlotRules, SlotScheduler


def scheduler(slots=2, **rules):
    return SlotScheduler(SlotRules(slots, **rules))


def running(step):
    return [stream for _, stream in step.running]


def test_streams_are_admitted_in_the_order_in_which_they_came_and_run_until_they_leave():
    slots = scheduler(2)
    assert not slots.ready
    for stream in "abc":
        slots.add(stream)
    assert slots.ready
    first = slots.step()
    assert first.admitted == first.running == [(0, "a"), (1, "b")]
    assert (slots.waiting, slots.in_use) == (1, 2)
    assert slots.step().admitted == []
    assert slots.discard("a")
    third = slots.step()
    assert third.left == [(0, "a")]
    assert third.admitted == [(0, "c")]
    assert third.running == [(0, "c"), (1, "b")]


def test_a_slot_is_free_from_the_next_step_on_since_a_step_may_be_running():
    slots = scheduler(1)
    slots.add("a")
    slots.step()
    slots.discard("a")
    slots.add("b")
    assert slots.in_use == 1
    step = slots.step()
    assert step.left == [(0, "a")]
    assert step.running == [(0, "b")]


def test_one_that_leaves_while_it_waits_takes_no_slot():
    slots = scheduler(1)
    for stream in "abc":
        slots.add(stream)
    slots.step()
    assert not slots.discard("b")
    slots.discard("a")
    assert running(slots.step()) == ["c"]


def test_nothing_is_ready_when_all_are_paused_and_one_that_reads_runs_again():
    slots = scheduler(1)
    slots.add("a")
    slots.step()
    slots.pause(0.0, "a")
    slots.add("b")
    assert not slots.ready
    slots.resume("a")
    assert running(slots.step()) == ["a"]


def test_a_paused_stream_stops_only_itself():
    slots = scheduler(2)
    slots.add("a")
    slots.add("b")
    slots.step()
    slots.pause(0.0, "a")
    assert running(slots.step()) == ["b"]
    assert slots.in_use == 2


def test_a_stalled_stream_loses_its_slot_only_to_one_that_waits_and_the_longest_stalled_first():
    slots = scheduler(3, stall_timeout=5.0)
    for stream in "abc":
        slots.add(stream)
    slots.step()
    slots.pause(1.0, "b")
    slots.pause(0.0, "a")
    slots.pause(4.0, "c")
    assert slots.overdue(100.0) == []
    assert slots.due() == math.inf
    slots.add("d")
    assert slots.due() == 6.0
    assert slots.overdue(5.9) == []
    assert slots.overdue(6.0) == [("b", "stalled", True)]
    assert slots.overdue(100.0) == []
    step = slots.step()
    assert step.left == [(1, "b")]
    assert step.running == [(1, "d")]


def test_a_deadline_ends_a_stream_that_waits_and_one_that_runs():
    slots = scheduler(1)
    slots.add("a", 10.0)
    slots.add("b", 5.0)
    slots.step()
    assert slots.due() == 5.0
    assert slots.overdue(5.0) == [("b", "deadline", False)]
    assert slots.due() == 10.0
    assert slots.overdue(12.0) == [("a", "deadline", True)]
    assert slots.step().left == [(0, "a")]
    assert slots.due() == math.inf


def test_at_most_so_many_join_with_one_step():
    slots = scheduler(8, admit_per_step=2)
    for stream in range(5):
        slots.add(stream)
    assert [len(slots.step().admitted) for _ in range(4)] == [2, 2, 1, 0]


def test_the_lowest_slot_is_given_first_so_that_those_in_use_are_close_together():
    slots = scheduler(4)
    for stream in "abcd":
        slots.add(stream)
    slots.step()
    slots.discard("c")
    slots.discard("a")
    slots.add("e")
    step = slots.step()
    assert step.admitted == [(0, "e")]
    assert step.running == [(0, "e"), (1, "b"), (3, "d")]


def test_backlog_is_how_many_would_wait_if_one_more_came():
    slots = scheduler(1)
    assert slots.backlog == 0
    slots.add("a")
    slots.step()
    assert slots.backlog == 1
    slots.discard("a")
    assert slots.backlog == 0
    slots.add("b")
    assert slots.backlog == 1


def test_deadlines_of_streams_that_are_gone_are_not_kept():
    slots = scheduler(1)
    for stream in range(10_000):
        slots.add(stream, 1000.0 + stream)
        slots.discard(stream)
    assert len(slots._deadlines) <= 4 * 2 + 65


class Slots(RuleBasedStateMachine):
    """Against a list of who waits, a table of who runs, and the time at which each has to be gone."""

    @initialize(
        slots=st.integers(1, 4),
        admit=st.none() | st.integers(1, 3),
        stall=st.sampled_from([0.0, 1.0, 5.0]),
    )
    def begin(self, slots, admit, stall):
        self.rules = SlotRules(slots, admit, stall)
        self.slots = SlotScheduler(self.rules)
        self.now = 0.0
        self.count = 0
        self.waiting = []
        self.held = {}
        self.leaving = {}
        self.paused = {}
        self.deadlines = {}
        self.admitted = []

    @rule(after=st.none() | st.integers(0, 20))
    def add(self, after):
        stream, self.count = self.count, self.count + 1
        deadline = None if after is None else self.now + after
        self.slots.add(stream, deadline)
        self.waiting.append(stream)
        self.deadlines[stream] = math.inf if deadline is None else deadline

    @rule(seconds=st.integers(0, 10))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.waiting or self.held)
    @rule(data=st.data())
    def discard(self, data):
        stream = data.draw(st.sampled_from(self.waiting + list(self.held)))
        assert self.slots.discard(stream) == (stream in self.held)
        self.gone(stream)

    @rule(stream=st.integers(0, 50))
    def discard_any(self, stream):
        if stream not in self.waiting and stream not in self.held:
            assert not self.slots.discard(stream)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def pause(self, data):
        stream = data.draw(st.sampled_from(list(self.held)))
        self.slots.pause(self.now, stream)
        self.paused.setdefault(stream, self.now)

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def resume(self, data):
        stream = data.draw(st.sampled_from(list(self.paused)))
        self.slots.resume(stream)
        del self.paused[stream]

    @rule()
    def overdue(self):
        found = self.slots.overdue(self.now)
        late = {stream for stream in [*self.waiting, *self.held] if self.deadlines[stream] <= self.now}
        assert {stream for stream, reason, _ in found if reason == "deadline"} == late
        for stream in late:
            self.gone(stream)
        for stream, reason, had_slot in found:
            if reason == "stalled":
                assert had_slot
                assert self.now - self.paused[stream] >= self.rules.stall_timeout
                assert self.paused[stream] == min(self.paused.values())
                assert len(self.waiting) > self.rules.slots - len(self.held)
                self.gone(stream)
        if len(self.waiting) > self.rules.slots - len(self.held):
            assert all(self.now - since < self.rules.stall_timeout for since in self.paused.values())

    @rule()
    def step(self):
        step = self.slots.step()
        assert {stream: index for index, stream in step.left} == self.leaving
        self.leaving = {}
        free = sorted(set(range(self.rules.slots)) - set(self.held.values()))
        most = min(len(free), len(self.waiting), self.rules.admit_per_step or self.rules.slots)
        assert step.admitted == list(zip(free, self.waiting, strict=False))[:most]
        for index, stream in step.admitted:
            self.waiting.remove(stream)
            self.held[stream] = index
            self.admitted.append(stream)
        runs = sorted((index, stream) for stream, index in self.held.items() if stream not in self.paused)
        assert step.running == runs

    def gone(self, stream):
        self.paused.pop(stream, None)
        if stream in self.waiting:
            self.waiting.remove(stream)
        else:
            self.leaving[stream] = self.held.pop(stream)

    @invariant()
    def counted(self):
        if not hasattr(self, "slots"):
            return
        slots = self.slots
        assert slots.waiting == len(self.waiting)
        assert slots.in_use == len(self.held) + len(self.leaving) <= self.rules.slots
        assert slots.paused == len(self.paused)
        free = self.rules.slots - len(self.held)
        assert slots.backlog == max(0, len(self.waiting) + 1 - free)
        assert self.admitted == sorted(self.admitted)
        able = bool(self.waiting) and slots.in_use < self.rules.slots
        assert slots.ready == bool(self.leaving or len(self.held) > len(self.paused) or able)
        times = [self.deadlines[stream] for stream in [*self.waiting, *self.held]]
        if len(self.waiting) > free:
            times += [since + self.rules.stall_timeout for since in self.paused.values()]
        assert slots.due() == min(times, default=math.inf)


TestModel = Slots.TestCase


@pytest.mark.parametrize("slots", [1, 3])
def test_each_of_many_is_served_and_none_is_overtaken(slots):
    scheduled, left, steps = scheduler(slots), {}, 0
    for stream in range(100):
        scheduled.add(stream)
    order = []
    while scheduled.ready:
        step = scheduled.step()
        order += [stream for _, stream in step.admitted]
        for _, stream in step.running:
            left[stream] = left.get(stream, 1 + stream % 7) - 1
            if not left[stream]:
                scheduled.discard(stream)
        steps += 1
        assert steps < 2000
    assert order == list(range(100))
    assert not any(left.values())
