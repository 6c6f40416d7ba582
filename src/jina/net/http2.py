"""HTTP/2 (RFC 9113) without I/O: bytes in, events out, and what is to be sent; for servers and clients.

The libraries that do it are behind one interface, `Engine`; see `jina.net.http2_library`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

Header = tuple[bytes, bytes]
Headers = Sequence[Header]
LARGEST_WINDOW: Final = 2**31 - 1
"""Bytes that may be on their way at most (RFC 9113, section 6.9.1)."""
NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
ENHANCE_YOUR_CALM: Final = 11
"""Error codes (RFC 9113, section 7)."""
_MOST_HEADERS: Final = 64 * 1024
PING: Final = b"jinaping"
"""What pings carry."""


class Http2Error(Exception):
    """The connection cannot go on; `farewell` is what to send before it is closed."""

    def __init__(self, message: str, farewell: bytes = b"") -> None:
        super().__init__(message)
        self.farewell = farewell


class Settings(NamedTuple):
    """What one side asks of the other: bytes that may come of a stream before they are taken, the largest frame, the
    number of streams at a time, and the bytes of one list of headers.
    """

    window: int = 65_535
    frame: int = 1024 * 1024
    streams: int = 1000
    headers: int = _MOST_HEADERS


class Events(Protocol):
    """What one side of a connection does about what comes. The methods are called within `Engine.receive`, and `closed`
    within `Engine.output` too.
    """

    def on_headers(self, stream: int, headers: Headers, *, ended: bool) -> None:
        """The head of a request or an answer, or trailers; `ended` where nothing follows."""
        ...

    def on_data(self, stream: int, data: bytes, *, ended: bool) -> None:
        """A part of a body; `Engine.taken` is to be called for it."""
        ...

    def on_closed(self, stream: int, code: int) -> None:
        """The stream is over: 0 where both sides ended it and all was sent, else why it was reset."""
        ...

    def on_window(self) -> None:
        """More may be sent, on some stream or on all."""
        ...

    def on_settings(self) -> None:
        """The other side sent its settings: the first time, it speaks HTTP/2."""
        ...

    def on_ping(self) -> None:
        """The other side asks for a sign of life, which it gets."""
        ...

    def on_pong(self) -> None:
        """The other side has answered a ping."""
        ...

    def on_goaway(self, last: int, code: int, text: bytes) -> None:
        """The other side takes no more streams; those above `last` were not begun, and `on_closed` may not be called
        for them.
        """
        ...


class Engine(Protocol):
    """One side of a connection."""

    def receive(self, data: bytes) -> None:
        """Take in what came, and tell the events; raises `Http2Error`."""
        ...

    def output(self, amount: int) -> bytes:
        """What is to be sent, about `amount` bytes at most; empty where nothing is, or may be."""
        ...

    def request(self, headers: Headers, *, ended: bool = False) -> int:
        """Begin a stream, and give its number; raises `Http2Error` where there can be no more on this connection."""
        ...

    def respond(self, stream: int, headers: Headers, *, ended: bool = False) -> None:
        """The head of an answer. This and the following do nothing for a stream that is over."""
        ...

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        """A part of a body; waits here as long as the other side lets nothing come."""
        ...

    def end(self, stream: int) -> None:
        """The end of a body."""
        ...

    def trailers(self, stream: int, headers: Headers) -> None:
        """What ends an answer, after its body."""
        ...

    def answer(self, stream: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        """A whole answer: its head, body and end."""
        ...

    def reset(self, stream: int, code: int) -> None:
        """End a stream at once, in both directions."""
        ...

    def taken(self, stream: int, size: int) -> None:
        """So many bytes of a body are used: as many more may come."""
        ...

    def widen(self, stream: int, window: int) -> None:
        """Let at least so many bytes of a stream come from now on, whatever came before and was not taken."""
        ...

    def queued(self, stream: int | None = None) -> int:
        """Bytes of bodies that wait here, of one stream or of all."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...

    def announce_end(self) -> None:
        """Tell a client that it should begin no further streams here; those that it begins are still served."""
        ...

    def goaway(self, code: int = NO_ERROR, text: bytes = b"") -> None:
        """Take no further streams."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing is to be read or sent any more."""
        ...
