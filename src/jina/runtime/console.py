"""Where a server has its console: the room `jina.console` is imported with the first request for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jina.errors import JinaError, Unauthenticated
from jina.net.limits import Gate
from jina.plan.plans import HttpPlan
from jina.server.apis import Api, ErrorForm, Methods

if TYPE_CHECKING:
    from jina.console.server import ConsoleServer
    from jina.server.http import Exchange

PAGE = "/console"


class ConsoleApi(Api):
    """The routes of the console of one service; `ask` is `Parent.ask_service`."""

    name = "console"

    def __init__(self, gate: Gate, plan: HttpPlan, *, closed: bool, ask: Callable[[bytes], bytes]) -> None:
        super().__init__(gate, plan, closed=closed)
        self._ask = ask
        self._server: ConsoleServer | None = None

    def routes(self) -> Mapping[str, Methods]:
        """The page, and what it asks for below it."""
        return {
            PAGE: {"GET": self._page, "HEAD": self._page},
            f"{PAGE}/{{rest:path}}": {"GET": self._below, "HEAD": self._below, "POST": self._below},
        }

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """A browser cannot send a key with its first request: it gets the page, which asks for the key."""
        if path != PAGE or not isinstance(error, Unauthenticated):
            return None
        from jina.console.page import page

        return page().body, page().headers

    @property
    def _console(self) -> ConsoleServer:
        if self._server is None:
            from jina.console.server import ConsoleServer

            self._server = ConsoleServer.of_service(self._ask, closed=self.closed)
            self.gate.on_drain.append(self._server.stop)
        return self._server

    async def _page(self, exchange: Exchange, **_: Any) -> None:
        await self._console.page(exchange)

    async def _below(self, exchange: Exchange, rest: str) -> None:
        await self._console.answer(exchange, rest)
