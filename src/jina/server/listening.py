"""Taking in connections: many at a time, and when the system has no descriptors left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from asyncio import AbstractEventLoop, Task, TimerHandle
from collections.abc import Callable
from typing import Any, Final, Protocol

AT_ONCE: Final = 128
"""Connections that are taken in one round at most: those that are served already must not wait long either."""
PAUSE: Final = 0.1
"""Seconds until the next try when the system gives no more descriptors."""
Factory = Callable[[], asyncio.Protocol]


class Listening(Protocol):
    """What takes in connections until it is closed."""

    def close(self) -> None:
        """Take in no more; those that are there stay."""
        ...


async def listen(sock: socket.socket, factory: Factory, context: ssl.SSLContext | None, backlog: int) -> Listening:
    """Take in the connections of a bound socket, which is closed with the listening."""
    loop = asyncio.get_running_loop()
    if type(loop).__module__.partition(".")[0] == "uvloop":
        return Acceptor(loop, sock, factory, context, backlog)
    return await loop.create_server(factory, sock=sock, ssl=context, backlog=backlog)


class Acceptor:
    """See `listen`."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        sock: socket.socket,
        factory: Factory,
        context: ssl.SSLContext | None,
        backlog: int,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._factory = factory
        self._context = context
        self._greeting: set[Task[None]] = set()
        self._paused: TimerHandle | None = None
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.listen(backlog)
        loop.add_reader(sock, self._take)

    def close(self) -> None:
        """Take in no more; those that are there stay."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors, no memory: it would be told again at once
                self._loop.remove_reader(self._sock)
                self._paused = self._loop.call_later(PAUSE, self._resume)
                return
            connection.setblocking(False)  # noqa: FBT003
            task = self._loop.create_task(self._greet(connection))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._sock, self._take)

    async def _greet(self, connection: socket.socket) -> None:
        loop: Any = self._loop
        # A client that left meanwhile, or with which TLS cannot be agreed on, is no news.
        with contextlib.suppress(OSError, TimeoutError):
            await loop.connect_accepted_socket(self._factory, connection, ssl=self._context)
