"""Serialised messages taken apart and put together without parsing the documents in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jina.codec import pb
from jina.codec.payloads import BytesPayload
from jina.errors import BadRequest

if TYPE_CHECKING:
    from jina.codec.messages import Payload

_DATA = 4
_DOCS_FIELD = 1


FEW = 0x80
"""Numbers below it travel as one byte."""
LENGTHS = [bytes((length,)) for length in range(FEW)]
"""Those."""


def varint(number: int) -> bytes:
    """A number as it travels."""
    if number < FEW:
        return LENGTHS[number]
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field_head(number: int, length: int) -> bytes:
    """Tag and length of a field that has a length; `number` is below 16."""
    return LENGTHS[number << 3 | 2] + (LENGTHS[length] if length < FEW else varint(length))


def with_documents(message: pb.DataRequestProto | pb.EnvelopeProto, payload: Payload) -> bytes:
    """The serialised message, which has no documents yet, with those of a payload, copied once if they are bytes."""
    rest = message.SerializeToString()
    documents = payload.data if isinstance(payload, BytesPayload) else payload.to_bytes()
    if not documents:
        return rest
    head = field_head(_DOCS_FIELD, len(documents))
    return b"".join((rest, field_head(_DATA, len(head) + len(documents)), head, documents))


_LEAST_DOCUMENT = 2
"""Bytes of an empty document in a list: its tag, and a length of 0."""
_DOCS, _DOCS_BYTES = 1, 2
_MOST_BITS = 63
"""A varint has at most ten bytes of seven bits each; without the limit each further byte costs more than the last."""
_BY_HAND = 16 * 1024
"""Messages of more bytes are stepped through; below, to parse them with one copy more takes less time."""


def split_request(data: bytes) -> tuple[pb.EnvelopeProto, bytes | memoryview]:
    """A serialised `jina.DataRequestProto` as header, parameters and routes, and its `docarray.DocListProto`.

    The message has no `data`; large documents are a view of the bytes given. Raises `DecodeError` or `BadRequest` for
    other bytes.
    """
    if len(data) <= _BY_HAND:
        envelope = pb.EnvelopeProto.FromString(data)
        content = envelope.data
        if not content:
            return envelope, b""
        envelope.ClearField("data")
        return envelope, documents_of(content)
    rest, contents = take_field(data, _DATA)
    if not contents:
        return pb.EnvelopeProto.FromString(rest), b""
    return pb.EnvelopeProto.FromString(rest), documents_of(contents[0] if len(contents) == 1 else b"".join(contents))


def split_document(data: bytes) -> tuple[pb.SingleDocumentEnvelopeProto, bytes]:
    """A serialised `jina.SingleDocumentRequestProto` likewise: its document as a `docarray.DocListProto` of one.

    Raises `DecodeError` or `BadRequest` for other bytes.
    """
    rest, contents = take_field(data, _DATA)
    head = field_head(_DOCS, sum(map(len, contents)))
    return pb.SingleDocumentEnvelopeProto.FromString(rest), b"".join((head, *contents))


def documents_of(content: bytes | memoryview) -> bytes | memoryview:
    """The `docarray.DocListProto` in a serialised `DataRequestProto.DataContentProto`; raises `BadRequest`."""
    if len(content) and content[0] in {0x0A, 0x12}:
        length, start = _varint(content, 1)
        if start + length == len(content):
            return content[start:]
    documents: list[Any] = []
    last = 0
    for number, part in fields_in(content):
        if number == _DOCS_BYTES or (number == _DOCS and last == _DOCS_BYTES):
            documents = []  # one of the two: the later counts
        if number in {_DOCS, _DOCS_BYTES}:
            documents.append(part)
            last = number
    return b"".join(documents)


def more_documents_than(limit: int, documents: bytes | memoryview) -> bool:
    """Whether a serialised `docarray.DocListProto` has more than `limit` documents; looks no further than needed."""
    if len(documents) <= limit * _LEAST_DOCUMENT:
        return False
    numbers = (number for number, _ in fields_in(documents) if number == 1)
    return next(itertools.islice(numbers, limit, None), None) is not None


def documents_in(documents: bytes) -> list[bytes]:
    """Each `docarray.DocProto` of a serialised `docarray.DocListProto`, serialised; raises `DecodeError`."""
    if documents[:1] == b"\n":
        length, start = _varint(documents, 1)
        if start + length == len(documents):
            return [documents[start:]]
    return list(pb.DocListEnvelopeProto.FromString(documents).docs)


def take_field(data: bytes | memoryview, number: int) -> tuple[bytes, list[memoryview]]:
    """A message without the field of that number, and what the field held, each time that it stands there.

    Raises `BadRequest` for bytes that are no message.
    """
    view = memoryview(data)
    rest: list[memoryview] = []
    found: list[memoryview] = []
    kept = position = 0
    while position < len(data):
        start = position
        tag, position = _varint(view, position)
        begin, position = _end_of(view, tag & 7, position)
        if tag == number << 3 | 2:
            rest.append(view[kept:start])
            found.append(view[begin:position])
            kept = position
    rest.append(view[kept:])
    return b"".join(rest), found


def fields_in(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and serialised value of each field of a message, in order; raises `BadRequest` for other bytes."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        tag, position = _varint(view, position)
        begin, position = _end_of(view, tag & 7, position)
        yield tag >> 3, view[begin:position]


def _end_of(view: memoryview, kind: int, position: int) -> tuple[int, int]:
    """Where the value of a field begins and ends."""
    begin = position
    if kind == 2:
        length, begin = _varint(view, position)
        position = begin + length
    elif kind == 0:
        _, position = _varint(view, position)
    elif kind in {1, 5}:
        position += 8 if kind == 1 else 4
    else:
        raise _garbled()
    if position > len(view):
        raise _garbled()
    return begin, position


def _varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while (byte := data[position]) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            position += 1
            if shift > _MOST_BITS:
                raise _garbled()
    except IndexError:
        raise _garbled() from None
    return value | byte << shift, position + 1


def _garbled() -> BadRequest:
    return BadRequest("the bytes are truncated, or not a protobuf message")
