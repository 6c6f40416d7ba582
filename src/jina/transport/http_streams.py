"""Streams of documents over HTTP: server-sent events, or one JSON document a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from jina.errors import JinaError
from jina.transport.http_bodies import error_body
from jina.transport.http_exchange import Exchange
from jina.wire.messages import Reply

EVENT_STREAM = "text/event-stream"
NDJSON = "application/x-ndjson"
PING_INTERVAL = 15.0
"""Seconds of silence after which a stream shows that it lives."""


class Framing(Protocol):
    """How documents stand in a stream."""

    content_type: bytes
    ping: bytes
    end: bytes

    def documents(self, items: list[bytes]) -> bytes:
        """The frames of documents, each given as JSON."""
        ...

    def failure(self, error: JinaError) -> bytes:
        """The frame of an error; nothing follows it."""
        ...


class Events:
    """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) with Jina 3's names."""

    content_type = b"text/event-stream; charset=utf-8"
    ping = b": ping\r\n\r\n"
    end = b"event: end\r\n\r\n"

    def documents(self, items: list[bytes]) -> bytes:
        """`event: update` for each document."""
        return b"event: update\r\ndata: " + b"\r\n\r\nevent: update\r\ndata: ".join(items) + b"\r\n\r\n"

    def failure(self, error: JinaError) -> bytes:
        """`event: error` with the body that a failed request has."""
        return b"event: error\r\ndata: " + error_body(error) + b"\r\n\r\n"


class Lines:
    """One JSON document a line; an empty line is a sign of life, `{"error": ...}` the last line of a failure."""

    content_type = b"application/x-ndjson"
    ping = b"\n"
    end = b""

    def documents(self, items: list[bytes]) -> bytes:
        """A line for each document."""
        return b"\n".join(items) + b"\n"

    def failure(self, error: JinaError) -> bytes:
        """A last line with the body that a failed request has."""
        return b'{"error":' + error_body(error) + b"}\n"


def framing_of(exchange: Exchange) -> Framing:
    """What the client asks for by Accept; server-sent events where it asks for nothing we know."""
    return Lines() if exchange.accepts(NDJSON) else Events()


async def send_stream(
    exchange: Exchange, framing: Framing, replies: AsyncIterator[Reply], ping_interval: float = PING_INTERVAL
) -> None:
    """Write the replies as they come; the documents of one reply leave in one piece.

    The response begins with the first document, so that an earlier error can still be an ordinary one. The
    iterator is closed when this returns or is cancelled; the caller writes the last frame.
    """
    pulse = _Pulse(exchange, framing, ping_interval)
    try:
        async for reply in replies:
            items = reply.payload.json_items()
            if items:
                pulse.silent = False
                if not exchange.started:
                    await pulse.start()
                await exchange.write(framing.documents(items))
        await pulse.start()
    finally:
        pulse.stop()
        await _close(replies)


async def _close(replies: Any) -> None:
    aclose = getattr(replies, "aclose", None)
    if aclose is not None:
        await aclose()


class _Pulse:
    """Starts the response at the first document, or at the first sign of life when that takes long."""

    def __init__(self, exchange: Exchange, framing: Framing, interval: float) -> None:
        self.silent = True
        self._exchange = exchange
        self._framing = framing
        self._interval = interval
        self._beating = asyncio.create_task(self._beat())

    async def start(self) -> None:
        if not self._exchange.started:
            await self._exchange.start_stream(self._framing.content_type)

    def stop(self) -> None:
        self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self.silent:
                await self.start()
                await self._exchange.write(self._framing.ping)
            self.silent = True
