"""The calls that carry documents: unary, list, bidirectional and streaming.

How errors leave is decision 22: a handler's exception in band with a trailing `is-error`, an error of the
request itself as a gRPC status, and everything in band on the bidirectional `Call`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import grpc

from jina.errors import BadRequest, ExecutorError, JinaError, Overloaded
from jina.transport.grpc_channel_rules import COMPRESSION_KEY, PUSHBACK_KEY
from jina.transport.limits import Limits
from jina.transport.server_access import Access, Caller
from jina.transport.server_errors import FAILURES, as_jina_error
from jina.transport.server_intake import Incoming, Intake, Unusable
from jina.transport.server_messages import (
    DRY_RUN,
    DocumentWriter,
    read_request,
    write_failure,
    write_reply,
)
from jina.transport.server_pipeline import Emit, Pipeline, window_of
from jina.transport.service import Service
from jina.transport.unread import Unread
from jina.wire import pb, status
from jina.wire.messages import Payload, Reply, Route

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only

Branches = list[tuple[str, Payload]] | None

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
_SMALL = 4096
"""Bytes of an answer that is not counted while it waits for its client; `grpc.max_concurrent_streams` bounds those."""
_METADATA_ROOM = 4096
"""Bytes of a serialised status that fit beside other metadata under gRPC's default limit of 8 KiB, in base64."""
_TEXT_ROOM = 1000
"""Bytes of one text in a shortened status."""
_MESSAGE_ROOM = 1800
"""Bytes of the message of a gRPC status, as it is sent: in percent encoding."""


def headers_of(context: Context) -> dict[str, str]:
    """The call's metadata without binary values; the last of equal names wins."""
    return dict(text_of(context.invocation_metadata()))


def text_of(metadata: Any) -> list[tuple[str, str]]:
    """Metadata without binary values."""
    return [(name, value) for name, value in metadata or () if isinstance(value, str)]


def address_of(context: Context) -> str:
    """The address of the client without its port: `ipv4:127.0.0.1`."""
    return str(context.peer()).rpartition(":")[0]


async def compress(context: Context, asked: str) -> None:
    """Compress the replies of a call as its client asks; a word that is not known here counts for nothing."""
    if asked in _COMPRESSIONS:
        context.set_compression(_COMPRESSIONS[asked])
        await context.send_initial_metadata(())  # with those that grpc.aio sends itself, the above has no effect


