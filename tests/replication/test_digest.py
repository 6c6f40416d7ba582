"""A request that comes again is known again, whichever process wrote it."""

import json

from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.replication.log_entries import digest_of


def field(name, text):
    """A document of one field, as bytes; fields one after the other are those of one document."""
    return pb.DocProto(data={name: pb.NodeProto(text=text)}).SerializeToString()


def document(*fields):
    body = b"".join(fields)
    assert len(body) < 128
    return bytes((0x0A, len(body))) + body


ONE = document(field("text", "hello"), field("id", "1"))
OTHER = document(field("id", "1"), field("text", "hello"))


def test_the_order_of_fields_on_the_wire_does_not_matter():
    assert ONE != OTHER
    payloads = [BytesPayload(ONE), BytesPayload(OTHER), ProtoPayload(pb.DocListProto.FromString(OTHER))]
    assert len({digest_of(Request("/add", payload)) for payload in payloads}) == 1


def test_the_order_of_parameters_does_not_matter():
    ways = [{"a": 1, "b": {"c": 2, "d": [3]}}, {"b": {"d": (3,), "c": 2}, "a": 1}]
    assert len({digest_of(Request("/add", BytesPayload(ONE), parameters)) for parameters in ways}) == 1


def test_other_documents_parameters_and_endpoints_are_told_apart():
    requests = [
        Request("/add", BytesPayload(ONE)),
        Request("/put", BytesPayload(ONE)),
        Request("/add", BytesPayload(document(field("text", "hello")))),
        Request("/add", JsonPayload(json.dumps([{"text": "hello"}]).encode())),
        Request("/add", BytesPayload(ONE), {"name": "a"}),
        Request("/add", BytesPayload(ONE), {"name": "b"}),
        Request("/add", BytesPayload(ONE), branches=[("a", BytesPayload(ONE))]),
    ]
    assert len({digest_of(request) for request in requests}) == len(requests)
