"""The links of a worker: a gateway at the other end of each."""

from __future__ import annotations

import asyncio
import socket
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from typing import TYPE_CHECKING

from jina.observe import logs
from jina.runtime.link_source import LinkSource
from jina.transport.service import Service

if TYPE_CHECKING:
    from jina.transport.link_server import LinkServer


class WorkerLinks:
    """Serves a service on every socket that comes, until `stop`; `loop` is the one that serves."""

    def __init__(self, source: LinkSource, service: Service, max_message_size: int, loop: AbstractEventLoop) -> None:
        self._source = source
        self._service = service
        self._limit = max_message_size
        self._loop = loop
        self._log = logs.get_logger(service.name)
        self._serving: dict[LinkServer, Task[None]] = {}
        self._stopped = False
        self._forget: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Take the sockets that wait, and those that come; from any thread."""
        self._forget = self._source.listen(lambda _, sock: self._came(sock))

    async def stop(self, grace: float) -> None:
        """Take no more, and let what is in work on all links finish within `grace` seconds; on the serving loop."""
        self._forget()
        self._stopped = True
        serving = dict(self._serving)
        await asyncio.gather(*(server.stop(grace) for server in serving))
        for task in serving.values():
            task.cancel()

    def _came(self, sock: socket.socket | None) -> None:
        if sock is None:
            return  # it is for gateways
        try:
            self._loop.call_soon_threadsafe(self._serve, sock)
        except RuntimeError:
            sock.close()  # the loop has ended

    def _serve(self, sock: socket.socket) -> None:
        from jina.transport.link_server import LinkServer

        if self._stopped:
            sock.close()
            return
        server = LinkServer(sock, self._service, self._limit)
        task = self._loop.create_task(self._served(server))
        self._serving[server] = task
        task.add_done_callback(lambda _: self._serving.pop(server, None))

    async def _served(self, server: LinkServer) -> None:
        try:
            await server.start()
            await server.lost()
        except OSError as error:
            self._log.error("a link to a gateway failed: %s", error)
