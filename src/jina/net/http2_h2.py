"""HTTP/2 by `h2` (https://pypi.org/project/h2), with a queue for what waits and bounds on floods of our own.

`h2` takes a GOAWAY for the end of the connection, while streams that are open go on (RFC 9113, section 6.8), and waits
for the whole of a frame before it looks at its size. So a few of its private names are used here; the tests of engines
tell when they change.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from h2 import events as kinds
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes
from h2.settings import Settings as H2Settings

from jina.net.http2 import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    LARGEST_WINDOW,
    NO_ERROR,
    PING,
    REFUSED_STREAM,
    Events,
    Headers,
    Http2Error,
    Settings,
)

_RESETS: Final = (1000, 33)
"""How many streams a client may reset at once, and how many a second after that (CVE-2023-44487)."""
_IDLE_FRAMES: Final = (10_000, 330)
"""The same of frames that carry nothing for us: empty ones, settings, priorities, and unknown ones."""
_HINTS: Final = (100, 10)
"""The same of heads that come before that of an answer: a few bytes may stand for a large one."""
_PIECE: Final = 16 * 1024
"""Bytes that are read before what they say is counted."""
_OWED: Final = 1000
"""Answers to pings and settings that may wait while the other side takes nothing."""
_TOLD_AT: Final = 1024 * 1024
"""Bytes used of which a client is told at once for the whole connection, whose window is far larger."""
_GONE: Final = (ProtocolError, KeyError)
_SIZE: Final = 3
"""Bytes that say how large a frame is."""


class _Body:
    """What waits to be sent of a stream."""

    __slots__ = ("ended", "parts", "size", "trailers")

    def __init__(self) -> None:
        self.parts: deque[memoryview] = deque()
        self.size = 0
        self.ended = False
        self.trailers: Headers | None = None


class _Allowance:
    """So much at once, and so much a second after that."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, most: int, rate: int) -> None:
        self._most = most
        self._rate = rate
        self._left: float = most
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether there is one left."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        return self._left >= 0


