"""One gRPC port over a service: the calls that carry documents, and those that describe it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from itertools import accumulate
from typing import Any

import grpc
from grpc import aio

from jina.codec import pb, status
from jina.codec.messages import Payload, Reply, Route
from jina.errors import BadRequest, ExecutorError, JinaError, Overloaded
from jina.net.auth import Access, Caller
from jina.net.limits import Gate
from jina.net.messages import (
    COMPRESSION_KEY,
    DRY_RUN,
    FAILURES,
    LOAD_KEY,
    PUSHBACK_KEY,
    DocumentWriter,
    Emit,
    Incoming,
    Pipeline,
    RequestReader,
    Unusable,
    as_jina_error,
    environment_info,
    read_request,
    version_info,
    window_of,
    write_failure,
    write_reply,
)
from jina.net.service import EndpointInfo, LocalService
from jina.net.sockets import bind, bind_error
from jina.net.tls import grpc_credentials
from jina.net.unread import Unread, behind
from jina.plan.plans import ListenerPlan

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
    """Compress the replies of a call as its client asks; an unknown word is ignored."""
    if asked in _COMPRESSIONS:
        context.set_compression(_COMPRESSIONS[asked])
        await context.send_initial_metadata(())  # with those that grpc.aio sends itself, the above has no effect


def deadline_of(context: Context) -> float | None:
    """The call's deadline in `time.monotonic()` seconds."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


