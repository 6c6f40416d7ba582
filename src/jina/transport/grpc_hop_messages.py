"""Requests as serialised messages around documents that are serialised already, and replies likewise."""

from __future__ import annotations

from collections.abc import Sequence

from jina.errors import BadServer
from jina.observe.traces import HEADERS as TRACING
from jina.wire import parameters, pb, standing, status
from jina.wire.messages import Payload, Reply, Request
from jina.wire.payloads import BytesPayload
from jina.wire.slicing import split_document, split_request
from jina.wire.splicing import field_head, with_documents

_REQUESTS = 1
_DOCUMENT = 4
_PASSED_ON = (*TRACING, *standing.PASSED_ON)

Metadata = tuple[tuple[str, str], ...]


def metadata_of(request: Request, own: Metadata) -> Metadata:
    """What Jina 3's gateways tell a worker, the user's own, and what identifies a trace or a session."""
    endpoint = (("endpoint", request.endpoint),) if request.endpoint.isascii() else ()
    headers = request.headers
    return (*endpoint, *own, *((name, headers[name]) for name in _PASSED_ON if name in headers))


def request_bytes(request: Request) -> bytes:
    """A serialised `DataRequestProto`."""
    return with_documents(_envelope(request), request.payload)


def list_bytes(request: Request, branches: Sequence[tuple[str, Payload]]) -> bytes:
    """A serialised `DataRequestListProto`: a request for each branch, which has the branch's name as its last route."""
    parts = []
    for name, payload in branches:
        envelope = _envelope(request)
        envelope.routes.add().executor = name
        message = with_documents(envelope, payload)
        parts += [field_head(_REQUESTS, len(message)), message]
    return b"".join(parts)


def document_head(request: Request) -> bytes:
    """The start of a serialised `SingleDocumentRequestProto`, for `document_bytes`."""
    return _envelope(request).SerializeToString()


def document_bytes(head: bytes, document: bytes) -> bytes:
    """A serialised `SingleDocumentRequestProto` with a serialised `DocProto`."""
    return b"".join((head, field_head(_DOCUMENT, len(document)), document))


def read_reply(data: bytes) -> Reply:
    """The reply in a serialised `DataRequestProto`; raises the error that it holds."""
    try:
        envelope, documents = split_request(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is no DataRequestProto message: {error}") from None
    return _reply(envelope, documents)


def read_document(data: bytes) -> Reply:
    """The reply in a serialised `SingleDocumentRequestProto`; raises the error that it holds."""
    try:
        envelope, documents = split_document(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is no SingleDocumentRequestProto message: {error}") from None
    return _reply(envelope, documents)


def _reply(envelope: pb.EnvelopeProto | pb.SingleDocumentEnvelopeProto, documents: bytes | memoryview) -> Reply:
    if envelope.header.status.code and (error := status.read_error(envelope.header.status)) is not None:
        raise error
    told = envelope.header.trace
    headers = {name: told[name] for name in standing.TOLD if name in told} if told else None
    return Reply(BytesPayload(documents), parameters.read(envelope), headers=headers)


def _envelope(request: Request) -> pb.EnvelopeProto:
    envelope = pb.EnvelopeProto()
    header = envelope.header
    header.request_id = request.request_id
    header.exec_endpoint = request.endpoint
    if request.target_executor:
        header.target_executor = request.target_executor
    if request.parameters:
        parameters.write(request.parameters, envelope)
    return envelope
