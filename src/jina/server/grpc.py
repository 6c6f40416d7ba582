"""One gRPC port over a service: the calls that carry documents, and those that describe it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from jina.codec import pb, status
from jina.codec.messages import Payload, Reply, Request, Route
from jina.config.grpc_options import LARGEST_MESSAGE, server_settings
from jina.errors import BadRequest, ExecutorError, JinaError, Overloaded
from jina.net.auth import Access, Caller
from jina.net.grpc_wire import Code
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
from jina.net.tls import grpc_context, renew
from jina.net.unread import Unread, behind
from jina.plan.plans import ListenerPlan
from jina.server.grpc_protocol import (
    Aborted,
    Call,
    ConnectionSettings,
    GrpcConnection,
    Method,
    Terms,
    end_connections,
)
from jina.server.listening import Listening, listen

if TYPE_CHECKING:
    from jina.server.apis import Api

Methods = dict[str, Method]
Branches = list[tuple[str, Payload]] | None
_COMPRESSIONS = ("gzip", "deflate")
_METADATA_ROOM = 4096
"""Bytes of a serialised status that fit beside other metadata under gRPC's default limit of 8 KiB, in base64."""
_TEXT_ROOM = 1000
"""Bytes of one text in a shortened status."""
_MESSAGE_ROOM = 1800
"""Bytes of the message of a gRPC status, as it is sent: in percent encoding."""


class Calls:
    """The methods of one gRPC listener over one service."""

    def __init__(self, gate: Gate, window: int, access: Access | None) -> None:
        self._gate = gate
        self._name = gate.service.name
        self._most_bytes = gate.limits.unread.each
        self._window = window
        self._access = access
        limits = gate.limits
        self._reader = RequestReader(limits.message_size, limits.parameters, forwards=gate.service.forwards)

    def methods(self) -> Methods:
        """By full method name."""
        return {
            "/jina.JinaSingleDataRequestRPC/process_single_data": Method(self.process_single_data),
            "/jina.JinaDataRequestRPC/process_data": Method(self.process_data),
            "/jina.JinaRPC/Call": Method(self.call, streams=True),
            "/jina.JinaSingleDocumentRequestRPC/stream_doc": Method(self.stream_doc, streams=True),
        }

    def process_single_data(self, data: bytes, call: Call) -> Awaitable[bytes]:
        """Answer one `DataRequestProto`."""
        return self._answer_or_refuse(self._reader.request(data), call, None)

    async def process_data(self, data: bytes, call: Call) -> bytes:
        """Answer a list of requests as one: their documents in a row, the header of the first.

        Jina 3 sends one where branches meet and are not merged; each is known by the Executor it visited last.
        """
        received = self._reader.requests(data)
        joined, _, size = received
        if isinstance(joined, Unusable):
            return await self._answer_or_refuse(received, call, None)
        if not joined:
            raise aborted(BadRequest("the list of requests is empty"))
        message, payload = joined[0]
        branches = None
        if len(joined) > 1:
            branches = [(_last_executor(one), documents) for one, documents in joined]
            payload = self._reader.join([documents for _, documents in joined])
        return await self._answer_or_refuse((message, payload, size), call, branches)

    async def call(self, call: Call) -> None:
        """Answer a stream of requests, several at a time; the client's `__prefetch__` is the window."""
        headers, caller = self._known(call)
        _compress(call, headers)
        deadline = call.deadline

        async def read() -> tuple[Incoming, int] | None:
            data = await call.read()
            return None if data is None else (self._reader.request(data), len(data))

        async def work(received: Incoming, emit: Emit[bytes]) -> None:
            started = time.time()
            try:
                request = self._request(received, headers, deadline, caller)
                answer = write_reply(received[0], request, await self._reply(request), self._name, started)
            except FAILURES as error:  # each becomes an answer
                source = None if isinstance(received[0], Unusable) else received[0]
                failed = write_failure(pb.DataRequestProto(), source, as_jina_error(error), self._name, started)
                answer = _serialised(failed)
            await emit(answer)

        pipeline = Pipeline(
            work,
            call.write,
            window=window_of(headers.get("__prefetch__"), self._window),
            max_bytes=self._most_bytes,
            in_order=headers.get("__results_in_order__", "").lower() == "true",
            waiting=call.waiting,
        )
        await pipeline.run(read)

    async def stream_doc(self, call: Call) -> None:
        """Answer one document with a stream of documents, a message each."""
        started = time.time()
        data = await call.read()
        if data is None:
            raise aborted(BadRequest("the call has no message, and its method takes one"))
        received = self._reader.document(data)
        try:
            await self._stream(received, call)
        except FAILURES as error:  # each becomes an answer
            failed = as_jina_error(error)
            refused = self._refuse(pb.SingleDocumentRequestProto(), received[0], failed, call, started)
            await call.write(_serialised(refused))

    async def _stream(self, received: Incoming, call: Call) -> None:
        headers, caller = self._known(call)
        _compress(call, headers)
        request = self._request(received, headers, call.deadline, caller)
        message = received[0]
        writer = DocumentWriter(message, request)
        waiting = call.waiting
        async with aclosing(self._gate.stream(request)) as replies:
            async for reply in replies:
                for response in writer.messages(reply):
                    size = len(response)
                    waiting.add(size)
                    waiting.reserve(behind(size))
                    try:
                        await call.write(response)
                    finally:
                        waiting.reserve(-behind(size))
                        waiting.take(size)

    async def _answer_or_refuse(self, received: Incoming, call: Call, branches: Branches) -> bytes:
        started = time.time()
        try:
            headers, caller = self._known(call)
            if COMPRESSION_KEY in headers:
                _compress(call, headers)
            waiting = call.waiting
            if waiting.held and waiting.full:
                await waiting.room()
            request = self._request(received, headers, call.deadline, caller)
            request.branches = branches
            reply = await self._reply(request)
            return write_reply(received[0], request, reply, self._name, started)
        except FAILURES as error:  # each becomes an answer
            failed = self._refuse(pb.DataRequestProto(), received[0], as_jina_error(error), call, started)
            return _serialised(failed)

    def _known(self, call: Call) -> tuple[Mapping[str, str], Caller | None]:
        """The headers of a call, and who it is that calls; of a key only its name stands in the headers then."""
        if self._access is None:
            return call.headers, None
        headers = dict(call.headers)
        return headers, self._access.caller(headers, call.address)

    def _request(
        self, received: Incoming, headers: Mapping[str, str], deadline: float | None, caller: Caller | None
    ) -> Request:
        if caller is not None:
            caller.take()
        message, payload, _ = received
        if isinstance(message, Unusable):
            raise message.error
        request = read_request(message, payload, headers, deadline)
        if caller is not None:
            caller.check(request.endpoint)
        return request

    def _reply(self, request: Request) -> Coroutine[Any, Any, Reply]:
        return self._gate.call(request) if request.endpoint != DRY_RUN else self._tried(request)

    async def _tried(self, request: Request) -> Reply:
        """The answer to a request that is not worked on."""
        started = time.time()
        asked = await self._gate.service.ready()
        return Reply(request.payload, routes=[Route(self._name, started, time.time()), *asked])

    def _refuse(self, into: Any, message: Any, error: JinaError, call: Call, started: float) -> Any:
        if not isinstance(error, ExecutorError):
            raise aborted(error)
        call.trailing.append(("is-error", "true"))
        source = None if isinstance(message, Unusable) else message
        return write_failure(into, source, error, self._name, started)


