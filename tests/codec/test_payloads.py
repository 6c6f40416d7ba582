"""Each payload gives the same documents in each form."""

import pytest
from docarray import DocList
from tests.codec.compare import same
from tests.codec.documents import Embedded, Nested, Scalars, Text, floats, samples

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.json_text import loads
from jina.codec.payloads import BytesPayload, DocsPayload, JsonPayload, ProtoPayload
from jina.errors import BadRequest, ValidationFailed

DOCS = DocList[Nested](
    [
        Nested(id="1", one=Text(id="t", text="a"), maybe=Embedded(id="e", embedding=floats(2, 2))),
        Nested(id="2", one=Text(id="u", text="é"), several=DocList[Text]([Text(id="v", text="")])),
    ]
)
CODEC = codec_for(Nested)


def payloads():
    message = pb.DocListProto.FromString(CODEC.to_bytes(DOCS))
    text = CODEC.encode_json(DOCS)
    return {
        "proto": ProtoPayload(message),
        "bytes": BytesPayload(message.SerializeToString()),
        "docs": DocsPayload(DOCS, CODEC),
        "json": JsonPayload(text),
        "parsed": JsonPayload(loads(text)),
    }


@pytest.mark.parametrize("name", payloads())
def test_every_form(name):
    payload = payloads()[name]
    exact = name not in {"json", "parsed"}  # JSON has no float32
    assert len(payload) == 2
    decoded = payload.decode(CODEC)
    assert isinstance(decoded, DocList)
    assert [doc.id for doc in decoded] == ["1", "2"]
    assert same(list(decoded), list(DOCS)) or not exact
    for data in (payload.to_bytes(), _written(payload)):
        again = BytesPayload(data).decode(CODEC)
        assert same(list(again), list(DOCS)) or not exact
        assert again[0].maybe.embedding.tolist() == DOCS[0].maybe.embedding.tolist()
    shown = loads(payload.to_json())
    assert [loads(item) for item in payload.json_items()] == shown
    assert [{**item} for item in shown] == loads(CODEC.encode_json(DOCS))
    assert next(iter(shown[0])) == "id"
    assert len(payload) == 2


def _written(payload) -> bytes:
    message = pb.DocListProto()
    payload.write_proto(message)
    return message.SerializeToString()


def test_write_proto_appends():
    for payload in payloads().values():
        message = pb.DocListProto()
        message.docs.add()
        payload.write_proto(message)
        assert len(message.docs) == 3


def test_bytes_are_counted_without_parsing_and_forwarded_as_they_are():
    data = CODEC.to_bytes(DOCS)
    payload = BytesPayload(data)
    assert len(payload) == 2
    assert payload._parsed is None
    assert payload.to_bytes() is data


@pytest.mark.parametrize("use", [len, BytesPayload.to_json, BytesPayload.json_items, BytesPayload.parsed, _written])
def test_garbled_bytes(use):
    with pytest.raises(BadRequest, match="the documents are not a"):
        use(BytesPayload(b"\xff\xff\xff"))


def test_json_of_one_document():
    payload = JsonPayload(b' {"text": 1}')
    assert len(payload) == 1
    with pytest.raises(ValidationFailed) as caught:
        payload.decode(codec_for(Text))
    assert caught.value.errors[0]["loc"] == ["body", "data", "text"]
    assert JsonPayload(b'{"id":"a"}').to_json() == b'[{"id":"a"}]'


def test_json_is_forwarded_as_it_came():
    raw = b' [ {"id" : "a", "n": 12345678901234567890123} ] '
    assert JsonPayload(raw).to_json() == raw


@pytest.mark.parametrize("raw", [b'"x"', b"3", b"null"])
def test_json_that_is_no_documents(raw):
    with pytest.raises(BadRequest, match="neither a JSON array nor an object"):
        JsonPayload(raw).items()


def test_json_to_bytes_without_a_class_is_read_by_the_class():
    for name, doc in samples().items():
        if type(doc) not in {Scalars, Embedded, Text}:
            continue
        codec = codec_for(type(doc))
        data = JsonPayload(codec.encode_json([doc])).to_bytes()
        got = BytesPayload(data).decode(codec)[0]
        assert same(got, doc), name


def test_docs_of_another_class_are_converted():
    payload = DocsPayload(DocList[Scalars]([Scalars(id="s", text="a")]), codec_for(Scalars))
    assert same(payload.decode(codec_for(Text))[0], Text(id="s", text="a"))
    assert payload.decode(codec_for(Scalars)) is payload.docs
