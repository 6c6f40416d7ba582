"""Buckets of tokens, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.routing import rate
from jina.routing.rate import Buckets

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=60)


@given(st.floats(0.1, 50), st.integers(1, 20), STEPS)
def test_never_more_than_the_burst_and_the_rate_allow(per_second, burst, steps):
    buckets, now, let = Buckets(per_second, burst), 0.0, {"a": [], "b": []}
    for caller, pause in steps:
        now += pause
        wait = buckets.take(caller, now)
        assert wait >= 0
        if wait == 0:
            let[caller].append(now)
        else:
            assert buckets.take(caller, now) == pytest.approx(wait)  # refusals cost nothing
            assert buckets.take(caller, now + wait + 1e-6) == 0  # the hint is right
            now += wait + 1e-6
            let[caller].append(now)
    for times in let.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + (times[last] - times[first]) * per_second + 1e-3


@given(st.integers(1, 30))
def test_a_burst_at_once(burst):
    buckets = Buckets(1.0, burst)
    assert [buckets.take("a", 5.0) for _ in range(burst)] == [0.0] * burst
    assert buckets.take("a", 5.0) == pytest.approx(1.0)
    assert buckets.take("b", 5.0) == 0


def test_a_clock_that_stands_still_or_jumps_back_gives_nothing():
    buckets = Buckets(10.0, 1)
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 50.0) > 0
    assert buckets.take("a", 100.0) > 0
    assert buckets.take("a", 100.1) == 0


def test_callers_are_forgotten(monkeypatch):
    monkeypatch.setattr(rate, "MOST_CALLERS", 3)
    buckets = Buckets(1.0, 1)
    for caller in "abcde":
        assert buckets.take(caller, 0.0) == 0
    assert len(buckets) == 3
    assert buckets.take("e", 0.0) > 0
    assert buckets.take("a", 0.0) == 0
