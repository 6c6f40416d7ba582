"""A worker or gateway at an address as seen from a gateway, over gRPC; also one of Jina 3."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jina.codec import parameters, pb, status
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import documents_in, field_head, split_document, split_request, with_documents
from jina.codec.session_headers import PASSED_ON, TOLD
from jina.errors import BadServer, DeadlineExceeded, JinaError, Overloaded, Unavailable
from jina.executor.invoke import SEPARATOR, scope_parameters
from jina.net import grpc_common as rules
from jina.net.channel import CallOptions, ChannelSettings, Target, TlsFiles
from jina.net.messages import DRY_RUN, too_large
from jina.net.service import EndpointInfo, UpstreamUnavailable, flat_fields
from jina.observe.logs import get_logger
from jina.observe.traces import HEADERS as TRACING
from jina.plan.plans import NodePlan, UpstreamPlan

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
        raise BadServer(f"the answer is no EndpointsProto message: {error}") from None
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


_log = get_logger("jina.net")
_OPTIONS = {
    "grpc.http2.bdp_probe": 0,
    "grpc.max_send_message_length": -1,
    # A machine that is gone says nothing. Servers of gRPC hang up on pings more often than every 300 s; what was sent
    # and is not acknowledged within the timeout ends the connection earlier.
    "grpc.keepalive_time_ms": 310_000,
    "grpc.keepalive_timeout_ms": 60_000,
}
_PROBE_TIMEOUT = 10.0
"""Seconds in which a peer returns whether it would serve."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two questions to a peer that is not ready yet."""
_UNREACHED = ("failed to connect", "connection refused", "dns resolution failed", "name resolution")
"""What gRPC says of calls for which it never had a connection."""


class GrpcUpstream:
    """One peer at `upstream.address`, for the loop that is running when it is made; see `upstream.Upstream`.

    Documents are sent and received as the bytes that they are. Of `node` compression, metadata and channel options
    count; `max_message_size` is in bytes. The reply is never JSON.
    """

    def __init__(self, upstream: UpstreamPlan, node: NodePlan, max_message_size: int) -> None:
        self.name = upstream.name
        self._node = node.name
        self._grpc = rules.import_grpc()
        import grpc.aio

        host, _, port = upstream.address.rpartition(":")
        self._target = Target("grpcs" if upstream.tls else "grpc", host.strip("[]"), int(port), upstream.tls)
        self._place = f"{upstream.name} ({self._target})"
        self._limit = max_message_size
        options = {**_OPTIONS, **node.grpc_channel_options}
        settings = ChannelSettings(max_message_size=max_message_size, grpc_options=options, tls=_files(node))
        self._channel = rules.open_channel(grpc.aio, self._target, settings, None)
        rules.ignore_missed_wakeups(asyncio.get_running_loop())
        self._stubs = _Stubs(self._channel)
        own = tuple((name.lower(), value) for name, value in node.grpc_metadata.items())
        self._probing: dict[str, Any] = {"timeout": _PROBE_TIMEOUT, "metadata": own or None}
        self._metadata = (*own, *rules.compression_metadata(self._grpc, node.compression))
        self._options = CallOptions(compression=node.compression)
        self._up = True
        self._closed = False
        self._watching: asyncio.Task[None] | None = None
        self._streams: set[Any] = set()

    @property
    def up(self) -> bool:
        """See `upstream.Upstream`: false from a failed connection until the next good one."""
        return self._up and not self._closed

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `upstream.Upstream`; a peer that does not tell its endpoints counts as one that answers any."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.ready()
                found = await self._guarded(lambda: self._stubs.discover(b"", **self._probing))
            except UpstreamUnavailable:
                raise
            except BadServer as error:  # gateways of Jina 3 fail over nested documents
                _log.warning("%s does not tell its endpoints, so any is sent there: %s", self._place, error.message)
                return EVERYTHING
            except (Unavailable, DeadlineExceeded, Overloaded):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            return read_endpoints(found)

    async def ready(self) -> None:
        """See `upstream.Upstream`: a dry run; a peer that has none is asked for its health."""
        try:
            status = await self._guarded(lambda: self._stubs.dry_run(b"", **self._probing))
        except _Unimplemented:
            serving = await self._guarded(lambda: self._stubs.health(b"", **self._probing))
            if serving != rules.HEALTH_SERVING:
                raise Unavailable(f"{self._place} is not serving") from None
        else:
            if status.code:
                raise Unavailable(f"{self._place} is not ready: {status.description or status.exception.name}")

    async def metrics(self, *, openmetrics: bool) -> bytes:  # noqa: ARG002 - as in `upstream.Upstream`
        """See `upstream.Upstream`: a peer elsewhere is scraped where it is."""
        return b""

    async def call(self, request: Request) -> Reply:
        """See `upstream.Upstream`. Branches travel as a list of requests, as gateways of Jina 3 send them."""
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
        if self._stubs.has_unary:
            try:
                return read_reply(await self._guarded(lambda: self._stubs.single_data(data, **arguments)))
            except _Unimplemented:
                self._stubs.has_unary = False
        return read_reply(await self._guarded(lambda: self._over_stream(data, arguments)))

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `upstream.Upstream`; of several documents each is answered after the one before."""
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

    def flush_batches(self) -> None:
        """See `upstream.Upstream`; gRPC has no word for it, and the worker may serve others."""

    async def close(self) -> None:
        """See `upstream.Upstream`."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        for call in list(self._streams):  # grpcio 1.66 does not always find them
            call.cancel()
        await self._channel.close()

    async def _over_stream(self, data: bytes, arguments: dict[str, Any]) -> bytes:
        call = self._stubs.call(**arguments)
        try:
            await call.write(data)
            await call.done_writing()
            answer = await call.read()
        finally:
            call.cancel()
        if answer is self._grpc.aio.EOF:
            raise BadServer(f"{self._target} ended the stream without an answer")
        found: bytes = answer
        return found

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
        arguments = rules.call_arguments(self._grpc, self._options)
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
        if (sent := rules.sent_error(error)) is not None:
            return self._naming(sent)
        if code is codes.UNIMPLEMENTED:
            return _Unimplemented(f"{self._place} does not know this call; is it a jina server?")
        if code not in {codes.UNAVAILABLE, codes.CANCELLED} or "|Gateway" in details:
            return self._naming(rules.rpc_error(error, self._target))
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


class _Stubs:
    """The methods of one channel, from bytes to bytes."""

    def __init__(self, channel: Any) -> None:
        self.has_unary = True
        self.single_data = channel.unary_unary(rules.SINGLE_DATA)
        self.list_data = channel.unary_unary(rules.LIST_DATA)
        self.call = channel.stream_stream(rules.CALL)
        self.single_document = channel.unary_stream(rules.SINGLE_DOCUMENT)
        self.discover = channel.unary_unary(rules.DISCOVERY)
        self.dry_run = channel.unary_unary(rules.DRY_RUN, None, rules.read_status)
        self.health = channel.unary_unary(rules.HEALTH)
