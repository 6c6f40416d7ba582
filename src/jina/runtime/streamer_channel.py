"""What a gateway's own code calls through: the graph, or one Executor of it, on the loop of the gateway."""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jina.client.async_client import AsyncClient
from jina.errors import DeadlineExceeded, JinaError, NotSupportedError, Unavailable
from jina.transport.base_channel import CallOptions, ChannelSettings, Target
from jina.transport.server_intake import Intake, Unusable
from jina.transport.server_messages import add_route, read_request, write_failure, write_reply
from jina.wire import parameters as wire_parameters
from jina.wire import pb
from jina.wire.messages import Payload, Reply, Request
from jina.wire.payloads import BytesPayload
from jina.wire.slicing import documents_in
from jina.wire.splicing import field_head

if TYPE_CHECKING:
    from jina.runtime.gateway_replicas import Replicas
    from jina.runtime.gateway_shards import Shards

T = TypeVar("T")

REQUEST_ID = "x-request-id"
"""The header with the id that requests shall have on their way."""

_NO_WINDOW = 2**31
_ANY_SIZE = 2**31
"""The limits of the server that a gateway runs by itself are its own."""
_HERE = Target("inprocess", "localhost", 0)


class Answerer(Protocol):
    """What answers: a gateway's service, or the replicas of one Executor."""

    async def call(self, request: Request) -> Reply:
        """The reply; raises a `JinaError`."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """The replies of a generator endpoint."""
        ...

    async def ready(self) -> None:
        """Raise a `JinaError` unless a request would be served."""
        ...


class Meeting:
    """The answerer and its loop, which are known once the gateway has met its Executors.

    `meet` sees to that at the first request, where nobody else does.
    """

    def __init__(self, meet: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._meet = meet
        self.loop: AbstractEventLoop | None = None
        self.answerer: Answerer | None = None

    def begin(self, answerer: Answerer, loop: AbstractEventLoop) -> None:
        """From now on requests are welcome."""
        self.answerer, self.loop = answerer, loop

    async def both(self) -> tuple[Answerer, AbstractEventLoop]:
        """Raises `Unavailable` before the gateway has started."""
        if self.answerer is None and self._meet is not None:
            await self._meet()
        if self.answerer is None or self.loop is None:
            raise Unavailable(
                "this gateway has not met its Executors yet", help="call them from setup_server on, not in __init__"
            )
        return self.answerer, self.loop


class ReplicasAnswerer:
    """One Executor, without the graph around it."""

    def __init__(self, replicas: Replicas | Shards) -> None:
        self._replicas = replicas

    async def call(self, request: Request) -> Reply:
        """See `Answerer`."""
        return await self._replicas.call(request)

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Answerer`."""
        return self._replicas.stream(request)

    async def ready(self) -> None:
        """See `Answerer`."""
        await self._replicas.ready()


class ServiceClient(AsyncClient):
    """A client of an answerer in this process; it may be used on any loop. No socket is involved."""

    protocol = "http"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    """As which it behaves: several requests of one call are sent at once."""

    def __init__(self, meeting: Meeting, prefetch: int) -> None:
        super().__init__(_HERE, ChannelSettings(), prefetch)
        self._meeting = meeting

    def _new_channel(self) -> ServiceChannel:
        return ServiceChannel(self._meeting)

    def __repr__(self) -> str:
        return "<ServiceClient of this gateway>"


class ServiceChannel:
    """See `jina.transport.base_channel.AsyncChannel`."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting

    async def call(self, request: Request, options: CallOptions) -> ReplyAnswer:
        """Raises the failure."""
        answerer, loop = await self._meeting.both()
        if asyncio.get_running_loop() is loop:
            return await _answer(answerer, request, options)
        return await _elsewhere(_answer(answerer, request, options), loop)

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[_Document]:
        """One by one; closing this closes the generator of the Executor."""
        answerer, loop = await self._meeting.both()
        replies: Any = answerer.stream(_with_options(request, options))
        here = asyncio.get_running_loop() is loop
        if here:
            async with aclosing(replies) as found:
                async for reply in found:
                    for one in _one_by_one(reply.payload):
                        yield one
            return
        try:
            while (reply := await _elsewhere(_next(replies), loop)) is not None:
                for one in _one_by_one(reply.payload):
                    yield one
        finally:
            await _elsewhere(replies.aclose(), loop)

    async def ready(self, options: CallOptions) -> None:  # noqa: ARG002 - nothing to connect to
        """Raise unless a request would be served."""
        answerer, loop = await self._meeting.both()
        await _elsewhere(answerer.ready(), loop)

    async def close(self, *, abruptly: bool = False) -> None:
        """Nothing is open."""


class ProtoServicer:
    """`JinaRPC` and `JinaSingleDataRequestRPC` for gateways that run a gRPC server of their own.

    For `add_JinaRPCServicer_to_server` and `add_JinaSingleDataRequestRPCServicer_to_server` of
    `jina.proto.jina_pb2_grpc`, on a server of `grpc.aio`.
    """

    def __init__(self, meeting: Meeting, name: str, window: int) -> None:
        self._meeting = meeting
        self._name = name
        self._window = window or _NO_WINDOW
        self._intake = Intake(_ANY_SIZE, _ANY_SIZE, forwards=True)

    async def process_single_data(self, request: Any, context: Any) -> bytes:
        """The answer to one message, serialised; a failure is in its status."""
        started = time.time()
        message, payload, _ = self._intake.request(getattr(request, "proto", request).SerializeToString())
        try:
            if isinstance(message, Unusable):
                raise message.error
            headers = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
            left = context.time_remaining()
            deadline = None if left is None else time.monotonic() + left
            asked = read_request(message, payload, headers, deadline)
            answerer, loop = await self._meeting.both()
            reply = await _elsewhere(answerer.call(asked), loop)
            return write_reply(message, asked, reply, self._name, started)
        except JinaError as error:
            source = None if isinstance(message, Unusable) else message
            failed: bytes = write_failure(pb.DataRequestProto(), source, error, self._name, started).SerializeToString()
            return failed

    async def Call(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[bytes]:  # noqa: N802 - of the service
        """The answers to the messages of a stream, as they come, so many at a time as the gateway's `prefetch` says."""
        answers: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        room = asyncio.Semaphore(self._window)
        running: set[asyncio.Task[None]] = set()

        async def answer(request: Any) -> None:
            try:
                answers.put_nowait(await self.process_single_data(request, context))
            finally:
                room.release()

        async def read() -> None:
            try:
                async for request in requests:
                    await room.acquire()
                    running.add(task := asyncio.create_task(answer(request)))
                    task.add_done_callback(running.discard)
                await asyncio.gather(*running)
                answers.put_nowait(None)
            except Exception as error:  # noqa: BLE001 - raised where the answers are read
                answers.put_nowait(error)

        reading = asyncio.create_task(read())
        try:
            while (found := await answers.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            for task in (reading, *running):
                task.cancel()


class ReplyAnswer:
    """See `jina.transport.base_channel.Answer`; the message is made only when it is asked for."""

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


async def _answer(answerer: Answerer, request: Request, options: CallOptions) -> ReplyAnswer:
    served = _with_options(request, options)
    limit = asyncio.timeout(options.timeout)
    try:
        async with limit:
            return ReplyAnswer(request.request_id, served, await answerer.call(served))
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


async def _next(replies: AsyncIterator[Reply]) -> Reply | None:
    return await anext(replies, None)


async def _elsewhere(work: Coroutine[Any, Any, T], loop: AbstractEventLoop) -> T:
    """The result of a coroutine that runs on another loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
