"""Clients of a service in this very process: every message crosses as bytes, as it would over gRPC, but no socket."""

from __future__ import annotations

import asyncio
import queue
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from jina.client.client import AsyncClient, SyncClient
from jina.client.loops import BLOCKING, ON_LOOP, Waits
from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.errors import DeadlineExceeded, ExecutorError, JinaError, NotSupportedError
from jina.net.channel import (
    Answer,
    CallOptions,
    ChannelSettings,
    ProtoAnswer,
    Target,
    document_request_message,
    request_message,
)
from jina.net.messages import read_request, write_failure, write_reply

if TYPE_CHECKING:
    from jina.net.service import Service

T = TypeVar("T")
_HERE = Target("inprocess", "localhost", 0)
_LARGEST_WINDOW = 100
"""Requests of one call in work at once: each is a task on a loop that this program shares with all Executors."""


class ServiceChannel:
    """The service, asked on its own loop; requests and replies are written and read as a gRPC listener does.

    In blocking code it may be used on any thread but the service's own, on loops on any.
    """

    def __init__(self, service: Service, loop: AbstractEventLoop, waits: Waits) -> None:
        self._service = service
        self._loop = loop
        self._waits = waits

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """See `Channel`."""
        return await self._there(self._answer(request, options))

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[_Document]:
        """See `Channel`."""
        groups = self._documents(request, options)
        try:
            while (group := await self._there(_next(groups))) is not None:
                for document in group:
                    yield document
        finally:
            await self._there(_close(groups))

    async def ready(self, options: CallOptions) -> None:  # noqa: ARG002 - nothing to connect to
        """See `Channel`."""
        await self._there(self._service.ready())

    async def close(self, *, abruptly: bool = False) -> None:
        """Nothing is open."""

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._waits.result(self.submit(work))

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _answer(self, request: Request, options: CallOptions) -> Answer:
        """The answer; a handler's exception in it, an error of the request itself raised."""
        message = request_message(request)
        began = time.time()
        served = self._read(message, message.data.docs.SerializeToString(), options)
        name = self._service.name
        limit = asyncio.timeout(options.timeout)
        try:
            async with limit:
                reply = await self._service.call(served)
            data = write_reply(message, served, reply, name, began)
        except (JinaError, TimeoutError) as error:
            if limit.expired():
                raise DeadlineExceeded(f"{request.endpoint} did not answer within {options.timeout} s") from None
            if not isinstance(error, JinaError):
                raise
            failed = ProtoAnswer(write_failure(pb.DataRequestProto(), message, error, name, began))
            if isinstance(error, ExecutorError):
                return failed
            raise failed.error or error from None
        return ProtoAnswer(pb.DataRequestProto.FromString(data))

    async def _documents(self, request: Request, options: CallOptions) -> AsyncGenerator[list[_Document]]:
        """The documents of a stream, in the groups in which they are ready."""
        message = document_request_message(request)
        docs = pb.DocListProto()
        docs.docs.append(message.document)
        replies: Any = self._service.stream(self._read(message, docs.SerializeToString(), options))
        try:
            async for reply in replies:
                yield [_Document(doc) for doc in BytesPayload(reply.payload.to_bytes()).parsed().message.docs]
        except JinaError as error:
            raise ProtoAnswer(write_failure(pb.DataRequestProto(), None, error, "", 0.0)).error or error from None
        finally:
            await replies.aclose()

    def _read(self, message: Any, documents: bytes, options: CallOptions) -> Request:
        if options.compression is not None or options.credentials is not None:
            raise NotSupportedError(
                "compression and credentials belong to a connection; in process there is none", help="leave them out"
            )
        options.refuse_extra()
        headers = {name: value for name, value in options.metadata if isinstance(value, str)}
        deadline = None if options.timeout is None else time.monotonic() + options.timeout
        return read_request(message, BytesPayload(documents), headers, deadline)


class _Document:
    """One document of a stream."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        return codec.decode_doc(self._message)


class _BlockingChannel(ServiceChannel):
    """For blocking code."""

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncGenerator[Answer]:
        """See `StreamChannel`."""
        window = min(options.window, _LARGEST_WINDOW)
        flying: list[Future[Answer]] = []
        landed: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
        more = True
        try:
            while more or flying:
                while more and len(flying) < window:
                    request = await anext(requests, None)
                    if request is None:
                        more = False
                        break
                    future = self.submit(self._answer(request, options))
                    flying.append(future)
                    future.add_done_callback(landed.put)
                if flying:
                    done = flying[0] if options.results_in_order else landed.get()
                    answer = await self._waits.result(done)
                    flying.remove(done)
                    yield answer
        finally:
            for future in flying:
                future.cancel()


class InProcessClient(SyncClient):
    """A `SyncClient` of a service that runs on `loop`, in another thread of this process."""

    def __init__(self, service: Service, loop: AbstractEventLoop) -> None:
        super().__init__(_HERE, ChannelSettings(), 1000)
        self._channel = _BlockingChannel(service, loop, BLOCKING)

    @property
    def protocol(self) -> str:
        """As which it behaves."""
        return "grpc"

    def close(self) -> None:
        """Nothing is open."""


class AsyncInProcessClient(AsyncClient):
    """An `AsyncClient` of a service that runs on `loop`, which may be another one than the caller's."""

    def __init__(self, service: Service, loop: AbstractEventLoop) -> None:
        super().__init__(_HERE, ChannelSettings(), 1000)
        self._local = ServiceChannel(service, loop, ON_LOOP)

    @property
    def protocol(self) -> str:
        """As which it behaves."""
        return "grpc"

    def _new_channel(self) -> ServiceChannel:
        return self._local


async def _next(groups: AsyncGenerator[list[_Document]]) -> list[_Document] | None:
    return await anext(groups, None)


async def _close(groups: AsyncGenerator[Any]) -> None:
    await groups.aclose()
