"""uvicorn's WebSocket protocol, closing so that the client learns why, and not waiting for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import Frame

from jina.errors import BadRequest, TooLarge
from jina.net.unread import OnTransport, Pausing, Unread
from jina.server.http_protocol import WAITING, ReadDeadline, refusal

LINGER = 1.0
"""Seconds in which a client that broke the rules may read why, and what it still sends is dropped."""


class WebSocketProtocol(Pausing, WebSocketsSansIOProtocol):
    """Reads on after a frame that cannot be read, and waits `timeout` seconds for a frame or message once it has begun.

    Closing a socket with bytes unread resets the connection, so that the close frame may never be seen.
    """

    def __init__(self, timeout: float, unread: Unread, **state: Any) -> None:
        super().__init__(**state)
        self._unread = unread
        self._reading = ReadDeadline(self.loop, timeout, self._late, lambda: self.read_paused)
        self._begun = False
        """Frames of a message were read, and it is not complete."""
        self._lingering = False
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._waiting = OnTransport(self._unread, self.transport)

    def data_received(self, data: bytes) -> None:
        """More of a frame."""
        reading = self._reading
        if reading.awaited:
            reading.got(len(data))
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handle_handshake_exception()
        if not self.conn.reader.buffer and not self._begun:
            reading.end()
        elif not reading.awaited and not self.transport.is_closing():
            reading.begin()

    def handle_handshake_exception(self) -> None:
        """Answer a handshake that the library cannot read, as one with a body: uvicorn answers those it can.

        Uvicorn calls this from 0.55 on, and has an answer of its own, which is plain text.
        """
        reason = self.conn.handshake_exc
        assert reason is not None
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        cause = reason.__cause__ or reason
        if isinstance(cause, SecurityError):
            answer = refusal(431, TooLarge(f"the head of the WebSocket handshake is too long: {cause}"))
        else:
            answer = refusal(400, BadRequest(f"this is not a valid WebSocket handshake: {cause}"))
        self.transport.write(answer)
        self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """A message is complete. Text that is not UTF-8 is closed with 1007 here: uvicorn logs a traceback for each."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            data = b"".join(self.frames)
            self.frames = [data]
            try:
                if not data.isascii():
                    data.decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(1007, "the text is not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_text(self, event: Frame) -> None:
        """The first frame of a message."""
        self._begun = not event.fin
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """The first frame of a message."""
        self._begun = not event.fin
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """A further frame of a message."""
        self._begun = not event.fin
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answered, but not when it came together with what broke the rules: writing has ended then."""
        if not self._lingering:
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        """The client closes."""
        if not self._lingering:
            super().handle_close(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self._reading.end()
        self._unread.forget(self._waiting)
        super().connection_lost(exc)
        self._gone.set()

    async def run_asgi(self) -> None:
        """Run the application. Older uvicorn closes at its end: not while a client may read why."""
        app = self.app
        self.scope[WAITING] = self._waiting  # type: ignore[typeddict-unknown-key]

        async def whole(*asgi: Any) -> None:
            await app(*asgi)
            if self._lingering:
                await self._gone.wait()

        self.app = whole
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application gives; a refused handshake is complete, too."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def _late(self) -> None:
        if not self.transport.is_closing() and not self.close_sent:
            self.conn.fail(1008, "the message did not arrive in time")
            self.handle_parser_exception()

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
        self._lingering = True
        self.close_timer = self.loop.call_later(LINGER, self.transport.close)
