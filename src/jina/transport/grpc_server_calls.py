"""The calls that carry documents: unary, list, bidirectional and streaming.

How errors leave is decision 22: a handler's exception in band with a trailing `is-error`, an error of the
request itself as a gRPC status, and everything in band on the bidirectional `Call`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from jina.errors import BadRequest, ExecutorError, JinaError, Overloaded
from jina.transport.server_errors import as_jina_error
from jina.transport.server_messages import (
    DRY_RUN,
    Unusable,
    data_payload,
    parser,
    read_request,
    write_failure,
    write_header,
    write_reply,
)
from jina.transport.server_pipeline import Emit, Pipeline, window_of
from jina.transport.service import Service
from jina.wire import parameters, pb, status
from jina.wire.messages import Reply, Request
from jina.wire.payloads import ProtoPayload

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only
Sized = tuple[Any, int]
"""A message, or an `Unusable`, and its size in bytes."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_METADATA_ROOM = 4096
"""Bytes of a serialised status that fit beside other metadata under gRPC's default limit of 8 KiB."""


def headers_of(context: Context) -> dict[str, str]:
    """The call's metadata without binary values; the last of equal names wins."""
    metadata = context.invocation_metadata()
    return {name: value for name, value in metadata if isinstance(value, str)} if metadata else {}


def deadline_of(context: Context) -> float | None:
    """The call's deadline in `time.monotonic()` seconds."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


class Calls:
    """Handlers of one gRPC face over one service."""

    def __init__(self, service: Service, max_message_size: int) -> None:
        self._service = service
        self._max_message_size = max_message_size

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """By full method name."""
        limit = self._max_message_size
        one, several = sized(parser(pb.DataRequestProto, limit)), sized(parser(pb.DataRequestListProto, limit))
        return {
            "/jina.JinaSingleDataRequestRPC/process_single_data": untyped.unary_unary_rpc_method_handler(
                self.process_single_data, request_deserializer=one
            ),
            "/jina.JinaDataRequestRPC/process_data": untyped.unary_unary_rpc_method_handler(
                self.process_data, request_deserializer=several
            ),
            "/jina.JinaRPC/Call": untyped.stream_stream_rpc_method_handler(self.call, request_deserializer=one),
            "/jina.JinaSingleDocumentRequestRPC/stream_doc": untyped.unary_stream_rpc_method_handler(
                self.stream_doc,
                request_deserializer=parser(pb.SingleDocumentRequestProto, limit),
                response_serializer=pb.SingleDocumentRequestProto.SerializeToString,
            ),
        }

    async def process_single_data(self, received: Sized, context: Context) -> bytes:
        """Answer one `DataRequestProto`."""
        started = time.time()
        try:
            return await self._answer(received, headers_of(context), deadline_of(context), started)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            failed = await self._refuse(pb.DataRequestProto(), received[0], as_jina_error(error), context, started)
            return _serialised(failed)

    async def process_data(self, received: Sized, context: Context) -> bytes:
        """Answer a list of requests as one: their documents in a row, the header of the first."""
        messages, size = received
        if isinstance(messages, Unusable) or len(messages.requests) == 1:
            message = messages if isinstance(messages, Unusable) else messages.requests[0]
            return await self.process_single_data((message, size), context)
        if not messages.requests:
            await abort(context, BadRequest("the list of requests is empty"))
        merged = messages.requests[0]
        for message in messages.requests[1:]:
            merged.data.docs.MergeFrom(message.data.docs)
        return await self.process_single_data((merged, size), context)

    async def call(self, _requests: Any, context: Context) -> None:
        """Answer a stream of requests, several at a time; the client's `__prefetch__` is the window."""
        headers = headers_of(context)
        deadline = deadline_of(context)

        async def read() -> tuple[Sized, int] | None:
            incoming = await context.read()
            return None if incoming is untyped.aio.EOF else (incoming, incoming[1])

        async def work(received: Sized, emit: Emit[bytes]) -> None:
            started = time.time()
            try:
                answer = await self._answer(received, headers, deadline, started)
            except Exception as error:  # noqa: BLE001 - each failure becomes an answer
                source = None if isinstance(received[0], Unusable) else received[0]
                failed = write_failure(pb.DataRequestProto(), source, as_jina_error(error), self._service.name, started)
                answer = _serialised(failed)
            await emit(answer)

        pipeline = Pipeline(
            work,
            context.write,
            window=window_of(headers.get("__prefetch__")),
            max_bytes=4 * self._max_message_size,
            in_order=headers.get("__results_in_order__", "").lower() == "true",
        )
        await pipeline.run(read)

    async def stream_doc(self, message: Any, context: Context) -> None:
        """Answer one document with a stream of documents, a message each."""
        started = time.time()
        try:
            await self._stream(message, context)
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            failed = as_jina_error(error)
            await context.write(await self._refuse(pb.SingleDocumentRequestProto(), message, failed, context, started))

    async def _stream(self, message: Any, context: Context) -> None:
        if isinstance(message, Unusable):
            raise message.error
        documents = pb.DocListProto()
        documents.docs.append(message.document)
        request = read_request(message, ProtoPayload(documents), headers_of(context), deadline_of(context))
        replies = self._service.stream(request)
        try:
            async for reply in replies:
                for response in _single_documents(message, request, reply):
                    await context.write(response)
        finally:
            await close(replies)

    async def _answer(self, received: Sized, headers: dict[str, str], deadline: float | None, started: float) -> bytes:
        message, size = received
        if isinstance(message, Unusable):
            raise message.error
        request = read_request(message, data_payload(message, size), headers, deadline)
        if request.endpoint == DRY_RUN:
            await self._service.dry_run()
            reply = Reply(request.payload)
        else:
            reply = await self._service.call(request)
        return write_reply(message, request, reply, self._service.name, started)

    async def _refuse(self, into: Any, message: Any, error: JinaError, context: Context, started: float) -> Any:
        if not isinstance(error, ExecutorError):
            await abort(context, error)
        context.set_trailing_metadata((("is-error", "true"),))
        source = None if isinstance(message, Unusable) else message
        return write_failure(into, source, error, self._service.name, started)


