"""Messages put together from bytes are those that protobuf writes."""

from jina.codec import pb
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import field_head, with_documents


def test_heads_hold_lengths_of_every_size():
    for size in (0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**21, 2**28, 2**31 - 1):
        head = field_head(3, size)
        assert head[0] == 3 << 3 | 2
        assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:])) == size
    assert pb.DocListEnvelopeProto(docs=[b""]).SerializeToString() == field_head(1, 0)


def test_documents_are_read_where_they_were_spliced_in():
    message = pb.DataRequestProto()
    message.header.request_id = "abc"
    message.parameters_json = b"{}"
    for count in (0, 1, 100):
        documents = pb.DocListProto()
        for number in range(count):
            documents.docs.add().data["text"].text = "x" * number
        read = pb.DataRequestProto.FromString(with_documents(message, BytesPayload(documents.SerializeToString())))
        assert read.data.docs == documents
        read.ClearField("data")
        assert read == message
