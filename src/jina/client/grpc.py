"""gRPC from blocking code, on sync stubs without an event loop, and on the caller's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from jina.codec.messages import Request
from jina.errors import BadServer, Unavailable
from jina.net import grpc_common as rules
from jina.net.channel import (
    Answer,
    CallOptions,
    ChannelSettings,
    DocAnswer,
    ProtoAnswer,
    Target,
    document_request_message,
    request_message,
)

_CANCELLED = 1
_UNIMPLEMENTED = 12
_UNAVAILABLE = 14
_UNSEEN = {(_CANCELLED, "CANCELLED"), (_UNAVAILABLE, "Cancelling all calls")}
"""Code and message of calls that gRPC itself ended."""
_FIRST_OF_OURS = 4
"""The first major version that is this implementation."""
_TRIES = 10
_SHORTEST, _LONGEST = 0.005, 0.25
"""Seconds before the second repetition, for each further one twice as long, and at most; none before the first.

While a server stops, each call on its connection ends so, until the client has read that it shall reconnect.
"""
_ASKING = 5.0
"""Seconds in which a server says what it is."""


class Tries:
    """One call and its repetitions; `options` are those of the next, with the time that is left."""

    __slots__ = ("_due", "_left", "options")

    def __init__(self, options: CallOptions) -> None:
        self.options = options
        self._left = _TRIES
        self._due = None if options.timeout is None else time.monotonic() + options.timeout

    def unbegun(self, error: Any) -> bool:
        """Whether a call that ended so was never begun, if the server is ours, and may be tried once more."""
        self._left -= 1
        return self._left > 0 and never_begun(error)

    def unanswered(self, error: Any) -> bool:
        """Whether a question that ended so may be asked once more; the server may have been replaced meanwhile."""
        code = error.code()
        return self.unbegun(error) or (self._left > 0 and code is not None and code.value[0] == _UNAVAILABLE)

    def pause(self) -> float:
        """Seconds to wait before the next repetition, which gets the time that is left then."""
        done = _TRIES - self._left
        pause = min(_SHORTEST * 2 ** (done - 2), _LONGEST) if done > 1 else 0.0
        if self._due is not None:
            left = max(0.0, self._due - time.monotonic())
            pause = min(pause, left)
            self.options = replace(self.options, timeout=left - pause)
        return pause

    @property
    def for_asking(self) -> CallOptions:
        """Options of a question to the server in between."""
        timeout = self.options.timeout
        return replace(self.options, timeout=_ASKING if timeout is None else min(timeout, _ASKING))


def never_begun(error: Any) -> bool:
    """Whether a call failed as those do that a server of ours never saw."""
    code = error.code()
    bare = not error.initial_metadata() and not error.trailing_metadata()
    return code is not None and (code.value[0], error.details()) in _UNSEEN and bare


def is_ours(info: Any) -> bool:
    """Whether the `JinaInfoProto` of a server is that of this implementation."""
    major = info.jina["jina"].partition(".")[0]
    return major.isdecimal() and int(major) >= _FIRST_OF_OURS


def answered_by_server(error: Any) -> bool | None:
    """What the failure of the question says: a server that does not know it is another's, else nothing."""
    code = error.code()
    return False if code is not None and code.value[0] == _UNIMPLEMENTED else None


