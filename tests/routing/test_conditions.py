"""`when` on messages and on JSON, beside `find` on documents."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.codec.codec import codec_for
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.errors import BadRequest, ConfigError
from jina.routing.conditions import Condition, rejoin
from tests.routing.plans import Doc, Docs, docs, payload

DOC = {
    "id": "1",
    "text": "hello",
    "n": 3,
    "x": 0.5,
    "flag": True,
    "nothing": None,
    "tags": {"price": 7, "deep": {"er": "x"}, "list": [1, {"k": 2}]},
    "items": ["a", "b"],
}
TYPED = {
    **DOC,
    "blob": b"xyz",
    "emb": np.zeros((4, 2), "f4"),
    "sub": Doc(id="s", t="inner"),
    "chunks": Docs([Doc(id="c", t="one", tags={"k": 1})]),
}


def matches(when, doc):
    return bool(Condition(when).split(payload(doc)).places)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"n": {"$eq": 3}}, True),
        ({"n": 3}, True),
        ({"n": {"$ne": 3}}, False),
        ({"missing": {"$ne": 3}}, True),
        ({"n": {"$gt": 3}}, False),
        ({"n": {"$gte": 3, "$lt": 4}}, True),
        ({"n": {"$lte": 2}}, False),
        ({"text": {"$gt": 3}}, False),
        ({"nothing": {"$lt": 3}}, False),
        ({"n": {"$in": [1, 3]}}, True),
        ({"n": {"$nin": [1, 3]}}, False),
        ({"text": {"$regex": "^h.*o$"}}, True),
        ({"n": {"$regex": "3"}}, False),
        ({"items": {"$size": 2}}, True),
        ({"tags": {"$size": 3}}, True),
        ({"text": {"$exists": True}}, True),
        ({"nothing": {"$exists": True}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"$and": [{"n": 3}, {"x": 0.5}]}, True),
        ({"$or": [{"n": 4}, {"x": 0.5}]}, True),
        ({"$or": {"n": 4, "x": 1}}, False),
        ({"$not": {"n": 3}}, False),
        ({"n": {"$not": {"$gt": 3}}}, True),
        ({"n": 3, "text": "other"}, False),
        ({"tags__price": {"$gt": 6}}, True),
        ({"tags__deep__er": "x"}, True),
        ({"tags__list__0": 1}, True),
        ({"tags__list__1__k": 2}, True),
        ({"tags__list__-1__k": 2}, True),
        ({"tags__list__9": {"$exists": False}}, True),
        ({"tags__list__k": {"$exists": False}}, True),
        ({"text__x": {"$exists": False}}, True),
        ({"items": ["a", "b"]}, True),
        ({"items__1": "b"}, True),
        ({"flag": True}, True),
        ({"tags__price": "{n}"}, False),
        ({"n": "{n}"}, True),
        ({}, True),
    ],
)
def test_operators(when, expected):
    assert matches(when, TYPED) is expected
    assert bool(Condition(when).split(JsonPayload(json.dumps([DOC]).encode())).places) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"emb": {"$exists": True}}, True),
        ({"emb": {"$size": 4}}, True),
        ({"emb": 3}, False),
        ({"blob": b"xyz"}, True),
        ({"sub__t": "inner"}, True),
        ({"sub": {"$exists": True}}, True),
        ({"chunks": {"$size": 1}}, True),
        ({"chunks__0__t": "one"}, True),
        ({"chunks__0__tags__k": 1}, True),
        ({"chunks__0": {"$exists": True}}, True),
        ({"chunks__1__t": {"$exists": False}}, True),
    ],
)
def test_what_only_messages_have(when, expected):
    assert matches(when, TYPED) is expected


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"n": {"$gtt": 3}}, r"rank: when: n: no operator '\$gtt'; did you mean \$gte?"),
        ({"$nor": []}, "rank: when: .*\\$nor"),
        ({"n": {"$regex": "("}}, "not a regular expression"),
        (["n"], "expected a dict"),
    ],
)
def test_mistakes_show_when_the_graph_is_built(when, message):
    with pytest.raises(ConfigError, match=message):
        Condition(when, "rank")


def test_garbled_documents():
    with pytest.raises(BadRequest):
        Condition({"n": 1}).split(BytesPayload(b"\xff"))


# Values that JSON, messages and documents all hold.
VALUES = st.none() | st.integers(-2, 2) | st.sampled_from([0.5, -1.0]) | st.sampled_from(["", "a", "ab"])
PATHS = st.sampled_from(["text", "tags__a", "tags__b", "tags__b__c"])
TESTS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), VALUES),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(VALUES, max_size=3)),
    st.tuples(st.just("$regex"), st.sampled_from(["a", "^b", "^$"])),
    st.tuples(st.just("$size"), st.integers(0, 2)),
    st.tuples(st.just("$exists"), st.booleans()),
)
QUERIES = st.recursive(
    st.dictionaries(PATHS, TESTS.map(lambda test: dict([test])), min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=2)).map(lambda t: dict([t])),
        inner.map(lambda query: {"$not": query}),
    ),
    max_leaves=3,
)
TAGS = st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES | st.fixed_dictionaries({"c": VALUES})})


@settings(max_examples=50, deadline=None)
@given(QUERIES, st.lists(st.tuples(st.sampled_from(["", "a", "ab"]), TAGS), max_size=4))
def test_as_documents_are_found(query, contents):
    """Messages, JSON and schemaless documents give the same documents for the same filter."""
    from jina.documents import Document, DocumentArray

    found = DocumentArray([Document(id=str(n), text=text, tags=tags) for n, (text, tags) in enumerate(contents)])
    expected = [doc.id for doc in found.find(query)] if len(found) else []
    sent = BytesPayload(codec_for(Document).to_bytes(found))
    assert [doc["id"] for doc in docs(Condition(query).split(sent).matching)] == expected
    written = [{"id": str(n), "text": text, "tags": tags} for n, (text, tags) in enumerate(contents)]
    assert [item["id"] for item in Condition(query).split(JsonPayload(written)).matching.items()] == expected


# Rejoining


def split(*wanted, of="abcdef"):
    return Condition({"id": {"$in": list(wanted)}}).split(payload(*({"id": name} for name in of)))


def rejoined(parts, *replied):
    return "".join(doc["id"] for doc in docs(rejoin(parts, payload(*({"id": name} for name in replied)))))


@pytest.mark.parametrize(
    ("wanted", "replied", "expected"),
    [
        ("bd", "bd", "abcdef"),
        ("bd", "db", "adcbef"),  # the Executor's order, in the places of what was sent
        ("bd", "d", "acdef"),  # one dropped
        ("bd", "", "acef"),
        ("bd", "xy", "axcyef"),  # all replaced, one by one
        ("bd", "bXd", "abXcdef"),  # a new one stays behind the one before it
        ("bd", "Xbd", "aXbcdef"),
        ("bde", "ebY", "aecbYf"),
        ("bd", "x", "axcef"),
    ],
)
def test_rejoin(wanted, replied, expected):
    assert rejoined(split(*wanted), *replied) == expected


def test_rejoin_without_ids():
    parts = Condition({"n": {"$gt": 1}}).split(payload(*({"n": n} for n in (2, 0, 3))))
    assert docs(rejoin(parts, payload({"n": 20}, {"n": 30}))) == [{"n": 20}, {"n": 0}, {"n": 30}]


def test_all_match():
    whole = payload({"id": "a"})
    parts = Condition({"id": "a"}).split(whole)
    assert parts.matching is whole
    assert rejoin(parts, whole) is whole


def test_json_that_did_not_match_comes_back_beside_messages():
    parts = Condition({"n": 1}).split(JsonPayload(b'[{"id":"a","n":0},{"id":"b","n":1}]'))
    assert parts.matching.items() == [{"id": "b", "n": 1}]
    assert docs(rejoin(parts, payload({"id": "b", "n": 5.0}))) == [{"id": "a", "n": 0}, {"id": "b", "n": 5.0}]


@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.lists(st.sampled_from("abcdefXYZ"), unique=True))
def test_nothing_is_lost(wanted, replied):
    parts = split(*wanted)
    replied = [name for name in replied if name in wanted or name in "XYZ"]
    answer = rejoined(parts, *replied)
    passed = [name for name in "abcdef" if name not in wanted]
    if len(wanted) == 6:
        assert answer == "".join(replied)
        return
    assert sorted(answer) == sorted([*passed, *replied])
    assert [name for name in answer if name in passed] == passed
    assert [name for name in answer if name in replied] == replied