class Calls:
    """Handlers of one gRPC listener over one service."""

    def __init__(self, gate: Gate, window: int, access: Access | None, unread: Unread) -> None:
        self._gate = gate
        self._name = gate.service.name
        self._unread = unread
        self._window = window
        self._access = access
        limits = gate.limits
        self._reader = RequestReader(limits.message_size, limits.parameters, forwards=gate.service.forwards)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """By full method name."""
        reader = self._reader
        return {
            "/jina.JinaSingleDataRequestRPC/process_single_data": untyped.unary_unary_rpc_method_handler(
                self.process_single_data, request_deserializer=reader.request
            ),
            "/jina.JinaDataRequestRPC/process_data": untyped.unary_unary_rpc_method_handler(
                self.process_data, request_deserializer=reader.requests
            ),
            "/jina.JinaRPC/Call": untyped.stream_stream_rpc_method_handler(
                self.call, request_deserializer=reader.request
            ),
            "/jina.JinaSingleDocumentRequestRPC/stream_doc": untyped.unary_stream_rpc_method_handler(
                self.stream_doc, request_deserializer=reader.document
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
            payload = self._reader.join([documents for _, documents in joined])
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
                failed = write_failure(pb.DataRequestProto(), source, as_jina_error(error), self._name, started)
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
        waiting = self._unread.peer(context.peer())
        async with aclosing(self._gate.stream(request)) as replies:
            async for reply in replies:
                for response in writer.messages(reply):
                    size = len(response)
                    waiting.add(size)
                    waiting.reserve(behind(size))
                    try:
                        await context.write(response)
                    finally:
                        waiting.reserve(-behind(size))
                        waiting.take(size)

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
            asked = await self._gate.service.ready()
            reply = Reply(request.payload, routes=[Route(self._name, started, time.time()), *asked])
        else:
            reply = await self._gate.call(request)
        return write_reply(message, request, reply, self._name, started)

    async def _refuse(self, into: Any, message: Any, error: JinaError, context: Context, started: float) -> Any:
        if not isinstance(error, ExecutorError):
            await abort(context, error)
        context.set_trailing_metadata((("is-error", "true"),))
        source = None if isinstance(message, Unusable) else message
        return write_failure(into, source, error, self._name, started)


def _last_executor(message: Any) -> str:
    return message.routes[-1].executor if message.routes else ""


def _serialised(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


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


Handlers = dict[str, grpc.RpcMethodHandler]


class Descriptions:
    """Handlers that answer from what the service says of itself."""

    def __init__(self, service: LocalService) -> None:
        self._service = service

    def handlers(self) -> Handlers:
        """By full method name."""
        return {
            "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": untyped.unary_unary_rpc_method_handler(
                self.endpoint_discovery, response_serializer=pb.EndpointsProto.SerializeToString
            ),
            "/jina.JinaGatewayDryRunRPC/dry_run": untyped.unary_unary_rpc_method_handler(
                self.dry_run, response_serializer=pb.StatusProto.SerializeToString
            ),
            "/jina.JinaInfoRPC/_status": untyped.unary_unary_rpc_method_handler(
                self.status, response_serializer=pb.JinaInfoProto.SerializeToString
            ),
        }

    async def endpoint_discovery(self, _request: bytes, _context: Context) -> Any:
        """The endpoints with their schemas."""
        endpoints = self._service.endpoints
        message = pb.EndpointsProto()
        message.endpoints.extend([*endpoints, DRY_RUN])
        message.write_endpoints.extend(path for path, info in endpoints.items() if info.is_write)
        message.schemas.update(
            {DRY_RUN: _DRY_RUN_SCHEMAS, **{path: _schemas(info) for path, info in endpoints.items()}}
        )
        return message

    async def dry_run(self, _request: bytes, _context: Context) -> Any:
        """A status; its code is ERROR when a request would fail."""
        message = pb.StatusProto()
        try:
            await self._service.ready()
        except Exception as error:  # noqa: BLE001 - the answer carries it
            status.write_error(as_jina_error(error), message)
        return message

    async def status(self, _request: bytes, context: Context) -> Any:
        """Versions and the settings in the environment; how busy it is, for gateways, at the end."""
        load = self._service.load
        if load is not None:
            context.set_trailing_metadata(((LOAD_KEY, " ".join(map(str, load))),))
        return pb.JinaInfoProto(jina=version_info(), envs=environment_info())


_NO_FIELDS: dict[str, Any] = {"name": "DryRun", "model": {"title": "DryRun", "type": "object", "properties": {}}}
_DRY_RUN_SCHEMAS: dict[str, Any] = {
    "input": _NO_FIELDS,
    "output": _NO_FIELDS,
    "is_generator": False,
    "is_singleton_doc": False,
    "parameters": {"name": None, "model": None},
}
"""Gateways of Jina 3 look the endpoint of their own check up among the schemas.

They refuse two Executors in a row whose fields there differ, and see none in those of Jina 3's workers.
"""


def _schemas(info: EndpointInfo) -> dict[str, Any]:
    ours = {
        "description": info.description,
        "about": info.about,
        "is_passthrough": info.is_passthrough,
        "is_safe": info.is_safe,
        "is_repeatable": info.is_repeatable,
    }
    return {
        **{name: value for name, value in ours.items() if value},  # unknown to Jina 3
        "input": {"name": info.input_name, "model": _readable(info.input_schema)},
        "output": {"name": info.output_name, "model": _readable(info.output_schema)},
        "is_generator": info.is_generator,
        "is_singleton_doc": info.is_single,
        "parameters": {"name": info.parameters_name, "model": info.parameters_schema},
    }


def _readable(schema: dict[str, Any]) -> Any:
    """The schema as gateways of Jina 3 can read it.

    They build classes from it and recurse without end where a class refers to itself: there the reference becomes
    a plain object. `additionalProperties: true`, which current pydantic writes for every `dict`, is left out,
    since it is the default (JSON Schema 2020-12, 10.3.2.3).
    """
    return _without_recursion(schema, {f"#/$defs/{schema.get('title')}"})


def _without_recursion(schema: Any, inside: set[str]) -> Any:
    if isinstance(schema, list):
        return [_without_recursion(item, inside) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$ref") in inside:
        return {"type": "object"}
    return {
        key: {name: _without_recursion(item, inside | {f"#/$defs/{name}"}) for name, item in value.items()}
        if key == "$defs"
        else _without_recursion(value, inside)
        for key, value in schema.items()
        if (key, value) != ("additionalProperties", True)
    }


_SCALER = "/externalscaler.ExternalScaler/"
_OPEN = ("/grpc.health.v1.Health/", _SCALER)
"""What begins the methods for which no key is needed: kubelets and KEDA have none."""
_MOST_STREAMS = 1000
"""Calls of one connection at a time; a client sends further ones when others have ended."""
_HARD_LIMIT = 2**31 - 1
"""The largest message that gRPC can carry, in bytes."""


class GrpcListener:
    """A gRPC server of one port on the running loop.

    `options` are gRPC channel arguments (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html), set
    over ours. `window` is the number of requests of one stream in work at a time, where the client
    does not say.
    """

    def __init__(
        self,
        plan: ListenerPlan,
        gate: Gate,
        options: Mapping[str, Any],
        window: int,
        access: Access | None,
        unread: Unread,
    ) -> None:
        self._plan = plan
        self._gate = gate
        self._options = dict(options)
        self._unread = unread
        self._window = window
        self._access = access
        self._server: aio.Server | None = None

    async def start(self) -> int:
        """Open the port and serve; gives the port. Raises `PortAlreadyUsed` or `ConfigError`."""
        self._server = server = aio.server(options=self._channel_arguments())
        server.add_generic_rpc_handlers([_Table(self._handlers(), self._probes, self._access)])
        port = self._open(server)
        await server.start()
        return port

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those in flight finish within `grace` seconds, cancel the rest."""
        if self._server is not None:
            await self._server.stop(grace)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            **Calls(self._gate, self._window, self._access, self._unread).handlers(),
            **Descriptions(self._gate.service).handlers(),
        }

    def _probes(self) -> dict[str, grpc.RpcMethodHandler]:
        from jina.server.grpc_probes import Health, Reflection
        from jina.server.grpc_scaler import ExternalScaler

        scaling = self._gate.service.scaling
        scaler = {} if scaling is None else ExternalScaler(self._gate, scaling).handlers()
        return {**Health(self._gate).handlers(), **Reflection().handlers(), **scaler}

    def _channel_arguments(self) -> list[tuple[str, Any]]:
        # Up to twice the limit is let in, so that the answer can name the option; see `RequestReader`.
        ours = {
            "grpc.max_concurrent_streams": _MOST_STREAMS,
            "grpc.so_reuseport": int(self._plan.share_port),
            "grpc.max_receive_message_length": min(2 * self._gate.limits.message_size, _HARD_LIMIT),
            "grpc.max_send_message_length": -1,
            "grpc.http2.min_ping_interval_without_data_ms": 5000,
            "grpc.keepalive_permit_without_calls": 1,
            # Dead clients send nothing; clients that connect and then are silent get this time.
            "grpc.keepalive_time_ms": 60_000,
            "grpc.keepalive_timeout_ms": 60_000,
            "grpc.server_handshake_timeout_ms": round(1000 * self._plan.timeout_read) or 120_000,
            # Probing the bandwidth costs a ping a read: about 12 % of the CPU of a small call.
            "grpc.http2.bdp_probe": 0,
        }
        return list({**ours, **self._options}.items())

    def _open(self, server: aio.Server) -> int:
        plan = self._plan
        # gRPC reports a taken port only as "failed to bind", with lines on stderr; the system says why.
        bind(plan).close()
        address = f"{plan.host}:{plan.port}"
        try:
            if plan.tls is not None:
                port = server.add_secure_port(address, grpc_credentials(plan.tls))
            else:
                port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise bind_error(plan, OSError(98, str(error))) from error
        return int(port)


class _Table(grpc.GenericRpcHandler):
    """All methods in one table: gRPC asks each handler it has in turn.

    Those of `probes` are made when one of them is called. Callers without a key are refused before a message is read.
    """

    def __init__(
        self,
        handlers: dict[str, grpc.RpcMethodHandler],
        probes: Callable[[], dict[str, grpc.RpcMethodHandler]],
        access: Access | None = None,
    ) -> None:
        self._handlers = handlers
        self._access = access if access is not None and access.closed else None
        self._probes: Callable[[], dict[str, grpc.RpcMethodHandler]] | None = probes

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if self._access is not None and not method.startswith(_OPEN):
            try:
                metadata = dict(text_of(handler_call_details.invocation_metadata))
                self._access.caller(metadata, "").check_page(method)
            except JinaError as error:
                return refusing(error)
        if self._probes is not None and method.startswith(("/grpc.", _SCALER)):
            self._handlers.update(self._probes())
            self._probes = None
        return self._handlers.get(method)
