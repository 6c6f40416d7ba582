"""One answer of those of several shards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.routing.merge import merge_shards, together
from tests.routing.plans import Docs, docs, payload

QUERY = {"id": "q", "text": "t"}


def match(name, score, field="score"):
    return {"id": name, field: score}


def named(name, value):
    return {"id": name, "scores": {"cosine": {"value": value}}}


def found(*parts, base=QUERY):
    """The ids of the matches of one query document, by shard and merged."""
    answers = [payload({**base, "matches": Docs(part)}) for part in parts]
    (merged,) = docs(merge_shards(answers, payload(base)))
    return [one["id"] for one in merged["matches"]]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # ordered by score, whichever end is the best one
        ([[match("a", 0.9), match("b", 0.1)], [match("c", 0.5)]], "acb"),
        ([[match("a", 1), match("b", 9)], [match("c", 5)]], "acb"),
        ([[named("a", 0.1), named("b", 0.7)], [named("c", 0.3), named("d", 0.8)]], "acbd"),
        ([[match("a", 0.9, "distance")], [match("b", 0.1, "distance")]], "ba"),
        # one match each does not show which end is the best one: the name tells
        ([[match("a", 0.1)], [match("b", 0.9)], [match("c", 0.5)]], "bca"),
        ([[named("a", 0.9)], [named("b", 0.1)]], "ba"),
        # equal scores stay in the order of the shards
        ([[match("a", 0.5), match("b", 0.1)], [match("c", 0.5)]], "acb"),
        # not ordered by a shard, without scores, or not all with scores: shard after shard
        ([[match("a", 1.0), match("b", 2.0), match("x", 0.0)], [match("c", 1.5)]], "abxc"),
        ([[{"id": "a"}], [{"id": "b"}]], "ab"),
        ([[match("a", 0.1), {"id": "b"}], [match("c", 0.9)]], "abc"),
        ([[match("a", float("nan"))], [match("b", 1.0)]], "ab"),
        ([[match("a", "high")], [match("b", "low")]], "ab"),
        # a copy in two shards is one match
        ([[match("a", 0.9), match("b", 0.5)], [match("b", 0.5), match("c", 0.2)]], "abc"),
        ([[], [match("c", 0.9)], []], "c"),
        ([[], []], ""),
    ],
)
def test_matches_are_merged_by_score(parts, expected):
    assert found(*parts) == list(expected)


def test_other_queries_of_the_request_show_which_end_is_the_best_one():
    # `score` would be better the larger it is; here the first query shows the opposite.
    def answer(first, second):
        return payload({"id": "1", "matches": Docs(first)}, {"id": "2", "matches": Docs(second)})

    answers = [
        answer([match("a", 1.0), match("b", 3.0)], [match("x", 9.0)]),
        answer([match("c", 2.0)], [match("y", 8.0)]),
    ]
    merged = docs(merge_shards(answers, payload({"id": "1"}, {"id": "2"})))
    assert [[one["id"] for one in doc["matches"]] for doc in merged] == [["a", "c", "b"], ["y", "x"]]


def test_documents_that_shards_found_are_ordered_too():
    answers = [payload(match("a", 0.9), match("b", 0.2)), payload(match("c", 0.5))]
    assert [doc["id"] for doc in docs(merge_shards(answers, payload(QUERY)))] == ["a", "c", "b"]


def test_documents_of_the_request_keep_their_order():
    query = [match("a", 0.1), match("b", 0.9)]
    assert [doc["id"] for doc in docs(merge_shards([payload(*query)] * 3, payload(*query)))] == ["a", "b"]


@pytest.mark.parametrize(
    ("base", "versions", "expected"),
    [
        ([], (["a"], ["a"], ["b"]), ["a", "a", "b"]),  # equal hits of two shards are two hits
        (["q"], (["q", "a"], ["q", "a"]), ["q", "a", "a"]),
        (["q"], (["q"], ["q"]), ["q"]),
        ({}, ({"s0": 1}, {"s1": 2}), {"s0": 1, "s1": 2}),
        ("t", ("t", "u", "v"), "u"),
        (0, (0, 0, 7), 7),
    ],
)
def test_other_fields_are_merged_as_those_of_branches(base, versions, expected):
    answers = [payload({"id": "q", "f": version}) for version in versions]
    (merged,) = docs(merge_shards(answers, payload({"id": "q", "f": base})))
    assert merged["f"] == expected


def test_copies_of_one_stored_document_are_no_additions():
    stored = {"id": "m", "score": 0.5, "words": ["a", "b"]}
    answers = [payload({**QUERY, "matches": Docs([stored])})] * 2
    (merged,) = docs(merge_shards(answers, payload(QUERY)))
    assert merged["matches"] == [stored]


def test_together_keeps_every_document():
    assert docs(together([payload({"id": "1"}), payload(), payload({"id": "1"}, {"id": "2"})])) == [
        {"id": "1"}, {"id": "1"}, {"id": "2"},
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 10_000), unique=True, max_size=20),
    st.integers(1, 5),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_split_of_ordered_matches_is_put_together_again(scores, shards, descending, rng):
    whole = [match(f"m{score}", float(score)) for score in sorted(scores, reverse=descending)]
    parts = [[] for _ in range(shards)]
    for one in whole:
        rng.choice(parts).append(one)
    merged = found(*parts)
    names = [one["id"] for one in whole]
    shown = any(len(part) > 1 for part in parts)
    assert merged == (names if shown or descending else names[::-1])


DOCUMENTS = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)), max_size=3)


@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_nothing_is_lost_and_no_answer_is_changed(parts):
    answers = [payload(*({"id": f"{n}-{m}", **doc} for m, doc in enumerate(part))) for n, part in enumerate(parts)]
    before = [answer.to_bytes() for answer in answers]
    merged = docs(merge_shards(answers, payload(QUERY)))
    assert sorted(doc["id"] for doc in merged) == sorted(doc["id"] for answer in answers for doc in docs(answer))
    assert [answer.to_bytes() for answer in answers] == before
