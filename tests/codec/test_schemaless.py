"""`jina.Document` on the wire: Jina 3's legacy document, with unknown fields kept."""

import docarray.proto
import numpy as np
import pytest
from docarray import DocList
from docarray.documents.legacy import LegacyDocument
from docarray.typing import NdArray
from docarray.typing.tensor.embedding import NdArrayEmbedding
from tests.codec.compare import same
from tests.codec.documents import Embedded, Nested, Text, floats

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.json_text import loads
from jina.documents.array import DocumentArray
from jina.documents.document import Document
from jina.errors import ValidationFailed

CODEC = codec_for(Document)


def legacy() -> LegacyDocument:
    return LegacyDocument(
        id="a", text="hello", blob=b"\xff", url="http://a", tensor=floats(2, 2), embedding=floats(3),
        tags={"n": 1, "deep": {"l": [1.5, None]}},
        chunks=DocList[LegacyDocument]([LegacyDocument(id="c", text="chunk", chunks=[LegacyDocument(id="d")])]),
        matches=DocList[LegacyDocument]([LegacyDocument(id="m")]), scores={"cosine": {"value": 0.5}},
    )  # fmt: skip


def message_of(doc) -> pb.DocProto:
    return pb.DocProto.FromString(doc.to_protobuf().SerializeToString())


def test_reads_what_a_jina_3_peer_sends():
    got = CODEC.decode_doc(message_of(legacy()))
    assert type(got) is Document
    assert (got.id, got.text, got.blob, got.url) == ("a", "hello", b"\xff", "http://a")
    assert got.tags == {"n": 1, "deep": {"l": [1.5, None]}}
    assert same(got.tensor, floats(2, 2).view(NdArray))
    assert same(got.embedding, floats(3).view(NdArrayEmbedding))
    assert type(got.chunks) is DocumentArray
    assert type(got.chunks[0]) is Document
    assert got.chunks[0].chunks[0].id == "d"
    assert got.matches[0].id == "m"
    assert got.scores["cosine"].value == 0.5


def test_writes_what_a_jina_3_peer_reads():
    doc = legacy()
    message = pb.DocProto()
    CODEC.encode_doc(CODEC.decode_doc(message_of(doc)), message)
    theirs = docarray.proto.DocProto.FromString(message.SerializeToString())
    assert theirs == doc.to_protobuf()
    assert LegacyDocument.from_protobuf(theirs).chunks[0].text == "chunk"


def test_lists_are_document_arrays():
    docs = DocumentArray([Document(text="a"), Document(text="b")])
    got = CODEC.decode(pb.DocListProto.FromString(CODEC.to_bytes(docs)))
    assert type(got) is DocumentArray
    assert got.texts == ["a", "b"]
    assert got[docs[1].id].text == "b"


def test_unknown_fields_stay_and_travel_on():
    typed = Nested(id="n", one=Text(id="t", text="a"), maybe=Embedded(id="e", embedding=floats(2)))
    message = message_of(typed)
    got = CODEC.decode_doc(message)
    assert type(got.one) is Document
    assert got.one.text == "a"
    assert np.array_equal(got.maybe.embedding, floats(2))
    again = pb.DocProto()
    CODEC.encode_doc(got, again)
    back = codec_for(Nested).decode_doc(again)
    assert (back.one.text, back.maybe.embedding.tolist()) == ("a", [0.0, 0.5])
    shown = loads(CODEC.encode_json_doc(got))
    assert shown["one"]["text"] == "a"
    assert shown["several"] == []


def test_json_keeps_unknown_fields_too():
    given = {"text": "a", "uri": "u", "mine": {"a": [1, None]}, "embedding": [1.0, 2.0], "blob": "data:;base64,/w=="}
    got = CODEC.decode_json([{**given, "chunks": [{"id": "c", "text": "x", "tags": {"k": 1}}]}])[0]
    assert len(got.id) == 32
    assert (got.text, got.url, got.mine, got.blob) == ("a", "u", {"a": [1, None]}, b"\xff")
    assert type(got.embedding) is NdArrayEmbedding
    assert (got.chunks[0].id, got.chunks[0].tags) == ("c", {"k": 1})
    shown = loads(CODEC.encode_json([got]))[0]
    assert shown["mine"] == {"a": [1, None]}
    assert shown["embedding"] == [1.0, 2.0]
    assert shown["blob"] == "data:;base64,/w=="
    assert list(shown)[:10] == list(Document.model_fields)


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"text": 1}, ["text"]),
        ({"tags": 3}, ["tags"]),
        ({"embedding": "x"}, ["embedding"]),
        ({"chunks": 3}, ["chunks"]),
    ],
)
def test_known_fields_are_checked(item, place):
    with pytest.raises(ValidationFailed) as caught:
        CODEC.decode_json([item], ("body", "data"))
    assert caught.value.errors[0]["loc"] == ["body", "data", 0, *place]


def test_wrong_kinds_on_the_wire_are_checked():
    message = pb.DocProto()
    message.data["text"].integer = 3
    with pytest.raises(ValidationFailed, match="text"):
        CODEC.decode_doc(message)


def test_none_where_a_list_or_dict_is_expected():
    message = pb.DocProto()
    for name in ("chunks", "tags", "scores", "text"):
        message.data[name].SetInParent()
    got = CODEC.decode_doc(message)
    assert (list(got.chunks), got.tags, got.text) == ([], {}, "")


def test_subclasses_are_typed_documents():
    class Mine(Document):
        title: str

    got = codec_for(Mine).decode_json([{"title": "a", "stranger": 1}])[0]
    assert got.title == "a"
    assert not hasattr(got, "stranger")


@pytest.mark.parametrize("field", ["vector", "tensor"])
def test_a_tensor_that_is_none_is_the_clients_fault(field):
    message = pb.DocListProto()
    node = message.docs.add().data[field]
    node.ndarray.dense.buffer, node.ndarray.dense.dtype = b"12345678", "<b8"
    node.ndarray.dense.shape.append(1)
    with pytest.raises(ValidationFailed, match=f"{field}.*'<b8' is not a dtype"):
        CODEC.decode(message)
