"""Messages as they come in, read in the form that a service wants.

A worker gets parsed documents. A service that forwards gets them as the bytes that they came in: its messages are
parsed without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jina.errors import BadRequest, JinaError
from jina.transport.server_messages import too_large, too_many_parameters
from jina.wire import parameters, pb
from jina.wire.messages import Payload
from jina.wire.payloads import BytesPayload, ProtoPayload
from jina.wire.slicing import split_document, split_request, take_field

Message = Any
"""A `DataRequestProto`, a `SingleDocumentRequestProto` or an envelope: what has header, parameters and routes."""
Incoming = tuple[Message, Payload, int]
"""A message or an `Unusable`, its documents, and its size in bytes."""
Joined = list[tuple[Message, Payload]]
_LARGE = 256 * 1024
"""Bytes from which messages are split rather than parsed for workers too."""
Read = Callable[[bytes], tuple[Message, Payload]]


class Unusable:
    """Stands for bytes that are too large or no message; the handler answers with `error`."""

    __slots__ = ("error",)

    def __init__(self, error: JinaError) -> None:
        self.error = error


class Intake:
    """How the faces of one service read messages of at most `limit` bytes and `parameters` values in parameters."""

    def __init__(self, limit: int, parameters: int, *, forwards: bool) -> None:
        self._limit = limit
        self._parameters = parameters
        self._forwards = forwards
        self._read = _split_request if forwards else _parse_request
        self._read_document = _split_document if forwards else _parse_document

    def request(self, data: bytes) -> Incoming:
        """A `DataRequestProto`; never raises, for gRPC answers a failing deserialiser as a fault of ours."""
        return self._guarded(data, self._read, "jina.DataRequestProto")

    def document(self, data: bytes) -> Incoming:
        """A `SingleDocumentRequestProto`; never raises."""
        return self._guarded(data, self._read_document, "jina.SingleDocumentRequestProto")

    def requests(self, data: bytes) -> Incoming:
        """A `DataRequestListProto` as a list of messages with their documents; never raises."""
        return self._guarded(data, self._read_list, "jina.DataRequestListProto")

    def join(self, payloads: Sequence[Payload]) -> Payload:
        """All documents in a row."""
        if self._forwards:
            return BytesPayload(b"".join(payload.to_bytes() for payload in payloads))
        documents = pb.DocListProto()
        for payload in payloads:
            payload.write_proto(documents)
        return ProtoPayload(documents)

    def _read_list(self, data: bytes) -> tuple[Joined, Payload]:
        if self._forwards:
            _, found = take_field(data, 1)
            joined = [_split_request(bytes(part)) for part in found]
        else:
            joined = [(one, _payload(one, None)) for one in pb.DataRequestListProto.FromString(data).requests]
        return joined, _NO_DOCUMENTS

    def _guarded(self, data: bytes, read: Callable[[bytes], tuple[Any, Payload]], kind: str) -> Incoming:
        size = len(data)
        if size > self._limit:
            return Unusable(too_large(size, self._limit)), _NO_DOCUMENTS, size
        try:
            message, payload = read(data)
        except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
            return Unusable(BadRequest(f"the request is no {kind} message: {error}")), _NO_DOCUMENTS, size
        parts = [part for part, _ in message] if isinstance(message, list) else [message]
        if any(parameters.more_than(self._parameters, part) for part in parts):
            return Unusable(too_many_parameters(self._parameters)), _NO_DOCUMENTS, size
        return message, payload, size


_NO_DOCUMENTS = BytesPayload(b"")


def _parse_request(data: bytes) -> tuple[Message, Payload]:
    if len(data) >= _LARGE:
        return _split_request(data)  # parsed, the documents would be there twice
    message = pb.DataRequestProto.FromString(data)
    return message, _payload(message, len(data))


def _payload(message: Any, size: int | None) -> Payload:
    content = message.data
    if content.WhichOneof("documents") == "docs_bytes":
        return ProtoPayload(pb.DocListProto.FromString(content.docs_bytes), size)
    return ProtoPayload(content.docs, size)


def _parse_document(data: bytes) -> tuple[Message, Payload]:
    message = pb.SingleDocumentRequestProto.FromString(data)
    documents = pb.DocListProto()
    documents.docs.append(message.document)
    return message, ProtoPayload(documents)


def _split_request(data: bytes) -> tuple[Message, Payload]:
    envelope, documents = split_request(data)
    return envelope, BytesPayload(documents)


def _split_document(data: bytes) -> tuple[Message, Payload]:
    envelope, documents = split_document(data)
    return envelope, BytesPayload(documents)
