"""HTTP/2 by `ngh2` (https://pypi.org/project/ngh2), a binding of nghttp2.

Its bounds on resets, CONTINUATION frames, settings, pings and other suspicious frames hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ngh2
from ngh2 import Setting

from jina.net.http2 import LARGEST_WINDOW, NO_ERROR, PING, Events, Headers, Http2Error, Settings

_LARGE: Final = 64 * 1024
"""Bytes of a body from which others are sent in turn with it, and not after it (RFC 9218)."""
_IN_TURN: Final = ngh2.Priority(incremental=True)
_GONE: Final = (ngh2.StreamProtocolError, ngh2.ConnectionClosingError, ngh2.ConnectionStateError)


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
        self._window = settings.window
        self._windows: dict[int, int] = {}
        """Of the streams that were given larger ones."""

    def receive(self, data: bytes) -> None:
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