class _Lasting(H2Connection):
    """A connection that goes on after a GOAWAY."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        event = kinds.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]

    @property
    def too_large(self) -> bool:
        """Whether a frame that is not complete is larger than frames may be."""
        head: Any = self.incoming_buffer._data[:3]  # noqa: SLF001
        return len(head) == _SIZE and int.from_bytes(head, "big") > self.max_inbound_frame_size

    @property
    def headers_size(self) -> int:
        """Bytes of headers whose end has not come."""
        return sum(len(frame.data) for frame in self.incoming_buffer._headers_buffer)  # noqa: SLF001

    def say_goaway(self, last: int, code: int, text: bytes) -> None:
        """What `close_connection` sends, without an end of what is open."""
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + text
        self._data_to_send += len(payload).to_bytes(_SIZE, "big") + b"\x07\x00" + bytes(4) + payload


class Connection:
    """See `jina.net.http2.Engine`."""

    def __init__(self, events: Events, settings: Settings, *, client: bool) -> None:
        self._events = events
        self._client = client
        self._connection = connection = _Lasting(H2Configuration(client_side=client, header_encoding=None))
        asked = {
            SettingCodes.INITIAL_WINDOW_SIZE: settings.window,
            SettingCodes.MAX_FRAME_SIZE: settings.frame,
            SettingCodes.MAX_HEADER_LIST_SIZE: settings.headers,
        }
        if client:
            asked[SettingCodes.ENABLE_PUSH] = 0
        else:
            asked[SettingCodes.MAX_CONCURRENT_STREAMS] = settings.streams
        connection.local_settings = H2Settings(client=client, initial_values=asked)
        connection.max_inbound_frame_size = settings.frame
        connection.decoder.max_header_list_size = settings.headers
        connection.initiate_connection()
        connection.increment_flow_control_window(LARGEST_WINDOW - 65_535)
        self._taken = 0
        """Bytes that were used, and not yet told for the connection."""
        self._bodies: dict[int, _Body] = {}
        self._queued = 0
        self._next = 1
        self._requests: dict[int, tuple[Headers, bool]] = {}
        """Those that wait until the other side takes more streams."""
        self._open: dict[int, list[bool]] = {}
        """By stream, whether we and they have ended it."""
        self._resets = _Allowance(*_RESETS)
        self._idle_frames = _Allowance(*_IDLE_FRAMES)
        self._hints = _Allowance(*_HINTS)
        self._owed = 0
        """Answers to pings and settings that were not sent yet."""
        self._most_headers = settings.headers
        self._last = LARGEST_WINDOW
        """The last stream that is served."""
        self._goaway = False
        self._broken = False
        self._handlers = self._handlers_by_event()

    def _handlers_by_event(self) -> dict[Any, Callable[[Any], None]]:
        events = self._events
        return {
            kinds.DataReceived: self._data,
            kinds.RequestReceived: self._headers,
            kinds.ResponseReceived: self._headers,
            kinds.TrailersReceived: self._headers,
            kinds.StreamEnded: lambda event: self._ended(event.stream_id, 1),
            kinds.StreamReset: self._reset,
            kinds.WindowUpdated: lambda _: events.on_window(),
            kinds.RemoteSettingsChanged: self._settings,
            kinds.PingReceived: self._ping_came,
            kinds.SettingsAcknowledged: self._idle,
            kinds.PriorityUpdated: self._idle,
            kinds.UnknownFrameReceived: self._idle,
            kinds.InformationalResponseReceived: self._hint,
            kinds.PingAckReceived: lambda _: events.on_pong(),
            kinds.ConnectionTerminated: self._goaway_came,
        }

    def receive(self, data: bytes) -> None:
        if len(data) <= _PIECE:
            self._receive(data)
        else:
            for at in range(0, len(data), _PIECE):
                self._receive(data[at : at + _PIECE])

    def _receive(self, data: bytes) -> None:
        try:
            found = self._connection.receive_data(data)
        except H2Error as error:
            self._broken = True
            raise Http2Error(str(error), self._connection.data_to_send()) from error
        if self._connection.too_large:
            raise self._failed(FRAME_SIZE_ERROR, "a frame is too large")
        if self._connection.headers_size > self._most_headers:
            raise self._failed(ENHANCE_YOUR_CALM, "headers are too large")
        for event in found:
            handle = self._handlers.get(type(event))
            if handle is not None:
                handle(event)

    def _failed(self, code: int, message: str) -> Http2Error:
        self._connection.close_connection(code)
        self._broken = True
        return Http2Error(message, self._connection.data_to_send())

    def _data(self, event: Any) -> None:
        if not event.data and event.stream_ended is None:
            self._idle(event)
        padding = event.flow_controlled_length - len(event.data)
        if event.stream_id not in self._open:
            self.taken(event.stream_id, event.flow_controlled_length)
            return
        if padding:
            self.taken(event.stream_id, padding)
        self._events.on_data(event.stream_id, event.data, ended=event.stream_ended is not None)

    def _headers(self, event: Any) -> None:
        stream = event.stream_id
        if stream not in self._open:
            if self._client:
                return
            if stream > self._last:
                self._connection.reset_stream(stream, REFUSED_STREAM)
                return
            self._open[stream] = [False, False]
        self._events.on_headers(stream, event.headers, ended=event.stream_ended is not None)

    def _reset(self, event: Any) -> None:
        if event.remote_reset and not self._client and not self._resets.take():
            raise self._failed(ENHANCE_YOUR_CALM, "too many streams were reset")
        self._closed(event.stream_id, int(event.error_code or 0))

    def _idle(self, _event: Any) -> None:
        if not self._idle_frames.take():
            raise self._failed(ENHANCE_YOUR_CALM, "too many frames carry nothing")

    def _hint(self, _event: Any) -> None:
        if not self._hints.take():
            raise self._failed(ENHANCE_YOUR_CALM, "too many heads before that of the answer")

    def _owe(self) -> None:
        self._owed += 1
        if self._owed > _OWED:
            raise self._failed(ENHANCE_YOUR_CALM, "too many pings and settings, and their answers are not taken")

    def _ping_came(self, _event: Any) -> None:
        self._owe()
        self._events.on_ping()

    def _settings(self, event: Any) -> None:
        self._owe()
        self._idle(event)
        self._events.on_settings()
        self._events.on_window()

    def _goaway_came(self, event: Any) -> None:
        self._goaway = True
        last = event.last_stream_id or 0
        self._events.on_goaway(last, int(event.error_code or 0), event.additional_data or b"")
        if self._client:
            for stream in [one for one in self._open if one > last]:
                self._requests.pop(stream, None)
                self._closed(stream, REFUSED_STREAM)

    def _ended(self, stream: int, side: int) -> None:
        sides = self._open.get(stream)
        if sides is None:
            return
        sides[side] = True
        if all(sides):
            self._closed(stream, NO_ERROR)

    def _closed(self, stream: int, code: int) -> None:
        if self._open.pop(stream, None) is None:
            return
        body = self._bodies.pop(stream, None)
        if body is not None:
            self._queued -= body.size
        self._events.on_closed(stream, code)

    def output(self, amount: int) -> bytes:
        if self._broken:
            return b""
        self._owed = 0
        connection = self._connection
        while self._requests and not self._goaway and connection.open_outbound_streams < self._most_streams():
            stream, (headers, ended) = next(iter(self._requests.items()))
            del self._requests[stream]
            connection.send_headers(stream, headers, end_stream=ended)
        waiting = deque(stream for stream in self._bodies if stream not in self._requests)
        while waiting and amount > 0:  # a frame of each in turn
            stream = waiting.popleft()
            sent = self._send_some(stream, amount)
            amount -= sent
            if sent:
                waiting.append(stream)
                if (body := self._bodies.pop(stream, None)) is not None:  # others come first the next time
                    self._bodies[stream] = body
        data: bytes = connection.data_to_send() or b""
        return data

    def _most_streams(self) -> int:
        return int(self._connection.remote_settings.max_concurrent_streams)

    def _send_some(self, stream: int, amount: int) -> int:
        """Send a frame of a body, or what ends it; gives the number of bytes, 0 where there is no more to be done."""
        body = self._bodies.get(stream)
        if body is None:
            return 0
        try:
            return self._send_part(stream, body, amount) if body.parts else self._send_end(stream, body)
        except _GONE:
            self._queued -= body.size
            self._bodies.pop(stream, None)
            return 0

    def _send_part(self, stream: int, body: _Body, amount: int) -> int:
        connection = self._connection
        room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, amount)
        if room <= 0:
            return 0
        part = body.parts[0]
        piece = part[:room]
        if len(piece) == len(part):
            body.parts.popleft()
        else:
            body.parts[0] = part[len(piece) :]
        body.size -= len(piece)
        self._queued -= len(piece)
        last = body.ended and body.trailers is None and not body.parts
        connection.send_data(stream, bytes(piece), end_stream=last)
        if last:
            self._over(stream)
        return len(piece)

    def _send_end(self, stream: int, body: _Body) -> int:
        if body.trailers is not None:
            self._connection.send_headers(stream, body.trailers, end_stream=True)
            self._over(stream)
        elif body.ended:
            self._connection.end_stream(stream)
            self._over(stream)
        else:
            del self._bodies[stream]
        return 0

    def _over(self, stream: int) -> None:
        self._bodies.pop(stream, None)
        self._ended(stream, 0)

    def request(self, headers: Headers, *, ended: bool = False) -> int:
        if self._goaway or self._broken:
            raise Http2Error("the connection takes no further streams")
        stream, self._next = self._next, self._next + 2
        self._open[stream] = [ended, False]
        self._requests[stream] = headers, ended
        return stream

    def respond(self, stream: int, headers: Headers, *, ended: bool = False) -> None:
        try:
            self._connection.send_headers(stream, headers, end_stream=ended)
        except _GONE:
            return
        if ended:
            self._ended(stream, 0)

    def _body(self, stream: int) -> _Body | None:
        if stream not in self._open:
            return None
        return self._bodies.setdefault(stream, _Body())

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        body = self._body(stream)
        if body is not None:
            if data:
                body.parts.append(memoryview(data))
            body.size += len(data)
            self._queued += len(data)
            body.ended = ended

    def end(self, stream: int) -> None:
        body = self._body(stream)
        if body is not None:
            body.ended = True

    def trailers(self, stream: int, headers: Headers) -> None:
        body = self._body(stream)
        if body is not None:
            body.trailers = headers

    def answer(self, stream: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        self.respond(stream, headers)
        self.send(stream, body)
        self.trailers(stream, trailers)

    def reset(self, stream: int, code: int) -> None:
        if self._requests.pop(stream, None) is None:
            try:
                self._connection.reset_stream(stream, code)
            except _GONE:
                return
        self._closed(stream, code)

    def taken(self, stream: int, size: int) -> None:
        if not size:
            return
        connection = self._connection
        self._taken += size
        if self._taken >= _TOLD_AT:
            taken, self._taken = self._taken, 0
            connection.increment_flow_control_window(taken)
        try:  # `acknowledge_received_data` keeps some of it back, for which a message of our size may wait for ever
            connection.increment_flow_control_window(size, stream)
        except _GONE:
            return

    def widen(self, stream: int, window: int) -> None:
        try:
            more = min(window, LARGEST_WINDOW) - self._connection.remote_flow_control_window(stream)
            if more > 0:
                self._connection.increment_flow_control_window(more, stream)
        except _GONE:
            return

    def queued(self, stream: int | None = None) -> int:
        if stream is None:
            return self._queued
        body = self._bodies.get(stream)
        return body.size if body is not None else 0

    def ping(self) -> None:
        self._connection.ping(PING)

    def announce_end(self) -> None:
        self._connection.say_goaway(LARGEST_WINDOW, NO_ERROR, b"")

    def goaway(self, code: int = NO_ERROR, text: bytes = b"") -> None:
        self._last = self._connection.highest_inbound_stream_id
        self._connection.say_goaway(self._last, code, text)

    @property
    def over(self) -> bool:
        done = self._goaway or self._last < LARGEST_WINDOW
        return self._broken or (done and not self._open and not self._bodies)
