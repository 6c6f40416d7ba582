import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jina.documents import FIELDS, Document, DocumentArray, NamedScore, array_class_of, is_schemaless, make_document
from jina.documents.document import blank_values
from tests.documents.legacy import LegacyDocument


class Product(Document):
    """A typed document of the kind that users write."""

    text: str
    price: float = 1.0


class Inner(BaseDoc):
    text: str = "i"


class Question(BaseDoc):
    question: str = "q"
    count: int = 1
    inner: Inner = Inner()


def test_fields_are_those_of_the_legacy_document_in_order():
    assert tuple(Document.model_fields) == tuple(LegacyDocument.model_fields) == FIELDS
    for name in set(FIELDS) - {"chunks", "matches", "tags", "scores"}:
        assert Document.model_fields[name].annotation == LegacyDocument.model_fields[name].annotation, name


@pytest.mark.parametrize(
    ("made", "field", "value"),
    [
        (lambda: Document("hello"), "text", "hello"),
        (lambda: Document(b"raw"), "blob", b"raw"),
        (lambda: Document(content="hello"), "text", "hello"),
        (lambda: Document(content=b"raw"), "blob", b"raw"),
        (lambda: Document(blob=bytearray(b"raw")), "blob", b"raw"),
        (lambda: Document({"text": "hello"}), "text", "hello"),
        (lambda: Document(Inner(text="hello")), "text", "hello"),
        (lambda: Document(Document(text="x"), text="hello"), "text", "hello"),
        (lambda: Document(uri="a.png"), "url", "a.png"),
        (lambda: Document(url="a.png"), "uri", "a.png"),
        (lambda: Document.model_validate({"uri": "a.png"}), "url", "a.png"),
        (lambda: Document(text="a", foo=1, bar="b"), "tags", {"foo": 1, "bar": "b"}),
        (lambda: Document({"foo": 1}, tags={"b": 2}), "tags", {"b": 2, "foo": 1}),
        (lambda: Document(tags=None), "tags", {}),
        (lambda: Document(mime_type="text/plain"), "mime_type", "text/plain"),
    ],
)
def test_constructors(made, field, value):
    assert getattr(made(), field) == value


def test_old_fields_are_no_tags_and_travel():
    doc = Document(mime_type="text/plain", weight=0.5, parent_id="p")
    assert doc.tags == {}
    again = Document.from_bytes(doc.to_bytes())
    assert (again.mime_type, again.weight, again.parent_id) == ("text/plain", 0.5, "p")
    assert (again.granularity, again.location, again.modality) == (0, [], "")


def test_content_array_goes_to_tensor_without_a_copy():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    doc = Document(content=array)
    assert isinstance(doc.tensor, NdArray)
    assert np.shares_memory(doc.tensor, array)
    assert doc.content_type == "tensor"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": 3}, "text"),
        ({"blob": 3}, "blob"),
        ({"url": 3}, "url"),
        ({"embedding": 3}, "array or a list of numbers"),
        ({"embedding": [[1], [1, 2]]}, "equal length"),
        ({"tensor": ["a"]}, "expected numbers"),
        ({"tags": 3}, "dict"),
        ({"chunks": "text"}, "documents"),
        ({"chunks": [3]}, "DocumentArray holds documents, not int"),
    ],
)
def test_wrong_values_are_refused_by_name(fields, said):
    with pytest.raises((ValidationError, TypeError), match=said):
        Document(**fields)
    doc = Document()
    with pytest.raises((ValidationError, TypeError)):
        setattr(doc, *next(iter(fields.items())))


def test_unset_fields_read_as_empty_but_are_not_set():
    doc = Document(id="1")
    assert (doc.text, doc.blob, doc.uri, doc.tensor) == ("", b"", "", None)
    assert doc.model_dump()["text"] is None
    assert doc.non_empty_fields == ("id",)


def test_chunks_matches_and_scores_can_be_filled_at_once():
    doc = Document()
    doc.chunks.append(Document(text="c"))
    doc.matches.extend([Document(text="m")])
    doc.scores["cosine"].value = 0.5
    assert doc.chunks.texts == ["c"]
    assert doc.matches[0].text == "m"
    assert doc.scores["cosine"] == {"value": 0.5}
    again = Document.from_bytes(doc.to_bytes())
    assert again == doc
    assert isinstance(again.chunks, DocumentArray)
    assert again.scores["cosine"].value == 0.5


def test_scores():
    score = NamedScore(0.5, op_name="cos")
    assert (score.value, score.op_name, score.ref_id) == (0.5, "cos", None)
    with pytest.raises(AttributeError, match="no part 'vaule'"):
        score.vaule = 1
    assert Document(scores={"a": 0.5}).scores["a"] == 0.5


