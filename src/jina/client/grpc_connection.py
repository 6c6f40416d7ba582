"""Calls of gRPC over one HTTP/2 connection: on an event loop many at a time, in blocking code one at a time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, NamedTuple, Protocol, cast

from jina.client.http import readable, tunnelled
from jina.client.http_messages import Destination
from jina.client.loops import Pool, Waits, iterate
from jina.net import http2
from jina.net.grpc_wire import (
    ENCODINGS,
    Code,
    Messages,
    WireError,
    framed,
    metadata_in,
    percent_decoded,
    timeout_of,
)
from jina.net.http2 import Header, Headers, Http2Error
from jina.net.http2_library import connect
from jina.net.peers import ask_often, dial, notice_loss, unacknowledged, unanswered
from jina.version import __version__

_WINDOW: Final = 16 * 1024 * 1024
"""Bytes of a call that the server may send before they are read."""
_CHUNK: Final = 256 * 1024
_ROOM: Final = 64 * 1024
"""Bytes of a call that may wait for the server before what sends them must."""
_CONNECTING: Final = 5.0
"""Seconds in which a connection must be there."""
_GOODBYE: Final = 1.0
_IDLE_CONNECTIONS: Final = 32
"""Connections that blocking code keeps."""
_UNTAKEN: Final = 10
"""Seconds for which what was sent may stay unacknowledged: a machine that lost its power says nothing."""
_SILENT: Final = 0.5
"""Seconds without a word from the server, while calls wait for it, after which the system is asked how that stands."""
_GONE: Final = 0.5
"""Seconds without an answer of the system, asked each second, after which a machine that was to go counts as gone."""
_AGENT: Final = f"jina/{__version__}".encode()
_OF_HTTP: Final = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
"""Codes for answers that are not gRPC (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)."""
_OF_RESETS: Final = {
    http2.REFUSED_STREAM: Code.UNAVAILABLE,
    http2.CANCEL: Code.CANCELLED,
    http2.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
}


class GrpcError(Exception):
    """How a call failed. `unseen` of one that the server certainly did not begin, `unreached` without a connection."""

    def __init__(
        self,
        code: Code,
        details: str,
        trailing: list[tuple[str, str | bytes]] | None = None,
        *,
        unseen: bool = False,
        unreached: bool = False,
    ) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details
        self.trailing = trailing or []
        self.unseen = unseen or unreached
        self.unreached = unreached


class Arguments(NamedTuple):
    """What holds for one call: seconds, metadata as it travels, and how messages are compressed."""

    timeout: float | None = None
    metadata: tuple[Header, ...] = ()
    encoding: str = ""


class Way(NamedTuple):
    """Where the connections of a channel lead, what they show, and how they are kept.

    `sent` and `received` are bytes of the largest message, durations are seconds.
    """

    destination: Destination
    authority: str
    server_name: str
    sent: int
    received: int
    keepalive: float = 0.0
    keepalive_timeout: float = 20.0
    pings_without_calls: bool = False


class ClientCall:
    """One call and what came of it."""

    __slots__ = ("_bytes", "_messages", "came", "done", "error", "initial", "is_unary", "stream", "trailing", "wake")

    def __init__(self, stream: int, limit: int, *, is_unary: bool) -> None:
        self.stream = stream
        self.is_unary = is_unary
        self._messages = Messages(limit)
        self._bytes = 0
        self.came: deque[bytes] = deque()
        self.done = False
        self.error: GrpcError | None = None
        self.initial: Headers | None = None
        self.trailing: list[tuple[str, str | bytes]] = []
        self.wake: Callable[[], None] | None = None
        """Called when something came."""

    def feed(self, data: bytes) -> int:
        """Take in a part of the answers; gives the bytes that may come in its place. Raises `WireError`."""
        waiting = bool(self.came)
        found = self._messages.feed(data)
        if self.is_unary:
            found = [] if waiting else found[:1]  # more could be without end
        self.came.extend(found)
        self._bytes += len(data)
        return 0 if waiting or self.came else self.freed()

    def freed(self) -> int:
        """Bytes that were used since the last time."""
        size, self._bytes = self._bytes, 0
        return size

    def begin(self, headers: Headers) -> None:
        """The head of the answer."""
        self.initial = headers
        self._messages.encoding = dict(headers).get(b"grpc-encoding", b"")

    def finish(self, error: GrpcError | None) -> None:
        """It is over."""
        if not self.done:
            self.done = True
            self.error = error
            if self.wake is not None:
                self.wake()


class Session:
    """The client's side of one connection, without I/O."""

    def __init__(self, way: Way) -> None:
        self.engine = connect(self, http2.Settings(window=_WINDOW), client=True)
        self.calls: dict[int, ClientCall] = {}
        self.going = False
        """Whether no further call can be made on it."""
        self._way = way
        self._last: int | None = None
        self._begin = (
            (b":method", b"POST"),
            (b":scheme", b"https" if way.destination.context is not None else b"http"),
            (b":authority", way.authority.encode()),
        )
        self._heads: dict[str, tuple[Header, ...]] = {}

    def call(self, path: str, arguments: Arguments, *, is_unary: bool = False) -> ClientCall:
        """Begin one; raises `GrpcError`. One that is unary keeps the first message only."""
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = (
                *self._begin,
                (b":path", path.encode()),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
                (b"user-agent", _AGENT),
                (b"grpc-accept-encoding", ",".join(ENCODINGS).encode()),
            )
        timeout, metadata, encoding = arguments
        if timeout is not None:
            head = (*head, (b"grpc-timeout", timeout_of(timeout)))
        if encoding:
            head = (*head, (b"grpc-encoding", encoding.encode()))
        try:
            stream = self.engine.request((*head, *metadata))
        except Http2Error as error:
            self.going = True
            raise GrpcError(Code.UNAVAILABLE, f"the connection is closed: {error}", unseen=True) from None
        made = self.calls[stream] = ClientCall(stream, self._way.received, is_unary=is_unary)
        return made

    def send(self, call: ClientCall, message: bytes, encoding: str, *, ended: bool = False) -> None:
        """Send a message; raises `GrpcError` for one that is too large."""
        if len(message) > self._way.sent:
            error = GrpcError(
                Code.RESOURCE_EXHAUSTED, f"Sent message larger than max ({len(message)} vs. {self._way.sent})"
            )
            self.cancel(call)
            raise error
        self.engine.send(call.stream, framed(message, encoding), ended=ended)

    def cancel(self, call: ClientCall) -> None:
        """End a call, whatever it does."""
        if self.calls.pop(call.stream, None) is not None:
            self.engine.reset(call.stream, http2.CANCEL)
        call.finish(GrpcError(Code.CANCELLED, "the call was cancelled"))

    def used(self, call: ClientCall) -> None:
        """What came of a call was read: more may come."""
        if size := call.freed():
            self.engine.taken(call.stream, size)

    def lost(self, reason: str) -> None:
        """Nothing comes any more."""
        self.going = True
        for call in list(self.calls.values()):
            call.finish(GrpcError(Code.UNAVAILABLE, reason, unseen=self._is_unseen(call.stream)))
        self.calls.clear()

    def notice_end(self) -> None:
        """See whether the engine ended the connection after what came, and said so."""
        if self.engine.over:
            self.lost("the server does not speak gRPC as it should")

    def _is_unseen(self, stream: int) -> bool:
        return self._last is not None and stream > self._last

    def on_headers(self, stream: int, headers: Headers, *, ended: bool) -> None:
        """The head of an answer, or its end."""
        call = self.calls.get(stream)
        if call is None:
            return
        found = dict(headers)
        if call.initial is None:
            status, content = found.get(b":status", b""), found.get(b"content-type", b"")
            if status != b"200" or not (content.startswith(b"application/grpc") or b"grpc-status" in found):
                code = _OF_HTTP.get(int(status) if status.isdigit() else 0, Code.UNKNOWN)
                said = f"the answer is HTTP {status.decode()} of type {content.decode('latin-1')[:80]!r}, not gRPC"
                self._fail(call, GrpcError(code, said))
                return
            call.begin(headers)
        if ended or b"grpc-status" in found:
            self._finish(call, headers, found)

    def _finish(self, call: ClientCall, headers: Headers, found: dict[bytes, bytes]) -> None:
        self.calls.pop(call.stream, None)
        number = found.get(b"grpc-status", b"")
        try:
            call.trailing = metadata_in(headers)
            code = Code(int(number)) if number.isdigit() else None
        except (WireError, ValueError):
            code = Code.UNKNOWN
        if code is Code.OK:
            call.finish(None)
        else:
            text = percent_decoded(found.get(b"grpc-message", b""))
            text = text or ("" if number else "the answer ended without a status")
            call.finish(GrpcError(Code.UNKNOWN if code is None else code, text, call.trailing))

    def _fail(self, call: ClientCall, error: GrpcError) -> None:
        self.calls.pop(call.stream, None)
        self.engine.reset(call.stream, http2.CANCEL)
        call.finish(error)

    def on_data(self, stream: int, data: bytes, *, ended: bool) -> None:
        """A part of an answer."""
        call = self.calls.get(stream)
        if call is None:
            self.engine.taken(stream, len(data))
            return
        try:
            size = call.feed(data)
        except WireError as error:
            self._fail(call, GrpcError(error.code, error.message))
            return
        if size:
            self.engine.taken(stream, size)
        if ended:
            self._fail(call, GrpcError(Code.UNKNOWN, "the answer ended without a status"))
        elif call.came and call.wake is not None:
            call.wake()

    def on_closed(self, stream: int, code: int) -> None:
        """A stream was ended, or reset."""
        call = self.calls.pop(stream, None)
        if call is None:
            return
        if code == http2.REFUSED_STREAM or self._is_unseen(stream):
            call.finish(GrpcError(Code.UNAVAILABLE, "the server refused the call before it began", unseen=True))
        else:
            call.finish(GrpcError(_OF_RESETS.get(code, Code.INTERNAL), f"the server reset the call (code {code})"))

    def on_goaway(self, last: int, code: int, text: bytes) -> None:  # noqa: ARG002 - as in `Events`
        """The server takes no further calls."""
        self.going = True
        self._last = last
        for stream in [one for one in self.calls if one > last]:
            call = self.calls.pop(stream)
            call.finish(GrpcError(Code.UNAVAILABLE, "the server stops, and did not begin the call", unseen=True))

    def on_window(self) -> None:
        """More may be sent."""

    def on_settings(self) -> None:
        """The server speaks HTTP/2."""

    def on_ping(self) -> None:
        """The engine answers it."""

    def on_pong(self) -> None:
        """The server is there."""


