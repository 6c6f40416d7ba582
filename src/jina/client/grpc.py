"""gRPC: the channel of a client, in blocking code and on an event loop, and a gateway's connection to a worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jina.client.loops import Waits, Window, iterate
from jina.codec import parameters, pb
from jina.codec import status as wire_status
from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import documents_in, field_head, split_document, split_request, with_documents
from jina.codec.session_headers import PASSED_ON, TOLD
from jina.errors import (
    BadServer,
    ConfigError,
    DeadlineExceeded,
    JinaError,
    Overloaded,
    TooLarge,
    Unavailable,
    from_wire,
)
from jina.executor.invoke import SEPARATOR, scope_parameters
from jina.net.channel import (
    Answer,
    CallOptions,
    ChannelSettings,
    DocAnswer,
    ProtoAnswer,
    Repetitions,
    Target,
    TlsFiles,
    document_request_message,
    request_message,
    unreachable,
)
from jina.net.messages import COMPRESSION_KEY, DRY_RUN, LOAD_KEY, PUSHBACK_KEY, too_large
from jina.net.service import EndpointInfo, Load, UpstreamUnavailable, flat_fields
from jina.observe.logs import get_logger
from jina.observe.traces import HEADERS as TRACING

if TYPE_CHECKING:
    from jina.plan.plans import NodePlan, UpstreamPlan

_log = get_logger("jina.net")
STATUS = "/jina.JinaInfoRPC/_status"
_STATUS_KEY = "jina-status-bin"
_SERVING = b"\x08\x01"
"""A `grpc.health.v1.HealthCheckResponse` with status SERVING; not worth importing its package."""
_CANCELLED = 1
_UNIMPLEMENTED = 12
_UNAVAILABLE = 14
_UNSEEN = {(_CANCELLED, "CANCELLED"), (_UNAVAILABLE, "Cancelling all calls")}
"""Code and message of calls that gRPC itself ended."""
_FIRST_OF_OURS = 4
"""The first major version that is this implementation."""
_ASKING = 5.0
"""Seconds in which a server says what it is."""


# --- arguments, methods and errors of calls ------------------------------------------------------------------


def import_grpc() -> Any:
    """The `grpc` module, told before its first use not to hook `fork`.

    With the hooks, a `fork` in a program that has a channel open prints warnings to stderr; without them the
    child simply must not use the parent's channels.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    import grpc

    return grpc


