import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jina.documents import Document, DocumentArray
from jina.documents.query import Query, QueryError
from jina.documents.search import NearestRows, cosine, euclidean, sqeuclidean
from jina.errors import ConfigError


def embedded(*rows: list[float]) -> DocumentArray:
    return DocumentArray(Document(id=str(n), embedding=row, tags={"n": n}) for n, row in enumerate(rows))


matrices = st.integers(1, 4).flatmap(
    lambda dim: st.tuples(
        *(
            arrays(np.float64, st.tuples(st.integers(1, 6), st.just(dim)), elements=st.floats(-100, 100, width=32))
            for _ in range(2)
        )
    )
)


@settings(max_examples=50, deadline=None)
@given(matrices)
def test_metrics_are_what_they_say(pair):
    left, right = pair
    differences = left[:, None, :] - right[None, :, :]
    assert np.allclose(sqeuclidean(left, right), (differences**2).sum(axis=2), atol=1e-6)
    assert np.allclose(euclidean(left, right), np.sqrt((differences**2).sum(axis=2)), atol=1e-3)
    assert ((cosine(left, right) >= 0) & (cosine(left, right) <= 2)).all()


def test_cosine():
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    assert cosine(rows[:1], rows).tolist() == [[0.0, 1.0, 2.0, 1.0]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(1, 7), st.none() | st.integers(1, 25))
def test_nearest_rows_do_not_depend_on_blocks(distances, block, limit):
    nearest = NearestRows(1, limit)
    for start in range(0, len(distances), block):
        nearest.add(np.array([distances[start : start + block]], dtype=float), start)
    expected = sorted(range(len(distances)), key=lambda place: (distances[place], place))[:limit]
    assert nearest.positions[0].tolist() == expected
    assert (nearest.low[0], nearest.high[0]) == (min(distances), max(distances))


def test_match_copies_and_leaves_the_originals_alone():
    docs, index = embedded([1, 0]), embedded([1, 0], [0, 1])
    docs.match(index, limit=1)
    match = docs[0].matches[0]
    assert (match.id, match.scores["cosine"].value) == ("0", 0.0)
    match.text = "changed"
    assert index[0].text == ""
    assert index[0].__dict__["scores"] is None


def test_match_then_travel():
    docs = embedded([1, 0])
    docs.match(embedded([1, 1], [0, 1]), metric="euclidean")
    again = DocumentArray.from_bytes(docs.to_bytes())
    assert [m.scores["euclidean"].value for m in again[0].matches] == [1.0, pytest.approx(2**0.5)]


def test_embeddings_of_several_dimensions():
    docs = DocumentArray([Document(id="a", embedding=np.eye(2)), Document(id="b", embedding=np.ones((2, 2)))])
    assert docs.find(np.eye(2), metric="euclidean", limit=1).ids == ["a"]
    assert [found.ids for found in docs.find(np.stack([np.ones((2, 2))]), limit=1)] == [["b"]]


def test_find_among_those_that_pass_a_filter():
    docs = embedded([1, 0], [1, 0.1], [0, 1])
    assert docs.find([1, 0], filter={"tags__n": {"$gt": 0}}).ids == ["1", "2"]
    assert docs.find([1, 0], filter={"tags__n": {"$gt": 9}}).ids == []
    assert len(docs.find({"tags__n": {"$gte": 0}})) == 3


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda docs: docs.find([1, 0, 0]), ValueError, "embeddings of 3 values"),
        (lambda docs: docs.find([1, 0], metric="cosin"), ConfigError, "did you mean 'cosine'"),
        (lambda docs: docs.find([1, 0], limit=-1), ValueError, "limit: -1"),
        (lambda docs: docs.find([1, 0], limits=1), TypeError, "did you mean 'limit'"),
        (lambda docs: docs.find([1, 0], on="@c"), ValueError, "index over chunks"),
        (lambda docs: docs.find([1, 0], metric=lambda a, b: a[:, :1]), ValueError, "the metric gave shape"),
        (lambda docs: docs.find("words"), ValueError, "no text search"),
        (lambda docs: docs.find(), ValueError, "a query"),
        (lambda docs: docs.find({}, filter={}), ValueError, "once"),
        (lambda docs: docs.find({"txt": "a"}), AttributeError, "did you mean 'text'"),
        (lambda docs: docs.find({"price": 1}), AttributeError, "'tags__price'"),
        (lambda docs: docs.match(DocumentArray([Document(id="q")])), ValueError, r"document 0 \(q\) has no embedding"),
        (lambda docs: docs.match(docs, batch_size=0), ValueError, "batch_size"),
    ],
)
def test_mistakes_are_named(call, error, said):
    with pytest.raises(error, match=said):
        call(embedded([1, 0], [0, 1]))


def passes(query, **fields) -> bool:
    return Query(query).matches(fields.get)


@pytest.mark.parametrize(
    ("query", "passing", "failing"),
    [
        ({"a": {"$eq": 1}}, 1, 2),
        ({"a": 1}, 1, 2),
        ({"a": {"$ne": 1}}, None, 1),
        ({"a": {"$neq": 1}}, 2, 1),
        ({"a": {"$gt": 1}}, 2, 1),
        ({"a": {"$gte": 1}}, 1, None),
        ({"a": {"$lt": 1}}, 0, "0"),
        ({"a": {"$lte": 1}}, 1, 2),
        ({"a": {"$in": [1, "x"]}}, "x", 2),
        ({"a": {"$nin": [1]}}, 2, 1),
        ({"a": {"$regex": "^x"}}, "xy", "yx"),
        ({"a": {"$regex": "x"}}, "ax", 3),
        ({"a": {"$size": 2}}, [1, 2], [1]),
        ({"a": {"$size": 0}}, [], 3),
        ({"a": {"$exists": True}}, 0, None),
        ({"a": {"$exists": True}}, [1], ""),
        ({"a": {"$exists": False}}, None, 1),
        ({"a": {"$gt": 1, "$lt": 3}}, 2, 3),
        ({"a": {"$not": {"$gt": 1}}}, 1, 2),
        ({"$not": {"a": {"$gt": 1}}}, 1, 2),
        ({"$or": [{"a": 1}, {"a": 2}]}, 2, 3),
        ({"$or": {"a": 1, "b": 2}}, 1, 3),
        ({"$and": [{"a": {"$gt": 0}}, {"a": {"$lt": 2}}]}, 1, 2),
        ({"a": {"$eq": "{b}"}}, "other", 2),
        ({"a": {"x": 1}}, {"x": 1}, {"x": 2}),
        ({}, 1, ...),
    ],
)
def test_operators(query, passing, failing):
    assert passes(query, a=passing, b="other")
    if failing is not ...:
        assert not passes(query, a=failing, b="other")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([], "expected a dict"),
        ({"a": {"$gtt": 1}}, r"a: no operator '\$gtt'; did you mean \$gt"),
        ({"$nor": {}}, r"\$nor is not allowed"),
        ({"$or": 3}, r"\$or: expected a dict or a list"),
        ({"$and": [3]}, "expected a dict"),
        ({"a": {"$regex": "("}}, "not a regular expression"),
    ],
)
def test_queries_outside_the_language(query, said):
    with pytest.raises(QueryError, match=said):
        Query(query)


def test_names_are_the_first_parts_of_paths():
    assert Query({"tags__a": 1, "$or": [{"b": "{c__d}"}]}).names == {"tags", "b", "c"}


def test_arrays_are_no_comparison():
    assert not passes({"a": {"$eq": 1}}, a=np.ones(3))
    assert passes({"a": {"$exists": True}}, a=np.zeros(0))
