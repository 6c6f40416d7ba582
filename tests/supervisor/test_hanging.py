"""Progress of a worker, in virtual time."""

from hypothesis import example, given
from hypothesis import strategies as st

from jina.supervisor.policies import HangDetector


def test_one_that_gets_on_is_never_stuck():
    watch = HangDetector(10)
    for second in range(100):
        watch.asked(second)
        watch.answered(second, 1, second)
        assert watch.stuck(second) is None


def test_one_that_has_nothing_to_do_is_never_stuck():
    watch = HangDetector(10)
    for second in range(100):
        watch.asked(second)
        watch.answered(second + 0.1, 0, 7)
        assert watch.stuck(second + 0.2) is None


def test_requests_in_work_without_progress():
    watch = HangDetector(10)
    watch.answered(5, 2, 7)
    watch.answered(14, 3, 7)  # another request does not help the one before
    assert watch.stuck(14.9) is None
    assert watch.stuck(15) == 10
    watch.reported = True
    watch.answered(16, 2, 8)
    assert watch.stuck(16) is None
    assert not watch.reported


def test_one_that_cannot_even_answer():
    watch = HangDetector(2)
    watch.asked(10)
    assert watch.stuck(11) is None
    watch.asked(11)
    assert watch.stuck(12) == 2
    watch.answered(12.5, 0, 0)
    assert watch.stuck(100) is None


@example([(1, 0, False), (1, 1, False), (1, 1, False)], 1.0)
@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 2), st.booleans()), max_size=50), st.floats(0.5, 10))
def test_stuck_is_exactly_no_progress_for_the_limit(steps, limit):
    watch, now, done, since = HangDetector(limit), 0.0, 0, None
    for pause, in_work, moves in steps:
        now += pause
        done += moves
        watch.answered(now, in_work, done)
        since = None if not in_work else now if moves or since is None else since
        assert (watch.stuck(now) is not None) == (since is not None and now - since >= limit)
