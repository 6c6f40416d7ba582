"""uvicorn's HTTP protocol with time limits for the head and the body, and WebSocket as the only upgrade."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from jina.errors import BadRequest, JinaError, MethodNotAllowed, TooLarge
from jina.net.unread import LEAST_RATE, OnTransport, Pausing, Unread
from jina.server.http import dumps, error_content


class ReadDeadline:
    """Calls `late` when something awaited did not arrive within `timeout` seconds, and one more for each KiB of it.

    While `paused` says that we do not read ourselves the time does not run. A `timeout` of 0 is no limit.
    """

    __slots__ = ("_due", "_late", "_loop", "_paused", "_timeout", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        late: Callable[[], None],
        paused: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._late = late
        self._paused = paused
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def awaited(self) -> bool:
        """Whether the time runs."""
        return self._timer is not None

    def begin(self) -> None:
        """From now on something is awaited."""
        if not self._timeout:
            return
        self._due = self._loop.time() + self._timeout
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def got(self, size: int) -> None:
        """So many bytes of it came."""
        self._due += size / LEAST_RATE

    def end(self) -> None:
        """It is there, or not awaited any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._paused():
            self._due = now + self._timeout
        if now < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._timer = None
            self._late()


MOST_HEAD: Final = 64 * 1024
"""Bytes that the head of a request may have."""
_REASONS: Final = {
    400: "Bad Request",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
}
_OF_UPGRADES: Final = {b"upgrade", b"http2-settings"}
WAITING: Final = "jina.waiting"
"""Where the scope names what waits for the client."""


def refusal(status: int, error: JinaError) -> bytes:
    """The last answer of a connection whose request does not reach the application."""
    body = dumps({**error_content(error), "status": status})
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


class HttpProtocol(Pausing, HttpToolsProtocol):
    """Closes connections whose request does not arrive: slow ones, half-open ones, ones with an endless head.

    Also those whose answers are not taken; see `Unread`. Waiting is timed only where a request does not come in one
    piece.

    A request with an `Upgrade` that is not a WebSocket's is answered as if it had none (RFC 9110, section 7.8): the
    parser takes all that follows its head for another protocol, so it is parsed a second time without the header.
    """

    timeout: float = 0.0
    """Seconds for the head, and as much for the body; see `ReadDeadline`."""
    unread: Unread

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first request must follow."""
        super().connection_made(transport)
        self._waiting = OnTransport(self.unread, transport)
        self._answered: RequestResponseCycle | None = None
        """The answer that is being made; others may wait behind it."""
        self._head: int | None = 0
        """Bytes of the head so far; None while the body is awaited or nothing is."""
        self._piece = 0
        """Bytes that came last."""
        self._awaiting = True
        self._parsed_again = False
        """Whether the head that was just read is to be parsed again, without its upgrade."""
        self._reading = ReadDeadline(self.loop, self.timeout, self._late, lambda: self.flow.read_paused)
        self._reading.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more, and nothing be taken."""
        self._reading.end()
        self.unread.forget(self._waiting)
        answered = self._answered
        if answered is not None and not answered.response_complete:  # the base class knows the last of several only
            answered.disconnected = True
            answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        reading = self._reading
        if reading.awaited:
            reading.got(len(data))
        self._piece = len(data)
        if self._head is not None:
            self._head += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if not self._awaiting:
            reading.end()
        elif not reading.awaited and not self.transport.is_closing():
            reading.begin()
        if self._head is not None and self._head > MOST_HEAD:
            self._refuse(431, TooLarge(f"the head of the request is longer than {MOST_HEAD} bytes"))

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if (self._head or 0) <= MOST_HEAD:
                self._refuse(400, BadRequest(f"this is not a valid HTTP/1.1 request: {error}"))
        except httptools.HttpParserUpgrade as upgrade:
            if not self._parsed_again:
                self.handle_websocket_upgrade()
            elif self.scope["method"] == "CONNECT":
                self._refuse(405, MethodNotAllowed("CONNECT is for proxies"))
            else:
                self._parse_again(data[upgrade.args[0] :])

    def _parse_again(self, rest: bytes) -> None:
        self._parsed_again = False
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(option for option in options if option.lower() not in _OF_UPGRADES)  # noqa: PLW2901
            if name not in _OF_UPGRADES:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # httptools before 0.6.3; the constructor of uvicorn does the same
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"".join([*head, b"\r\n", rest]))

    def _should_upgrade(self) -> bool:
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope[WAITING] = self._waiting  # type: ignore[typeddict-unknown-key]
        self._head = self._head or 1
        self._awaiting = True

    def on_headers_complete(self) -> None:
        """The head is there; the body has its own time."""
        if max(self._piece, self._head or 0) > MOST_HEAD and (size := self._size_of_head()) > MOST_HEAD:
            self._head = size
            raise ValueError("too long")  # which ends the parsing
        self._head = None
        self._reading.end()
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self._parsed_again = True
        else:
            super().on_headers_complete()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_message_complete(self) -> None:
        """The whole request is there."""
        if self._parsed_again:
            return
        self._awaiting = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """What comes now are frames."""
        self._awaiting = False
        self._reading.end()
        self.unread.forget(self._waiting)
        super().handle_websocket_upgrade()

    def _late(self) -> None:
        if self._head == 0:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            self._refuse(408, BadRequest("the request did not arrive in time"))

    def _refuse(self, status: int, error: JinaError) -> None:
        """Say why, where no answer has begun, and close."""
        if self.transport.is_closing():
            return
        earlier = self._head is not None  # the answer is to a request before
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (earlier or cycle.response_started):
            self.transport.write(refusal(status, error))
        self.transport.close()


def http_protocol(timeout: float, unread: Unread) -> type[Any]:
    """The protocol of a server whose requests get `timeout` seconds to arrive."""
    return type("TimedHttpProtocol", (HttpProtocol,), {"timeout": timeout, "unread": unread})
