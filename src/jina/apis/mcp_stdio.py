"""The Model Context Protocol on standard input and output, a message a line, for an agent that starts the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from jina.apis.mcp import CallTerms, McpServer
from jina.apis.mcp_messages import McpError, McpRequest, as_mcp_error, read_message
from jina.codec.json_text import loads
from jina.errors import BadRequest, Cancelled
from jina.net.limits import Gate
from jina.net.messages import as_jina_error, new_request_id
from jina.server.http import dumps

_GRACE = 5.0
"""Seconds for which calls may go on when the input has ended."""


@contextlib.contextmanager
def own_output() -> Iterator[Callable[[bytes], None]]:
    """What writes to standard output, which is the protocol's alone: whatever else prints there, prints to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(kept, "wb", closefd=False) as output:

            def write(message: bytes) -> None:
                output.write(message + b"\n")
                output.flush()

            yield write
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


class StdioServer:
    """Answers the lines of one client from a service that runs on `loop`."""

    def __init__(self, gate: Gate, loop: AbstractEventLoop, write: Callable[[bytes], None], name: str) -> None:
        self._gate = gate
        self._loop = loop
        self._write = write
        self._server = McpServer(gate, name=name)
        self._tasks: dict[str | int, asyncio.Task[None]] = {}

    def run(self, lines: BinaryIO) -> None:
        """Return when the input has ended, and with it all calls."""
        most = self._gate.limits.message_size
        while line := lines.readline(most + 1):
            if len(line) > most:
                self._send(dumps(McpError(-32600, f"a message has more than {most} bytes").content()))
                return
            if line.strip():
                asyncio.run_coroutine_threadsafe(self._take(line), self._loop).result()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()

    async def _end(self) -> None:
        """Let calls finish for a while, then give them up."""
        if tasks := list(self._tasks.values()):
            _, late = await asyncio.wait(tasks, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self, line: bytes) -> None:
        """Begin to answer a message."""
        try:
            request = read_message(line, None, self._gate.limits)
        except McpError as error:
            self._send(dumps(error.content()))
            return
        if request is None:
            self._cancel(line)
            return
        task = self._tasks[request.ident] = asyncio.create_task(self._answer(request))
        task.add_done_callback(lambda done: self._forget(request.ident, done))

    def _forget(self, ident: str | int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(ident) is task:
            del self._tasks[ident]

    def _cancel(self, line: bytes) -> None:
        """End a call that the client gives up."""
        with contextlib.suppress(BadRequest):
            message: Any = loads(line)
            params = message.get("params")
            if message.get("method") == "notifications/cancelled" and isinstance(params, dict):
                ident = params.get("requestId")
                if isinstance(ident, str | int) and (task := self._tasks.get(ident)) is not None:
                    task.cancel()

    async def _answer(self, request: McpRequest) -> None:
        async def notify(method: str, params: dict[str, Any]) -> None:
            self._send(dumps({"jsonrpc": "2.0", "method": method, "params": params}))

        try:
            self._send(await self._server.answer(request, CallTerms(request_id=new_request_id(), notify=notify)))
        except McpError as error:
            self._send(dumps(error.content()))
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            failed = as_mcp_error(as_jina_error(error))
            failed.ident = request.ident
            self._send(dumps(failed.content()))

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the client has left: the input ends
            self._write(message)
