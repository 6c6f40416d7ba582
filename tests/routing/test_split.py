"""Routes around a step that streams."""

import pytest

from jina.errors import NotSupportedError
from jina.routing.walk import Send
from tests.routing.plans import docs, done, node, payload, route, walk


def name_it(name, send):
    return payload(*({**doc, "text": doc.get("text", "") + name} for doc in docs(send.payload)))


def test_chain():
    before, after = route(node("a"), node("b", "a"), node("c", "b")).split_at("b")
    assert before.chain == ("a",)
    assert after.chain == ("c",)
    assert after.steps["c"].json_ok
    assert after.steps["c"].needs == ("gateway",)


def test_alone():
    before, after = route(node("a")).split_at("a")
    assert before.chain == after.chain == ()
    assert done(before, payload({"id": "1"}), name_it) == ([{"id": "1"}], [])


def test_streams_before_and_after():
    """`before` ends with what the step gets, which may be merged; `after` may part again and be joined."""
    r = route(
        node("a"), node("b"), node("g", "a", "b"), node("c", "g"), node("d", "g"), node("e", "c", "d"),
    )  # fmt: skip
    before, after = r.split_at("g")
    assert list(before.steps) == ["a", "b"]
    assert before.end.merges
    assert list(after.steps) == ["c", "d", "e"]
    assert after.steps["e"].fork == "gateway"
    assert "gateway" in after.forks
    answer, order = done(after, payload({"text": "-"}), name_it)
    assert answer == [{"id": "new0", "text": "-ce"}]
    assert order == ["c", "d", "e"]


def test_generator_after_generator():
    _, after = route(node("a"), node("g", "a"), node("h", "g"), node("b", "h")).split_at("g")
    before, rest = after.split_at("h")
    assert before.chain == ()
    assert rest.chain == ("b",)


def test_side_branches_run_once_or_for_each_document():
    r = route(node("a"), node("f", "a", floating=True), node("g", "a"), node("h", "g", floating=True), node("b", "g"))
    before, after = r.split_at("g")
    assert list(before.steps) == ["a", "f"]
    assert list(after.steps) == ["h", "b"]
    w = walk(before)
    w.begin(payload())
    first, last = w.replied("a", payload())
    assert isinstance(first, Send)
    assert not isinstance(last, Send)


def test_conditions_stay():
    r = route(node("a", when={"text": "x"}), node("g", "a"), node("b", "g", when={"text": "y"}))
    before, after = r.split_at("g")
    assert before.steps["a"].condition
    assert after.steps["b"].condition
    assert before.chain is after.chain is None


@pytest.mark.parametrize(
    ("nodes", "ends", "message"),
    [
        ([node("g"), node("b"), node("c", "g", "b")], ["c"], "g streams, so that c cannot join it with b"),
        ([node("a"), node("g", "a"), node("c", "a", "g")], ["c"], "c cannot join it with a"),
        ([node("g"), node("c", "gateway", "g")], ["c"], "c cannot join it with the request itself"),
        ([node("g"), node("b")], ["g", "b"], "so that the reply cannot join it with b"),
        ([node("g"), node("b")], ["b"], "the reply does not come from it"),
        ([node("a"), node("g", floating=True)], ["a"], "g streams, and is floating"),
        ([node("a"), node("b"), node("g", "a", "b", no_reduce=True)], ["g"], "several branches unmerged"),
    ],
)
def test_streams_are_not_joined_with_what_came_once(nodes, ends, message):
    with pytest.raises(NotSupportedError, match=message):
        route(*nodes, ends=ends).split_at("g")


def test_what_is_shared_runs_before_the_stream():
    r = route(
        node("a"), node("b"), node("g", "a", "b"), node("f", "a", "b", floating=True), node("c", "g"),
    )  # fmt: skip
    before, after = r.split_at("g")
    assert [name for name, step in before.steps.items() if step.runs] == ["a", "b", "f"]
    assert after.chain == ("c",)
    assert done(before, payload({"id": "1", "text": "-"}), name_it)[0] == [{"id": "1", "text": "-a"}]


def test_a_shared_join_is_called_by_those_that_share_it():
    nodes = [node("g"), node("b"), node("c", "g", "b"), node("d", "g", "b"), node("e", "c", "d")]
    with pytest.raises(NotSupportedError, match="g streams, so that c and d cannot join it with b"):
        route(*nodes).split_at("g")


def test_after_a_stream_joins_are_shared():
    r = route(
        node("g"), node("a", "g"), node("b", "g"), node("c", "a", "b"), node("d", "a", "b"), node("e", "d", "c"),
    )  # fmt: skip
    _, after = r.split_at("g")
    answer, order = done(after, payload({"id": "1", "text": "-"}), name_it)
    assert answer == [{"id": "1", "text": "-ade"}]
    assert order == ["a", "b", "c", "d", "e"]