def deadline_of(context: Context) -> float | None:
    """The call's deadline in `time.monotonic()` seconds."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


class Calls:
    """Handlers of one gRPC face over one service."""

    def __init__(self, service: Service, limits: Limits, window: int, access: Access | None, unread: Unread) -> None:
        self._service = service
        self._unread = unread
        self._max_message_size = limits.message_size
        self._window = window
        self._access = access
        self._intake = Intake(limits.message_size, limits.parameters, forwards=service.forwards)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """By full method name."""
        intake = self._intake
        return {
            "/jina.JinaSingleDataRequestRPC/process_single_data": untyped.unary_unary_rpc_method_handler(
                self.process_single_data, request_deserializer=intake.request
            ),
            "/jina.JinaDataRequestRPC/process_data": untyped.unary_unary_rpc_method_handler(
                self.process_data, request_deserializer=intake.requests
            ),
            "/jina.JinaRPC/Call": untyped.stream_stream_rpc_method_handler(
                self.call, request_deserializer=intake.request
            ),
            "/jina.JinaSingleDocumentRequestRPC/stream_doc": untyped.unary_stream_rpc_method_handler(
                self.stream_doc, request_deserializer=intake.document
            ),
        }

    async def process_single_data(self, received: Incoming, context: Context) -> bytes:
        """Answer one `DataRequestProto`."""
        return await self._answer_or_refuse(received, context, None)

    async def process_data(self, received: Incoming, context: Context) -> bytes:
        """Answer a list of requests as one: their documents in a row, the header of the first.

        Jina 3 sends one where branches meet and are not merged; each is known by the Executor it visited last.
        """
        joined, _, size = received
        if isinstance(joined, Unusable):
            return await self._answer_or_refuse(received, context, None)
        if not joined:
            await abort(context, BadRequest("the list of requests is empty"))
        message, payload = joined[0]
        branches = None
        if len(joined) > 1:
            branches = [(_last_executor(one), documents) for one, documents in joined]
            payload = self._intake.join([documents for _, documents in joined])
        return await self._answer_or_refuse((message, payload, size), context, branches)

    async def call(self, _requests: Any, context: Context) -> None:
        """Answer a stream of requests, several at a time; the client's `__prefetch__` is the window."""
        headers = headers_of(context)
        if asked := headers.get(COMPRESSION_KEY):
            await compress(context, asked)
        deadline, caller = deadline_of(context), self._caller(headers, context)

        async def read() -> tuple[Incoming, int] | None:
            incoming = await context.read()
            return None if incoming is untyped.aio.EOF else (incoming, incoming[2])

        async def work(received: Incoming, emit: Emit[bytes]) -> None:
            started = time.time()
            try:
                answer = await self._answer(received, headers, deadline, started, None, caller)
            except FAILURES as error:  # each becomes an answer
                source = None if isinstance(received[0], Unusable) else received[0]
                failed = write_failure(pb.DataRequestProto(), source, as_jina_error(error), self._service.name, started)
                answer = _serialised(failed)
            await emit(answer)

        pipeline = Pipeline(
            work,
            context.write,
            window=window_of(headers.get("__prefetch__"), self._window),
            max_bytes=self._unread.bounds.each,
            in_order=headers.get("__results_in_order__", "").lower() == "true",
            waiting=self._unread.peer(context.peer()),
        )
        await pipeline.run(read)

    async def stream_doc(self, received: Incoming, context: Context) -> None:
        """Answer one document with a stream of documents, a message each."""
        started = time.time()
        try:
            await self._stream(received, context)
        except FAILURES as error:  # each becomes an answer
            failed = as_jina_error(error)
            refused = await self._refuse(pb.SingleDocumentRequestProto(), received[0], failed, context, started)
            await context.write(_serialised(refused))

    async def _stream(self, received: Incoming, context: Context) -> None:
        message, payload, _ = received
        headers = headers_of(context)
        caller = self._caller(headers, context)
        if caller is not None:
            caller.take()
        if isinstance(message, Unusable):
            raise message.error
        if asked := headers.get(COMPRESSION_KEY):
            await compress(context, asked)
        request = read_request(message, payload, headers, deadline_of(context))
        if caller is not None:
            caller.check(request.endpoint)
        writer = DocumentWriter(message, request)
        replies = self._service.stream(request)
        waiting = self._unread.peer(context.peer())
        try:
            async for reply in replies:
                for response in writer.messages(reply):
                    waiting.add(len(response))
                    try:
                        await context.write(response)
                    finally:
                        waiting.take(len(response))
        finally:
            await close(replies)

    async def _answer_or_refuse(self, received: Incoming, context: Context, branches: Branches) -> bytes:
        started = time.time()
        try:
            headers = headers_of(context)
            if asked := headers.get(COMPRESSION_KEY):
                await compress(context, asked)
            caller = self._caller(headers, context)
            if self._unread.peers:
                await self._unread.room(context.peer())
            answer = await self._answer(received, headers, deadline_of(context), started, branches, caller)
            if len(answer) > _SMALL:
                self._until_sent(len(answer), context)
            return answer
        except FAILURES as error:  # each becomes an answer
            failed = await self._refuse(pb.DataRequestProto(), received[0], as_jina_error(error), context, started)
            return _serialised(failed)

    def _until_sent(self, size: int, context: Context) -> None:
        """Count an answer as waiting until the call is over, which is when its client has taken it."""
        waiting = self._unread.peer(context.peer())
        waiting.add(size)
        untyped_context: Any = context
        untyped_context.add_done_callback(lambda _: waiting.take(size))

    def _caller(self, headers: dict[str, str], context: Context) -> Caller | None:
        return None if self._access is None else self._access.caller(headers, address_of(context))

    async def _answer(
        self,
        received: Incoming,
        headers: dict[str, str],
        deadline: float | None,
        started: float,
        branches: Branches,
        caller: Caller | None,
    ) -> bytes:
        if caller is not None:
            caller.take()
        message, payload, _ = received
        if isinstance(message, Unusable):
            raise message.error
        request = read_request(message, payload, headers, deadline)
        request.branches = branches
        if caller is not None:
            caller.check(request.endpoint)
        if request.endpoint == DRY_RUN:
            asked = await self._service.dry_run()
            own = Route(self._service.name, started, time.time())
            reply = Reply(request.payload, routes=[own, *(asked or ())])
        else:
            reply = await self._service.call(request)
        return write_reply(message, request, reply, self._service.name, started)

    async def _refuse(self, into: Any, message: Any, error: JinaError, context: Context, started: float) -> Any:
        if not isinstance(error, ExecutorError):
            await abort(context, error)
        context.set_trailing_metadata((("is-error", "true"),))
        source = None if isinstance(message, Unusable) else message
        return write_failure(into, source, error, self._service.name, started)


