"""Probes that are answered while C code holds the interpreter of a worker: by a small process, told by the worker."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from asyncio import Task
from pathlib import Path
from typing import Final

from jina.net.service import LocalService
from jina.observe import logs
from jina.plan.plans import ListenerPlan
from jina.worker import prober

INTERVAL: Final = 0.25
"""Seconds between two status bytes to the process."""
_LEAVE: Final = 5.0
"""Seconds that it gets to end once no more status bytes are sent."""


class ProbePort:
    """Does nothing without a plan. Lives on the protocol loop."""

    def __init__(self, plan: ListenerPlan | None) -> None:
        self._plan = plan
        self._listening: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._telling: Task[None] | None = None
        self._ours: socket.socket | None = None

    async def start(self, service: LocalService) -> None:
        """Open the port; raises `PortAlreadyUsed`."""
        if self._plan is None:
            return
        from jina.net.sockets import bind, bind_error

        self._listening = bind(self._plan)
        try:
            self._listening.listen(128)
        except OSError as error:  # another process that was bound to the port as well began to listen first
            raise bind_error(self._plan, error) from error
        self._spawn()
        self._telling = asyncio.get_running_loop().create_task(self._tell(service))

    async def stop(self) -> None:
        """Close it; may be called again."""
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        for sock in filter(None, (self._listening, self._ours)):
            sock.close()
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_ended, process)

    def _spawn(self) -> None:
        assert self._listening is not None
        if self._ours is not None:
            self._ours.close()
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with theirs:
            handed = (self._listening.fileno(), theirs.fileno())
            # No site, no user's modules: it needs neither, and starts in a few milliseconds.
            command = [sys.executable, "-I", "-S", str(Path(prober.__file__)), *map(str, (*handed, os.getpid()))]
            self._process = subprocess.Popen(command, pass_fds=handed, stdin=subprocess.DEVNULL)  # noqa: S603 - our own

    async def _tell(self, service: LocalService) -> None:
        while True:
            assert self._ours is not None
            assert self._process is not None
            word = bytes([(1 if service.started else 0) | (2 if service.up else 0)])
            try:
                self._ours.send(word)
            except BlockingIOError:
                pass  # it still has a few thousand status bytes to read
            except OSError:
                logs.get_logger(service.name).warning("the process that answers probes has ended; another one starts")
                await asyncio.to_thread(_ended, self._process)
                self._spawn()
            await asyncio.sleep(INTERVAL)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