class GrpcChannel:
    """One HTTP/2 connection to `target`, opened on the first call and shared by all threads."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._grpc = rules.import_grpc()
        self._lock = threading.Lock()
        self._stubs: dict[int, rules.Stubs] = {}

    def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request over the unary method, or over `Call` where the peer lacks it."""
        stubs = self._stubs_for(options)
        if not stubs.has_unary:
            return self._call_by_stream(request, options)
        tries = Tries(options)
        while True:
            try:
                arguments = rules.call_arguments(self._grpc, tries.options)
                return ProtoAnswer(stubs.single_data(request_message(request), **arguments))
            except self._grpc.RpcError as error:
                if error.code() is self._grpc.StatusCode.UNIMPLEMENTED:
                    stubs.has_unary = False
                    return self._call_by_stream(request, tries.options)
                if not self._may_repeat(stubs, tries, error):
                    raise rules.rpc_error(error, self._target) from None

    def _call_by_stream(self, request: Request, options: CallOptions) -> Answer:
        for answer in self.stream(iter((request,)), options):
            return answer
        raise BadServer(f"{self._target} ended the stream without an answer")

    def stream(self, requests: Iterator[Request], options: CallOptions) -> Iterator[Answer]:
        """Send requests as they come over one `Call`; grpc takes them on a thread of its own."""
        source = _SyncSource(requests, options.window)
        arguments = rules.stream_arguments(self._grpc, options)
        stubs, begun = self._stubs_for(options), False
        call = stubs.call(source, **arguments)
        source.on_failure = call.cancel
        try:
            for message in call:
                begun = True
                source.answered()
                yield ProtoAnswer(message)
        except self._grpc.RpcError as error:
            if source.failure is not None:
                raise source.failure from None
            unbegun = not begun and self._may_repeat(stubs, Tries(options), error)
            raise rules.rpc_error(error, self._target, unbegun=unbegun) from None
        finally:
            source.stop()
            call.cancel()
        if source.failure is not None:
            raise source.failure

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[DocAnswer]:
        """Send one document, get many."""
        stubs, tries, begun = self._stubs_for(options), Tries(options), False
        while True:
            arguments = rules.call_arguments(self._grpc, tries.options)
            call = stubs.single_document(document_request_message(request), **arguments)
            try:
                for message in call:
                    begun, answer = True, DocAnswer(message)
                    if answer.error is not None:
                        raise answer.error
                    yield answer
                return
            except self._grpc.RpcError as error:
                if begun or not self._may_repeat(stubs, tries, error):
                    raise rules.rpc_error(error, self._target) from None
            finally:
                call.cancel()

    def _may_repeat(self, stubs: rules.Stubs, tries: Tries, error: Any) -> bool:
        """Whether a call that ended so was certainly not begun; who answers at the address now is asked what it is."""
        if not tries.unbegun(error):
            return False
        time.sleep(tries.pause())
        while stubs.ours is None:
            try:
                stubs.ours = is_ours(stubs.status(b"", **rules.call_arguments(self._grpc, tries.for_asking)))
            except self._grpc.RpcError as failure:
                if not tries.unanswered(failure):
                    stubs.ours = answered_by_server(failure)
                    return False
                time.sleep(tries.pause())
        return stubs.ours

    def ready(self, options: CallOptions) -> None:
        """Ask for a dry run; a peer that has none is asked for its health."""
        stubs = self._stubs_for(options)
        arguments = rules.call_arguments(self._grpc, options)
        try:
            status = stubs.dry_run(b"", **arguments)
        except self._grpc.RpcError as error:
            if error.code() is not self._grpc.StatusCode.UNIMPLEMENTED:
                raise rules.rpc_error(error, self._target) from None
        else:
            rules.check_dry_run(status, self._target)
            return
        try:
            serving = stubs.health(b"", **arguments)
        except self._grpc.RpcError as error:
            raise rules.rpc_error(error, self._target) from None
        if serving != rules.HEALTH_SERVING:
            raise Unavailable(f"{self._target} is not serving")

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            stubs, self._stubs = list(self._stubs.values()), {}
        for stub in stubs:
            stub.channel.close()

    def _stubs_for(self, options: CallOptions) -> rules.Stubs:
        key = id(rules.channel_credentials_of(self._grpc, options))
        stubs = self._stubs.get(key)
        if stubs is None:
            with self._lock:
                stubs = self._stubs.get(key)
                if stubs is None:
                    stubs = rules.open_stubs(self._grpc, self._grpc, self._target, self._settings, options)
                    self._stubs[key] = stubs
        return stubs


class _SyncSource:
    """The requests of one stream as messages, paused while the window is full.

    `__next__` runs on grpc's thread, everything else on the caller's. A failing generator ends the call, and
    its own exception is what the caller gets.
    """

    def __init__(self, requests: Iterator[Request], window: int) -> None:
        self._requests = requests
        self._slots = threading.Semaphore(window)
        self._stopped = False
        self.failure: BaseException | None = None
        self.on_failure: Any = None

    def __iter__(self) -> _SyncSource:
        return self

    def __next__(self) -> Any:
        self._slots.acquire()
        if self._stopped:
            raise StopIteration
        try:
            return request_message(next(self._requests))
        except StopIteration:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self.failure = error
            if self.on_failure is not None:
                self.on_failure()
            raise StopIteration from None

    def answered(self) -> None:
        self._slots.release()

    def stop(self) -> None:
        self._stopped = True
        self._slots.release()


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
        source = _AsyncSource(requests, options.window)
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
                    stubs.ours = answered_by_server(failure)
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


class _AsyncSource:
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