class Calls(Protocol):
    """Makes the calls of a channel. Raises `GrpcError`."""

    async def unary(self, path: str, message: bytes, arguments: Arguments) -> tuple[bytes, ClientCall]:
        """The one answer to one message, and its call."""
        ...

    def stream(self, path: str, messages: AsyncIterator[bytes], arguments: Arguments) -> AsyncGenerator[bytes]:
        """The answers to messages, which are sent as they come. Closing it cancels the call."""
        ...

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the connections; calls that run fail. `abruptly` where the loop is about to end."""
        ...


def _answer(call: ClientCall) -> bytes:
    if call.error is not None:
        raise call.error
    if not call.came:
        raise GrpcError(Code.INTERNAL, "the answer has no message")
    return call.came.popleft()


def _expired() -> GrpcError:
    return GrpcError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")


def _lost(error: BaseException | None) -> str:
    return f"the connection was lost: {error}" if error is not None else "the server closed the connection"


def _prepare(sock: socket.socket | None) -> None:
    """Send at once, and notice when the other machine is gone."""
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    notice_loss(sock, untaken=_UNTAKEN)


# --- on an event loop ----------------------------------------------------------------------------------------


class LoopConnection(asyncio.Protocol):
    """A connection of the running loop."""

    def __init__(self, way: Way) -> None:
        self.session = Session(way)
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._receiving = self._scheduled = self._stopped = False
        self._pinged = False
        self._heard = self._looked = self._loop.time()
        """When something came, and when that was looked at, last."""
        self._asked_often = False
        self._unanswered_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writers: dict[int, asyncio.Future[None]] = {}
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when no further call can be made on it."""
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def usable(self) -> bool:
        """Whether a call can be made on it."""
        return not self.session.going and self._transport is not None and not self._transport.is_closing()

    def is_silent(self) -> bool:
        """Whether the machine of the server gives no sign of life, so that further calls are better made elsewhere.

        Those that were made wait on: it may come back, and what they sent may have arrived.
        """
        if not self.session.calls or self._loop.time() - self._heard < _SILENT or self._transport is None:
            return False
        sock = self._transport.get_extra_info("socket")
        return sock is not None and unacknowledged(sock)

    def lose_if_gone(self) -> None:
        """Fail the calls on it, where the machine of the server is not there any more.

        For one that is known to go, to be called several times a second: a machine that stays and is cut off for a
        moment would lose what it works at.
        """
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None or not self.session.calls:
            return
        if not self._asked_often:
            self._asked_often = True
            ask_often(sock)
        now = self._loop.time()
        if not unanswered(sock):
            self._unanswered_since = None
            return
        self._unanswered_since = since = now if self._unanswered_since is None else self._unanswered_since
        if now - since >= _GONE:
            self.session.lost("its machine is gone")
            self.abort()

    def retire(self) -> None:
        """Take no further calls, and close after those that there are."""
        self.session.going = True
        self._end_if_done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        _prepare(transport.get_extra_info("socket"))
        self.flush()
        if self._way.keepalive:
            self._timer = self._loop.call_later(self._way.keepalive, self._look_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.session.lost(_lost(exc))
        for waiter in self._writers.values():
            if not waiter.done():
                waiter.set_result(None)
        for future in (self.over, self.lost):
            if not future.done():
                future.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard, self._pinged = self._loop.time(), False
        self._receiving = True
        session = self.session
        try:
            session.engine.receive(data)
        except Http2Error as error:
            session.lost(f"the server does not speak gRPC as it should: {error}")
            self.abort()
            return
        finally:
            self._receiving = False
        self.flush()
        session.notice_end()
        if session.going:
            self._end_if_done()

    def _end_if_done(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        if not self.session.calls:
            self._close()

    def _close(self) -> None:
        """Once: a second time, a transport of TLS loses its connection, which then stays open."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stopped = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stopped = False
        self.flush()

    def flush_soon(self) -> None:
        """Send what there is at the end of this round of the loop."""
        if not (self._receiving or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is and the server lets come."""
        self._scheduled = False
        engine, transport = self.session.engine, self._transport
        while not self._stopped and transport is not None:
            data = engine.output(_CHUNK)
            if not data or transport.is_closing():
                break
            transport.write(data)
        for stream, waiter in self._writers.items():
            if engine.queued(stream) <= _ROOM and not waiter.done():
                waiter.set_result(None)

    async def room(self, call: ClientCall) -> None:
        """Return when little of the call waits, or it is over."""
        engine = self.session.engine
        while engine.queued(call.stream) > _ROOM and not call.done:
            if not self._scheduled:
                self.flush()
                if engine.queued(call.stream) <= _ROOM:
                    return
            self._writers[call.stream] = waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._writers.pop(call.stream, None)

    def _look_alive(self) -> None:
        way = self._way
        if self._pinged:
            self.session.lost("the server gave no sign of life")
            self.abort()
            return
        self._pinged = self._heard < self._looked and (way.pings_without_calls or bool(self.session.calls))
        if self._pinged:
            self.session.engine.ping()
            self.flush()
        self._looked = self._loop.time()
        self._timer = self._loop.call_later(way.keepalive_timeout if self._pinged else way.keepalive, self._look_alive)

    def release(self, call: ClientCall) -> None:
        """The caller is done with a call."""
        if not call.done:
            self.session.cancel(call)
            self.flush_soon()
        if self.session.going:
            self._end_if_done()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close, after what was sent."""
        if self._transport is not None:
            self.session.lost("the client was closed")
            self.session.engine.goaway()
            self.flush()
            self._close()
            await asyncio.wait([self.lost], timeout=_GOODBYE)
            self._transport.abort()


class LoopCalls:
    """See `Calls`: all over one connection, which is opened when it is needed."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._current: LoopConnection | None = None
        self._opening: asyncio.Task[LoopConnection] | None = None
        self._all: set[LoopConnection] = set()
        self._closed = False

    async def connection(self, timeout: float | None = None) -> LoopConnection:  # noqa: ASYNC109 - with what it raises
        """One on which calls can be made."""
        if (current := self._usable()) is not None:
            return current
        if self._closed:
            raise GrpcError(Code.UNAVAILABLE, "the client was closed", unseen=True)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise _expired() from None

    def _usable(self) -> LoopConnection | None:
        """The connection, where it takes calls."""
        current = self._current
        if current is None or not current.usable:
            return None
        if current.is_silent():
            current.retire()
            return None
        return current

    def _opened(self, task: asyncio.Task[LoopConnection]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()

    async def _open(self) -> LoopConnection:
        way = self._way
        to = way.destination
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECTING):
                if to.proxy is not None:
                    sock = await loop.run_in_executor(None, tunnelled, to, _CONNECTING)
                    sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
                else:
                    sock = await dial(*to.address)
                try:
                    _, made = await loop.create_connection(
                        lambda: LoopConnection(way),
                        sock=sock,
                        ssl=to.context,
                        server_hostname=way.server_name if to.context else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            raise GrpcError(Code.UNAVAILABLE, f"failed to connect within {_CONNECTING:g} s", unreached=True) from None
        except OSError as error:
            raise GrpcError(Code.UNAVAILABLE, f"failed to connect: {error}", unreached=True) from None
        if self._closed:
            made.abort()
            raise GrpcError(Code.UNAVAILABLE, "the client was closed", unseen=True)
        self._current = made
        self._all.add(made)
        made.lost.add_done_callback(lambda _: self._all.discard(made))
        return made

    async def unary(self, path: str, message: bytes, arguments: Arguments) -> tuple[bytes, ClientCall]:
        """See `Calls`."""
        connection = self._usable()
        if connection is None:
            began = time.monotonic()
            connection = await self.connection(arguments.timeout)
            arguments = _with_time_left(arguments, began)
        session = connection.session
        call = session.call(path, arguments, is_unary=True)
        session.send(call, message, arguments.encoding, ended=True)
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake() -> None:
            if call.done and not waiter.done():
                waiter.set_result(None)

        call.wake = wake
        timer = _timer(loop, connection, call, arguments.timeout)
        connection.flush_soon()
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            connection.release(call)
        return _answer(call), call

    async def stream(self, path: str, messages: AsyncIterator[bytes], arguments: Arguments) -> AsyncGenerator[bytes]:
        """See `Calls`."""
        began = time.monotonic()
        connection = await self.connection(arguments.timeout)
        arguments = _with_time_left(arguments, began)
        session = connection.session
        call = session.call(path, arguments)
        changed = asyncio.Event()
        call.wake = changed.set
        timer = _timer(asyncio.get_running_loop(), connection, call, arguments.timeout)
        sending = asyncio.create_task(_send_all(connection, call, messages, arguments.encoding))
        try:
            while True:
                while call.came:
                    data = call.came.popleft()
                    if not call.came:
                        session.used(call)
                        connection.flush_soon()
                    yield data
                if call.done:
                    break
                changed.clear()
                if sending.done() and not sending.cancelled() and (failure := sending.exception()) is not None:
                    raise failure
                sending.add_done_callback(lambda _: changed.set())
                await changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
            connection.release(call)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if call.error is not None:
            raise call.error

    def lose_if_gone(self) -> None:
        """Fail the calls whose connection leads to a machine that is not there any more; see `LoopConnection`."""
        for connection in list(self._all):
            connection.lose_if_gone()

    async def close(self, *, abruptly: bool = False) -> None:
        """See `Calls`."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        if abruptly:
            for connection in list(self._all):
                connection.abort()
        if self._all:
            await asyncio.gather(*(connection.close() for connection in list(self._all)))


def _with_time_left(arguments: Arguments, began: float) -> Arguments:
    if arguments.timeout is None:
        return arguments
    return arguments._replace(timeout=max(0.001, arguments.timeout - (time.monotonic() - began)))


def _timer(
    loop: asyncio.AbstractEventLoop, connection: LoopConnection, call: ClientCall, timeout: float | None
) -> asyncio.TimerHandle | None:
    def expire() -> None:
        if not call.done:
            connection.session.calls.pop(call.stream, None)
            connection.session.engine.reset(call.stream, http2.CANCEL)
            connection.flush_soon()
            call.finish(_expired())

    return None if timeout is None else loop.call_later(timeout, expire)


async def _send_all(
    connection: LoopConnection, call: ClientCall, messages: AsyncIterator[bytes], encoding: str
) -> None:
    session = connection.session
    async for message in messages:
        if call.done:
            return
        session.send(call, message, encoding)
        connection.flush_soon()
        await connection.room(call)
    session.engine.end(call.stream)
    connection.flush_soon()


# --- in blocking code ----------------------------------------------------------------------------------------


class BlockingConnection:
    """A socket, for one call at a time; a second thread may send messages of it."""

    def __init__(self, way: Way, sock: socket.socket) -> None:
        self.session = Session(way)
        self._socket = sock
        self._changed = threading.Condition()
        self._sending = False

    @classmethod
    def opened(cls, way: Way, timeout: float | None) -> BlockingConnection:
        """A new one."""
        to = way.destination
        limit = _CONNECTING if timeout is None else min(timeout, _CONNECTING)
        try:
            sock = tunnelled(to, limit) if to.proxy else socket.create_connection(to.address, limit)
            try:
                _prepare(sock)
                if to.context is not None:
                    sock = to.context.wrap_socket(sock, server_hostname=way.server_name)
            except BaseException:
                sock.close()
                raise
        except TimeoutError:
            if timeout is not None and timeout <= _CONNECTING:
                raise _expired() from None
            raise GrpcError(Code.UNAVAILABLE, f"failed to connect within {_CONNECTING:g} s", unreached=True) from None
        except OSError as error:
            raise GrpcError(Code.UNAVAILABLE, f"failed to connect: {error}", unreached=True) from None
        return cls(way, sock)

    def usable(self) -> bool:
        """Whether a call can be made on it, after all that came meanwhile."""
        while not self.session.going and readable(self._socket):
            timeout = self._socket.gettimeout()
            self._socket.settimeout(0)  # of TLS there may be a part of a record alone
            self._receive(0.0)
            self._socket.settimeout(timeout)
        return not self.session.going

    def send(self, call: ClientCall, message: bytes, encoding: str, *, ended: bool = False) -> None:
        """Send a message, and wait while too much of the call waits."""
        with self._changed:
            self.session.send(call, message, encoding, ended=ended)
        self.flush()
        with self._changed:
            while self.session.engine.queued(call.stream) > _ROOM and not call.done:
                self._changed.wait()

    def end(self, call: ClientCall) -> None:
        """No further message follows."""
        with self._changed:
            self.session.engine.end(call.stream)
        self.flush()

    def flush(self) -> None:
        """Send what there is. One thread does it at a time; what the other one adds meanwhile, it sends too."""
        with self._changed:
            if self._sending:
                return
            self._sending = True
        try:
            while True:
                with self._changed:
                    data = self.session.engine.output(_CHUNK)
                    if not data:
                        self._sending = False
                        return
                self._socket.sendall(data)
        except TimeoutError:
            self._sending = False
            raise
        except OSError:  # what was sent before may say why: reading finds out
            self._sending = False

    def step(self, deadline: float | None) -> None:
        """Send what there is, and read once; raises `GrpcError` when the time is up."""
        timeout = None
        if deadline is not None:
            timeout = deadline - time.monotonic()
            if timeout <= 0:
                raise _expired()
        try:
            if self._socket.gettimeout() != timeout:
                self._socket.settimeout(timeout)
            self.flush()
        except TimeoutError:
            raise _expired() from None
        with self._changed:
            self.session.notice_end()
        if not self.session.going or self.session.calls:
            self._receive(timeout)

    def _receive(self, timeout: float | None) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            if timeout:
                raise _expired() from None
            return
        except OSError as error:
            self._lost(error)
            return
        with self._changed:
            if data:
                try:
                    self.session.engine.receive(data)
                except Http2Error as error:
                    self.session.lost(f"the server does not speak gRPC as it should: {error}")
            else:
                self.session.lost(_lost(None))
            self._changed.notify_all()

    def _lost(self, error: OSError) -> None:
        with self._changed:
            self.session.lost(_lost(error))
            self._changed.notify_all()

    def cancel(self, call: ClientCall) -> None:
        """End a call whose answers are not read to their end."""
        with self._changed:
            self.session.cancel(call)
            self._changed.notify_all()

    def close(self) -> None:
        """End it at once."""
        with self._changed:
            self.session.lost("the client was closed")
            self._changed.notify_all()
        self._socket.close()


class _Sending(threading.Thread):
    """Sends the messages of a call in blocking code. One that cannot be made ends the call; `failure` says why."""

    def __init__(
        self, connection: BlockingConnection, call: ClientCall, messages: AsyncIterator[bytes], encoding: str
    ) -> None:
        super().__init__(name="jina-client-stream", daemon=True)
        self._connection = connection
        self._call = call
        self._messages = messages
        self._encoding = encoding
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for message in iterate(self._messages):
                if self._call.done:
                    return
                self._connection.send(self._call, message, self._encoding)
            self._connection.end(self._call)
        except GrpcError:  # which the call has
            return
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            self.failure = error
            self._connection.cancel(self._call)


class BlockingCalls(Pool[None, BlockingConnection]):
    """See `Calls`: each over a connection of its own, which later calls use again. Threads may share it."""

    def __init__(self, way: Way) -> None:
        super().__init__(_IDLE_CONNECTIONS)
        self._way = way
        self._lent: set[BlockingConnection] = set()

    def is_fresh(self, connection: BlockingConnection) -> bool:
        """See `Pool`."""
        return not connection.session.going

    def drop(self, connection: BlockingConnection) -> None:
        """End one."""
        connection.close()

    def _connection(self, timeout: float | None) -> BlockingConnection:
        while (found := self.take(None)) is not None:
            if found.usable():
                break
            found.close()
        else:
            found = BlockingConnection.opened(self._way, timeout)
        self._lent.add(found)
        return found

    def _give_back(self, connection: BlockingConnection, call: ClientCall) -> None:
        self._lent.discard(connection)
        if call.done and not connection.session.going and not connection.session.calls:
            self.keep(None, connection)
        else:
            connection.close()

    async def unary(self, path: str, message: bytes, arguments: Arguments) -> tuple[bytes, ClientCall]:
        """See `Calls`."""
        deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
        began = time.monotonic()
        connection = self._connection(arguments.timeout)
        session = connection.session
        call = session.call(path, _with_time_left(arguments, began), is_unary=True)
        try:
            session.send(call, message, arguments.encoding, ended=True)
            while not call.done:
                connection.step(deadline)
        finally:
            self._give_back(connection, call)
        return _answer(call), call

    async def stream(self, path: str, messages: AsyncIterator[bytes], arguments: Arguments) -> AsyncGenerator[bytes]:
        """See `Calls`; the messages are taken on a thread of its own."""
        deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
        connection = self._connection(arguments.timeout)
        session = connection.session
        call = session.call(path, arguments)
        sending = _Sending(connection, call, messages, arguments.encoding)
        sending.start()
        try:
            while True:
                while call.came:
                    data = call.came.popleft()
                    if not call.came:
                        session.used(call)
                    yield data
                if call.done:
                    break
                connection.step(deadline)
        finally:
            if not call.done:
                connection.cancel(call)
                connection.flush()
            connection.close() if sending.is_alive() else self._give_back(connection, call)
            self._lent.discard(connection)
        if sending.failure is not None:
            raise sending.failure
        if call.error is not None:
            raise call.error

    async def close(self, *, abruptly: bool = False) -> None:  # noqa: ARG002 - one way only
        """See `Calls`."""
        for connection in (*self.clear(), *self._lent):
            connection.close()

    def __del__(self) -> None:
        for connection in self.clear():
            connection.close()


def calls_of(way: Way, waits: Waits) -> LoopCalls | BlockingCalls:
    """What makes the calls of a channel."""
    return BlockingCalls(way) if waits.blocking else LoopCalls(way)
