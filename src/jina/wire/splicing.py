"""Serialised messages put together from serialised parts.

A protobuf message is its fields one after the other, so documents that are serialised already need neither be parsed
nor copied into a message to be sent (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.wire.payloads import BytesPayload

if TYPE_CHECKING:
    from jina.wire import pb
    from jina.wire.messages import Payload

_DATA = 4
_DOCS = 1


def field_head(number: int, length: int) -> bytes:
    """Tag and length of a field that has a length; `number` is below 16."""
    head = bytearray((number << 3 | 2,))
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)


def with_documents(message: pb.DataRequestProto | pb.EnvelopeProto, payload: Payload) -> bytes:
    """The serialised message, which has no documents yet, with those of a payload, copied once if they are bytes."""
    rest = message.SerializeToString()
    documents = payload.data if isinstance(payload, BytesPayload) else payload.to_bytes()
    if not documents:
        return rest
    head = field_head(_DOCS, len(documents))
    return b"".join((rest, field_head(_DATA, len(head) + len(documents)), head, documents))
