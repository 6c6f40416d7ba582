"""HTTP/2 by `ngh2` (https://pypi.org/project/ngh2), a binding of nghttp2.

Its bounds on resets, CONTINUATION frames, settings, pings and other suspicious frames hold. nghttp2 forgets streams
that are over and ignores what comes for them; where RFC 9113 asks a server for an error, `_Frames` finds it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import ngh2
from ngh2 import Setting

from jina.net.http2 import (
    FLOW_CONTROL_ERROR,
    LARGEST_WINDOW,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Events,
    Headers,
    Http2Error,
    Settings,
)

_LARGE: Final = 64 * 1024
"""Bytes of a body from which others are sent in turn with it, and not after it (RFC 9218)."""
_IN_TURN: Final = ngh2.Priority(incremental=True)
_GONE: Final = (ngh2.StreamProtocolError, ngh2.ConnectionClosingError, ngh2.ConnectionStateError)

_PREFACE: Final = 24
"""Bytes with which a client begins (RFC 9113, section 3.4)."""
_HEAD: Final = 9
"""Bytes before what a frame carries (section 4.1)."""
_unpack_head: Final = struct.Struct(">IBI").unpack_from
"""Length and kind, flags, and stream, the latter below a reserved bit."""
_STREAM: Final = 2**31 - 1
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _WINDOW_UPDATE = 0, 1, 2, 3, 8
_END_STREAM: Final = 1
"""The flag of the last frame of a request."""
_SIZES: Final = {_HEADERS: 0, _PRIORITY: 5, _RST_STREAM: 0, _WINDOW_UPDATE: 4}
"""Bytes after the head that must be there, for the kinds of frames that may be odd."""
_LARGE_UPDATE: Final = 2**30
"""Bytes from which it is checked that a window does not grow too large."""
_FAREWELL: Final = 64 * 1024
"""Bytes that may go out before a connection is closed for an error."""
_REMEMBERED: Final = 64
"""So many of the last streams at least are known to be ended, or never begun."""


class _Odd(NamedTuple):
    """A frame that nghttp2 is not to see as it is.

    `error` is why the connection ends; None for a window that grows by `more` bytes, maybe too far. `rest` follows.
    """

    stream: int
    error: int | None
    more: int = 0
    frame: bytes = b""
    rest: bytes = b""


class _Frames:
    """Reads the heads of the frames of a client, before nghttp2 gets them."""

    __slots__ = ("_ended", "_first", "_kept", "_last", "_skip", "odd")

    def __init__(self) -> None:
        self.odd: _Odd | None = None
        """At which the last `sift` stopped."""
        self._kept = b""
        """The beginning of a head."""
        self._skip = _PREFACE
        """Bytes to come before the next head."""
        self._last = self._first = 0
        """The highest stream that was begun, and the one after which all that were begun are remembered."""
        self._ended: dict[int, bool] = {}
        """Whether the client has ended or reset a stream, for the last ones in the order in which they were begun."""

    def sift(self, data: bytes) -> bytes:
        """What nghttp2 may see of what is here now: all up to an odd frame, or to a head that is not complete."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        self.odd = None
        at, end, ended = self._skip, len(data), self._ended
        while at + _HEAD <= end:
            word, flags, stream = _unpack_head(data, at)
            stream &= _STREAM
            kind = word & 0xFF
            if kind == _DATA:
                if (known := ended.get(stream)) is not None:
                    if known:
                        return self._stop(data, at, _Odd(stream, STREAM_CLOSED))
                    ended[stream] = flags & _END_STREAM == _END_STREAM
            elif kind == _HEADERS and stream > self._last:
                self._begin(stream)
                ended[stream] = flags & _END_STREAM == _END_STREAM
            elif kind in _SIZES:
                if at + _HEAD + min(_SIZES[kind], word >> 8) > end:
                    break
                if (odd := self._odd(kind, stream, data, at)) is not None:
                    return self._stop(data, at, odd)
            at += _HEAD + (word >> 8)
        return self._keep(data, at)

    def _keep(self, data: bytes, at: int) -> bytes:
        if at >= len(data):
            self._skip = at - len(data)
            return data
        self._skip, self._kept = 0, data[at:]
        return data[:at]

    def _stop(self, data: bytes, at: int, odd: _Odd) -> bytes:
        self.odd, self._skip = odd, 0
        return data[:at]

    def _begin(self, stream: int) -> None:
        self._last = stream
        ended = self._ended
        if len(ended) > 2 * _REMEMBERED:
            for old in list(ended)[:_REMEMBERED]:
                del ended[old]
                self._first = old

    def _odd(self, kind: int, stream: int, data: bytes, at: int) -> _Odd | None:
        """What is odd about a frame that is neither the first head nor the body of a request."""
        if kind == _RST_STREAM:
            if stream in self._ended:
                self._ended[stream] = True
        elif kind == _HEADERS:
            if (error := self._error_of(stream)) is not None:
                return _Odd(stream, error)
            if stream in self._ended:
                self._ended[stream] = data[at + 4] & _END_STREAM == _END_STREAM
        elif int.from_bytes(data[at : at + 3]) == _SIZES[kind]:  # nghttp2 refuses others
            return _odd_number(kind, stream, data, at)
        return None

    def _error_of(self, stream: int) -> int | None:
        """Why no head may come for a stream that was ended, or passed over (sections 5.1 and 5.1.1)."""
        if stream in self._ended:
            return STREAM_CLOSED if self._ended[stream] else None
        return PROTOCOL_ERROR if stream > self._first else None


