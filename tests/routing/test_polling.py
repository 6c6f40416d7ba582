"""Which shards get a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.routing.balance import Polling, chosen_by

MODES = {"*": "ANY", "/index": "ANY", "/search": "ALL", "bare": "ALL"}


@pytest.mark.parametrize(
    ("endpoint", "all_of"),
    [("/search", True), ("/index", False), ("/other", False), ("bare", True), ("/bare", True), ("/", False)],
)
def test_the_mapping_decides_by_endpoint(endpoint, all_of):
    assert Polling(MODES, 3).all_of(endpoint) is all_of


def test_the_star_stands_for_the_others():
    polling = Polling({"*": "ALL", "/index": "ANY"}, 3)
    assert [polling.all_of(path) for path in ("/index", "/x")] == [False, True]


def test_one_shard_is_any_shard():
    polling = Polling({"*": "ALL"}, 1)
    assert not polling.all_of("/search")
    assert [polling.any_of([True]) for _ in range(3)] == [0, 0, 0]


def test_shards_take_turns():
    polling = Polling(MODES, 3, first=2)
    assert [polling.any_of([True] * 3) for _ in range(5)] == [2, 0, 1, 2, 0]


@given(st.integers(1, 6), st.integers(0, 5), st.data())
def test_one_that_is_down_is_left_out_while_another_is_up(shards, first, data):
    polling = Polling(MODES, shards, first % shards)
    for _ in range(8):
        up = data.draw(st.lists(st.booleans(), min_size=shards, max_size=shards))
        chosen = polling.any_of(up)
        assert 0 <= chosen < shards
        assert up[chosen] or not any(up)


def test_keys_spread_evenly_and_each_has_one_shard():
    chosen = [chosen_by(f"{number:032x}", 4) for number in range(4000)]
    assert chosen == [chosen_by(f"{number:032x}", 4) for number in range(4000)]
    assert all(800 < chosen.count(shard) < 1200 for shard in range(4))
