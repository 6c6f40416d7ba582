"""How a gateway's own code calls the Executors behind it: documents are objects here."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from jina.client.client import AsyncClient
from jina.codec import parameters as wire_parameters
from jina.codec import pb
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import documents_in, field_head
from jina.errors import DeadlineExceeded, JinaError, NotSupportedError, Unavailable, UsageError, nearest
from jina.net.channel import CallOptions, ChannelSettings, Target
from jina.net.messages import (
    Emit,
    Pipeline,
    RequestReader,
    Unusable,
    add_route,
    read_request,
    write_failure,
    write_reply,
)

if TYPE_CHECKING:
    from jina.gateway.service import GatewayService
    from jina.net.service import Service
    from jina.plan.plans import GatewayPlan


class _NoPorts:
    def port(self) -> NoReturn:
        raise AssertionError("a streamer has no port")


def plan_of(options: Mapping[str, Any]) -> GatewayPlan:
    """The graph that the options of a gateway describe, without a listener; raises `ConfigError` with the reason."""
    from msgspec.structs import replace

    from jina.config import GatewaySpec, parse
    from jina.plan.gateway import plan_gateway

    given = {name: value for name, value in options.items() if value is not None}
    spec = parse(GatewaySpec, {**given, "port": 1}, "GatewayStreamer")
    return replace(plan_gateway(spec, None, _NoPorts()), listeners=[])


T = TypeVar("T")
P = ParamSpec("P")
REQUEST_ID = "x-request-id"
"""The header with the id that requests are sent with."""
_NO_WINDOW = 2**31
_ANY_SIZE = 2**31
"""The limits of the server that a gateway runs by itself are its own."""
_HERE = Target("inprocess", "localhost", 0)


class LazyService:
    """What answers, the whole graph or one Deployment, and its loop: known once the gateway is connected to its
    Executors.

    `ensure_started` connects it at the first request, unless a gateway process has done so.
    """

    def __init__(self, ensure_started: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._ensure_started = ensure_started
        self.loop: AbstractEventLoop | None = None
        self.service: Service | None = None

    def begin(self, service: Service, loop: AbstractEventLoop) -> None:
        """From now on requests are welcome."""
        self.service, self.loop = service, loop

    async def both(self) -> tuple[Service, AbstractEventLoop]:
        """Raises `Unavailable` before the gateway has started."""
        if self.service is None and self._ensure_started is not None:
            await self._ensure_started()
        if self.service is None or self.loop is None:
            raise Unavailable(
                "this gateway is not connected to its Executors yet",
                help="call them from setup_server on, not in __init__",
            )
        return self.service, self.loop


class ServiceClient(AsyncClient):
    """A client of an answerer in this process; it may be used on any loop. No socket is involved."""

    protocol = "http"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    """As which it behaves: several requests of one call are sent at once."""

    def __init__(self, lazy: LazyService, prefetch: int) -> None:
        super().__init__(_HERE, ChannelSettings(), prefetch)
        self._lazy = lazy

    def _new_channel(self) -> ServiceChannel:
        return ServiceChannel(self._lazy)

    def __repr__(self) -> str:
        return "<ServiceClient of this gateway>"


class ServiceChannel:
    """See `jina.net.channel.Channel`."""

    def __init__(self, lazy: LazyService) -> None:
        self._lazy = lazy

    async def call(self, request: Request, options: CallOptions) -> ReplyAnswer:
        """Raises the failure."""
        service, loop = await self._lazy.both()
        if asyncio.get_running_loop() is loop:
            return await _answer(service, request, options)
        return await _elsewhere(_answer(service, request, options), loop)

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[_Document]:
        """One by one; closing this closes the generator of the Executor."""
        service, loop = await self._lazy.both()
        replies = service.stream(_with_options(request, options))
        if asyncio.get_running_loop() is loop:
            async with aclosing(replies) as found:
                async for reply in found:
                    for one in _one_by_one(reply.payload):
                        yield one
            return
        try:
            while (following := await _elsewhere(_next(replies), loop)) is not None:
                for one in _one_by_one(following.payload):
                    yield one
        finally:
            await _elsewhere(replies.aclose(), loop)

    async def ready(self, options: CallOptions) -> None:  # noqa: ARG002 - nothing to connect to
        """Raise unless a request would be served."""
        service, loop = await self._lazy.both()
        await _elsewhere(service.ready(), loop)

    async def close(self, *, abruptly: bool = False) -> None:
        """Nothing is open."""


class ProtoServicer:
    """`JinaRPC` and `JinaSingleDataRequestRPC` for gateways that run a gRPC server of their own.

    For `add_JinaRPCServicer_to_server` and `add_JinaSingleDataRequestRPCServicer_to_server` of
    `jina.proto.jina_pb2_grpc`, on a server of `grpc.aio`.
    """

    def __init__(self, lazy: LazyService, name: str, window: int) -> None:
        self._lazy = lazy
        self._name = name
        self._window = window or _NO_WINDOW
        self._reader = RequestReader(_ANY_SIZE, _ANY_SIZE, forwards=True)

    async def process_single_data(self, request: Any, context: Any) -> bytes:
        """The answer to one message, serialised; a failure is in its status."""
        started = time.time()
        message, payload, _ = self._reader.request(getattr(request, "proto", request).SerializeToString())
        try:
            if isinstance(message, Unusable):
                raise message.error
            headers = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
            left = context.time_remaining()
            deadline = None if left is None else time.monotonic() + left
            asked = read_request(message, payload, headers, deadline)
            service, loop = await self._lazy.both()
            reply = await _elsewhere(service.call(asked), loop)
            return write_reply(message, asked, reply, self._name, started)
        except JinaError as error:
            source = None if isinstance(message, Unusable) else message
            failed: bytes = write_failure(pb.DataRequestProto(), source, error, self._name, started).SerializeToString()
            return failed

    async def Call(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802 - of the service
        """Answer the messages of a stream as they come, as many at a time as the gateway's `prefetch` says."""

        async def read() -> tuple[Any, int] | None:
            request = await anext(requests, None)
            return None if request is None else (request, 0)

        async def work(request: Any, emit: Emit[bytes]) -> None:
            await emit(await self.process_single_data(request, context))

        requests = aiter(requests)
        await Pipeline(work, context.write, window=self._window, max_bytes=_ANY_SIZE).run(read)


