"""uvicorn's HTTP protocol with an end to waiting: for the head of a request, and for its body."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jina.transport.arrival import Arrival

MOST_HEAD: Final = 64 * 1024
"""Bytes that the head of a request may have."""
_REASONS: Final = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


class HttpProtocol(HttpToolsProtocol):
    """Closes connections whose request does not arrive: slow ones, half-open ones, ones with an endless head.

    Waiting is timed only where a request does not come in one piece.
    """

    timeout: float = 0.0
    """Seconds for the head, and as much for the body; see `Arrival`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first request must follow."""
        super().connection_made(transport)
        self._head: int | None = 0
        """Bytes of the head so far; None while the body is awaited or nothing is."""
        self._awaiting = True
        self._arrival = Arrival(self.loop, self.timeout, self._late, lambda: self.flow.read_paused)
        self._arrival.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self._arrival.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        arrival = self._arrival
        if arrival.awaited:
            arrival.got(len(data))
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if not self._awaiting:
            arrival.end()
        elif not arrival.awaited and not self.transport.is_closing():
            arrival.begin()
        if self._head is not None and self._head > MOST_HEAD:
            self._refuse(431, "the head of the request is too long")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = self._head or 1
        self._awaiting = True

    def on_headers_complete(self) -> None:
        """The head is there; the body has its own time."""
        self._head = None
        self._arrival.end()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._awaiting = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """What comes now are frames."""
        self._awaiting = False
        self._arrival.end()
        super().handle_websocket_upgrade()

    def _late(self) -> None:
        if self._head == 0:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            self._refuse(408, "the request did not arrive in time")

    def _refuse(self, status: int, text: str) -> None:
        """Say why, where no answer has begun, and close."""
        if self.transport.is_closing():
            return
        earlier = self._head is not None  # the answer is to a request before
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (earlier or cycle.response_started):
            body = b'{"detail":"%b"}' % text.encode()
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()


def http_protocol(timeout: float) -> type[Any]:
    """The protocol of a server whose requests get `timeout` seconds to arrive."""
    return type("TimedHttpProtocol", (HttpProtocol,), {"timeout": timeout})
