"""HTTP/2 by `h2` (https://pypi.org/project/h2), with a queue for what waits and a bound on resets of our own."""

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
_GONE: Final = (ProtocolError, KeyError)


class _Body:
    """What waits to be sent of a stream."""

    __slots__ = ("ended", "parts", "size", "trailers")

    def __init__(self) -> None:
        self.parts: deque[memoryview] = deque()
        self.size = 0
        self.ended = False
        self.trailers: Headers | None = None


class Connection:
    """See `jina.net.http2.Engine`."""

    def __init__(self, events: Events, settings: Settings, *, client: bool) -> None:
        self._events = events
        self._client = client
        self._connection = connection = H2Connection(H2Configuration(client_side=client, header_encoding=None))
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
        self._window = settings.window
        self._windows: dict[int, int] = {}
        self._bodies: dict[int, _Body] = {}
        self._queued = 0
        self._next = 1
        self._requests: deque[tuple[int, Headers, bool]] = deque()
        """Those that wait until the other side takes more streams."""
        self._open: dict[int, list[bool]] = {}
        """By stream, whether we and they have ended it."""
        self._resets: float = _RESETS[0]
        self._reset_at = time.monotonic()
        self._last = LARGEST_WINDOW
        """The last stream that is served."""
        self._goaway = False
        self._broken = False
        self._handlers: dict[Any, Callable[[Any], None]] = {
            kinds.DataReceived: self._data,
            kinds.RequestReceived: self._headers,
            kinds.ResponseReceived: self._headers,
            kinds.TrailersReceived: self._headers,
            kinds.StreamEnded: lambda event: self._ended(event.stream_id, 1),
            kinds.StreamReset: self._reset,
            kinds.WindowUpdated: lambda _: events.on_window(),
            kinds.RemoteSettingsChanged: self._settings,
            kinds.PingReceived: lambda _: events.on_ping(),
            kinds.PingAckReceived: lambda _: events.on_pong(),
            kinds.ConnectionTerminated: self._goaway_came,
        }

    def receive(self, data: bytes) -> None:
        try:
            found = self._connection.receive_data(data)
        except H2Error as error:
            self._broken = True
            raise Http2Error(str(error), self._connection.data_to_send()) from error
        for event in found:
            handle = self._handlers.get(type(event))
            if handle is not None:
                handle(event)

    def _data(self, event: Any) -> None:
        padding = event.flow_controlled_length - len(event.data)
        if padding:
            self.taken(event.stream_id, padding)
        self._events.on_data(event.stream_id, event.data, ended=event.stream_ended is not None)

    def _headers(self, event: Any) -> None:
        if event.stream_id > self._last:
            self._connection.reset_stream(event.stream_id, REFUSED_STREAM)
            return
        self._open.setdefault(event.stream_id, [False, False])
        self._events.on_headers(event.stream_id, event.headers, ended=event.stream_ended is not None)

    def _reset(self, event: Any) -> None:
        self._count_reset(remote=event.remote_reset)
        self._closed(event.stream_id, int(event.error_code or 0))

    def _settings(self, _event: Any) -> None:
        self._events.on_settings()
        self._events.on_window()

    def _goaway_came(self, event: Any) -> None:
        self._goaway = True
        self._events.on_goaway(event.last_stream_id or 0, int(event.error_code or 0), event.additional_data or b"")

    def _count_reset(self, *, remote: bool) -> None:
        if self._client or not remote:
            return
        now = time.monotonic()
        most, rate = _RESETS
        self._resets = min(most, self._resets + (now - self._reset_at) * rate) - 1
        self._reset_at = now
        if self._resets < 0:
            self._connection.close_connection(ENHANCE_YOUR_CALM)
            self._broken = True
            raise Http2Error("too many streams were reset", self._connection.data_to_send())

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
        self._windows.pop(stream, None)
        body = self._bodies.pop(stream, None)
        if body is not None:
            self._queued -= body.size
        self._events.on_closed(stream, code)

    def output(self, amount: int) -> bytes:
        if self._broken:
            return b""
        connection = self._connection
        while self._requests and connection.open_outbound_streams < self._most_streams():
            stream, headers, ended = self._requests.popleft()
            connection.send_headers(stream, headers, end_stream=ended)
        for stream in list(self._bodies):
            self._drain(stream, amount)
        data: bytes = connection.data_to_send(amount) or b""
        return data

    def _most_streams(self) -> int:
        return int(self._connection.remote_settings.max_concurrent_streams)

    def _drain(self, stream: int, amount: int) -> None:
        body = self._bodies[stream]
        connection = self._connection
        if self._requests and any(stream == number for number, _, _ in self._requests):
            return
        try:
            while body.parts and amount > 0:
                room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
                if room <= 0:
                    return
                part = body.parts[0]
                piece = part[:room]
                if len(piece) == len(part):
                    body.parts.popleft()
                else:
                    body.parts[0] = part[len(piece) :]
                body.size -= len(piece)
                self._queued -= len(piece)
                amount -= len(piece)
                last = body.ended and body.trailers is None and not body.parts
                connection.send_data(stream, bytes(piece), end_stream=last)
                if last:
                    self._over(stream)
                    return
            if not body.parts and body.trailers is not None:
                connection.send_headers(stream, body.trailers, end_stream=True)
                self._over(stream)
            elif not body.parts and body.ended:
                connection.end_stream(stream)
                self._over(stream)
            elif not body.parts:
                del self._bodies[stream]
        except _GONE:
            self._queued -= body.size
            self._bodies.pop(stream, None)

    def _over(self, stream: int) -> None:
        self._bodies.pop(stream, None)
        self._ended(stream, 0)

    def request(self, headers: Headers, *, ended: bool = False) -> int:
        if self._goaway or self._broken:
            raise Http2Error("the connection takes no further streams")
        stream, self._next = self._next, self._next + 2
        self._open[stream] = [ended, False]
        self._requests.append((stream, headers, ended))
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

    def reset(self, stream: int, code: int) -> None:
        waiting = [one for one in self._requests if one[0] != stream]
        if len(waiting) == len(self._requests):
            try:
                self._connection.reset_stream(stream, code)
            except _GONE:
                return
        self._requests = deque(waiting)
        self._closed(stream, code)

    def taken(self, stream: int, size: int) -> None:
        if not size:
            return
        try:
            self._connection.acknowledge_received_data(size, stream)
        except _GONE:
            return

    def widen(self, stream: int, window: int) -> None:
        before = self._windows.get(stream, self._window)
        self._windows[stream] = max(before, window)
        try:
            if window > before:
                self._connection.increment_flow_control_window(window - before, stream)
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
        self._frame_goaway(LARGEST_WINDOW, NO_ERROR, b"")

    def goaway(self, code: int = NO_ERROR, text: bytes = b"") -> None:
        self._last = self._connection.highest_inbound_stream_id
        self._frame_goaway(self._last, code, text)

    def _frame_goaway(self, last: int, code: int, text: bytes) -> None:
        """A GOAWAY after which streams go on: `h2` itself closes the connection with one."""
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + text
        head = len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4)
        connection: Any = self._connection
        connection._data_to_send += head + payload  # noqa: SLF001 - there is no public way

    @property
    def over(self) -> bool:
        done = self._goaway or self._last < LARGEST_WINDOW
        return self._broken or (done and not self._open and not self._bodies)