class ReplyAnswer:
    """See `jina.net.channel.Answer`; the message is made only when it is asked for."""

    error: JinaError | None = None
    headers: Mapping[str, str] = {}
    """None: writes of a gateway are known by the ids of the requests that it answers, which their senders repeat."""

    def __init__(self, request_id: str, request: Request, reply: Reply) -> None:
        self.request_id = request_id
        """By which the client knows it."""
        self._request = request
        self._reply = reply

    @property
    def payload(self) -> Payload:
        """The documents, undecoded."""
        return self._reply.payload

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters."""
        return self._reply.parameters

    @cached_property
    def message(self) -> Any:
        """The answer as a `jina.DataRequestProto`."""
        message = pb.DataRequestProto()
        header = message.header
        header.request_id, header.exec_endpoint = self._request.request_id, self._request.endpoint
        header.target_executor = self._request.target_executor
        wire_parameters.write(self._reply.parameters, message)
        for visited in self._reply.routes:
            add_route(message, visited.executor, visited.start_time, visited.end_time)
        self._reply.payload.write_proto(message.data.docs)
        return message


class _Document:
    """One document of a stream, as the bytes of a `DocProto`."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        data = bytes(self._data)
        return BytesPayload(field_head(1, len(data)) + data).decode(codec)[0]


def _one_by_one(payload: Payload) -> list[_Document]:
    return [_Document(data) for data in documents_in(payload.to_bytes())]


async def _answer(service: Service, request: Request, options: CallOptions) -> ReplyAnswer:
    served = _with_options(request, options)
    limit = asyncio.timeout(options.timeout)
    try:
        async with limit:
            return ReplyAnswer(request.request_id, served, await service.call(served))
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"{request.endpoint} did not answer within {options.timeout} s") from None


def _with_options(request: Request, options: CallOptions) -> Request:
    """The request as an Executor gets it: its documents are bytes from here on."""
    if options.compression is not None or options.credentials is not None:
        raise NotSupportedError(
            "compression and credentials belong to a connection; a gateway calls its own graph", help="leave them out"
        )
    options.refuse_extra()
    headers = {name: value for name, value in options.metadata if isinstance(value, str)}
    return Request(
        request.endpoint,
        BytesPayload(request.payload.to_bytes()),
        request.parameters,
        headers.get(REQUEST_ID) or request.request_id,
        request.target_executor,
        headers,
        None if options.timeout is None else time.monotonic() + options.timeout,
    )


async def _next(replies: AsyncGenerator[Reply]) -> Reply | None:
    return await anext(replies, None)


