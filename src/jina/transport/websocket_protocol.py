"""uvicorn's WebSocket protocol, closing so that the client learns why."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER = 1.0
"""Seconds in which a client that broke the rules may read why, and what it still sends is dropped."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Reads on after a frame that cannot be read.

    Closing a socket with bytes unread resets the connection, so that the close frame may never be seen.
    """

    def handle_parser_exception(self) -> None:
        """Say why and close for writing; the connection ends when the client closes it, or after `LINGER`."""
        failure = self.conn.close_sent
        if self.close_sent or failure is None:
            return  # more of what is dropped
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": failure.code, "reason": failure.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(LINGER, self.transport.close)
