"""The merge of branches, field by field, and beside DocArray's own reduce."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from docarray.utils.reduce import reduce_all
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.errors import BadClientInput, BadRequest
from jina.routing.merge import merge, with_ids
from tests.routing.plans import Doc, Docs, docs, ids, payload

UNSET = object()


def field(base, *versions):
    """What becomes of one field."""

    def one(content):
        return payload({"id": "1"} if content is UNSET else {"id": "1", "f": content})

    (merged,) = docs(merge([one(version) for version in versions], one(base)))
    return merged.get("f", UNSET)


@pytest.mark.parametrize(
    ("base", "versions", "expected"),
    [
        # set in one branch only
        (UNSET, (1, UNSET), 1),
        (UNSET, (UNSET, 1), 1),
        (None, (None, "x"), "x"),
        (None, (None, None), None),
        (UNSET, (UNSET, None), None),
        ("x", (None, "x"), "x"),
        ("x", (UNSET, "x"), "x"),
        # as in the base in some branches
        ("x", ("x", "y"), "y"),
        ("x", ("y", "x"), "y"),
        ("x", ("x", "x", "y"), "y"),
        ([1], ([1], []), []),
        ([1, 2], ([2], [1, 2]), [2]),
        (float("nan"), (float("nan"), 1.0), 1.0),
        ([float("nan"), 1], ([float("nan"), 1.0], [5.0]), [5.0]),
        # changed to equal values
        ("x", ("y", "y"), "y"),
        ([1], ([1, 2], [1, 2]), [1, 2]),
        # changed in several
        ("x", ("y", "z"), "y"),
        (1, (2, "two"), 2),
        ([1], ([1, 2], [1, 3]), [1, 2, 3]),
        ([1], ([], [1, 3]), [3]),
        ([1], ([1, 2], [1, 2, 2]), [1, 2, 2]),
        (UNSET, ([1, 2], [2, 3], [4]), [1, 2, 3, 4]),
        ({1}, ({1, 2}, {1, 3}), {1, 2, 3}),
        ((1,), ((2,), (3,)), (2,)),
        (b"x", (b"y", b"z"), b"y"),
        # an empty value that the base lacks is a default
        (UNSET, ("", "x"), "x"),
        (UNSET, (0, 0.5), 0.5),
        (UNSET, (False, True), True),
        (UNSET, ([], "x"), "x"),
        (UNSET, ("", ""), ""),
        ("x", ("", "y"), ""),
        # dicts, key by key
        ({"a": 1}, ({"a": 2}, {"a": 1, "b": 3}), {"a": 2, "b": 3}),
        ({"a": 1}, ({"a": 2}, {"a": 3}), {"a": 2}),
        ({"a": 1, "b": 1}, ({"b": 2}, {"a": 1, "b": 1}), {"b": 2}),
        ({"a": 1}, ({}, {"a": 2}), {"a": 2}),
        ({"a": {"x": 1}}, ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "z": 3}}), {"a": {"x": 1, "y": 2, "z": 3}}),
        ({}, ({"l": ["a"]}, {"l": ["b"]}), {"l": ["a", "b"]}),
        # nested documents, field by field
        (Doc(id="n", t="x"), (Doc(id="n", t="x", u=1), Doc(id="n", t="y")), Doc(id="n", t="y", u=1)),
        (UNSET, (Doc(id="n", t="x"), UNSET), Doc(id="n", t="x")),
        (UNSET, (Doc(id="n", t="x"), Doc(id="m", t="y")), Doc(id="n", t="x")),
        # nested DocLists, by id
        (
            Docs([Doc(id="1", t="a"), Doc(id="2", t="b")]),
            (
                Docs([Doc(id="1", t="A"), Doc(id="2", t="b")]),
                Docs([Doc(id="2", t="B"), Doc(id="1", t="a"), Doc(id="3")]),
            ),
            Docs([Doc(id="1", t="A"), Doc(id="2", t="B"), Doc(id="3")]),
        ),
        (Docs([Doc(id="1", t="a")]), (Docs(), Docs([Doc(id="1", t="a"), Doc(id="2")])), Docs([Doc(id="2")])),
        (Docs([Doc(id="1", t="a")]), (Docs(), Docs([Doc(id="1", t="b")])), Docs([Doc(id="1", t="b")])),
        (Docs(), (Docs([Doc(t="x")]), Docs([Doc(t="y")])), Docs([Doc(t="x"), Doc(t="y")])),
    ],
)
def test_fields(base, versions, expected):
    assert field(base, *versions) == expected


def test_nan_is_not_doubled():
    nan = float("nan")
    assert str(field([nan], [nan, 1.0], [nan, 2.0])) == "[nan, 1.0, 2.0]"


def test_tensors():
    old, new = np.zeros(3, "f4"), np.ones(3, "f4")
    assert field(old, old, new) == [1, 1, 1]
    assert field(UNSET, new, old) == [1, 1, 1]
    assert field(np.full(2, np.nan), np.full(2, np.nan), np.ones(2)) == [1, 1]


def test_documents():
    base = payload({"id": "1"}, {"id": "2"}, {"id": "3"})
    left = payload({"id": "3"}, {"id": "1", "l": 1})
    right = payload({"id": "4"}, {"id": "1", "r": 1}, {"id": "2"}, {"text": "no id"})
    assert docs(merge([left, right], base)) == [
        {"id": "3"},
        {"id": "1", "l": 1, "r": 1},
        {"id": "4"},
        {"id": "2"},
        {"text": "no id"},
    ]


def test_documents_without_id_are_never_merged():
    one = payload({"text": "x"})
    assert docs(merge([one, one], one)) == [{"text": "x"}, {"text": "x"}]


def test_documents_with_the_same_id_in_one_branch_stay_apart():
    base = payload({"id": "1", "n": 1}, {"id": "1", "n": 2})
    right = payload({"id": "1", "n": 1, "r": 1}, {"id": "1", "n": 2, "r": 2})
    assert docs(merge([base, right], base)) == [{"id": "1", "n": 1, "r": 1}, {"id": "1", "n": 2, "r": 2}]


def test_payloads_are_left_as_they_were():
    branches = [payload({"id": "1", "l": [1]}), payload({"id": "1", "l": [2]}), payload({"id": "1"})]
    before = [docs(branch) for branch in branches]
    merge(branches[:2], branches[2])
    assert [docs(ProtoPayload(branch.parsed().message)) for branch in branches] == before


def test_bytes_are_parsed_once(monkeypatch):
    parsed = []

    class Counting(BytesPayload):
        __slots__ = ()

        def parsed(self):
            if self._parsed is None:
                parsed.append(self)
            return super().parsed()

    one, two, base = (Counting(payload({"id": "1"}).data) for _ in range(3))
    merge([one, two], with_ids(base, ids()))
    merge([one, two], base)
    assert len(parsed) == 3


def test_garbled():
    with pytest.raises(BadRequest):
        merge([BytesPayload(b"\xff"), payload()], payload())


# A base of JSON, whose branches come back as a class reads it.

JSON_BASE = b"""{
    "id": "1", "n": 5, "emb": [0.1, 2], "tags": {"k": 1}, "sub": {"t": "a"}, "chunks": [{"t": "a"}, {"t": "b"}],
    "blob": "text", "s": [1, 2]
}"""


def version(**changes):
    """What a typed class makes of the base: floats, tensors, documents with ids of their own, defaults."""
    fields = {
        "id": "1",
        "n": 5.0,
        "emb": np.asarray([0.1, 2], "f4"),
        "tags": {"k": 1.0},
        "sub": Doc(id=changes.pop("mark") + "sub", t="a", extra=None),
        "chunks": Docs([Doc(id="x", t="a"), Doc(id="y", t="b")]),
        "blob": b"text",
        "s": {1, 2},
        "lang": "",
    }
    for number, chunk in enumerate(fields["chunks"]):
        chunk["id"] = f"{fields['sub']['id']}{number}"
    return {**fields, **changes}


@pytest.mark.parametrize(
    ("name", "changed", "expected"),
    [
        ("n", 6.5, 6.5),
        ("emb", np.ones(2, "f4"), [1, 1]),
        ("tags", {"k": 2.0}, {"k": 2.0}),
        ("tags", {"k": 1.0, "l": 3.0}, {"k": 1.0, "l": 3.0}),
        ("tags", {}, {}),
        ("sub", Doc(id="rightsub", t="changed", extra=None), Doc(id="leftsub", t="changed", extra=None)),
        (
            "chunks",
            Docs([Doc(id="r0", t="a", e=1), Doc(id="r1", t="c")]),
            Docs([Doc(id="leftsub0", t="a", e=1), Doc(id="leftsub1", t="c")]),
        ),
        (
            "chunks",
            Docs([Doc(id="r0", t="a"), Doc(id="r1", t="b"), Doc(id="r2", t="c")]),
            Docs([Doc(id="r0", t="a"), Doc(id="r1", t="b"), Doc(id="r2", t="c")]),
        ),
        ("blob", b"other", b"other"),
        ("s", {1, 2, 3}, {1, 2, 3}),
        ("lang", "de", "de"),
    ],
)
def test_a_base_of_json_is_recognised(name, changed, expected):
    left, right = payload(version(mark="left")), payload(version(mark="right", **{name: changed}))
    (merged,) = docs(merge([left, right], JsonPayload(JSON_BASE)))
    assert merged.pop(name) == expected
    (unchanged,) = docs(left)
    unchanged.pop(name)
    assert merged == unchanged


def test_a_json_branch_merges_with_what_came_back():
    """A branch without Executors: the request itself."""
    base = JsonPayload(JSON_BASE)
    (merged,) = docs(merge([base, payload(version(mark="r", n=7.0))], base))
    assert merged["n"] == 7.0
    assert merged["sub"] == {"t": "a"}


def test_json_numbers_beyond_the_wire():
    with pytest.raises(BadClientInput, match="n: integer 9007199254740993 is beyond 53 bits"):
        merge([payload(), payload()], JsonPayload(b'[{"n":9007199254740993}]'))


# Ids


def test_with_ids():
    given_ids = payload({"id": "1"})
    assert with_ids(given_ids, ids()) is given_ids
    assert docs(with_ids(payload({"id": "1"}, {"t": 1}, {"id": ""}), ids())) == [
        {"id": "1"},
        {"id": "new0", "t": 1},
        {"id": "new1"},
    ]
    message = pb.DocListProto()
    message.docs.add()
    assert docs(with_ids(ProtoPayload(message), ids())) == [{"id": "new0"}]
    assert not message.docs[0].data, "what was given is not changed"


@pytest.mark.parametrize("wrong", [[], [1], {}, {"a": 1}, 1, True])
def test_ids_that_are_no_text_are_left_for_the_worker(wrong):
    given = JsonPayload([{"id": wrong}])
    assert with_ids(given, ids()) is given


def test_with_ids_in_json():
    given_ids = JsonPayload(b'[{"id":"1"},{"id":5}]')
    assert with_ids(given_ids, ids()) is given_ids
    assert with_ids(JsonPayload(b'[{"t":[1,2],"id":null},{"id":"x"}]'), ids()).to_json() == (
        b'[{"t":[1,2],"id":"new0"},{"id":"x"}]'
    )
    single = with_ids(JsonPayload(b'{"t":1}', location=("body",)), ids())
    assert (single.items(), single.single, single.location) == ([{"t": 1, "id": "new0"}], True, ("body",))
    assert with_ids(JsonPayload([7]), ids()).items() == [7]


# DocArray's own reduce, where the rules agree: each branch sets other fields, adds other items.


class Inner(BaseDoc):
    a: str | None = None
    b: str | None = None


class Outer(BaseDoc):
    a: str | None = None
    b: float | None = None
    tensor: NdArray | None = None
    items: list[str] = []
    names: set[str] = set()
    tags: dict[str, int] = {}
    inner: Inner = Inner()
    chunks: DocList[Inner] = DocList[Inner]()


def payload_of(documents):
    return BytesPayload(codec_for(Outer).to_bytes(documents))


@st.composite
def families(draw):
    """A base and what two to three branches made of it."""
    count = draw(st.integers(0, 4))
    base = DocList[Outer](
        [
            Outer(id=f"d{i}", inner=Inner(id=f"i{i}"), chunks=DocList[Inner]([Inner(id=f"c{i}")]), items=[])
            for i in range(count)
        ]
    )
    branches = [copy.deepcopy(base) for _ in range(draw(st.integers(2, 3)))]
    for doc_number in range(count):
        for field_name in draw(
            st.lists(st.sampled_from(["a", "b", "tensor", "inner.a", "inner.b", "chunk.a"]), unique=True)
        ):
            which = draw(st.integers(0, len(branches) - 1))
            doc = branches[which][doc_number]
            value = f"{which}"
            if field_name == "tensor":
                doc.tensor = np.full(3, which)
            elif field_name == "b":
                doc.b = which + 0.5
            elif field_name.startswith("inner"):
                setattr(doc.inner, field_name[-1], value)
            elif field_name.startswith("chunk"):
                doc.chunks[0].a = value
            else:
                doc.a = value
    for which, branch in enumerate(branches):
        for doc in branch:
            doc.items.extend(f"{which}{n}" for n in range(draw(st.integers(0, 2))))
            doc.names.update(f"{which}{n}" for n in range(draw(st.integers(0, 2))))
            doc.tags.update({f"{which}{n}": n for n in range(draw(st.integers(0, 2)))})
            if draw(st.booleans()):
                doc.chunks.append(Inner(id=f"new{which}{doc.id}"))
        if draw(st.booleans()):
            branch.append(Outer(id=f"new{which}", inner=Inner(id="new")))
    return base, branches


def comparable(doc):
    return {**doc.dict(), "tensor": None if doc.tensor is None else doc.tensor.tolist()}


@settings(max_examples=30, deadline=None)
@given(families())
def test_as_docarray_reduces(family):
    base, branches = family
    merged = merge([payload_of(branch) for branch in branches], payload_of(base)).decode(codec_for(Outer))
    expected = reduce_all([copy.deepcopy(branch) for branch in branches])
    assert [doc.id for doc in merged] == [doc.id for doc in expected]
    for ours, theirs in zip(merged, expected, strict=True):
        assert comparable(ours) == comparable(theirs)


@settings(max_examples=20, deadline=None)
@given(families())
def test_a_branch_that_did_nothing_changes_nothing(family):
    base, (branch, *_) = family
    received, changed = payload_of(base), payload_of(branch)
    for order in ([received, changed], [changed, received]):
        assert {doc["id"]: doc for doc in docs(merge(order, received))} == {doc["id"]: doc for doc in docs(changed)}


def test_linear_time():
    """Twenty times the documents take about twenty times the steps, not four hundred times."""

    def steps(count):
        base = payload(*({"id": str(n)} for n in range(count)))
        branches = [payload(*({"id": str(n), name: n} for n in range(count))) for name in "ab"]
        calls = 0

        def count_calls(*_):
            nonlocal calls
            calls += 1

        previous = sys.getprofile()
        sys.setprofile(count_calls)
        try:
            merged = merge(branches, base)
        finally:
            sys.setprofile(previous)
        assert len(merged) == count
        return calls

    assert steps(2000) < 25 * steps(100)


def test_no_document_class_is_loaded():
    code = (
        "import sys, jina.routing.graph, jina.routing.walk, jina.routing.balance\n"
        "from jina.routing.merge import merge, with_ids\n"
        "from jina.codec.payloads import JsonPayload\n"
        "base = with_ids(JsonPayload(b'[{\"t\": 1, \"e\": [1, 2]}]'), lambda: 'x')\n"
        "assert merge([base, base], base).to_json()\n"
        "assert not {'docarray', 'grpc', 'pydantic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