def _compress(call: Call, headers: Mapping[str, str]) -> None:
    """Compress the replies of a call as its client asks; an unknown word is ignored."""
    asked = headers.get(COMPRESSION_KEY)
    if asked in _COMPRESSIONS:
        call.compress(asked)


def _last_executor(message: Any) -> str:
    return message.routes[-1].executor if message.routes else ""


def _serialised(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def aborted(error: JinaError) -> Aborted:
    """What ends a call with the error's gRPC status.

    A status carries no message, so the error also travels as a serialised `StatusProto` in the trailing
    metadata `jina-status-bin`, from which our client rebuilds the class.
    """
    trailing: list[tuple[str, str | bytes]] = [("is-error", "true"), ("jina-status-bin", status_bytes(error))]
    if isinstance(error, Overloaded):
        trailing.append((PUSHBACK_KEY, str(max(1, round(error.retry_after * 1000)))))
    return Aborted(Code(error.grpc_code), _message_of(error), trailing)


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


class Descriptions:
    """Methods that answer from what the service says of itself."""

    def __init__(self, service: LocalService) -> None:
        self._service = service

    def methods(self) -> Methods:
        """By full method name."""
        return {
            "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": Method(self.endpoint_discovery),
            "/jina.JinaGatewayDryRunRPC/dry_run": Method(self.dry_run),
            "/jina.JinaInfoRPC/_status": Method(self.status),
        }

    async def endpoint_discovery(self, _request: bytes, _call: Call) -> bytes:
        """The endpoints with their schemas."""
        endpoints = self._service.endpoints
        message = pb.EndpointsProto()
        message.endpoints.extend([*endpoints, DRY_RUN])
        message.write_endpoints.extend(path for path, info in endpoints.items() if info.is_write)
        message.schemas.update(
            {DRY_RUN: _DRY_RUN_SCHEMAS, **{path: _schemas(info) for path, info in endpoints.items()}}
        )
        return _serialised(message)

    async def dry_run(self, _request: bytes, _call: Call) -> bytes:
        """A status; its code is ERROR when a request would fail."""
        message = pb.StatusProto()
        try:
            await self._service.ready()
        except Exception as error:  # noqa: BLE001 - the answer carries it
            status.write_error(as_jina_error(error), message)
        return _serialised(message)

    async def status(self, _request: bytes, call: Call) -> bytes:
        """Versions and the settings in the environment; how busy it is, for gateways, at the end."""
        load = self._service.load
        if load is not None:
            call.trailing.append((LOAD_KEY, " ".join(map(str, load))))
        return _serialised(pb.JinaInfoProto(jina=version_info(), envs=environment_info()))


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
        "executor": info.executor,
        "is_passthrough": info.is_passthrough,
        "is_safe": info.is_safe,
        "methods": list(info.methods),
        "is_repeatable": info.is_repeatable,
        "answers": info.answers,
        "input_is_value": info.input_is_value,
        "output_is_value": info.output_is_value,
        "offer": dict(info.offer or {}),
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
_BACKLOG = 2048


class GrpcListener:
    """A gRPC server of one port on the running loop.

    `options` are gRPC channel arguments, see `jina.config.grpc_options`. `window` is the number of requests of one
    stream in work at a time, where the client does not say.
    """

    def __init__(
        self,
        plan: ListenerPlan,
        gate: Gate,
        options: Mapping[str, Any],
        window: int,
        access: Access | None,
        unread: Unread,
        apis: Sequence[Api] = (),
    ) -> None:
        self._plan = plan
        self._gate = gate
        self._access = access if access is not None and access.closed else None
        self._methods: Methods = {
            **Calls(gate, window, access).methods(),
            **Descriptions(gate.service).methods(),
        }
        for api in apis:
            self._methods.update(api.grpc_methods())
        self._has_probes = False
        self._connections: set[GrpcConnection] = set()
        # Up to twice the limit is let in, so that the answer can name the option; see `RequestReader`.
        ours = {"message": min(2 * gate.limits.message_size, LARGEST_MESSAGE), "arrival": plan.timeout_read}
        settings = ConnectionSettings(**{**ours, **server_settings(options)})
        self._terms = Terms(self._found, aborted, settings, unread, self._connections)
        self.socket: socket.socket | None = None
        """The one that listens."""
        self._listening: Listening | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open the port and serve; gives the port. Raises `PortAlreadyUsed` or `ConfigError`."""
        plan = self._plan
        context = grpc_context(plan.tls) if plan.tls is not None else None
        self.socket = sock = bind(plan)
        port: int = sock.getsockname()[1]
        try:
            self._listening = await listen(sock, lambda: GrpcConnection(self._terms), context, _BACKLOG)
        except OSError as error:  # another process that was bound to the port as well began to listen first
            sock.close()
            raise bind_error(plan, error) from error
        if plan.tls is not None and context is not None:
            self._renewing = asyncio.create_task(renew(plan.tls, context))
        return port

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those in flight finish within `grace` seconds, cancel the rest."""
        if self._renewing is not None:
            self._renewing.cancel()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
            await end_connections(self._connections, grace)

    def _found(self, call: Call) -> Method | None:
        """The method of a call. Callers without a key are refused before a message is read.

        Those of health, reflection and scaling are made when one of them is called.
        """
        path = call.path
        if self._access is not None and not path.startswith(_OPEN):
            self._access.caller(dict(call.headers), "").check_page(path)
        if not self._has_probes and path.startswith(("/grpc.", _SCALER)):
            self._has_probes = True
            self._methods.update(self._probes())
        return self._methods.get(path)

    def _probes(self) -> Methods:
        from jina.server.grpc_probes import Health, Reflection
        from jina.server.grpc_scaler import ExternalScaler

        scaling = self._gate.service.scaling
        scaler = {} if scaling is None else ExternalScaler(self._gate, scaling).methods()
        return {**Health(self._gate).methods(), **Reflection().methods(), **scaler}
