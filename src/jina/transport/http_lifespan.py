"""The start and end of an ASGI application (https://asgi.readthedocs.io/en/latest/specs/lifespan.html)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jina.errors import RuntimeFailToStart
from jina.observe.logs import get_logger
from jina.transport.http_exchange import AsgiApp, Message

_log = get_logger("jina.transport")


class Lifespan:
    """Tells one application that its server starts and stops; one that knows no such events is let be."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None
        self._running: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}
        """What the application keeps for its requests, whose scopes get it as `state`."""

    async def startup(self) -> None:
        """Return when the application has started; raises `RuntimeFailToStart` where it says that it failed."""
        self._running = asyncio.create_task(self._run())
        answer = await self._tell("lifespan.startup")
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise RuntimeFailToStart(f"the application did not start: {answer.get('message') or 'it gave no reason'}")

    async def shutdown(self) -> None:
        """Return when the application has cleaned up."""
        running = self._running
        if running is None:
            return
        if not running.done():
            answer = await self._tell("lifespan.shutdown")
            if answer is not None and answer["type"] == "lifespan.shutdown.failed":
                _log.error("the application did not stop well: %s", answer.get("message"))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def _tell(self, event: str) -> Message | None:
        """The answer to an event; None where the application ended instead, since it knows no events."""
        assert self._running is not None
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": event})
        await asyncio.wait({answer, self._running}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, self._take)
        except Exception as error:  # noqa: BLE001 - applications without lifespan raise on the unknown type
            _log.debug("the application takes no lifespan events, or no more: %r", error)

    async def _take(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)