def _odd_number(kind: int, stream: int, data: bytes, at: int) -> _Odd | None:
    """What is odd about a priority (RFC 7540, sections 5.3.1 and 6.3) or a window (RFC 9113, section 6.9.1)."""
    begin, end = at + _HEAD, at + _HEAD + _SIZES[kind]
    number = int.from_bytes(data[begin : begin + 4]) & _STREAM
    if kind == _PRIORITY:
        return _Odd(stream, PROTOCOL_ERROR) if stream in {0, number} else None
    if stream and number >= _LARGE_UPDATE:
        return _Odd(stream, None, number, data[at:end], data[end:])
    return None


class Connection:
    """See `jina.net.http2.Engine`."""

    def __init__(self, events: Events, settings: Settings, *, client: bool) -> None:
        self._events = events
        role = ngh2.Role.CLIENT if client else ngh2.Role.SERVER
        bounds = ngh2.Configuration(auto_window_update=False, max_inbound_header_list_size=settings.headers)
        self._connection = connection = ngh2.Connection(role, bounds)
        asked = {Setting.INITIAL_WINDOW_SIZE: settings.window, Setting.MAX_FRAME_SIZE: settings.frame}
        if client:
            asked[Setting.ENABLE_PUSH] = 0
        else:
            asked[Setting.MAX_CONCURRENT_STREAMS] = settings.streams
            asked[Setting.MAX_HEADER_LIST_SIZE] = settings.headers
            asked[Setting.NO_RFC7540_PRIORITIES] = 1  # without it there are no others
        connection.initiate_connection(asked)
        connection.set_local_window_size(LARGEST_WINDOW)
        self._broken = False
        self._client = client
        self._frames = None if client else _Frames()
        self._window = settings.window
        self._windows: dict[int, int] = {}
        """Of the streams that were given larger ones."""

    def receive(self, data: bytes) -> None:
        frames = self._frames
        if frames is None:
            self._receive(data)
            return
        self._receive(frames.sift(data))
        while frames.odd is not None:
            self._receive(frames.sift(self._after(frames.odd)))

    def _after(self, odd: _Odd) -> bytes:
        """What comes after an odd frame, with the frame where it may stay; raises `Http2Error`."""
        if odd.error is not None:
            with contextlib.suppress(ngh2.ConnectionStateError):  # it ends already
                self._connection.terminate_connection(odd.error)
            farewell = self.output(_FAREWELL)
            self._broken = True
            raise Http2Error(f"a frame that may not come for stream {odd.stream}", farewell)
        try:
            fits = self._connection.stream_remote_window_size(odd.stream) + odd.more <= LARGEST_WINDOW
        except _GONE:
            return odd.rest
        if fits:
            self._receive(odd.frame)
        else:
            self.reset(odd.stream, FLOW_CONTROL_ERROR)
        return odd.rest

    def _receive(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
        except ngh2.NGH2Error as error:
            if isinstance(error, ngh2.ConnectionStateError) and self.over:
                return  # what was on its way when the last stream ended
            self._broken = True
            raise Http2Error(str(error)) from error
        self._tell()

    def _tell(self) -> None:
        events = self._events
        event: Any
        for event in self._connection.events():
            kind = type(event)
            if kind is ngh2.DataReceived:
                events.on_data(event.stream_id, event.data, ended=event.end_stream)
            elif kind is ngh2.RequestReceived or kind is ngh2.ResponseReceived:
                events.on_headers(event.stream_id, event.headers, ended=event.end_stream)
            elif kind is ngh2.StreamClosed:
                if self._windows:
                    self._windows.pop(event.stream_id, None)
                events.on_closed(event.stream_id, event.error_code)
            elif (tell := _TELLING.get(kind)) is not None:
                tell(events, event)

    def output(self, amount: int) -> bytes:
        if self._broken:
            return b""
        data: bytes = self._connection.data_to_send(amount)
        if data:
            self._tell()
        return data

    def request(self, headers: Headers, *, ended: bool = False) -> int:
        try:
            return self._connection.send_request(headers, end_stream=ended)
        except ngh2.NGH2Error as error:
            raise Http2Error(str(error)) from error

    def respond(self, stream: int, headers: Headers, *, ended: bool = False) -> None:
        try:
            self._connection.send_response(stream, headers, end_stream=ended)
        except _GONE:
            return

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        try:
            if len(data) > _LARGE and not self._client:
                self._connection.set_stream_priority(stream, _IN_TURN, ignore_client_signal=True)
            self._connection.send_data(stream, data, end_stream=ended)
        except _GONE:
            return

    def end(self, stream: int) -> None:
        try:
            self._connection.end_stream(stream)
        except _GONE:
            return

    def trailers(self, stream: int, headers: Headers) -> None:
        try:
            self._connection.send_trailers(stream, headers)
        except _GONE:
            return

    def answer(self, stream: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        connection = self._connection
        try:
            if len(body) > _LARGE:
                connection.set_stream_priority(stream, _IN_TURN, ignore_client_signal=True)
            connection.send_response(stream, headers)
            connection.send_data(stream, body)
            connection.send_trailers(stream, trailers)
        except _GONE:
            return

    def reset(self, stream: int, code: int) -> None:
        try:
            self._connection.reset_stream(stream, code)
        except _GONE:
            return

    def taken(self, stream: int, size: int) -> None:
        try:
            self._connection.acknowledge_received_data(size, stream)
        except _GONE:
            return

    def widen(self, stream: int, window: int) -> None:
        connection = self._connection
        try:
            more = min(window, LARGEST_WINDOW) - connection.stream_local_window_size(stream)
            if more > 0:
                total = self._windows[stream] = min(self._windows.get(stream, self._window) + more, LARGEST_WINDOW)
                connection.set_local_window_size(total, stream_id=stream)
        except _GONE:
            self._windows.pop(stream, None)

    def queued(self, stream: int | None = None) -> int:
        return self._connection.queued_body_size(stream)

    def ping(self) -> None:
        try:
            self._connection.ping(PING)
        except _GONE:
            return

    def announce_end(self) -> None:
        try:
            self._connection.send_shutdown_notice()
        except _GONE:
            return

    def goaway(self, code: int = NO_ERROR, text: bytes = b"") -> None:
        try:
            self._connection.send_goaway(code, debug_data=text)
        except _GONE:
            return

    @property
    def over(self) -> bool:
        return self._broken or not (self._connection.want_read or self._connection.want_write)


def _settings(events: Events, _event: Any) -> None:
    events.on_settings()
    events.on_window()


_TELLING: Final[dict[Any, Callable[[Events, Any], None]]] = {
    ngh2.TrailersReceived: lambda events, event: events.on_headers(event.stream_id, event.headers, ended=True),
    ngh2.WindowUpdated: lambda events, _: events.on_window(),
    ngh2.PingReceived: lambda events, _: events.on_ping(),
    ngh2.PingAcknowledged: lambda events, _: events.on_pong(),
    ngh2.SettingsReceived: _settings,
    ngh2.GoAwayReceived: lambda events, event: events.on_goaway(
        event.last_stream_id, event.error_code, event.debug_data
    ),
}
"""What is told of the events that are rare."""