def test_unknown_attributes():
    doc = Document(text="x", price=3)
    with pytest.raises(AttributeError, match=r"in tags: doc.tags\['price'\]"):
        _ = doc.price
    with pytest.raises(AttributeError, match="did you mean 'text'"):
        _ = doc.txet
    with pytest.raises(AttributeError, match="is a method"):
        doc.match = 3
    doc.answer = 42
    assert Document.from_bytes(doc.to_bytes()).answer == 42
    del doc.answer
    assert not hasattr(doc, "answer")


def test_content_setter_clears_the_others():
    doc = Document(text="x")
    doc.content = b"y"
    assert (doc.text, doc.blob, doc.content_type) == ("", b"y", "blob")
    doc.content = None
    assert doc.content is None


def test_unknown_fields_from_the_wire_are_kept_and_travel_on():
    question = Question()
    doc = Document.from_protobuf(question.to_protobuf())
    assert (doc.question, doc.count, doc.tags) == ("q", 1, {})
    assert doc.inner.text == "i"
    doc.text = "added"
    back = Question.from_protobuf(doc.to_protobuf())
    assert back.question == question.question
    assert back.inner.text == "i"


def test_wire_of_jina_3_is_the_same_both_ways():
    legacy = LegacyDocument(
        id="1",
        text="x",
        blob=b"\xff",
        url="u",
        tensor=np.eye(2, dtype=np.float32),
        embedding=np.ones(3),
        tags={"a": 1, "b": {"c": [1, 2.5, "d", None, True]}},
        scores={"cos": {"value": 0.5}},
        chunks=DocList[LegacyDocument]([LegacyDocument(id="2", text="c")]),
        matches=DocList[LegacyDocument]([LegacyDocument(id="3")]),
    )
    sent = legacy.to_protobuf()
    doc = Document.from_protobuf(sent)
    assert doc.to_protobuf() == sent
    assert doc.chunks[0].text == "c"
    assert doc.embedding.dtype == np.float64
    assert Document(legacy).to_protobuf() == sent


def test_typed_documents_have_only_their_own_fields():
    assert list(Product.model_fields) == ["id", "text", "price"]
    assert not hasattr(Product(text="a"), "embedding")
    assert Product.__mro__[1] is BaseDoc
    with pytest.raises(ValidationError):
        Product(price=1)
    assert Product(text="a", id="1").to_protobuf().data.keys() == {"id", "text", "price"}


def test_typed_documents_are_documents():
    class Shoe(Product):
        size: int

    assert isinstance(Product(text="a"), Document)
    assert issubclass(Shoe, Document)
    assert list(Shoe.model_fields) == ["id", "text", "price", "size"]
    assert not isinstance(Question(), Document)
    assert not isinstance("text", Document)
    assert is_schemaless(Document)
    assert not is_schemaless(Product)
    assert array_class_of(Document) is DocumentArray
    assert array_class_of(Product) is DocList[Product]


def test_typed_documents_may_inherit_from_several():
    class Mixin(BaseDoc):
        size: int = 1

    class Both(Document, Mixin):
        price: float = 1

    assert set(Both.model_fields) == {"id", "size", "price"}
    assert isinstance(Both(), Mixin)


def test_documents_as_fields_of_typed_ones():
    class Page(BaseDoc):
        parts: DocumentArray
        cover: Document
        more: DocList[Document]

    page = Page(parts=[{"text": "a", "foo": 1}], cover={"text": "b"}, more=DocumentArray([Document("c")]))
    assert page.parts.texts == ["a"]
    assert page.cover.text == "b"
    dumped = json.loads(page.model_dump_json())
    assert (dumped["parts"][0]["tags"], dumped["cover"]["text"]) == ({"foo": 1}, "b")
    assert Page.model_json_schema()["properties"]["parts"]["type"] == "array"


def test_make_document_is_what_the_constructor_makes():
    values = blank_values("1")
    values["text"] = "x"
    fast = make_document(values, {"extra": 1})
    slow = Document.model_validate({"id": "1", "text": "x", "extra": 1})
    assert fast == slow
    assert fast.to_protobuf() == slow.to_protobuf()
    fast.text = "y"
    fast.other = 2
    assert (fast.text, fast.other, fast.extra) == ("y", 2, 1)
    scored = blank_values("1")
    scored["scores"] = {"cos": {"value": 0.5}}
    assert make_document(scored).scores["cos"].value == 0.5


