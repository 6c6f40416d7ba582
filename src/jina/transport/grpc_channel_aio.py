"""gRPC on the caller's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from jina.errors import BadServer, Unavailable
from jina.transport import grpc_channel_rules as rules
from jina.transport.base_channel import (
    Answer,
    CallOptions,
    ChannelSettings,
    DocAnswer,
    ProtoAnswer,
    Target,
    document_request_message,
    request_message,
)
from jina.transport.grpc_channel_resend import Tries, is_ours, told_by
from jina.wire.messages import Request


class AsyncGrpcChannel:
    """One HTTP/2 connection to `target`, for the loop that is running when it is made."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._grpc = rules.import_grpc()
        import grpc.aio

        self._aio = grpc.aio
        self._stubs: dict[int, rules.Stubs] = {}
        rules.ignore_missed_wakeups(asyncio.get_running_loop())

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request over the unary method, or over `Call` where the peer lacks it."""
        stubs = self._stubs_for(options)
        tries = Tries(options)
        while stubs.has_unary:
            try:
                arguments = rules.call_arguments(self._grpc, tries.options)
                return ProtoAnswer(await stubs.single_data(request_message(request), **arguments))
            except self._grpc.RpcError as error:
                if error.code() is self._grpc.StatusCode.UNIMPLEMENTED:
                    stubs.has_unary = False
                elif not await self._may_repeat(stubs, tries, error):
                    raise rules.rpc_error(error, self._target) from None
        answers = self.stream(_only(request), tries.options)
        try:
            async for answer in answers:
                return answer
        finally:
            await answers.aclose()
        raise BadServer(f"{self._target} ended the stream without an answer")

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncGenerator[Answer, None]:
        """Send requests as they come over one `Call`, at most `options.window` unanswered."""
        source = _Source(requests, options.window)
        arguments = rules.stream_arguments(self._grpc, options)
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
            unbegun = not begun and await self._may_repeat(stubs, Tries(options), error)
            raise rules.rpc_error(error, self._target, unbegun=unbegun) from None
        finally:
            call.cancel()
        if source.failure is not None:
            raise source.failure

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[DocAnswer]:
        """Send one document, get many."""
        stubs, tries, begun = self._stubs_for(options), Tries(options), False
        while True:
            arguments = rules.call_arguments(self._grpc, tries.options)
            call = stubs.single_document(document_request_message(request), **arguments)
            try:
                async for message in call:
                    begun, answer = True, DocAnswer(message)
                    if answer.error is not None:
                        raise answer.error
                    yield answer
                return
            except self._grpc.RpcError as error:
                if begun or not await self._may_repeat(stubs, tries, error):
                    raise rules.rpc_error(error, self._target) from None
            finally:
                call.cancel()

    async def _may_repeat(self, stubs: rules.Stubs, tries: Tries, error: Any) -> bool:
        """Whether a call that ended so was certainly not begun; who answers at the address now is asked what it is."""
        if not tries.unbegun(error):
            return False
        await asyncio.sleep(tries.pause())
        while stubs.ours is None:
            try:
                stubs.ours = is_ours(await stubs.status(b"", **rules.call_arguments(self._grpc, tries.for_asking)))
            except self._grpc.RpcError as failure:
                if not tries.unanswered(failure):
                    stubs.ours = told_by(failure)
                    return False
                await asyncio.sleep(tries.pause())
        return stubs.ours

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none is asked for its health."""
        stubs = self._stubs_for(options)
        arguments = rules.call_arguments(self._grpc, options)
        try:
            status = await stubs.dry_run(b"", **arguments)
        except self._grpc.RpcError as error:
            if error.code() is not self._grpc.StatusCode.UNIMPLEMENTED:
                raise rules.rpc_error(error, self._target) from None
        else:
            rules.check_dry_run(status, self._target)
            return
        try:
            serving = await stubs.health(b"", **arguments)
        except self._grpc.RpcError as error:
            raise rules.rpc_error(error, self._target) from None
        if serving != rules.HEALTH_SERVING:
            raise Unavailable(f"{self._target} is not serving")

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """Close the connection."""
        stubs, self._stubs = list(self._stubs.values()), {}
        for stub in stubs:
            await stub.channel.close()

    def _stubs_for(self, options: CallOptions) -> rules.Stubs:
        key = id(rules.channel_credentials_of(self._grpc, options))
        stubs = self._stubs.get(key)
        if stubs is None:
            stubs = rules.open_stubs(self._grpc, self._aio, self._target, self._settings, options)
            self._stubs[key] = stubs
        return stubs


async def _only(request: Request) -> AsyncIterator[Request]:
    yield request


class _Source:
    """The requests of one stream as messages, paused while the window is full.

    A failing generator ends the call, and its own exception is what the caller gets.
    """

    def __init__(self, requests: AsyncIterator[Request], window: int) -> None:
        self._requests = requests
        self._slots = asyncio.Semaphore(window)
        self.failure: BaseException | None = None
        self.on_failure: Any = None

    async def messages(self) -> AsyncIterator[Any]:
        await self._slots.acquire()
        try:
            async for request in self._requests:
                yield request_message(request)
                await self._slots.acquire()
        except Exception as error:  # noqa: BLE001 - handed to the caller
            self.failure = error
            self.on_failure()

    def answered(self) -> None:
        self._slots.release()
