"""One end of a local link on the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import socket
from typing import Any

from jina.observe.logs import get_logger
from jina.transport.link_frames import CHUNK, LEAST_LIMIT, Buffer, Deliver, Inbox, LinkBroken, Outbox

_log = get_logger("jina.transport.link")
_WAITING_WRITES = 4 * CHUNK
"""Bytes that the transport holds at most; what is not handed over can still be overtaken or dropped."""
_JOINED = 32 * 1024
"""Bytes up to which buffers are copied together rather than handed over one by one."""


class LinkConnection(asyncio.BufferedProtocol):
    """Sends and receives messages; made by `connect`.

    `deliver` is called for each message that comes, `lost` once, when nothing more will come or go. Writes of one
    round of the loop leave together.
    """

    def __init__(self, name: str, limit: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self.outbox = Outbox()
        self.open = False
        self._name = name
        self._inbox = Inbox(max(limit, LEAST_LIMIT), deliver)
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._scheduled = False
        self._paused = False
        self._reading = True
        self._cap = 0
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self.drop_incoming = self._inbox.drop
        self.on_flush: Callable[[], None] | None = None
        """Called before anything that waits is written."""

    def send(self, kind: int, flags: int, stream: int, meta: bytes = b"", body: Buffer = b"") -> None:
        """Send a message; one to a connection that is lost is dropped."""
        if not self.open:
            return
        self.outbox.put(kind, flags, stream, meta, body)
        if self._paused:
            self._throttle()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def limit_replies(self, cap: int) -> None:
        """Read nothing while more than `cap` bytes wait to be sent."""
        self._cap = cap

    async def drain(self) -> None:
        """Return when everything sent so far has been handed to the system, or the connection is lost."""
        if self.open and (self.outbox.size or self._paused):
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)

    async def lost(self) -> None:
        """Return when the connection is lost, from either end."""
        await asyncio.shield(self._gone)

    def close(self) -> None:
        """Close when what was handed to the transport is written; what waits here is dropped."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_WAITING_WRITES)
        self.open = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._inbox.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        try:
            self._inbox.advance(nbytes)
        except LinkBroken as error:
            _log.error("the link with %s is closed: %s", self._name, error)
            self.abort()
        except Exception as error:  # noqa: BLE001 - whatever the peer sent, only its link may suffer
            _log.error("the link with %s is closed: a message cannot be read", self._name, exc_info=error)
            self.abort()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BaseProtocol`."""
        self.open = False
        self._settle()
        self._lost()
        self._gone.set_result(None)

    def _flush(self) -> None:
        self._scheduled = False
        transport, outbox = self._transport, self.outbox
        while not self._paused and self.open:
            batch, size = outbox.take()
            if not size:
                self._settle()
                break
            if self.on_flush is not None:
                self.on_flush()
            if size <= _JOINED:
                transport.write(b"".join(batch))
            else:
                # Since Python 3.12 asyncio's `writelines` never pauses the protocol.
                transport.writelines(batch[:-1])
                transport.write(batch[-1])
        self._throttle()

    def _throttle(self) -> None:
        if not self._cap or self._reading == (self.outbox.size <= self._cap) or not self.open:
            return
        self._reading = not self._reading
        if self._reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _settle(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


async def connect(sock: socket, connection: LinkConnection) -> None:
    """Let the connection serve a connected Unix stream socket, which it owns from now on."""
    sock.setblocking(False)  # noqa: FBT003 - its only parameter
    await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=sock)
