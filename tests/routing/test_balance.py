"""The choice among replicas."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.errors import Unavailable
from jina.routing.balance import LoadBalancer


def balance(n, seed=0):
    return LoadBalancer("e", [f"e/rep-{i}" for i in range(n)], random.Random(seed).randrange)


def test_the_idlest_gets_it():
    b = balance(3)
    taken = {b.take([True] * 3) for _ in range(3)}
    assert taken == {0, 1, 2}
    b.give_back(1)
    assert b.take([True] * 3) == 1
    assert b.in_flight == [1, 1, 1]


def test_ties_are_broken_at_random():
    assert {balance(4, seed).take([True] * 4) for seed in range(60)} == {0, 1, 2, 3}


def test_those_down_or_tried_are_left_out():
    b = balance(3)
    assert b.take([False, True, True], tried={2}) == 1
    assert b.take([False, True, True], tried={2}) == 1


def test_nobody_left():
    b = balance(2)
    with pytest.raises(Unavailable, match="all 2 replicas of e are down: e/rep-0, e/rep-1"):
        b.take([False, False])
    with pytest.raises(Unavailable, match="no replica of e is left to try; tried: e/rep-1"):
        b.take([False, True], tried={1})
    with pytest.raises(Unavailable, match=r"e is down \(e/rep-0\)"):
        balance(1).take([False])
    with pytest.raises(Unavailable, match="left to try"):
        balance(1).take([True], tried={0})
    assert b.in_flight == [0, 0]


@given(st.integers(1, 6), st.lists(st.integers(0, 5), max_size=60), st.integers(0, 99))
def test_even_load(n, returned, seed):
    """While all are up, no replica has two requests more than another unless others gave theirs back."""
    b = balance(n, seed)
    for place in returned:
        before = list(b.in_flight)
        chosen = b.take([True] * n)
        assert before[chosen] == min(before)
        if place < n and b.in_flight[place]:
            b.give_back(place)
    assert min(b.in_flight) >= 0


def test_replicas_come_and_go():
    b = balance(1)
    assert b.take([True]) == 0
    b.grow("e/rep-1")
    assert b.take([True, True]) == 1
    b.rename(0, "")
    with pytest.raises(Unavailable, match=r"e is down \(e/rep-1\)"):
        b.take([False, False])
    b.rename(0, "e/rep-0")
    b.give_back(0)
    assert b.take([True, True]) == 0
    with pytest.raises(Unavailable, match="all 2 replicas of e are down: e/rep-0, e/rep-1"):
        b.take([False, False])
