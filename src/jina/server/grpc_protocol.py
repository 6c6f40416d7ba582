"""gRPC on one connection: its calls, their deadlines and flow, pings, and its graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, cast

from jina.errors import BadRequest, JinaError
from jina.net import http2
from jina.net.grpc_wire import (
    ENCODINGS,
    Code,
    Messages,
    Metadata,
    WireError,
    framed,
    headers_of,
    metadata_in,
    percent_encoded,
    seconds_of,
    whole_message,
)
from jina.net.http2 import Headers, Http2Error
from jina.net.http2_library import connect
from jina.net.unread import LEAST_RATE, OnTransport, Pausing, Unread
from jina.observe.logs import get_logger

_log = get_logger("jina.net")
_CHUNK: Final = 256 * 1024
"""Bytes that are handed to the transport at once."""
_ROOM: Final = 64 * 1024
"""Bytes of a stream that may wait for the client before its handler must."""
_WIDEST: Final = 16 * 1024 * 1024
"""Bytes of a stream that may be on their way at most."""
_MOST_PENDING: Final = 32 * 1024 * 1024
"""Bytes of messages that are not complete or not read that a connection may hold beside the largest message."""
_OF_MESSAGE: Final = 48
"""Bytes that one which is not read takes besides its own."""
_SMALL: Final = 4096
"""Bytes of an answer that is not counted while it waits for its client; the number of streams bounds those."""
_LAST_STREAM: Final = 0.05
"""Seconds in which a client that was told to go elsewhere answers a ping, which tells that it knows."""
_LINGER: Final = 0.3
"""Seconds that a client has to close a connection on which it was told to make no further calls."""
_CANCELLING: Final = 0.3
"""Seconds that calls get to end once they are cancelled."""
_HEADERS: Final[Headers] = (
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", ",".join(ENCODINGS).encode()),
)
_OK: Final[Headers] = ((b"grpc-status", b"0"),)
_NO_GRPC: Final[Headers] = ((b":status", b"415"), (b"content-type", b"text/plain"))
_NO_GRPC_TEXT: Final = b"this port takes calls of gRPC alone\n"
_ENTRY: Final = 32
"""Bytes that each header counts for besides its name and value (RFC 9113, section 6.5.2)."""
_REMEMBERED: Final = 4096
"""Bytes of a head that a connection remembers at most."""
_EAGER: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class ConnectionSettings(NamedTuple):
    """What holds for all connections of a listener. Durations are seconds, 0 is no limit; sizes are bytes.

    `ping_interval` is the least time between two pings of a client while nothing else is sent to it; one that sends
    `ping_strikes` sooner is sent away. `age` and `idle` end connections that last, or have no calls, so long; those of
    `age` get `age_grace` for their calls.
    """

    message: int = 128 * 1024 * 1024
    answer: int = 0
    streams: int = 1000
    metadata: int = 16 * 1024
    frame: int = 1024 * 1024
    keepalive: float = 60.0
    keepalive_timeout: float = 60.0
    ping_interval: float = 5.0
    ping_strikes: int = 2
    pings_without_calls: bool = True
    arrival: float = 30.0
    handshake: float = 0.0
    idle: float = 0.0
    age: float = 0.0
    age_grace: float = 0.0
    compression: str = ""


class Aborted(Exception):
    """Ends a call with a status."""

    def __init__(self, code: Code, message: str, trailing: Metadata = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailing = trailing


class Method(NamedTuple):
    """What answers the calls of one method.

    With `streams` it is called when the head is there, and reads and writes messages of the call itself; else with the
    one message, and gives the answer.
    """

    answer: Callable[..., Awaitable[Any]]
    streams: bool = False


class Terms(NamedTuple):
    """What the connections of a listener share; `find` gives the method of a call, or raises a `JinaError`."""

    find: Callable[[Call], Method | None]
    refuse: Callable[[JinaError], Aborted]
    settings: ConnectionSettings
    unread: Unread
    connections: set[GrpcConnection]


class Head:
    """What the head of a call says. The calls of a connection mostly have the same, which is then read once."""

    __slots__ = ("_metadata", "encoding", "encodings", "headers", "is_grpc", "path", "size", "timeout")

    def __init__(self, headers: Headers) -> None:
        found = dict(headers)
        self.headers = headers
        self.path = found.get(b":path", b"").decode("latin-1")
        kind = found.get(b"content-type", b"")
        self.is_grpc = found.get(b":method") == b"POST" and kind.startswith(b"application/grpc")
        self.size = sum(len(name) + len(value) + _ENTRY for name, value in headers)
        self.encoding = found.get(b"grpc-encoding", b"")
        self.encodings = found.get(b"grpc-accept-encoding", b"").replace(b" ", b"").split(b",")
        """Those in which answers may come."""
        self.timeout = found.get(b"grpc-timeout", b"")
        self._metadata: Mapping[str, str] | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata without binary values; the last of equal names wins. Raises `WireError`."""
        if self._metadata is None:
            found = metadata_in(self.headers)
            self._metadata = {name: value for name, value in found if isinstance(value, str)}
        return self._metadata


