"""The headers by which clients and stateful services tell each other how far a log was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.codec.session_headers import INDEX, MISSED, SESSION, merged, numbers, text_of, with_index_of
from jina.errors import BadRequest

INDEXES = st.dictionaries(st.sampled_from(["a", "b", "a/shard-1", "x=y"]), st.integers(0, 1 << 40))


@given(st.lists(INDEXES.filter(bool), min_size=1, max_size=4))
def test_of_several_replies_each_group_tells_its_highest_number(replies):
    received = numbers(merged({INDEX: text_of(one)} for one in replies)[INDEX])
    assert received == {group: max(one.get(group, 0) for one in replies) for one in replies for group in one}


def test_of_several_replies_all_names_of_what_missed_are_told():
    replies = [{MISSED: "a/shard-0", INDEX: "a=1"}, None, {MISSED: "b/shard-1, b/shard-2"}]
    assert merged(replies) == {MISSED: "a/shard-0, b/shard-1, b/shard-2", INDEX: "a=1"}


@given(INDEXES.filter(bool), INDEXES)
def test_a_reply_tells_what_the_client_knew_too(reply, known):
    result = with_index_of({INDEX: text_of(reply), SESSION: "a=1"}, {INDEX: text_of(known)} if known else {})
    groups = reply.keys() | known.keys()
    assert numbers(result[INDEX]) == {group: max(reply.get(group, 0), known.get(group, 0)) for group in groups}
    assert result[SESSION] == "a=1"


@pytest.mark.parametrize("text", ["a", "a=", "a=-1", "a=1,", "a=x", f"a={1 << 63}"])
def test_what_is_no_index_is_refused(text):
    with pytest.raises(BadRequest, match="not the number of a log entry"):
        with_index_of({INDEX: "a=1"}, {INDEX: text})
