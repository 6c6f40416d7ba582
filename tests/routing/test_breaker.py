"""Replicas that are left out, in virtual time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jina.routing.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def left_out(breaker, count):
    return [not one for one in breaker.usable([True] * count)]


def test_faults_in_a_row():
    breaker = Breaker(2)
    for _ in range(FAILURES - 1):
        assert not breaker.record_failure(0, 0.0)
    breaker.record_success(0)
    assert [breaker.record_failure(0, 0.0) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    assert left_out(breaker, 2) == [True, False]
    assert not breaker.all_closed
    assert breaker.usable([True, False]) == [True, False]  # better than none
    assert breaker.usable([True, True], tried=[1]) == [True, True]


def test_asked_after_pauses_that_grow():
    breaker, now, pause = Breaker(1), 0.0, FIRST_PAUSE
    for _ in range(FAILURES):
        breaker.record_failure(0, now)
    for _ in range(8):
        assert breaker.due(now + pause - 0.01) == []
        now += pause
        assert breaker.due(now) == [0]
        assert breaker.due(now) == []  # once at a time
        breaker.answered(0, now, healthy=False)
        pause = min(2 * pause, LONGEST_PAUSE)
    assert breaker.due(now + LONGEST_PAUSE) == [0]
    breaker.answered(0, now, healthy=True)
    assert breaker.all_closed
    assert breaker.record_failure(0, now)  # it said so, and was not
    assert breaker.due(now + LONGEST_PAUSE - 0.01) == []
    breaker.due(now + LONGEST_PAUSE)
    breaker.answered(0, now, healthy=True)
    breaker.record_success(0)
    assert not breaker.record_failure(0, now)


def test_another_process_in_its_place():
    breaker = Breaker(1)
    for _ in range(FAILURES):
        breaker.record_failure(0, 0.0)
    assert breaker.due(100.0) == [0]
    breaker.replaced(0)
    assert breaker.all_closed
    breaker.answered(0, 100.0, healthy=False)  # of the one before
    assert breaker.all_closed


class Replicas(RuleBasedStateMachine):
    """Any order of outcomes: the books agree, somebody is always usable, and who is well comes back."""

    @initialize(count=st.integers(1, 4))
    def begin(self, count):
        self.count = count
        self.breaker = Breaker(count)
        self.now = 0.0
        self.asked = set()
        self.row = [0] * count

    def place(self, data):
        return data.draw(st.integers(0, self.count - 1))

    @rule(data=st.data())
    def record_failure(self, data):
        place = self.place(data)
        self.row[place] += 1
        self.breaker.record_failure(place, self.now)
        if self.row[place] >= FAILURES:
            assert left_out(self.breaker, self.count)[place] or self.count == sum(self.out())

    @rule(data=st.data())
    def record_success(self, data):
        place = self.place(data)
        self.row[place] = 0
        self.breaker.record_success(place)
        assert not self.out()[place]

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds):
        self.now += seconds
        due = self.breaker.due(self.now)
        assert not self.asked & set(due)
        self.asked |= set(due)

    @precondition(lambda self: self.asked)
    @rule(healthy=st.booleans())
    def answer(self, healthy):
        place = self.asked.pop()
        self.breaker.answered(place, self.now, healthy=healthy)
        if healthy:
            assert not self.out()[place]

    def out(self):
        return [state.ask_at is not None for state in self.breaker._states]

    @invariant()
    def books_agree(self):
        if hasattr(self, "breaker"):
            assert self.breaker.all_closed == (not any(self.out()))
            assert any(self.breaker.usable([True] * self.count))


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