def sized(parse: Callable[[bytes], Any]) -> Callable[[bytes], Sized]:
    """A deserialiser that also gives the number of bytes: to ask a message for it costs a serialisation."""
    return lambda data: (parse(data), len(data))


def _serialised(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


async def close(replies: Any) -> None:
    """End a stream of replies, so that the generator of the Executor is closed now."""
    aclose = getattr(replies, "aclose", None)
    if aclose is not None:
        await aclose()


def _single_documents(source: Any, request: Request, reply: Reply) -> list[Any]:
    documents = pb.DocListProto()
    reply.payload.write_proto(documents)
    messages = []
    for document in documents.docs:
        message = pb.SingleDocumentRequestProto()
        write_header(source, request, message)
        if reply.parameters:
            parameters.write(reply.parameters, message)
        message.document.CopyFrom(document)
        messages.append(message)
    return messages


async def abort(context: Context, error: JinaError) -> None:
    """End the call with the error's gRPC status; never returns.

    A status carries no message, so the error also travels as a serialised `StatusProto` in the trailing
    metadata `jina-status-bin`, from which our client rebuilds the class.
    """
    trailing: list[tuple[str, str | bytes]] = [("is-error", "true"), ("jina-status-bin", status_bytes(error))]
    if isinstance(error, Overloaded):
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after * 1000))))
    await context.abort(_CODES[error.grpc_code], str(error)[:_METADATA_ROOM], tuple(trailing))


def status_bytes(error: JinaError) -> bytes:
    """The error as a serialised `StatusProto`, shortened to what metadata can carry."""
    message = pb.StatusProto()
    status.write_error(error, message)
    data: bytes = message.SerializeToString()
    if len(data) <= _METADATA_ROOM:
        return data
    message.ClearField("details_json")
    message.ClearField("exception")
    message.description = message.description[: _METADATA_ROOM // 4]
    shortened: bytes = message.SerializeToString()
    return shortened
