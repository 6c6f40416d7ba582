"""gRPC from blocking code: sync stubs, no event loop anywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
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
        source = _Source(requests, options.window)
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
                    stubs.ours = told_by(failure)
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


class _Source:
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

    def __iter__(self) -> _Source:
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
