"""When processes are started again, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from jina.supervisor.policies import FORGIVEN, LONGEST, RestartPolicy, Restarts


def pauses(served, **policy):
    """The pause after each crash, until it is given up."""
    restarts, found = Restarts(RestartPolicy(**policy)), []
    for seconds in served:
        pause = restarts.crashed(seconds)
        if pause is None:
            assert restarts.given_up
            break
        found.append(pause)
    assert restarts.count == len(found)
    return found


def test_the_pauses_of_one_that_never_serves():
    assert pauses([0.0] * 20, limit=10, backoff=0.5) == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_limits():
    assert pauses([0.0], limit=0) == []
    assert pauses([1000.0], limit=0) == []
    assert pauses([0.0, 0.0], limit=1) == [0]
    assert len(pauses([0.0] * 500, limit=-1)) == 500
    assert max(pauses([0.0] * 500, limit=-1)) == LONGEST


def test_service_makes_up_for_crashes():
    assert pauses([FORGIVEN] * 100, limit=3) == [0] * 100
    # Twenty kills among three replicas, one every second.
    assert max(pauses([3.0] * 7, limit=10, backoff=0.5)) <= 2


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(0, 12), st.floats(0, 5))
def test_no_more_crashes_than_the_limit_and_what_service_makes_up_for(served, limit, backoff):
    found = pauses(served, limit=limit, backoff=backoff)
    assert len(found) <= limit + sum(served) / FORGIVEN
    assert all(0 <= pause <= LONGEST for pause in found)
    if len(found) < len(served):  # given up: there were that many at once
        assert limit <= len(found)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=60))
def test_longer_service_never_leads_to_a_longer_pause(served):
    shorter = pauses([seconds / 2 for seconds in served], limit=-1)
    assert all(a >= b for a, b in zip(shorter, pauses(served, limit=-1), strict=True))
