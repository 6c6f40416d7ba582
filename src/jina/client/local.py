"""Clients of a service in this very process: every message crosses as bytes, as it would over gRPC, but no socket."""

from __future__ import annotations

import asyncio
import queue
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from jina.client.async_client import AsyncClient
from jina.client.sync_client import SyncClient
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

_HERE = Target("inprocess", "localhost", 0)
_LARGEST_WINDOW = 100
"""Requests of one call in work at once: each is a task on a loop that this program shares with all Executors."""


class _Bridge:
    """The service, asked on its own loop; requests and replies are written and read as a gRPC listener does."""

    def __init__(self, service: Service, loop: AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine on the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def answer(self, request: Request, options: CallOptions) -> Answer:
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

    async def documents(self, request: Request, options: CallOptions) -> AsyncIterator[list[_Document]]:
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

    async def ready(self) -> None:
        await self._service.dry_run()

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


class SyncServiceChannel:
    """For blocking code on any thread but the service's own."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def call(self, request: Request, options: CallOptions) -> Answer:
        """See `SyncChannel`."""
        answer: Answer = _result(self._bridge.submit(self._bridge.answer(request, options)))
        return answer

    def stream(self, requests: Iterator[Request], options: CallOptions) -> Iterator[Answer]:
        """See `SyncStreamChannel`."""
        window = min(options.window, _LARGEST_WINDOW)
        flying: list[Future[Any]] = []
        landed: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        more = True
        try:
            while more or flying:
                while more and len(flying) < window:
                    request = next(requests, None)
                    if request is None:
                        more = False
                        break
                    future = self._bridge.submit(self._bridge.answer(request, options))
                    flying.append(future)
                    future.add_done_callback(landed.put)
                if flying:
                    done = flying[0] if options.results_in_order else landed.get()
                    answer = _result(done)
                    flying.remove(done)
                    yield answer
        finally:
            for future in flying:
                future.cancel()

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[_Document]:
        """See `SyncChannel`."""
        groups = self._bridge.documents(request, options)
        try:
            while (group := _result(self._bridge.submit(_next(groups)))) is not None:
                yield from group
        finally:
            _result(self._bridge.submit(_close(groups)))

    def ready(self, options: CallOptions) -> None:  # noqa: ARG002 - nothing to connect to
        """See `SyncChannel`."""
        _result(self._bridge.submit(self._bridge.ready()))

    def close(self) -> None:
        """Nothing is open."""


class AsyncServiceChannel:
    """For coroutines on any loop."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """See `AsyncChannel`."""
        answer: Answer = await asyncio.wrap_future(self._bridge.submit(self._bridge.answer(request, options)))
        return answer

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[_Document]:
        """See `AsyncChannel`."""
        groups = self._bridge.documents(request, options)
        try:
            while (group := await asyncio.wrap_future(self._bridge.submit(_next(groups)))) is not None:
                for document in group:
                    yield document
        finally:
            await asyncio.wrap_future(self._bridge.submit(_close(groups)))

    async def ready(self, options: CallOptions) -> None:  # noqa: ARG002 - nothing to connect to
        """See `AsyncChannel`."""
        await asyncio.wrap_future(self._bridge.submit(self._bridge.ready()))

    async def close(self, *, abruptly: bool = False) -> None:
        """Nothing is open."""


class InProcessClient(SyncClient):
    """A `SyncClient` of a service that runs on `loop`, in another thread of this process."""

    @property
    def protocol(self) -> str:
        """As which it behaves."""
        return "grpc"

    def __init__(self, service: Service, loop: AbstractEventLoop) -> None:
        super().__init__(_HERE, ChannelSettings(), 1000)
        self._channel = SyncServiceChannel(_Bridge(service, loop))

    def close(self) -> None:
        """Nothing is open."""


class AsyncInProcessClient(AsyncClient):
    """An `AsyncClient` of a service that runs on `loop`, which may be another one than the caller's."""

    @property
    def protocol(self) -> str:
        """As which it behaves."""
        return "grpc"

    def __init__(self, service: Service, loop: AbstractEventLoop) -> None:
        super().__init__(_HERE, ChannelSettings(), 1000)
        self._bridge = _Bridge(service, loop)

    def _new_channel(self) -> AsyncServiceChannel:
        return AsyncServiceChannel(self._bridge)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _next(groups: AsyncIterator[list[_Document]]) -> list[_Document] | None:
    return await anext(groups, None)


async def _close(groups: Any) -> None:
    await groups.aclose()
