"""Payloads as messages: parsed once, whatever they came in."""

from __future__ import annotations

from collections.abc import Mapping

from jina.wire import pb
from jina.wire.messages import Payload
from jina.wire.payloads import BytesPayload, ProtoPayload


def proto_of(payload: Payload) -> pb.DocListProto:
    """The documents as a message, which belongs to the payload: not to be changed.

    Raises `BadRequest` where they are garbled.
    """
    if isinstance(payload, BytesPayload):
        return payload.parsed().message
    if isinstance(payload, ProtoPayload):
        return payload.message
    message = pb.DocListProto()
    payload.write_proto(message)
    return message


def id_of(fields: Mapping[str, pb.NodeProto]) -> str | None:
    """The id among the fields of a document; None where it has none."""
    if "id" not in fields:
        return None
    node = fields["id"]
    if node.WhichOneof("content") == "integer":
        return str(node.integer)
    return node.text or None
