"""Places for requests, and when to come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.errors import Overloaded
from jina.runtime.admission import Admission


def refused(room, inflight, backlog=0):
    try:
        room.check(inflight, backlog)
    except Overloaded as error:
        return error
    return None


def test_places():
    room = Admission("w/rep-0", 5, 2)
    assert [bool(refused(room, count)) for count in (0, 4, 5, 6)] == [False, False, True, True]
    assert [bool(refused(room, 0, backlog)) for backlog in (0, 2, 3)] == [False, False, True]
    assert "w/rep-0 has 5 requests in work or waiting, which is its limit (max_inflight)" in str(refused(room, 5))
    assert "has 2 requests waiting for a handler, which is its limit (max_queue)" in str(refused(room, 4, 3))
    assert refused(Admission("w", 5), 4, 5) is None  # unset: the one limit counts
    assert refused(Admission("w", 5, 0), 0, 0) is None
    assert refused(Admission("w", 5, 0), 0, 1)


@given(st.lists(st.floats(0, 1000), max_size=30))
def test_the_hint_is_about_what_a_request_takes(times):
    room = Admission("w", 1)
    for seconds in times:
        room.ended(seconds)
    assert 0.05 <= room.hint <= 30
    if times:
        assert min(0.05, *times) - 1e-9 <= room.hint <= max(0.05, *times) + 1e-9
    assert refused(room, 1).retry_after == room.hint


def test_the_hint_follows():
    room = Admission("w", 1)
    for _ in range(100):
        room.ended(2.0)
    assert room.hint == pytest.approx(2.0)
    for _ in range(100):
        room.ended(0.5)
    assert room.hint == pytest.approx(0.5, rel=0.01)
