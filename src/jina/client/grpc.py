"""gRPC: the channel of a client, in blocking code and on an event loop, and a gateway's connection to a worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from jina.client.grpc_connection import Arguments, Calls, GrpcError, LoopCalls, Way, calls_of
from jina.client.http_messages import Routing
from jina.client.loops import Held, Waits, Window
from jina.codec import parameters, pb
from jina.codec import status as wire_status
from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import documents_in, field_head, split_document, split_request, with_documents
from jina.codec.session_headers import PASSED_ON, TOLD
from jina.config.grpc_options import channel_options
from jina.errors import (
    BadServer,
    ConfigError,
    DeadlineExceeded,
    JinaError,
    NotSupportedError,
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
from jina.net.grpc_wire import Code, Metadata, headers_of
from jina.net.http2 import Header
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
_SINGLE_DATA = "/jina.JinaSingleDataRequestRPC/process_single_data"
_CALL = "/jina.JinaRPC/Call"
_STREAM_DOC = "/jina.JinaSingleDocumentRequestRPC/stream_doc"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
T = TypeVar("T")


# --- arguments, methods and errors of calls ------------------------------------------------------------------


def way_of(target: Target, settings: ChannelSettings) -> Way:
    """Where a channel leads, and how; raises `ConfigError` for options that have no effect or do not fit."""
    options = channel_options(settings.grpc_options)
    authorities = settings.tls.ca or os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
    tls = replace(settings.tls, ca=authorities)
    routing = Routing(target, replace(settings, tls=tls, use_proxy=settings.use_proxy or options.proxy))
    destination = routing.destination(target, CallOptions())
    if destination.context is not None:
        destination.context.set_alpn_protocols(["h2"])
    size = settings.max_message_size
    return Way(
        destination=destination,
        authority=options.authority or options.server_name or target.authority,
        server_name=options.server_name or target.host,
        sent=size if options.sent is None else options.sent,
        received=size if options.received is None else options.received,
        keepalive=options.keepalive,
        keepalive_timeout=options.keepalive_timeout,
        pings_without_calls=options.pings_without_calls,
    )


def call_arguments(options: CallOptions) -> Arguments:
    """What holds for one call; raises `ConfigError` for metadata and words that cannot be sent."""
    options.refuse_extra()
    if options.credentials is not None:
        raise NotSupportedError(
            "credentials: those of grpcio cannot be used, since calls are made without it",
            help="give Client(tls=True, ssl_ca_certs=..., ssl_certfile=..., ssl_keyfile=...), and tokens as metadata",
        )
    encoding = encoding_of(options.compression)
    return Arguments(options.timeout, as_headers((*options.metadata, *_asking_for(encoding))), encoding)


def as_headers(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[Header, ...]:
    """Metadata as it travels; raises `ConfigError` for what cannot be sent."""
    try:
        return tuple(headers_of(metadata))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _asking_for(encoding: str) -> Metadata:
    """Metadata that asks our servers to compress replies as the request is compressed: gRPC does not tell them that."""
    return ((COMPRESSION_KEY, encoding),) if encoding else ()


def encoding_of(compression: Any) -> str:
    """How messages are compressed, empty where they are not; raises `ConfigError` for another word.

    Takes the words of Jina 3 in any case, and the members of `grpc.Compression`, which are such numbers.
    """
    if compression is None:
        return ""
    names = {"nocompression": "", "deflate": "deflate", "gzip": "gzip"}
    if isinstance(compression, int):
        name = dict(enumerate(names)).get(int(compression), "")
    else:
        name = str(compression).lower()
    if name not in names:
        raise ConfigError(f"compression: {compression!r} is not one of NoCompression, Deflate, Gzip")
    return names[name]


def stream_arguments(options: CallOptions) -> Arguments:
    """What holds for one `Call`: the metadata also tells a gateway the order and the window."""
    arguments = call_arguments(options)
    order = ((b"__results_in_order__", b"true"),) if options.results_in_order else ()
    return arguments._replace(metadata=(*arguments.metadata, *order, (b"__prefetch__", b"%d" % options.window)))


def rpc_error(error: GrpcError, target: Target, *, unbegun: bool = False) -> JinaError:
    """The error that the server raised, else the nearest to the gRPC status; `unbegun` of a call that it never saw."""
    if sent := sent_error(error.trailing):
        return sent
    failure = _from_status(error, target)
    if unbegun and isinstance(failure, Unavailable):
        failure.begun = False
    if isinstance(failure, Overloaded) and (hint := _pushback(error)) is not None:
        failure.retry_after = hint
    return failure


def _pushback(error: GrpcError) -> float | None:
    """Seconds after which the server wants to be called again (https://github.com/grpc/proposal/blob/master/A6)."""
    found = [value for key, value in error.trailing if key == PUSHBACK_KEY and isinstance(value, str)]
    return int(found[-1]) / 1000 if found and found[-1].isdecimal() else None


def sent_error(trailing: Metadata) -> JinaError | None:
    """The error in the trailing metadata of a failed call; None where the status is gRPC's or another server's."""
    for key, value in trailing:
        if key == _STATUS_KEY and isinstance(value, bytes):
            return wire_status.read_error(pb.StatusProto.FromString(value))
    return None


def _from_status(error: GrpcError, target: Target) -> JinaError:
    details = error.details
    match error.code:
        case Code.CANCELLED:
            return Unavailable(f"{target} ended the call: {details}")
        case Code.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{target} did not answer in time: {details}")
        case Code.NOT_FOUND:  # which a Jina 3 gateway says when a worker cannot be reached
            return Unavailable(f"{target} is not available: {details}")
        case Code.UNAVAILABLE:
            message = f"{target} is not available: {details}"
            return unreachable(target, message, details) if error.unreached else Unavailable.unreached(message)
        case Code.RESOURCE_EXHAUSTED if "larger than max" in details:
            return TooLarge(f"{target}: {details}", help="raise max_message_size on both sides, or lower request_size")
        case Code.RESOURCE_EXHAUSTED:
            return Overloaded(f"{target} is overloaded: {details}")
        case Code.UNIMPLEMENTED:
            return BadServer(f"{target} does not know this call ({details}); is it a jina server?")
    return from_wire("", f"{target}: {details}", {}, grpc_code=int(error.code))


class Stubs:
    """The methods of one channel; requests and answers are the bytes of messages. Raises `GrpcError`."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self._has_unary = True

    async def single(self, message: bytes, arguments: Arguments, target: Target) -> bytes:
        """The answer to one request: over the unary method, or over `Call` where the peer lacks it."""
        if self._has_unary:
            try:
                return (await self.calls.unary(_SINGLE_DATA, message, arguments))[0]
            except GrpcError as error:
                if error.code is not Code.UNIMPLEMENTED:
                    raise
            self._has_unary = False
        async with Held(self.calls.stream(_CALL, _only(message), arguments)) as answers:
            async for answer in answers:
                return answer
        raise BadServer(f"{target} ended the stream without an answer")

    def several(self, messages: AsyncIterator[bytes], arguments: Arguments) -> AsyncGenerator[bytes]:
        """The answers to a stream of requests."""
        return self.calls.stream(_CALL, messages, arguments)

    def single_document(self, message: bytes, arguments: Arguments) -> AsyncGenerator[bytes]:
        """The stream that answers one document."""
        return self.calls.stream(_STREAM_DOC, _only(message), arguments)

    async def list_data(self, message: bytes, arguments: Arguments) -> bytes:
        """The answer to a list of requests."""
        return (await self.calls.unary("/jina.JinaDataRequestRPC/process_data", message, arguments))[0]

    async def discover(self, arguments: Arguments) -> bytes:
        """The endpoints."""
        path = "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery"
        return (await self.calls.unary(path, b"", arguments))[0]

    async def load(self, arguments: Arguments) -> Any:
        """How busy the peer is, where it says so beside its status."""
        _, call = await self.calls.unary(STATUS, b"", arguments)
        return dict(call.trailing).get(LOAD_KEY)

    async def readiness(self, arguments: Arguments) -> tuple[Any, bool]:
        """The status of a dry run and that the peer has one; where it has none, whether its health is good."""
        try:
            status, _ = await self.calls.unary("/jina.JinaGatewayDryRunRPC/dry_run", b"", arguments)
            return pb.StatusProto.FromString(status), True
        except GrpcError as error:
            if error.code is not Code.UNIMPLEMENTED:
                raise
        return None, (await self.calls.unary(HEALTH_CHECK, b"", arguments))[0] == _SERVING


async def _only(item: bytes) -> AsyncGenerator[bytes]:
    yield item


# --- the channel of a client ---------------------------------------------------------------------------------


class GrpcChannel:
    """The connections to `target`, opened by calls: one of the running loop, or several shared by all threads."""

    def __init__(self, target: Target, settings: ChannelSettings, waits: Waits) -> None:
        self._target = target
        self._waits = waits
        self._stubs = Stubs(calls_of(way_of(target, settings), waits))

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """See `Channel`."""
        repetitions = Repetitions(options)
        message = request_message(request).SerializeToString()
        while True:
            try:
                data = await self._stubs.single(message, call_arguments(repetitions.options), self._target)
                return ProtoAnswer(_parsed(pb.DataRequestProto, data))
            except GrpcError as error:
                if not await self._may_repeat(repetitions, error):
                    raise rpc_error(error, self._target) from None

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncGenerator[Answer]:
        """See `StreamChannel`: over one `Call`; in blocking code, it takes the requests on a thread of its own."""
        source = _Source(requests, self._waits, options.window)
        begun = False
        try:
            async with Held(self._stubs.several(source.messages(), stream_arguments(options))) as answers:
                async for data in answers:
                    begun = True
                    source.answered()
                    yield ProtoAnswer(_parsed(pb.DataRequestProto, data))
        except GrpcError as error:
            unbegun = not begun and await self._may_repeat(Repetitions(options), error)
            raise rpc_error(error, self._target, unbegun=unbegun) from None
        finally:
            source.stop()

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[DocAnswer]:
        """See `Channel`."""
        repetitions, begun = Repetitions(options), False
        message = document_request_message(request).SerializeToString()
        while True:
            arguments = call_arguments(repetitions.options)
            try:
                async with Held(self._stubs.single_document(message, arguments)) as answers:
                    async for data in answers:
                        begun, answer = True, DocAnswer(_parsed(pb.SingleDocumentRequestProto, data))
                        if answer.error is not None:
                            raise answer.error
                        yield answer
                return
            except GrpcError as error:
                if begun or not await self._may_repeat(repetitions, error):
                    raise rpc_error(error, self._target) from None

    async def _may_repeat(self, repetitions: Repetitions, error: GrpcError) -> bool:
        """Whether a call was certainly not begun by a server that was reached; waits a little before the next try."""
        if repetitions.over or error.unreached or not error.unseen:
            return False
        await self._waits.sleep(repetitions.pause())
        return True

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none is asked for its health."""
        try:
            status, serving = await self._stubs.readiness(call_arguments(options))
        except GrpcError as error:
            raise rpc_error(error, self._target) from None
        if not serving:
            raise Unavailable(f"{self._target} is not serving")
        if status is not None and status.code:
            raise wire_status.read_error(status) or Unavailable(f"{self._target}: {status.description}")

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the connections."""
        await self._stubs.calls.close(abruptly=abruptly)


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        raise BadServer(f"the answer is not a {kind.DESCRIPTOR.full_name} message: {error}") from None


class _Source:
    """The requests of one stream as messages, paused while the window is full; in blocking code on another thread."""

    def __init__(self, requests: AsyncIterator[Request], waits: Waits, window: int) -> None:
        self._window = Window(requests, waits, window)
        self.answered, self.stop = self._window.answered, self._window.stop

    async def messages(self) -> AsyncGenerator[bytes]:
        """Each when there is room."""
        while (request := await self._window.next()) is not None:
            yield request_message(request).SerializeToString()


# --- a gateway's connection to a worker ----------------------------------------------------------------------

_REQUESTS = 1
_DOCUMENT = 4
_PASSED_ON = (*TRACING, *PASSED_ON)


def metadata_of(request: Request, own: tuple[Header, ...]) -> tuple[Header, ...]:
    """What Jina 3's gateways tell a worker, the user's own, and what identifies a trace or a session."""
    endpoint = ((b"endpoint", request.endpoint.encode()),) if request.endpoint.isascii() else ()
    headers = request.headers
    passed = as_headers((name, headers[name]) for name in _PASSED_ON if name in headers) if headers else ()
    return (*endpoint, *own, *passed)


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
        methods=tuple(map(str, entry.get("methods") or ())),
        is_repeatable=bool(entry.get("is_repeatable")),
        description=str(entry.get("description") or ""),
        about=str(entry.get("about") or ""),
        executor=str(entry.get("executor") or ""),
        flat_fields=flat_fields(input_schema),
        is_passthrough=bool(entry.get("is_passthrough")),
        answers=answers if (answers := entry.get("answers")) in {"each", "one", "many"} else "",
        input_is_value=bool(entry.get("input_is_value")),
        output_is_value=bool(entry.get("output_is_value")),
        offer=entry.get("offer") or None,
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


_PROBE_TIMEOUT = 10.0
"""Seconds in which a peer returns whether it would serve."""
_FIRST_TRY, _LATER_TRIES = 0.1, 0.5
"""Seconds between two tries to connect."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two questions to a peer that is not ready yet."""


class GrpcUpstream:
    """One peer at `upstream.address`, for the loop that is running when it is made; see `net.service.Upstream`.

    Documents are sent and received as the bytes that they are. Of `node` compression, metadata and channel options
    count; `max_message_size` is in bytes. The reply is never JSON.
    """

    def __init__(self, upstream: UpstreamPlan, node: NodePlan, max_message_size: int) -> None:
        self.name = upstream.name
        self._node = node.name
        host, _, port = upstream.address.rpartition(":")
        self._target = Target("grpcs" if upstream.tls else "grpc", host.strip("[]"), int(port), upstream.tls)
        self._place = f"{upstream.name} ({self._target})"
        self._limit = max_message_size
        # An address that was found behind a name has to show the certificate of the name.
        named = {"grpc.ssl_target_name_override": upstream.authority} if upstream.tls and upstream.authority else {}
        options = {"grpc.max_send_message_length": -1, **named, **node.grpc_channel_options}
        settings = ChannelSettings(max_message_size=max_message_size, grpc_options=options, tls=_files(node))
        self._calls = LoopCalls(way_of(self._target, settings))
        self._stubs = Stubs(self._calls)
        own = as_headers((name.lower(), value) for name, value in node.grpc_metadata.items())
        self._probing = Arguments(_PROBE_TIMEOUT, own)
        self._encoding = encoding_of(node.compression)
        self._metadata = (*own, *as_headers(_asking_for(self._encoding)))
        self._up = True
        self._closed = False
        self._watching: asyncio.Task[None] | None = None

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
                found = await self._guarded(self._stubs.discover(self._probing))
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
        status, serving = await self._guarded(self._stubs.readiness(self._probing))
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
        found = await self._guarded(self._stubs.load(self._probing))
        with contextlib.suppress(ValueError):
            waiting, in_flight, done = map(int, str(found or "").split())
            return Load(waiting, in_flight, done)
        return None

    async def version(self) -> str:
        """Of the peer's jina; empty where it tells none."""
        try:
            found, _ = await self._guarded(self._calls.unary(STATUS, b"", self._probing))
            return str(pb.JinaInfoProto.FromString(found).jina.get("jina", ""))
        except Exception as error:  # noqa: BLE001 - it is told to people alone, and a peer may answer anything
            _log.debug("%s does not tell its version: %r", self._place, error)
            return ""

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
                return read_reply(await self._guarded(self._stubs.list_data(data, arguments)))
            except _Unimplemented:  # gateways of Jina 3 have no such call
                joined = b"".join(payload.to_bytes() for _, payload in request.branches)
                request = replace(request, payload=BytesPayload(joined))
        data = self._checked(request_bytes(request))
        return read_reply(await self._guarded(self._stubs.single(data, arguments, self._target)))

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `net.service.Upstream`; of several documents each is answered after the one before."""
        request = self._scoped(request)
        head = document_head(request)
        for document in documents_in(request.payload.to_bytes()) or [b""]:
            data = self._checked(document_bytes(head, document))
            async with Held(self._stubs.single_document(data, self._arguments(request))) as answers:
                while (answer := await self._guarded(anext(answers, None))) is not None:
                    yield read_document(answer)

    def flush(self, *, on: bool = True) -> None:
        """See `net.service.Upstream`; gRPC has no word for it, and the worker may serve others."""

    def throttle(self, *, on: bool = True) -> None:
        """See `net.service.Upstream`; the window of HTTP/2 bounds what is under way to us."""

    def lose_if_gone(self) -> None:
        """For a peer that is to get nothing more: fail what is in flight there where its machine is gone.

        To be called several times a second. A peer that is merely busy goes on with what it has.
        """
        self._calls.lose_if_gone()

    async def close(self) -> None:
        """See `net.service.Upstream`."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        await self._calls.close()

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

    def _arguments(self, request: Request) -> Arguments:
        timeout = None
        if request.deadline is not None:
            timeout = request.deadline - time.monotonic()
            if timeout <= 0:
                raise DeadlineExceeded(f"the deadline of the request passed before it was sent to {self._place}")
        return Arguments(timeout, metadata_of(request, self._metadata), self._encoding)

    async def _guarded(self, call: Awaitable[T]) -> T:
        """The result of a call, its failure as one of our errors."""
        if self._watching is None and not self._closed:
            self._watching = asyncio.create_task(self._follow())
        try:
            return await call
        except GrpcError as error:
            raise self._error(error) from None

    def _error(self, error: GrpcError) -> JinaError:
        details = error.details
        if (sent := sent_error(error.trailing)) is not None:
            return self._naming(sent)
        if self._closed:
            return UpstreamUnavailable(f"{self._place}: the connection is closed", started=not error.unseen)
        if error.code is Code.UNIMPLEMENTED:
            return _Unimplemented(f"{self._place} does not know this call; is it a jina server?")
        if error.code not in {Code.UNAVAILABLE, Code.CANCELLED} or "|Gateway" in details:
            return self._naming(rpc_error(error, self._target))
        if error.unreached:
            self._up = False
            return UpstreamUnavailable(f"{self._place} cannot be reached: {details}", started=False)
        return UpstreamUnavailable(f"{self._place} went away before it answered: {details}", started=not error.unseen)

    def _naming(self, error: JinaError) -> JinaError:
        """The error; one about time says which worker took it."""
        if isinstance(error, DeadlineExceeded) and self.name not in error.message:
            return DeadlineExceeded(f"{self.name}: {error.message}", help=error.help)
        return error

    async def _follow(self) -> None:
        """Keep `up` true to the connection, which is opened again whenever it ends."""
        pause = _FIRST_TRY
        while not self._closed:
            try:
                connection = await self._calls.connection()
            except GrpcError:
                self._up = False
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LATER_TRIES)
            else:
                self._up, pause = True, _FIRST_TRY
                await asyncio.wait([connection.over])


def _files(node: NodePlan) -> TlsFiles:
    return TlsFiles(ca=node.tls.ca_file, certificate=node.tls.certfile, key=node.tls.keyfile)


class _Unimplemented(BadServer):
    """The peer lacks a method."""