def ignore_missed_wakeups(loop: AbstractEventLoop) -> None:
    """Keep two harmless messages of grpc.aio off stderr.

    All loops of a process watch one socket of grpc's. When it wakes two of them, the slower one finds nothing to
    read, and grpc raises BlockingIOError (https://github.com/grpc/grpc/issues/25364); when a loop takes the
    end of a cancelled call whose own loop has ended, it says that this one is closed. Any other failure goes
    where it went before.
    """
    handler = loop.get_exception_handler()
    if getattr(handler, "ignores_missed_wakeups", False):
        return

    def handle(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        harmless = isinstance(error, BlockingIOError) or str(error) == "Event loop is closed"
        if harmless and "PollerCompletionQueue" in repr(context.get("handle", context.get("message"))):
            return
        if handler is None:
            loop.default_exception_handler(context)
        else:
            handler(loop, context)

    handle.ignores_missed_wakeups = True  # type: ignore[attr-defined]
    loop.set_exception_handler(handle)


def channel_options(settings: ChannelSettings) -> list[tuple[str, Any]]:
    """Options of a channel: ours, overridden by the user's.

    A server that comes back is found within half a second (grpc's own back-off grows to two minutes), a connection
    has 5 seconds for its handshakes, and a proxy is used only when asked for.
    """
    options: dict[str, Any] = {
        "grpc.max_send_message_length": settings.max_message_size,
        "grpc.max_receive_message_length": settings.max_message_size,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 5000,  # in spite of its name, all the time that connecting may take
        "grpc.max_reconnect_backoff_ms": 500,
        "grpc.enable_http_proxy": int(settings.use_proxy),
        # A machine that is gone says nothing: the connection is lost when what was sent is not acknowledged within the
        # timeout. Servers of gRPC hang up on pings that come more often than every 300 s.
        "grpc.keepalive_time_ms": 310_000,
        "grpc.keepalive_timeout_ms": 10_000,
        **settings.grpc_options,
    }
    return list(options.items())


def channel_credentials_of(grpc_module: Any, options: CallOptions) -> Any:
    """The credentials of the call if they are a channel's, else None."""
    return options.credentials if isinstance(options.credentials, grpc_module.ChannelCredentials) else None


def call_arguments(grpc_module: Any, options: CallOptions) -> dict[str, Any]:
    """Keyword arguments of one call on a stub."""
    options.refuse_extra()
    metadata = (*options.metadata, *compression_metadata(grpc_module, options.compression))
    arguments: dict[str, Any] = {"timeout": options.timeout, "metadata": metadata or None}
    if isinstance(options.credentials, grpc_module.CallCredentials):
        arguments["credentials"] = options.credentials
    if options.compression is not None:
        arguments["compression"] = compression_of(grpc_module, options.compression)
    return arguments


def compression_metadata(grpc_module: Any, value: Any) -> tuple[tuple[str, str], ...]:
    """Metadata that asks our servers to compress replies as the request is compressed: gRPC does not tell them that."""
    if value is None:
        return ()
    chosen = compression_of(grpc_module, value)
    known = grpc_module.Compression
    names = {known.Gzip: "gzip", known.Deflate: "deflate"}
    return ((COMPRESSION_KEY, names[chosen]),) if chosen in names else ()


def compression_of(grpc_module: Any, value: Any) -> Any:
    """One of `grpc.Compression` by its name, in any case; raises `ConfigError` for another name."""
    if not isinstance(value, str):
        return value
    known = {name.lower(): getattr(grpc_module.Compression, name) for name in ("NoCompression", "Deflate", "Gzip")}
    if value.lower() not in known:
        raise ConfigError(f"compression: {value!r} is not one of NoCompression, Deflate, Gzip")
    return known[value.lower()]


def stream_arguments(grpc_module: Any, options: CallOptions) -> dict[str, Any]:
    """Keyword arguments of one `Call`: the metadata also tells a gateway the order and the window."""
    arguments = call_arguments(grpc_module, options)
    order = (("__results_in_order__", "true"),) if options.results_in_order else ()
    return arguments | {"metadata": (*(arguments["metadata"] or ()), *order, ("__prefetch__", str(options.window)))}


def open_channel(factory: Any, target: Target, settings: ChannelSettings, credentials: Any) -> Any:
    """A channel made by `factory`; without credentials, over TLS, the authorities are those of the settings."""
    arguments = channel_options(settings)
    if not target.tls and credentials is None:
        return factory.insecure_channel(target.authority, arguments)
    from jina.net.tls import client_credentials

    given = credentials or client_credentials(settings.tls)
    return factory.secure_channel(target.authority, given, arguments)


def rpc_error(error: Any, target: Target, *, unbegun: bool = False) -> JinaError:
    """The error that the server raised, else the nearest to the gRPC status; `unbegun` of a call that it never saw."""
    if sent := sent_error(error):
        return sent
    code = error.code()
    number = code.value[0] if code is not None else 2
    failure = _from_status(number, error.details() or "", target)
    if unbegun and isinstance(failure, Unavailable):
        failure.begun = False
    if isinstance(failure, Overloaded) and (hint := _pushback(error)) is not None:
        failure.retry_after = hint
    return failure


def _pushback(error: Any) -> float | None:
    """Seconds after which the server wants to be called again (https://github.com/grpc/proposal/blob/master/A6)."""
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    found = [value for key, value in trailing if key == PUSHBACK_KEY and isinstance(value, str) and value.isdecimal()]
    return int(found[-1]) / 1000 if found else None


def sent_error(error: Any) -> JinaError | None:
    """The error in the trailing metadata of a failed call; None where the status is gRPC's or another server's."""
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == _STATUS_KEY and isinstance(value, bytes):
            return wire_status.read_error(pb.StatusProto.FromString(value))
    return None


def _from_status(number: int, details: str, target: Target) -> JinaError:
    match number:
        case 1:  # by the server: gRPC cancels calls that it has not begun when it stops
            return Unavailable(f"{target} ended the call: {details}")
        case 4:
            return DeadlineExceeded(f"{target} did not answer in time: {details}")
        case 5:  # which a Jina 3 gateway says when a worker cannot be reached
            return Unavailable(f"{target} is not available: {details}")
        case 14:
            message = f"{target} is not available: {details}"
            ours = any(word in details for word in ("failed to connect", "resolution failed", "lookup failed"))
            of_jina_3 = "|" in details  # what its gateway says of a worker
            return unreachable(target, message, details) if ours and not of_jina_3 else Unavailable.unreached(message)
        case 8 if "larger than max" in details:
            return TooLarge(f"{target}: {details}", help="raise max_message_size on both sides, or lower request_size")
        case 8:
            return Overloaded(f"{target} is overloaded: {details}")
        case 12:
            return BadServer(f"{target} does not know this call ({details}); is it a jina server?")
    return from_wire("", f"{target}: {details}", {}, grpc_code=number)


def never_begun(error: Any) -> bool:
    """True if the failure shows that the server never received the call."""
    code = error.code()
    bare = not error.initial_metadata() and not error.trailing_metadata()
    return code is not None and (code.value[0], error.details()) in _UNSEEN and bare


def is_ours(info: Any) -> bool:
    """Whether the `JinaInfoProto` of a server is that of this implementation."""
    major = info.jina["jina"].partition(".")[0]
    return major.isdecimal() and int(major) >= _FIRST_OF_OURS


def _is_code(error: Any, number: int) -> bool:
    code = error.code()
    return code is not None and code.value[0] == number


class Stubs:
    """The methods of one channel, all awaitable: those of `grpc.aio`, or of `grpc`, which block.

    Requests and answers are messages, or with `raw` the bytes of them. `credentials` is held so that its id stays its
    own.
    """

    def __init__(self, grpc_module: Any, channel: Any, credentials: Any, *, blocking: bool, raw: bool) -> None:
        self._failure = grpc_module.RpcError
        self.channel = channel
        self.credentials = credentials
        self._has_unary = True
        self.ours: bool | None = None
        """Whether the server is of this implementation; None until it was asked."""
        data, document = pb.DataRequestProto, pb.SingleDocumentRequestProto
        of_data = () if raw else (data.SerializeToString, data.FromString)
        of_document = () if raw else (document.SerializeToString, document.FromString)
        unary = channel.unary_unary
        found: tuple[Any, ...] = (
            unary("/jina.JinaSingleDataRequestRPC/process_single_data", *of_data),
            unary("/jina.JinaDataRequestRPC/process_data"),
            unary("/jina.JinaDiscoverEndpointsRPC/endpoint_discovery"),
            unary("/jina.JinaGatewayDryRunRPC/dry_run", None, pb.StatusProto.FromString),
            unary(STATUS, None, pb.JinaInfoProto.FromString),
            unary("/grpc.health.v1.Health/Check"),
        )
        self.call: Any = channel.stream_stream("/jina.JinaRPC/Call", *of_data)
        self.single_document: Any = channel.unary_stream("/jina.JinaSingleDocumentRequestRPC/stream_doc", *of_document)
        if blocking:
            found = tuple(map(_awaitable, found))
            call, single_document = self.call, self.single_document
            self.call = lambda requests, **arguments: _BlockingAnswers(call(iterate(requests), **arguments))
            self.single_document = lambda request, **arguments: _BlockingAnswers(single_document(request, **arguments))
        self._single_data, self.list_data, self.discover, self._dry_run, self.status, self._health = found

    async def single(self, message: Any, arguments: Mapping[str, Any], target: Target) -> Any:
        """The answer to one request: over the unary method, or over `Call` where the peer lacks it."""
        if self._has_unary:
            try:
                return await self._single_data(message, **arguments)
            except self._failure as error:
                if not _is_code(error, _UNIMPLEMENTED):
                    raise
            self._has_unary = False
        call = self.call(_only(message), **arguments)
        try:
            async for answer in call:
                return answer
        finally:
            call.cancel()
        raise BadServer(f"{target} ended the stream without an answer")

    async def readiness(self, arguments: Mapping[str, Any]) -> tuple[Any, bool]:
        """The status of a dry run and that the peer has one; where it has none, whether its health is good."""
        try:
            return await self._dry_run(b"", **arguments), True
        except self._failure as error:
            if not _is_code(error, _UNIMPLEMENTED):
                raise
        return None, await self._health(b"", **arguments) == _SERVING


def _awaitable(method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, **arguments: Any) -> Any:
        return method(request, **arguments)

    return call


class _BlockingAnswers:
    """The answers of a call of `grpc`, for a coroutine that never suspends."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.cancel = call.cancel

    def __aiter__(self) -> _BlockingAnswers:
        return self

    async def __anext__(self) -> Any:
        for answer in self._call:
            return answer
        raise StopAsyncIteration


async def _only(item: Any) -> AsyncGenerator[Any]:
    yield item


# --- the channel of a client ---------------------------------------------------------------------------------


class GrpcChannel:
    """One HTTP/2 connection to `target`, opened on the first call: shared by all threads, or of the running loop."""

    def __init__(self, target: Target, settings: ChannelSettings, waits: Waits) -> None:
        self._target = target
        self._settings = settings
        self._waits = waits
        self._grpc = self._factory = import_grpc()
        self._lock = threading.Lock()
        self._stubs: dict[int, Stubs] = {}
        if not waits.blocking:
            import grpc.aio

            self._factory = grpc.aio
            ignore_missed_wakeups(asyncio.get_running_loop())

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """See `Channel`."""
        stubs, repetitions = self._stubs_for(options), Repetitions(options)
        while True:
            arguments = call_arguments(self._grpc, repetitions.options)
            try:
                return ProtoAnswer(await stubs.single(request_message(request), arguments, self._target))
            except self._grpc.RpcError as error:
                if not await self._may_repeat(stubs, repetitions, error):
                    raise rpc_error(error, self._target) from None

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncGenerator[Answer]:
        """See `StreamChannel`: over one `Call`; where gRPC blocks, it takes the requests on a thread of its own."""
        source = _Source(requests, self._waits, options.window)
        arguments = stream_arguments(self._grpc, options)
        stubs, begun = self._stubs_for(options), False
        call = stubs.call(source.messages(), **arguments)
        source.on_failure = call.cancel
        try:
            async for message in call:
                begun = True
                source.answered()
                yield ProtoAnswer(message)
        except asyncio.CancelledError:
            if source.failure is None:
                raise
            raise source.failure from None
        except self._grpc.RpcError as error:
            if source.failure is not None:
                raise source.failure from None
            unbegun = not begun and await self._may_repeat(stubs, Repetitions(options), error)
            raise rpc_error(error, self._target, unbegun=unbegun) from None
        finally:
            source.stop()
            call.cancel()
        if source.failure is not None:
            raise source.failure

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[DocAnswer]:
        """See `Channel`."""
        stubs, repetitions, begun = self._stubs_for(options), Repetitions(options), False
        while True:
            arguments = call_arguments(self._grpc, repetitions.options)
            call = stubs.single_document(document_request_message(request), **arguments)
            try:
                async for message in call:
                    begun, answer = True, DocAnswer(message)
                    if answer.error is not None:
                        raise answer.error
                    yield answer
                return
            except self._grpc.RpcError as error:
                if begun or not await self._may_repeat(stubs, repetitions, error):
                    raise rpc_error(error, self._target) from None
            finally:
                call.cancel()

    async def _may_repeat(self, stubs: Stubs, repetitions: Repetitions, error: Any) -> bool:
        """Whether a call that ended so was certainly not begun; the server at the address now is asked what it is.

        It may have been replaced meanwhile. One that does not know the question is another's.
        """
        if repetitions.over or not never_begun(error):
            return False
        await self._waits.sleep(repetitions.pause())
        while stubs.ours is None:
            timeout = repetitions.options.timeout
            asking = replace(repetitions.options, timeout=_ASKING if timeout is None else min(timeout, _ASKING))
            try:
                stubs.ours = is_ours(await stubs.status(b"", **call_arguments(self._grpc, asking)))
            except self._grpc.RpcError as failure:
                if repetitions.over or not (never_begun(failure) or _is_code(failure, _UNAVAILABLE)):
                    stubs.ours = False if _is_code(failure, _UNIMPLEMENTED) else None
                    return False
                await self._waits.sleep(repetitions.pause())
        return stubs.ours

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none is asked for its health."""
        try:
            status, serving = await self._stubs_for(options).readiness(call_arguments(self._grpc, options))
        except self._grpc.RpcError as error:
            raise rpc_error(error, self._target) from None
        if not serving:
            raise Unavailable(f"{self._target} is not serving")
        if status is not None and status.code:
            raise wire_status.read_error(status) or Unavailable(f"{self._target}: {status.description}")

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """Close the connections."""
        with self._lock:
            stubs, self._stubs = list(self._stubs.values()), {}
        for stub in stubs:
            closing = stub.channel.close()
            if closing is not None:
                await closing

    def _stubs_for(self, options: CallOptions) -> Stubs:
        credentials = channel_credentials_of(self._grpc, options)
        stubs = self._stubs.get(id(credentials))
        if stubs is None:
            with self._lock:
                stubs = self._stubs.get(id(credentials))
                if stubs is None:
                    channel = open_channel(self._factory, self._target, self._settings, credentials)
                    stubs = Stubs(self._grpc, channel, credentials, blocking=self._waits.blocking, raw=False)
                    self._stubs[id(credentials)] = stubs
        return stubs


class _Source:
    """The requests of one stream as messages, paused while the window is full.

    In blocking code `messages` runs on a thread of gRPC, all else on the caller's. A failing generator ends the call,
    and its own exception is what the caller gets.
    """

    def __init__(self, requests: AsyncIterator[Request], waits: Waits, window: int) -> None:
        self._window = Window(requests, waits, window)
        self.answered, self.stop = self._window.answered, self._window.stop
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], Any] | None = None

    async def messages(self) -> AsyncGenerator[Any]:
        """Each when there is room."""
        try:
            while (request := await self._window.next()) is not None:
                yield request_message(request)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self.failure = error
            if self.on_failure is not None:
                self.on_failure()


