"""Messages taken apart without parsing their documents, and lists of numbers written at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.codec import pb, plain_json
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.raw_fields import documents_in, documents_of, field_head, split_document, split_request, take_field
from jina.errors import BadRequest


def documents(*texts):
    message = pb.DocListProto()
    for text in texts:
        message.docs.add().data["text"].text = text
    return message


texts = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["x" * 200, "y" * 20_000])), max_size=4)


@settings(max_examples=50, deadline=None)
@given(batch=texts, request_id=st.text(max_size=8), routes=st.integers(0, 2), as_bytes=st.booleans())
def test_a_request_is_split_as_it_would_be_parsed(batch, request_id, routes, as_bytes):
    message = pb.DataRequestProto()
    message.header.request_id = request_id
    message.parameters.update({"k": 1.5})
    message.parameters_json = b'{"k":1.5}'
    for number in range(routes):
        message.routes.add().executor = f"e{number}"
    if as_bytes:
        message.data.docs_bytes = documents(*batch).SerializeToString()
    else:
        message.data.docs.CopyFrom(documents(*batch))
    envelope, content = split_request(message.SerializeToString())
    assert pb.DocListProto.FromString(bytes(content)) == documents(*batch)
    assert not envelope.data
    message.ClearField("data")
    assert envelope.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("filler", [0, 20_000])
def test_documents_in_several_parts_are_merged_as_protobuf_does(filler):
    parts = [documents("a", "b" * filler), documents("c")]
    data = b"".join(
        pb.DataRequestProto(data=pb.DataRequestProto.DataContentProto(docs=part)).SerializeToString() for part in parts
    )
    parsed = pb.DataRequestProto.FromString(data).data.docs
    if filler:  # small messages are parsed as envelopes, of which the last `data` counts
        assert pb.DocListProto.FromString(bytes(split_request(data)[1])) == parsed
    content = b"".join(field_head(1, part.ByteSize()) + part.SerializeToString() for part in parts)
    assert pb.DocListProto.FromString(bytes(documents_of(content))) == parsed


def test_of_two_forms_the_later_counts():
    first, second = documents("a").SerializeToString(), documents("b").SerializeToString()
    docs, as_bytes = field_head(1, len(first)) + first, field_head(2, len(second)) + second
    assert documents_of(docs + as_bytes) == second
    assert documents_of(as_bytes + docs) == first
    assert documents_of(b"") == b""


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_single_document_becomes_a_list(size):
    message = pb.SingleDocumentRequestProto()
    message.header.exec_endpoint = "/x"
    message.document.data["text"].text = "t" * size
    envelope, content = split_document(message.SerializeToString())
    assert envelope.header.exec_endpoint == "/x"
    [document] = pb.DocListProto.FromString(bytes(content)).docs
    assert document == message.document


@given(batch=texts)
@settings(max_examples=30, deadline=None)
def test_documents_of_a_list_apart(batch):
    parts = documents_in(documents(*batch).SerializeToString())
    assert [pb.DocProto.FromString(part).data["text"].text for part in parts] == batch


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\x0b", b"\x80", b"\x09\x00", b"\x0d\x00", b"\xff" * 12])
def test_garbled_bytes(data):
    with pytest.raises(BadRequest):
        take_field(data, 4)


def test_a_field_is_found_among_all_wire_types():
    data = b"\x08\x96\x01" + b"\x11" + b"8" * 8 + b"\x22\x01z" + b"\x1d" + b"4" * 4 + b"\x22\x00" + b"\x2a\x02hi"
    rest, found = take_field(data, 4)
    assert rest == data.replace(b"\x22\x01z", b"").replace(b"\x22\x00", b"")
    assert [bytes(part) for part in found] == [b"z", b""]


numbers = st.lists(st.one_of(st.floats(), st.integers(-(2**31), 2**31 - 1)), max_size=40)


@settings(max_examples=50, deadline=None)
@given(values=st.one_of(numbers, st.lists(st.floats(allow_nan=False), min_size=16, max_size=40)))
def test_lists_of_numbers_keep_their_values(values):
    message = pb.DocListProto()
    plain_json.json_to_docs([{"v": values, "nested": {"v": [values]}}], message)
    nodes = message.docs[0].data["v"].list.data
    kinds = {"float": float, "integer": int}
    assert [kinds[node.WhichOneof("content")] for node in nodes] == [type(value) for value in values]
    assert repr([getattr(node, node.WhichOneof("content")) for node in nodes]) == repr(values)


@pytest.mark.parametrize(
    ("raw", "count", "items"),
    [
        (b'[{"a": 1},{"b":[2]}]', 2, [b'{"a": 1}', b'{"b":[2]}']),
        (b' {"a":\n 1}', 1, [b'{"a":1}']),
        (b"[]", 0, []),
        (b'[{"a":NaN}]', 1, [b'{"a":null}']),
    ],
)
def test_raw_json_is_cut_and_not_parsed(raw, count, items):
    payload = JsonPayload(raw)
    assert len(payload) == count
    assert payload.json_items() == items
    assert payload.to_json() in {raw, b"[" + raw + b"]"}
    assert BytesPayload(payload.to_bytes()).to_json()