class Call:
    """One call, as its method sees it."""

    # What most calls never change is kept by the class.
    _messages: Messages | None = None
    """What takes the messages out of the parts in which they come."""
    _received: deque[bytes] | tuple[()] = ()
    _came_bytes = 0
    """Bytes that came and are not used."""
    _unread = 0
    """What those take that wait for the method."""
    _reader: asyncio.Future[None] | None = None
    _encoding = ""
    _answered = False
    _timer: asyncio.TimerHandle | None = None
    _trailing: list[tuple[str, str | bytes]] | None = None
    method: Method | None = None
    task: asyncio.Task[None] | None = None
    message: bytes | None = None
    deadline: float | None = None
    """In `time.monotonic()` seconds."""
    arrived_by = 0.0
    """When the message of a call that has one must be there."""
    window = 0
    """Bytes of the window that the client got for a large message; 0 for the usual one."""
    counted = 0
    """Its part of what the connection holds."""
    ended = False
    """Whether the client has sent all."""
    finished = False

    def __init__(self, connection: GrpcConnection, stream: int, head: Head) -> None:
        self._connection = connection
        self.stream = stream
        self._head = head

    @property
    def path(self) -> str:
        """The full name of the method, after a slash."""
        return self._head.path

    @property
    def headers(self) -> Mapping[str, str]:
        """The metadata without binary values; the last of equal names wins. Other calls may share it."""
        return self._head.metadata

    @property
    def trailing(self) -> list[tuple[str, str | bytes]]:
        """Metadata that is sent after the last message."""
        if self._trailing is None:
            self._trailing = []
        return self._trailing

    @property
    def address(self) -> str:
        """The address of the client without its port."""
        return self._connection.address

    @property
    def waiting(self) -> OnTransport:
        """What waits for the client."""
        return self._connection.waiting

    def abort(self, code: Code, message: str, trailing: Metadata = ()) -> NoReturn:
        """End the call with a status."""
        raise Aborted(code, message, trailing)

    def compress(self, encoding: str) -> None:
        """Compress the messages that are written from now on; before the first one."""
        self._encoding = encoding

    async def read(self) -> bytes | None:
        """The next message of the client; None where there is none."""
        while not self._received:
            if self.ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        assert isinstance(self._received, deque)
        message = self._received.popleft()
        self._unread -= len(message) + _OF_MESSAGE
        if not self._received:
            self._connection.settle(self)
        return message

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return 0 if self._messages is None else self._messages.held

    is_in_parts = False
    """Whether its messages came in parts, or several in one: what is held of them is counted."""

    @property
    def is_unread(self) -> bool:
        """Whether complete messages wait for the method."""
        return bool(self._received)

    @property
    def pending(self) -> int:
        """Bytes of messages that are not complete, or wait for the method."""
        return self.held + self._unread

    def used(self) -> int:
        """Bytes that came since the last time."""
        size, self._came_bytes = self._came_bytes, 0
        return size

    async def write(self, message: bytes) -> None:
        """Send a message; returns when little waits for the client."""
        self._send(message)
        await self._connection.room(self.stream)

    def _send(self, message: bytes) -> None:
        engine, limit = self._connection.engine, self._connection.settings.answer
        if limit and len(message) > limit:
            self.abort(Code.RESOURCE_EXHAUSTED, f"Sent message larger than max ({len(message)} vs. {limit})")
        if not self._answered:
            self._answered = True
            head = (*_HEADERS, (b"grpc-encoding", self._encoding.encode())) if self._encoding else _HEADERS
            engine.respond(self.stream, head)
        engine.send(self.stream, framed(message, self._encoding))
        self._connection.flush_soon()

    def _reply(self, message: bytes) -> None:
        """The one message of a call that has no more."""
        if self.finished:
            return
        if self._answered or self._encoding or self._trailing or self._connection.settings.answer:
            self._send(message)
            self._finish(Code.OK)
            return
        self.finished = True
        self._release()
        body = framed(message)
        self._connection.engine.answer(self.stream, _HEADERS, body, _OK)
        self._connection.finished(self, len(body))

    def take_whole(self, data: bytes) -> bool:
        """Take the data as the one message of a call, if they are just that and nothing came before."""
        if self._messages is not None:
            return False
        self.message = whole_message(data, self._connection.settings.message)
        self.ended = self.message is not None
        return self.ended

    def feed(self, data: bytes, *, ended: bool) -> None:
        """More of what the client sends."""
        if self.finished:
            self._connection.engine.taken(self.stream, len(data))
            return
        messages = self._messages
        if messages is None:
            messages = self._messages = Messages(self._connection.settings.message, self._head.encoding)
            self.is_in_parts = True
        self._came_bytes += len(data)
        found = messages.feed(data) if data else []
        self.ended = ended
        if ended and messages.held:
            raise WireError(Code.INTERNAL, "the call ended within a message")
        if self._streams:
            if isinstance(self._received, tuple):
                self._received = deque()
            self._received.extend(found)
            self._unread += sum(len(one) + _OF_MESSAGE for one in found)
            if self._reader is not None and not self._reader.done() and (found or ended):
                self._reader.set_result(None)
        elif found:
            if self.message is not None or len(found) > 1:
                raise WireError(Code.INTERNAL, "the call has more than one message, and its method takes one")
            self.message = found[0]
        self._connection.settle(self)
        if ended and not self._streams:
            self._arrived()

    @property
    def _streams(self) -> bool:
        return self.method is not None and self.method.streams

    def _arrived(self) -> None:
        if self.message is None:
            raise WireError(Code.INTERNAL, "the call has no message, and its method takes one")
        self._connection.arrived(self)

    @property
    def needed(self) -> int:
        """Bytes that the message on its way has, as far as that is known."""
        return 0 if self._messages is None else self._messages.needed

    def read_head(self) -> None:
        """Do what the head says about the call itself; raises `WireError`."""
        head, settings = self._head, self._connection.settings
        encoding = settings.compression
        if head.size > settings.metadata:
            raise WireError(
                Code.RESOURCE_EXHAUSTED, f"received metadata exceeds limit ({head.size} vs. {settings.metadata} bytes)"
            )
        if encoding and encoding.encode() in head.encodings:
            self._encoding = encoding
        if head.timeout:
            seconds = seconds_of(head.timeout)
            self.deadline = time.monotonic() + seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.end(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def end(self, code: Code, message: str = "", trailing: Metadata = ()) -> None:
        """Finish with a status; a method that still runs is cancelled."""
        if self.finished:
            return
        self._finish(code, message, trailing)
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def drop(self) -> None:
        """The client has left."""
        if not self.finished:
            self.finished = True
            self._release()
            if self.task is not None and not self.task.done():
                self.task.cancel()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the method answer."""
        self.task = asyncio.Task(self._run(), loop=loop, **_EAGER)

    async def _run(self) -> None:
        method = self.method
        assert method is not None
        try:
            if method.streams:
                await method.answer(self)
            else:
                message, self.message = self.message, None
                self._reply(await method.answer(message, self))
        except Aborted as aborted:
            self._finish(aborted.code, aborted.message, aborted.trailing)
        except WireError as error:
            self._finish(error.code, error.message)
        except asyncio.CancelledError:
            self._finish(Code.CANCELLED, "the call was cancelled")
        except Exception as error:  # noqa: BLE001 - each failure becomes a status
            _log.error("a call of %s failed with an unexpected error", self.path, exc_info=error)
            self._finish(Code.UNKNOWN, f"Unexpected {type(error).__name__}: {error}")
        else:
            if method.streams:
                self._finish(Code.OK)

    def _finish(self, code: Code, message: str = "", trailing: Metadata = ()) -> None:
        if self.finished:
            return
        self.finished = True
        self._release()
        if code is Code.OK and not self._trailing and not trailing:
            tail = _OK
        else:
            status = [(b"grpc-status", b"%d" % code)]
            if message:
                status.append((b"grpc-message", percent_encoded(message)))
            tail = (*status, *headers_of(self._trailing or ()), *headers_of(trailing))
        engine = self._connection.engine
        if self._answered:
            engine.trailers(self.stream, tail)
        else:
            engine.respond(self.stream, (*_HEADERS, *tail), ended=True)
        self._connection.finished(self, engine.queued(self.stream))

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._messages is not None:
            self._received, self._unread, self._messages = (), 0, None


class _Waiting(OnTransport):
    """What waits for the client of a connection: in the engine, until it lets more come, and in the transport."""

    __slots__ = ("_engine",)

    def __init__(self, unread: Unread, transport: asyncio.Transport, engine: http2.Engine) -> None:
        super().__init__(unread, transport)
        self._engine = engine

    def left(self) -> int:
        return super().left() + self._engine.queued()


class GrpcConnection(Pausing):
    """The server's side of one connection."""

    engine: http2.Engine
    waiting: _Waiting
    address: str

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.settings = terms.settings
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._calls: dict[int, Call] = {}
        """Those whose streams are open."""
        self._head = Head(())
        """That of the last call."""
        self._arriving: set[Call] = set()
        """Those whose message is not there yet."""
        self._incomplete: dict[Call, int] = {}
        """Bytes of the messages that are not complete, by call, in the order in which they began."""
        self._held = 0
        self._pending = 0
        """Bytes that the calls hold of messages that are not complete or not read."""
        self._most_pending = _MOST_PENDING + self.settings.message
        self._widened = 0
        self._unsent: dict[int, tuple[int, bool]] = {}
        """Answers that wait here, by stream: their size, and whether it is counted."""
        self._writers: dict[int, asyncio.Future[None]] = {}
        self._open_ended: set[int] = set()
        """Streams that were answered before their client had sent all."""
        self._receiving = self._scheduled = self._stopped = self._is_http2 = False
        self._heard = True
        self._pinged = False
        """Whether the client owes a sign of life."""
        self._strikes = 0
        self._ping_at = -1.0
        self._left = 0
        """Bytes that waited for the client when it was last looked at."""
        self._draining = self._last_told = self._lingering = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.done: asyncio.Future[None] = self._loop.create_future()

    # --- the transport ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = writing = cast("asyncio.Transport", transport)
        settings = self.settings
        self.engine = connect(self, http2.Settings(frame=settings.frame, streams=settings.streams), client=False)
        self.waiting = self._waiting = _Waiting(self._terms.unread, writing, self.engine)
        self.address = _address(transport.get_extra_info("peername"))
        self._terms.connections.add(self)
        self._later("handshake", settings.handshake or settings.arrival, self._no_http2)
        self._later("keepalive", settings.keepalive, self._look_alive)
        self._later("age", settings.age, self._too_old)
        self._later("idle", settings.idle, self._too_idle)
        encryption = transport.get_extra_info("ssl_object")
        if encryption is not None and encryption.selected_alpn_protocol() != "h2":  # RFC 9113, section 3.2
            _log.debug("a connection of %s is closed: its client did not ask for HTTP/2 (ALPN h2)", self.address)
            self._lingering = True
            transport.close()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as in its base
        """Nothing will come any more, and nothing be taken."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._stopped = self._lingering = True
        for stream in list(self._unsent):
            self._forget(stream)
        for call in list(self._calls.values()):
            call.drop()
        self._calls.clear()
        for waiter in self._writers.values():
            waiter.cancel()
        self._writers.clear()
        self._arriving.clear()
        self._incomplete.clear()
        self._terms.unread.forget(self.waiting)
        self._terms.connections.discard(self)
        if not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """More from the client."""
        if self._lingering:
            return
        self._heard, self._pinged = True, False
        self._receiving = True
        try:
            self.engine.receive(data)
        except Http2Error as error:
            _log.debug("a connection of %s is closed: %s", self.address, error)
            self._transport.write(error.farewell)
            self._lingering = True
            self._transport.close()
            return
        finally:
            self._receiving = False
        if self._arriving and "message" not in self._timers:
            self._later("message", self.settings.arrival, self._look_at_arriving)
        self.flush()
        if self.engine.over and not self._lingering:
            self._lingering = True
            self._transport.close()

    def pause_writing(self) -> None:
        """The client does not take what was sent: what it sends is not read either."""
        super().pause_writing()
        self._stopped = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._stopped = False
        self._transport.resume_reading()
        self.flush()

    def flush_soon(self) -> None:
        """Send what there is at the end of this round of the loop."""
        self._strikes, self._ping_at = 0, -1.0
        if not (self._receiving or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is and the client lets come."""
        self._scheduled = False
        if self._lingering:  # all was said
            return
        engine, transport = self.engine, self._transport
        while not self._stopped:
            data = engine.output(_CHUNK)
            if not data:
                break
            transport.write(data)
        if self._unsent or self._writers or self._open_ended or self.waiting.paused:
            self._flushed()
        if self._draining:
            self._end_if_done()

    def _flushed(self) -> None:
        """See what still waits."""
        queued = self.engine.queued
        for stream, (size, counted) in list(self._unsent.items()):
            if not queued(stream):
                self._forget(stream)
            elif not counted:
                self._unsent[stream] = (size, True)
                self.waiting.add(size)
        for stream, waiter in list(self._writers.items()):
            if queued(stream) <= _ROOM and not waiter.done():
                waiter.set_result(None)
        for stream in [one for one in self._open_ended if not queued(one)]:
            self._open_ended.discard(stream)
            self.engine.reset(stream, http2.NO_ERROR)
            self.flush_soon()
        left = queued()
        if left < self._left:  # it was sent more, of which clients of gRPC take the time with pings
            self._strikes, self._ping_at = 0, -1.0
        self._left = left
        blocked = self._stopped or left > 0
        if blocked and not self.waiting.paused:
            self.waiting.pause()
        elif not blocked and self.waiting.paused:
            self.waiting.resume()

    def _forget(self, stream: int) -> None:
        size, counted = self._unsent.pop(stream, (0, False))
        if counted:
            self.waiting.take(size)

    async def room(self, stream: int) -> None:
        """Return when little of the stream waits."""
        while self.engine.queued(stream) > _ROOM and not self.done.done():
            if not self._scheduled:
                self.flush()
                if self.engine.queued(stream) <= _ROOM:
                    return
            self._writers[stream] = waiter = self._loop.create_future()
            if not self.waiting.paused:
                self.waiting.pause()
            try:
                await waiter
            finally:
                self._writers.pop(stream, None)

    # --- what the client sends -------------------------------------------------------------------------------

    def on_headers(self, stream: int, headers: Headers, *, ended: bool) -> None:
        """A call begins, or its client ends it with trailers."""
        call = self._calls.get(stream)
        if call is not None:
            if ended:
                self._guarded(call, b"", ended=True)
            return
        head = self._head
        if headers != head.headers:
            head = self._read(headers)
        call = self._calls[stream] = Call(self, stream, head)
        call.ended = ended
        if not head.is_grpc:
            call.finished = True
            self.engine.respond(stream, _NO_GRPC)
            self.engine.send(stream, _NO_GRPC_TEXT, ended=True)
            self.finished(call, self.engine.queued(stream))
            return
        try:
            call.read_head()
            method = self._terms.find(call)
        except JinaError as error:
            aborted = self._terms.refuse(error)
            call.end(aborted.code, aborted.message, aborted.trailing)
            return
        except WireError as error:
            call.end(error.code, error.message)
            return
        if method is None:
            call.end(Code.UNIMPLEMENTED, f"Method not found: {head.path[:200]}")
            return
        call.method = method
        if method.streams:
            call.start(self._loop)
        elif ended:
            self._guarded(call, b"", ended=True)
        else:
            call.arrived_by = self._loop.time() + self.settings.arrival
            self._arriving.add(call)

    def _read(self, headers: Headers) -> Head:
        head = Head(headers)
        if head.size <= _REMEMBERED:
            self._head = head
        return head

    def on_data(self, stream: int, data: bytes, *, ended: bool) -> None:
        """More of a call's messages."""
        call = self._calls.get(stream)
        if call is None:
            self.engine.taken(stream, len(data))
        elif ended and call in self._arriving and call.take_whole(data):
            self.engine.taken(stream, len(data))
            self.arrived(call)
        else:
            call.arrived_by += len(data) / LEAST_RATE
            self._guarded(call, data, ended=ended)

    def _guarded(self, call: Call, data: bytes, *, ended: bool) -> None:
        try:
            call.feed(data, ended=ended)
        except WireError as error:
            call.end(error.code, error.message)

    def arrived(self, call: Call) -> None:
        """The message of a call that has one is there."""
        self._arriving.discard(call)
        call.start(self._loop)

    def settle(self, call: Call) -> None:
        """See what of a call is on its way, and let more come.

        What came of messages that are not complete is bounded for all calls: above that only the call that has waited
        longest gets on, until its message is there.
        """
        if (pending := call.pending) != call.counted:
            self._pending += pending - call.counted
            call.counted = pending
            if self._pending > self._most_pending and call is not next(iter(self._incomplete), None):
                self._refuse(call)
                return
        held, known = call.held, self._incomplete.get(call, 0)
        if held or known:
            self._held += held - known
            if held:
                self._incomplete[call] = held
                self._widen(call)
            else:
                del self._incomplete[call]
        if not call.is_unread and self._may_come(call):
            self._take(call)
        if known and not held:
            self._go_on()

    def _refuse(self, call: Call) -> None:
        """End a call for which there is no room: each may send as much as its window before we are asked."""
        if call.task is None:
            self.engine.reset(call.stream, http2.REFUSED_STREAM)  # it did not begin: its client may send it again
            self.flush_soon()
        else:
            call.end(Code.RESOURCE_EXHAUSTED, "too much of the calls of this connection is not read")

    def _may_come(self, call: Call) -> bool:
        room = self._held <= self.settings.message
        return room or call not in self._incomplete or call is next(iter(self._incomplete))

    def _take(self, call: Call) -> None:
        if size := call.used():
            self.engine.taken(call.stream, size)
            self.flush_soon()

    def _go_on(self) -> None:
        """A message is there, or will not come: others may."""
        for call in list(self._incomplete):
            if not self._may_come(call):
                break
            if not call.is_unread:
                self._take(call)

    def _widen(self, call: Call) -> None:
        """Let a large message come in one go, where there is room for it beside others."""
        size = min(call.needed, _WIDEST)
        if call.window or size <= http2.Settings().window or self._widened + size > self.settings.message:
            return
        call.window = size
        self._widened += size
        self.engine.widen(call.stream, size)
        self.flush_soon()

    def _let_go(self, call: Call) -> None:
        """Nothing of a call comes any more: what it did not use counts no longer against the connection."""
        self._arriving.discard(call)
        if not call.is_in_parts:
            return
        self._take(call)
        self._pending -= call.counted
        self._widened -= call.window
        call.counted = call.window = 0
        if held := self._incomplete.pop(call, 0):
            self._held -= held
            self._go_on()

    def finished(self, call: Call, size: int) -> None:
        """A call has its status; `size` are the bytes of its answer that wait."""
        self._let_go(call)
        if size > _SMALL:
            self._unsent[call.stream] = (size, False)
        if not call.ended:
            self._open_ended.add(call.stream)
        self.flush_soon()

    def on_closed(self, stream: int, code: int) -> None:  # noqa: ARG002 - as in `Events`
        """A stream is over."""
        if self._unsent:
            self._forget(stream)
        if self._open_ended:
            self._open_ended.discard(stream)
        call = self._calls.pop(stream, None)
        if call is None:
            return
        if self._writers and (waiter := self._writers.pop(stream, None)) is not None:
            waiter.cancel()
        if not call.finished:
            self._let_go(call)
            call.drop()
        if not self._calls and self.settings.idle:
            self._later("idle", self.settings.idle, self._too_idle)

    def on_window(self) -> None:
        """More may be sent, which is done when all that came is read."""

    def on_goaway(self, last: int, code: int, text: bytes) -> None:
        """The client begins no further calls."""

    # --- signs of life, and the end --------------------------------------------------------------------------

    def on_settings(self) -> None:
        """The client speaks HTTP/2."""
        self._is_http2 = True
        if (timer := self._timers.pop("handshake", None)) is not None:
            timer.cancel()

    def on_ping(self) -> None:
        """Send those away that ping all the time (https://github.com/grpc/proposal/blob/master/A8)."""
        now = self._loop.time()
        settings = self.settings
        interval = settings.ping_interval
        if not self._calls and not settings.pings_without_calls:
            interval = 7200.0
        if self._ping_at >= 0 and now - self._ping_at < interval:
            self._strikes += 1
        self._ping_at = now
        if settings.ping_strikes and self._strikes > settings.ping_strikes:
            self.engine.goaway(http2.ENHANCE_YOUR_CALM, b"too_many_pings")
            self._draining = self._last_told = True
            self._later("end", _CANCELLING, self._transport.close)

    def on_pong(self) -> None:
        """The client knows what was sent before the ping."""
        if self._draining:
            self._tell_last()

    def _later(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        if not seconds:
            return
        if (timer := self._timers.get(name)) is not None:
            timer.cancel()
        self._timers[name] = self._loop.call_later(seconds, action)

    def _no_http2(self) -> None:
        self.engine.goaway(http2.NO_ERROR, b"the handshake of HTTP/2 did not arrive in time")
        self.flush()
        self._transport.close()

    def _look_alive(self) -> None:
        if self._pinged:
            self._transport.abort()
        elif self._heard:
            self._heard = False
            self._later("keepalive", self.settings.keepalive, self._look_alive)
        else:
            self._pinged = True
            self.engine.ping()
            self.flush()
            self._later("keepalive", self.settings.keepalive_timeout, self._look_alive)

    def _look_at_arriving(self) -> None:
        del self._timers["message"]
        now = self._loop.time()
        for call in list(self._arriving):
            if self._stopped or not self._may_come(call):  # it is us who do not let it come
                call.arrived_by = now + self.settings.arrival
            elif now >= call.arrived_by:
                aborted = self._terms.refuse(BadRequest("the request did not arrive in time"))
                call.end(aborted.code, aborted.message, aborted.trailing)
        if self._arriving:
            due = min(call.arrived_by for call in self._arriving)
            self._timers["message"] = self._loop.call_at(max(due, now + 0.01), self._look_at_arriving)

    def _too_idle(self) -> None:
        if not self._calls:
            self.drain()

    def _too_old(self) -> None:
        self.drain()
        self._later("grace", self.settings.age_grace, self._transport.abort)

    def drain(self) -> None:
        """Begin no further calls, and close once those that run have ended.

        The client hears of it before calls are refused: one that is on its way to us is still answered.
        """
        if self._draining:
            return
        self._draining = True
        self.engine.announce_end()
        self.engine.ping()
        self._later("last", _LAST_STREAM if self._is_http2 else 0.001, self._tell_last)
        self.flush()

    def _tell_last(self) -> None:
        if not self._last_told:
            self._last_told = True
            self.engine.goaway()
            self.flush()

    def _end_if_done(self) -> None:
        done = self._last_told and not self._calls and not self.engine.queued()
        if done and not self._lingering and not self._transport.is_closing():
            # What is on its way from the client must be read: else its system would drop what we said last.
            self._lingering = True
            if self._transport.can_write_eof():
                with contextlib.suppress(OSError):  # the client has left
                    self._transport.write_eof()
            self._later("linger", _LINGER, self._transport.close)

    def cancel_calls(self) -> None:
        """End the calls that still run."""
        for call in list(self._calls.values()):
            call.end(Code.UNAVAILABLE, "the server stops")
        self.flush()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those of the calls that run."""
        return [call.task for call in self._calls.values() if call.task is not None and not call.task.done()]


async def end_connections(connections: set[GrpcConnection], grace: float) -> None:
    """Let the calls of all finish within `grace` seconds, cancel the rest, and close."""
    ends = [connection.done for connection in connections]
    for connection in list(connections):
        connection.drain()
    if ends:
        await asyncio.wait(ends, timeout=max(0.0, grace))
    for connection in list(connections):
        connection.cancel_calls()
    late = [connection.done for connection in connections]
    if late:
        await asyncio.wait(late, timeout=_CANCELLING)
    tasks = [task for connection in connections for task in connection.tasks]
    for connection in list(connections):
        connection.abort()
    if tasks:
        await asyncio.wait(tasks, timeout=_CANCELLING)


def _address(peer: Any) -> str:
    """`ipv4:127.0.0.1`, as gRPC writes it."""
    if not isinstance(peer, tuple):
        return "unix:"
    host = str(peer[0])
    return f"ipv6:[{host}]" if ":" in host else f"ipv4:{host}"