def test_copies():
    doc = Document(text="x", tags={"a": [1]}, chunks=[Document("c")])
    shallow, deep = Document(doc), Document(doc, copy=True)
    assert shallow == deep == doc
    assert shallow.tags is doc.tags
    assert deep.tags["a"] is not doc.tags["a"]
    assert pickle.loads(pickle.dumps(doc)) == doc == copy.deepcopy(doc)
    assert {doc: 1}[shallow] == 1


def test_equality_is_by_id_and_fields():
    assert Document(id="1", text="a") == Document(id="1", text="a", blob=b"")
    assert Document(id="1", text="a") != Document(id="2", text="a")
    assert Document(id="1", embedding=[1, 2]) == Document(id="1", embedding=np.array([1, 2]))
    assert Document(id="1", embedding=[1, 2]) != Document(id="1", embedding=[1, 2, 3])
    assert Document(id="1", tags={"a": np.ones(2)}) == Document(id="1", tags={"a": np.ones(2)})
    assert Document(id="1") != "1"


def test_content_hash_ignores_the_id_and_is_stable():
    one, other = Document(text="a", embedding=[1.0]), Document(text="a", embedding=[1.0])
    assert one.content_hash == other.content_hash
    other.text = "b"
    assert one.content_hash != other.content_hash
    code = "from jina.documents import Document; print(Document(text='a', embedding=[1.0]).content_hash)"
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout == (
        f"{one.content_hash}\n"
    )


def test_clear_pop_copy_from():
    doc = Document(id="1", text="x", tags={"a": 1}, weight=2)
    doc.pop("text", "weight")
    assert (doc.text, doc.weight) == ("", 0.0)
    doc.clear()
    assert doc.non_empty_fields == ("id",)
    doc.copy_from(Document(id="2", text="y"))
    assert (doc.id, doc.text) == ("2", "y")
    with pytest.raises(AttributeError):
        doc.pop("nope")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
documents = st.builds(
    Document,
    text=st.none() | st.text(max_size=8),
    blob=st.none() | st.binary(max_size=8),
    tags=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    embedding=st.none() | st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=4),
)
nested = st.builds(
    lambda doc, chunks: Document(doc, chunks=chunks), documents, st.lists(documents, max_size=2).map(DocumentArray)
)


@settings(max_examples=60, deadline=None)
@given(nested)
def test_every_form_reads_back_as_the_same_document(doc):
    assert Document.from_json(doc.to_json()) == doc
    assert Document.from_dict(doc.to_dict()) == doc
    assert Document.from_bytes(doc.to_bytes()) == doc
    assert Document.from_base64(doc.to_base64(compress="zlib"), compress="zlib") == doc
    assert pickle.loads(pickle.dumps(doc)) == doc


def test_json_keeps_what_python_can():
    doc = Document(tags={"big": 2**80, "nan": float("nan")}, embedding=[float("inf"), 1.0])
    again = Document.from_json(doc.to_json())
    assert again.tags["big"] == 2**80
    assert np.isnan(again.tags["nan"])
    assert again.embedding[0] == float("inf")
    with pytest.raises(ValueError, match="blob is not base64"):
        Document.from_json('{"blob": "???"}')
    with pytest.raises(TypeError, match="object has no JSON form"):
        Document(tags={"a": object()}).to_json()


def test_integers_that_the_wire_cannot_hold_are_named():
    with pytest.raises(ValueError, match=r"^tags: .*1099511627776; .* give it as a float or a str"):
        Document(tags={"a": {"b": [2**40]}}).to_bytes()
    assert Document.from_bytes(Document(tags={"a": float(2**40)}).to_bytes()).tags == {"a": 2**40}


def test_model_dump_json_is_the_form_of_http():
    doc = Document(blob=b"abc", chunks=[Document(blob=b"\xff")], embedding=np.ones(2, dtype=np.float32))
    dumped = json.loads(doc.model_dump_json())
    assert dumped["blob"] == "abc"
    assert dumped["chunks"][0]["blob"] == "/w=="
    assert dumped["embedding"] == [1.0, 1.0]
    assert doc.model_dump()["chunks"][0]["blob"] == b"\xff"


def test_schema_describes_the_ten_fields_and_allows_more():
    schema = Document.model_json_schema()
    assert list(schema["properties"]) == list(FIELDS)
    assert schema["additionalProperties"] is True


def test_plain_summary_and_summary(capsys):
    doc = Document(text="t" * 300, chunks=[Document("c")], embedding=np.ones(3))
    doc.summary()
    assert "chunks" in capsys.readouterr().out
    text = doc.plain_summary()
    assert "shape (3,)" in text
    assert "text: c" in text
    assert max(map(len, text.splitlines())) < 120


def test_importing_the_room_and_the_query_language_loads_no_docarray():
    code = (
        "import sys, jina.documents, jina.documents.query; print({'docarray', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