async def _elsewhere(work: Coroutine[Any, Any, T], loop: AbstractEventLoop) -> T:
    """The result of a coroutine that runs on another loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


_WINDOW = 1000


class ExecutorCaller:
    """One Executor of the graph, called by itself: `await gateway.executor['name'].post(on='/', inputs=docs)`."""

    def __init__(self, name: str, lazy: LazyService) -> None:
        self.name = name
        self._client = ServiceClient(lazy, _WINDOW)

    async def post(
        self,
        inputs: Any = None,
        request_size: int = 100,
        on: str = "/",
        parameters: Any = None,
        return_type: Any = None,
        **kwargs: Any,
    ) -> Any:
        """All documents that the Executor gives, as a DocList in the order of the inputs.

        `return_type` is `DocList[MyDoc]`, `MyDoc`, or None for schemaless documents. Raises what the Executor
        raised (`ExecutorError`), `EndpointNotFound`, `Unavailable`.
        """
        return await self._client.post(
            on,
            inputs,
            request_size=request_size,
            parameters=parameters,
            return_type=return_type,
            results_in_order=True,
            **kwargs,
        )

    async def stream_doc(
        self, inputs: Any, on: str = "/", parameters: Any = None, return_type: Any = None, **kwargs: Any
    ) -> AsyncGenerator[Any]:
        """The documents that a generator endpoint yields for one document, as they come."""
        documents = self._client.stream_doc(on, inputs, parameters=parameters, return_type=return_type, **kwargs)
        async with aclosing(documents):
            async for document in documents:
                yield document


class ExecutorCallers(Mapping[str, ExecutorCaller]):
    """The Executors of a graph by name."""

    def __init__(self, services: Mapping[str, LazyService]) -> None:
        self._callers = {name: ExecutorCaller(name, lazy) for name, lazy in services.items()}

    def __getitem__(self, name: str) -> ExecutorCaller:
        if name not in self._callers:
            near = nearest(str(name), self._callers)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self._callers) or 'none'}"
            raise KeyError(f"no Executor {name!r} behind this gateway; {hint}")
        return self._callers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._callers)

    def __len__(self) -> int:
        return len(self._callers)


def _without_failures(
    stream: Callable[P, AsyncGenerator[tuple[Any, JinaError | None]]],
) -> Callable[P, AsyncGenerator[Any]]:
    async def stream_docs(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any]:
        """The documents of each request as a DocList, as they come; raises the first failure.

        With `return_results` whole responses with `docs`, `parameters` and `routes`.
        """
        async with aclosing(stream(*args, **kwargs)) as found:
            async for result, error in found:
                if error is not None:
                    raise error
                yield result

    vars(stream_docs)["__signature__"] = inspect.signature(stream)
    return stream_docs


class GatewayStreamer:
    """Sends documents through a graph of Executors.

    In a gateway class it is `self.streamer`, anywhere else in a gateway's process `GatewayStreamer.get_streamer()`.
    One made by hand connects to the addresses when it is first used, on the loop of that first use, and needs
    `await streamer.close()`. `graph_representation` is `{"start-gateway": ["a"], "a": ["end-gateway"]}`,
    `executor_addresses` `{"a": ["grpc://127.0.0.1:1234"]}`; `timeout_send` is in seconds, as in Jina 3.
    """

    _current: ClassVar[GatewayStreamer | None] = None

    def __init__(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        graph_representation: Mapping[str, Any],
        executor_addresses: Mapping[str, Any],
        graph_conditions: Mapping[str, Any] | None = None,
        deployments_metadata: Mapping[str, Mapping[str, str]] | None = None,
        deployments_no_reduce: Sequence[str] | None = None,
        timeout_send: float | None = None,
        retries: int = 0,
        compression: str | None = None,
        runtime_name: str = "custom gateway",
        prefetch: int = 0,
        logger: Any = None,
        metrics_registry: Any = None,
        meter: Any = None,
        aio_tracing_client_interceptors: Any = None,
        tracing_client_interceptor: Any = None,
        grpc_channel_options: Any = None,
    ) -> None:

        del logger, metrics_registry, meter, aio_tracing_client_interceptors, tracing_client_interceptor
        plan = plan_of(
            {
                "name": runtime_name,
                "graph_description": dict(graph_representation),
                "deployments_addresses": dict(executor_addresses),
                "graph_conditions": dict(graph_conditions or {}),
                "deployments_metadata": dict(deployments_metadata or {}),
                "deployments_no_reduce": list(deployments_no_reduce or []),
                "timeout_send": None if timeout_send is None else round(timeout_send * 1000),
                "retries": retries,
                "compression": compression,
                "grpc_channel_options": dict(grpc_channel_options or {}) or None,
            }
        )
        self._connection: _Connection | None = _Connection(plan, self)
        self._prepare(plan, prefetch, self._connection.open)

    @classmethod
    def of_gateway(cls, plan: GatewayPlan) -> GatewayStreamer:
        """That of a gateway process, which calls `begin` when its Executors are connected."""
        self = cls.__new__(cls)
        self._connection = None
        self._prepare(plan, plan.prefetch)
        return self

    def _prepare(
        self, plan: GatewayPlan, prefetch: int, ensure_started: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        self._lazy = {node.name: LazyService(ensure_started) for node in plan.graph.nodes if node.upstreams}
        self._whole = LazyService(ensure_started)
        self._own = (plan.name, prefetch)
        self._client = ServiceClient(self._whole, prefetch)
        self.executor = ExecutorCallers(self._lazy)
        """The Executors of the graph, each to be called by itself."""

    @functools.cached_property
    def _streamer(self) -> ProtoServicer:
        """What Jina 3's gateways give to the functions of `jina.proto.jina_pb2_grpc`."""
        return ProtoServicer(self._whole, *self._own)

    def begin(self, service: GatewayService, loop: AbstractEventLoop) -> None:
        """`service` is connected to its Executors; requests run on `loop`."""
        self._whole.begin(service, loop)
        for name, lazy in self._lazy.items():
            lazy.begin(service.steps[name], loop)

    async def stream(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        docs: Any,
        request_size: int = 100,
        return_results: bool = False,
        exec_endpoint: str | None = None,
        target_executor: str | None = None,
        parameters: Any = None,
        results_in_order: bool = False,
        request_id: str | None = None,
        return_type: Any = None,
    ) -> AsyncGenerator[tuple[Any, JinaError | None]]:
        """For each request its documents and None, or the failure: (documents, error)."""
        calls = self._client.post(
            exec_endpoint or "/",
            docs,
            parameters=parameters,
            target_executor=target_executor,
            request_size=request_size,
            results_in_order=results_in_order,
            return_type=return_type,
            return_responses=True,
            on_error=_ignore,
            headers={REQUEST_ID: request_id} if request_id else None,
        )
        async with aclosing(calls):
            async for response in calls:
                yield (response if return_results else response.docs), response.error

    stream_docs = _without_failures(stream)

    async def stream_doc(
        self,
        doc: Any,
        return_results: bool = False,
        exec_endpoint: str | None = None,
        target_executor: str | None = None,
        parameters: Any = None,
        request_id: str | None = None,
        return_type: Any = None,
    ) -> AsyncGenerator[tuple[Any, JinaError | None]]:
        """What generators yield for one document, as it comes: (document, None); a failure ends it: (None, error)."""
        del return_results
        documents = self._client.stream_doc(
            exec_endpoint or "/",
            doc,
            parameters=parameters,
            return_type=return_type,
            target_executor=target_executor,
            headers={REQUEST_ID: request_id} if request_id else None,
        )
        async with aclosing(documents):
            try:
                async for document in documents:
                    yield document, None
            except JinaError as error:
                yield None, error

    async def close(self) -> None:
        """Give up the connections of a streamer that was made by hand."""
        if self._connection is not None:
            await self._connection.close()

    @classmethod
    def get_streamer(cls) -> GatewayStreamer:
        """That of the gateway which runs in this process; raises `UsageError` where none does."""
        if cls._current is None:
            raise UsageError("get_streamer: no gateway runs in this process")
        return cls._current

    @staticmethod
    def make_current(streamer: GatewayStreamer | None) -> None:
        """Make `get_streamer` return this one."""
        GatewayStreamer._current = streamer


class _Connection:
    """What a streamer that was made by hand opens."""

    def __init__(self, plan: GatewayPlan, streamer: GatewayStreamer) -> None:
        self._plan = plan
        self._streamer = streamer
        self._upstreams: Any = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect to the Executors, once."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        if not self._opening.done():
            await asyncio.shield(self._opening)
        self._opening.result()

    async def _open(self) -> None:
        from jina.gateway.links import UpstreamConnector
        from jina.gateway.service import GatewayService
        from jina.runtime.process import LinkInbox

        self._upstreams = UpstreamConnector(self._plan, LinkInbox(), lambda _: None)
        service = GatewayService(self._plan, {})
        await self._upstreams.connect(service)
        self._streamer.begin(service, asyncio.get_running_loop())

    async def close(self) -> None:
        """Give up the connections."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        if self._upstreams is not None:
            await self._upstreams.close()


def _ignore(response: Any) -> None:
    """The failure is in the response."""