# --- a gateway's connection to a worker ----------------------------------------------------------------------

_REQUESTS = 1
_DOCUMENT = 4
_PASSED_ON = (*TRACING, *PASSED_ON)
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
        raise BadServer(f"the answer is not a DataRequestProto message: {error}") from None
    return _reply(envelope, documents)


def read_document(data: bytes) -> Reply:
    """The reply in a serialised `SingleDocumentRequestProto`; raises the error that it holds."""
    try:
        envelope, documents = split_document(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is not a SingleDocumentRequestProto message: {error}") from None
    return _reply(envelope, documents)


def _reply(envelope: pb.EnvelopeProto | pb.SingleDocumentEnvelopeProto, documents: bytes | memoryview) -> Reply:
    if envelope.header.status.code and (error := wire_status.read_error(envelope.header.status)) is not None:
        raise error
    reply_headers = envelope.header.trace
    headers = {name: reply_headers[name] for name in TOLD if name in reply_headers} if reply_headers else None
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


_ANYTHING: dict[str, Any] = {"title": "Document", "type": "object", "additionalProperties": True}
EVERYTHING: Mapping[str, EndpointInfo] = {
    "/default": EndpointInfo("/default", "Document", _ANYTHING, "Document", _ANYTHING)
}
"""The endpoints of a peer that does not tell: it may know any."""


def read_endpoints(data: bytes) -> dict[str, EndpointInfo]:
    """The endpoints in a serialised `EndpointsProto`, by path; raises `BadServer` for other bytes.

    Gateways of Jina 3 leave the names of classes out, and older releases whole schemas.
    """
    try:
        message = pb.EndpointsProto.FromString(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is not an EndpointsProto message: {error}") from None
    schemas = _plain(message.schemas)
    writes = set(message.write_endpoints)
    return {
        path: _endpoint(path, schemas.get(path) or {}, is_write=path in writes)
        for path in message.endpoints
        if path != DRY_RUN
    }


def _endpoint(path: str, entry: dict[str, Any], *, is_write: bool) -> EndpointInfo:
    input_name, input_schema = _document(entry.get("input"))
    output_name, output_schema = _document(entry.get("output"))
    parameters = entry.get("parameters") or {}
    model = parameters.get("model")
    return EndpointInfo(
        path=path,
        input_name=input_name,
        input_schema=input_schema,
        output_name=output_name,
        output_schema=output_schema,
        parameters_name=parameters.get("name") or (model.get("title", "Parameters") if model else None),
        parameters_schema=_with_defs(model) if model else None,
        is_generator=bool(entry.get("is_generator")),
        is_single=bool(entry.get("is_singleton_doc")),
        is_write=is_write,
        is_safe=bool(entry.get("is_safe")),
        is_repeatable=bool(entry.get("is_repeatable")),
        description=str(entry.get("description") or ""),
        about=str(entry.get("about") or ""),
        flat_fields=flat_fields(input_schema),
        is_passthrough=bool(entry.get("is_passthrough")),
    )


def _document(entry: Any) -> tuple[str, dict[str, Any]]:
    entry = entry if isinstance(entry, dict) else {}
    model = entry.get("model") or ({} if "name" in entry else entry)
    if not isinstance(model, dict) or not model:
        return str(entry.get("name") or "Document"), _ANYTHING
    return str(entry.get("name") or model.get("title") or "Document"), _with_defs(model)


def _with_defs(schema: Any) -> Any:
    """The schema with its references under `$defs`, where drafts before 2019-09 have `definitions`."""
    if isinstance(schema, list):
        return [_with_defs(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {"$defs" if key == "definitions" else key: _with_defs(value) for key, value in schema.items()}
    target = renamed.get("$ref")
    if isinstance(target, str) and target.startswith("#/definitions/"):
        renamed["$ref"] = f"#/$defs/{target.removeprefix('#/definitions/')}"
    return renamed


def _plain(struct: pb.Struct) -> dict[str, Any]:
    fields = struct.fields
    return {name: _value(fields[name]) for name in fields}


def _value(value: pb.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _plain(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number  # a Struct knows no integers, a schema does
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


_OPTIONS = {
    "grpc.http2.bdp_probe": 0,
    "grpc.max_send_message_length": -1,
}
_PROBE_TIMEOUT = 10.0
"""Seconds in which a peer returns whether it would serve."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two questions to a peer that is not ready yet."""
_UNREACHED = ("failed to connect", "connection refused", "dns resolution failed", "name resolution")
"""What gRPC says of calls for which it never had a connection."""


class GrpcUpstream:
    """One peer at `upstream.address`, for the loop that is running when it is made; see `net.service.Upstream`.

    Documents are sent and received as the bytes that they are. Of `node` compression, metadata and channel options
    count; `max_message_size` is in bytes. The reply is never JSON.
    """

    def __init__(self, upstream: UpstreamPlan, node: NodePlan, max_message_size: int) -> None:
        self.name = upstream.name
        self._node = node.name
        self._grpc = import_grpc()
        import grpc.aio

        host, _, port = upstream.address.rpartition(":")
        self._target = Target("grpcs" if upstream.tls else "grpc", host.strip("[]"), int(port), upstream.tls)
        self._place = f"{upstream.name} ({self._target})"
        self._limit = max_message_size
        # An address that was found behind a name has to show the certificate of the name.
        named = {"grpc.ssl_target_name_override": upstream.authority} if upstream.tls and upstream.authority else {}
        options = {**_OPTIONS, **named, **node.grpc_channel_options}
        settings = ChannelSettings(max_message_size=max_message_size, grpc_options=options, tls=_files(node))
        self._channel = open_channel(grpc.aio, self._target, settings, None)
        ignore_missed_wakeups(asyncio.get_running_loop())
        self._stubs = Stubs(self._grpc, self._channel, None, blocking=False, raw=True)
        own = tuple((name.lower(), value) for name, value in node.grpc_metadata.items())
        self._probing: dict[str, Any] = {"timeout": _PROBE_TIMEOUT, "metadata": own or None}
        self._metadata = (*own, *compression_metadata(self._grpc, node.compression))
        self._options = CallOptions(compression=node.compression)
        self._up = True
        self._closed = False
        self._watching: asyncio.Task[None] | None = None
        self._streams: set[Any] = set()

    @property
    def up(self) -> bool:
        """See `net.service.Upstream`: false from a failed connection until the next good one."""
        return self._up and not self._closed

    @property
    def received(self) -> int:
        """See `Upstream`."""
        return 0

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `net.service.Upstream`; a peer that does not tell its endpoints counts as one that answers any."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.ready()
                found = await self._guarded(lambda: self._stubs.discover(b"", **self._probing))
            except UpstreamUnavailable:
                raise
            except BadServer as error:  # gateways of Jina 3 fail over nested documents
                _log.warning(
                    "%s does not list its endpoints, so requests for every endpoint are sent there: %s",
                    self._place,
                    error.message,
                )
                return EVERYTHING
            except (Unavailable, DeadlineExceeded, Overloaded):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            return read_endpoints(found)

    async def ready(self) -> list[Route]:
        """See `net.service.Upstream`: a dry run; a peer that has none is asked for its health."""
        status, serving = await self._guarded(lambda: self._stubs.readiness(self._probing))
        if not serving:
            raise Unavailable(f"{self._place} is not serving")
        if status is not None and status.code:
            raise Unavailable(f"{self._place} is not ready: {status.description or status.exception.name}")
        return []

    @property
    def waiting(self) -> int:
        """See `net.service.Upstream`: `load` tells it."""
        return 0

    async def load(self) -> Load | None:
        """See `net.service.Upstream`: what the peer tells beside its status."""

        async def asked() -> Any:
            call = self._stubs.status(b"", **self._probing)
            await call
            return await call.trailing_metadata()

        found = dict(await self._guarded(asked) or ()).get(LOAD_KEY)
        with contextlib.suppress(ValueError):
            waiting, in_flight, done = map(int, str(found or "").split())
            return Load(waiting, in_flight, done)
        return None

    async def metrics(self, *, openmetrics: bool) -> bytes:  # noqa: ARG002 - as in `net.service.Upstream`
        """See `net.service.Upstream`: a peer elsewhere is scraped where it is."""
        return b""

    async def call(self, request: Request) -> Reply:
        """See `net.service.Upstream`. Branches travel as a list of requests, as gateways of Jina 3 send them."""
        request = self._scoped(request)
        arguments = self._arguments(request)
        if request.branches is not None:
            data = self._checked(list_bytes(request, request.branches))
            try:
                return read_reply(await self._guarded(lambda: self._stubs.list_data(data, **arguments)))
            except _Unimplemented:  # gateways of Jina 3 have no such call
                joined = b"".join(payload.to_bytes() for _, payload in request.branches)
                request = replace(request, payload=BytesPayload(joined))
        data = self._checked(request_bytes(request))
        return read_reply(await self._guarded(lambda: self._stubs.single(data, arguments, self._target)))

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `net.service.Upstream`; of several documents each is answered after the one before."""
        request = self._scoped(request)
        head = document_head(request)
        for document in documents_in(request.payload.to_bytes()) or [b""]:
            data = self._checked(document_bytes(head, document))
            call = self._stubs.single_document(data, **self._arguments(request))
            self._streams.add(call)
            try:
                while (data := await self._guarded(call.read)) is not self._grpc.aio.EOF:
                    yield read_document(data)
            finally:
                self._streams.discard(call)
                call.cancel()

    def flush(self, *, on: bool = True) -> None:
        """See `net.service.Upstream`; gRPC has no word for it, and the worker may serve others."""

    def throttle(self, *, on: bool = True) -> None:
        """See `net.service.Upstream`; the window of HTTP/2 bounds what is under way to us."""

    async def close(self) -> None:
        """See `net.service.Upstream`."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        for call in list(self._streams):  # grpcio 1.66 does not always find them
            call.cancel()
        await self._channel.close()

    def _scoped(self, request: Request) -> Request:
        """With the parameters that are for this step: workers of Jina 3 leave that to gateways."""
        parameters = request.parameters
        if not parameters or not any(SEPARATOR in key or key == self._node for key in parameters):
            return request
        return replace(request, parameters=scope_parameters(parameters, [self._node]))

    def _checked(self, data: bytes) -> bytes:
        if len(data) > self._limit:
            raise too_large(len(data), self._limit)
        return data

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments = call_arguments(self._grpc, self._options)
        arguments["metadata"] = metadata_of(request, self._metadata)
        if request.deadline is not None:
            remaining = request.deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded(f"the deadline of the request passed before it was sent to {self._place}")
            arguments["timeout"] = remaining
        return arguments

    async def _guarded(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a call, its failure as one of our errors."""
        if self._closed:
            raise UpstreamUnavailable(f"{self._place}: the connection is closed", started=False)
        if self._watching is None:
            self._watching = asyncio.create_task(self._follow())
        try:
            return await begin()
        except asyncio.CancelledError:
            if not self._cancelled_by_closing():
                raise
            raise UpstreamUnavailable(f"{self._place}: the connection was closed before it answered") from None
        except self._grpc.RpcError as error:
            raise self._error(error) from None
        except self._grpc.aio.UsageError as error:
            raise UpstreamUnavailable(f"{self._place}: the connection is closed: {error}", started=False) from None

    def _cancelled_by_closing(self) -> bool:
        """Closing the channel cancels its calls, and they say so as if the caller had been cancelled."""
        task = asyncio.current_task()
        return self._closed and task is not None and not task.cancelling()

    def _error(self, error: Any) -> JinaError:
        codes = self._grpc.StatusCode
        code, details = error.code(), error.details() or ""
        if (sent := sent_error(error)) is not None:
            return self._naming(sent)
        if code is codes.UNIMPLEMENTED:
            return _Unimplemented(f"{self._place} does not know this call; is it a jina server?")
        if code not in {codes.UNAVAILABLE, codes.CANCELLED} or "|Gateway" in details:
            return self._naming(rpc_error(error, self._target))
        if any(words in details.lower() for words in _UNREACHED):
            self._up = False
            return UpstreamUnavailable(f"{self._place} cannot be reached: {details}", started=False)
        return UpstreamUnavailable(f"{self._place} went away before it answered: {details}")

    def _naming(self, error: JinaError) -> JinaError:
        """The error; one about time says which worker took it."""
        if isinstance(error, DeadlineExceeded) and self.name not in error.message:
            return DeadlineExceeded(f"{self.name}: {error.message}", help=error.help)
        return error

    async def _follow(self) -> None:
        """Keep `up` true to the connection, which is opened again whenever it ends."""
        states = self._grpc.ChannelConnectivity
        while (state := self._channel.get_state(try_to_connect=True)) is not states.SHUTDOWN:
            if state is states.READY:
                self._up = True
            elif state is states.TRANSIENT_FAILURE:
                self._up = False
            await self._channel.wait_for_state_change(state)


def _files(node: NodePlan) -> TlsFiles:
    return TlsFiles(ca=node.tls.ca_file, certificate=node.tls.certfile, key=node.tls.keyfile)


class _Unimplemented(BadServer):
    """The peer lacks a method."""