def _last_executor(message: Any) -> str:
    return message.routes[-1].executor if message.routes else ""


def _serialised(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


async def close(replies: Any) -> None:
    """End a stream of replies, so that the generator of the Executor is closed now."""
    aclose = getattr(replies, "aclose", None)
    if aclose is not None:
        await aclose()


async def abort(context: Context, error: JinaError) -> None:
    """End the call with the error's gRPC status; never returns.

    A status carries no message, so the error also travels as a serialised `StatusProto` in the trailing
    metadata `jina-status-bin`, from which our client rebuilds the class.
    """
    trailing: list[tuple[str, str | bytes]] = [("is-error", "true"), ("jina-status-bin", status_bytes(error))]
    if isinstance(error, Overloaded):
        trailing.append((PUSHBACK_KEY, str(max(1, round(error.retry_after * 1000)))))
    await context.abort(_CODES[error.grpc_code], _message_of(error), tuple(trailing))


def refusing(error: JinaError) -> grpc.RpcMethodHandler:
    """A method that reads no message and ends the call with the error."""

    async def refuse(_requests: Any, context: Context) -> None:
        await abort(context, error)

    handler: grpc.RpcMethodHandler = untyped.stream_stream_rpc_method_handler(refuse)
    return handler


def status_bytes(error: JinaError) -> bytes:
    """The error as a serialised `StatusProto`, shortened to what metadata can carry.

    What a client rebuilds the error from goes last: its class, help and Deployment outlast tracebacks, whose length
    depends on where the code lies, and lists.
    """
    message = pb.StatusProto()
    status.write_error(error, message)
    if message.ByteSize() > _METADATA_ROOM:
        message.ClearField("exception")
    if message.ByteSize() > _METADATA_ROOM:
        texts = {name: _cut(value, _TEXT_ROOM) for name, value in error.details().items() if isinstance(value, str)}
        message.details_json = json.dumps(texts).encode()
        message.description = _cut(message.description, _TEXT_ROOM)
    data: bytes = message.SerializeToString()
    return data


def _cut(text: str, room: int) -> str:
    """The beginning of a text that takes at most `room` bytes, as UTF-8 and in JSON."""
    return _fitting(text, room, lambda letter: max(len(json.dumps(letter)) - 2, len(letter.encode(errors="replace"))))


def _message_of(error: JinaError) -> str:
    """The text of the error, cut where its percent encoding (gRPC over HTTP/2, `Percent-Encoded`) gets too long."""
    plain = range(0x20, 0x7F)
    encoded = 3  # %XX
    return _fitting(
        str(error),
        _MESSAGE_ROOM,
        lambda letter: 1 if ord(letter) in plain and letter != "%" else encoded * len(letter.encode(errors="replace")),
    )


def _fitting(text: str, room: int, size: Callable[[str], int]) -> str:
    text = text[:room]
    return text[: sum(total <= room for total in accumulate(map(size, text)))]
