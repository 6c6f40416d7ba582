"""HTTP/1.1 connections: uvicorn's protocol with time limits, and requests that need not become ASGI events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from jina.errors import BadRequest, Cancelled, InternalError, JinaError, MethodNotAllowed, TooLarge
from jina.net.unread import LEAST_RATE, OnTransport, Pausing, Unread
from jina.observe.logs import get_logger
from jina.server.http import Exchange, Header, Terms, dumps, error_content

_log = get_logger("jina.http")


class ReadDeadline:
    """Calls `late` when something awaited did not arrive within `timeout` seconds, and one more for each KiB of it.

    While `paused` says that we do not read ourselves the time does not run. A `timeout` of 0 is no limit.
    """

    __slots__ = ("_due", "_late", "_loop", "_paused", "_timeout", "timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        late: Callable[[], None],
        paused: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._late = late
        self._paused = paused
        self._due = 0.0
        self.timer: asyncio.TimerHandle | None = None
        """There is one while the time runs."""

    @property
    def awaited(self) -> bool:
        """Whether the time runs."""
        return self.timer is not None

    def begin(self) -> None:
        """From now on something is awaited."""
        if not self._timeout:
            return
        self._due = self._loop.time() + self._timeout
        if self.timer is None:
            self.timer = self._loop.call_at(self._due, self._look)

    def got(self, size: int) -> None:
        """So many bytes of it came."""
        self._due += size / LEAST_RATE

    def end(self) -> None:
        """It is there, or not awaited any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._paused():
            self._due = now + self._timeout
        if now < self._due:
            self.timer = self._loop.call_at(self._due, self._look)
        else:
            self.timer = None
            self._late()


MOST_HEAD: Final = 64 * 1024
"""Bytes that the head of a request may have."""
_OF_UPGRADES: Final = {b"upgrade", b"http2-settings"}
WAITING: Final = "jina.waiting"
"""Where the scope names what waits for the client."""


def refusal(status: int, error: JinaError, common: bytes = b"") -> bytes:
    """The last answer of a connection whose request does not reach the application; `common` are header lines."""
    body = dumps({**error_content(error), "status": status})
    own = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
    return b"%b%b%b%b" % (STATUS_LINE[status], common, own, body)


class DirectApp(Protocol):
    """What answers requests without ASGI, such as `app.HttpApp`."""

    @property
    def is_plain(self) -> bool:
        """Whether it does so at present."""
        ...

    @property
    def terms(self) -> Terms:
        """What holds for its requests."""
        ...

    def serve(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answer a request."""
        ...


_CLOSE: Final = (b"connection", b"close")


class DirectExchange(Exchange):
    """A request that is answered on its connection at once, where uvicorn's cycle makes events of ASGI of it."""

    __slots__ = (
        "_chunked", "_expects_continue", "_held", "_pieces", "_protocol", "disconnected",
        "keep_alive", "more_body", "response_complete", "response_started", "task", "waiter",
    )  # fmt: skip

    def __init__(
        self, protocol: HttpProtocol, method: str, path: str, query: bytes, terms: Terms, *, keep_alive: bool
    ) -> None:
        super().__init__(method, path, query, protocol.headers, terms)
        self._protocol = protocol
        self._waiting = protocol.unread_answers
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self.disconnected = False
        self.more_body = True
        """Whether bytes of the body are still to come."""
        self.response_started = False
        self.response_complete = False
        self._chunked = False
        self._expects_continue = protocol.expect_100_continue
        self._pieces: list[bytes] = []
        self._held = 0
        self.waiter: asyncio.Future[None] | None = None
        """Of the task, while it waits for more of the body."""

    async def run(self, app: DirectApp) -> None:
        """Have the request answered, in whatever way it fails."""
        protocol = self._protocol
        try:
            await app.serve(self)
            if not self.response_complete and not self.disconnected:
                raise RuntimeError("the request was not answered")
        except BaseException as error:  # noqa: BLE001 - as uvicorn does
            _log.error("%s %s failed: %r", self.method, self.path, error, exc_info=error)
            if not self.response_started and not self.disconnected:
                protocol.refuse(500, InternalError("the server could not answer"))
            protocol.transport.close()
        finally:
            if self.task is not None:
                protocol.tasks.discard(self.task)

    def got(self, data: bytes) -> None:
        """More of the body came."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER_LIMIT:
            self._protocol.flow.pause_reading()
        if self.waiter is not None:
            self.wake()

    def wake(self) -> None:
        """Something is there for who waits for the body."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def lose(self) -> None:
        """The connection is lost."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self.wake()
        if self.watched and self.task is not None:
            self.left = True
            self.task.cancel()

    async def _receive(self) -> tuple[bytes, bool]:
        protocol = self._protocol
        if self._expects_continue and not protocol.transport.is_closing():
            self._expects_continue = False
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.more_body and not self._pieces and not self.disconnected:
            protocol.flow.resume_reading()
            self.waiter = protocol.loop.create_future()
            await self.waiter
            self.waiter = None
        if self.disconnected:
            raise Cancelled("the client left before the body was complete")
        pieces, self._pieces, self._held = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), self.more_body

    async def _send_whole(self, status: int, headers: list[Header], body: bytes) -> None:
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if not self.disconnected:
            self._protocol.transport.write(self._head(status, headers) + body)
            self._finish()

    async def _send_head(self, status: int, headers: list[Header]) -> None:
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if not self.disconnected:
            self._chunked = not any(name == b"content-length" for name, _ in headers) and self.method != "HEAD"
            self._protocol.transport.write(self._head(status, headers))

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if self.disconnected:
            return
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data = chunk if more else chunk + b"0\r\n\r\n"
        if data and self.method != "HEAD":
            self._protocol.transport.write(data)
        if not more:
            self._finish()

    def _head(self, status: int, headers: Sequence[Header]) -> bytes:
        self.response_started = True
        self._expects_continue = False
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
            raise RuntimeError("a header of the response has a line break")
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines += b"connection: close\r\n"
        if self._chunked:
            lines += b"transfer-encoding: chunked\r\n"
        protocol = self._protocol
        if protocol.server_state.default_headers is not protocol.common[0]:
            protocol.renew_common()
        return b"%b%b%b\r\n" % (STATUS_LINE[status], protocol.common[1], lines)

    def _finish(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._protocol.transport.close()
        self._protocol.on_response_complete()

    @property
    def ends(self) -> bool:
        """See `Exchange`."""
        return not self.keep_alive


class HttpProtocol(Pausing, HttpToolsProtocol):
    """Closes connections whose request does not arrive: slow ones, half-open ones, ones with an endless head.

    Also those whose answers are not taken; see `Unread`. Waiting is timed only where a request does not come in one
    piece.

    A request with an `Upgrade` that is not a WebSocket's is answered as if it had none (RFC 9110, section 7.8): the
    parser takes all that follows its head for another protocol, so it is parsed a second time without the header.
    """

    timeout: float = 0.0
    """Seconds for the head, and as much for the body; see `ReadDeadline`."""
    unread: Unread
    direct: DirectApp | None = None
    """What answers requests without ASGI, where that is possible."""
    common: tuple[list[Header], bytes] = ([], b"")
    """The headers of every response, and how they are written."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first request must follow."""
        super().connection_made(transport)
        self._waiting = self.unread_answers = OnTransport(self.unread, transport)
        self._answered: RequestResponseCycle | DirectExchange | None = None
        """The answer that is being made; others may wait behind it."""
        self._head: int | None = 0
        """Bytes of the head so far; None while the body is awaited or nothing is."""
        self._piece = 0
        """Bytes that came last."""
        self._awaiting = True
        self._idle_since = 0.0
        """When the last response was complete, in seconds of the loop."""
        self._parsed_again = False
        """Whether the head that was just read is to be parsed again, without its upgrade."""
        self._reading = ReadDeadline(self.loop, self.timeout, self._late, lambda: self.flow.read_paused)
        self._reading.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more, and nothing be taken."""
        self._reading.end()
        self.unread.forget(self._waiting)
        cycles: tuple[Any, ...] = (self._answered, self.cycle)
        for cycle in cycles:  # the base class knows the last of several only
            if type(cycle) is DirectExchange:
                cycle.lose()
            elif cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.cycle = None  # type: ignore[assignment]
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answered = cycle
        if type(cycle) is DirectExchange:
            cycle.task = self.loop.create_task(cycle.run(app))
            self.tasks.add(cycle.task)
        else:
            super()._start_asgi_task(cycle, app)

    def renew_common(self) -> None:
        """Another second has begun, and with it another date."""
        headers = self.server_state.default_headers
        type(self).common = headers, b"".join([b"%b: %b\r\n" % header for header in headers])

    def refuse(self, status: int, error: JinaError) -> None:
        """Write the last answer, with the headers of every response."""
        self.renew_common()
        self.transport.write(refusal(status, error, self.common[1]))

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        reading = self._reading
        if reading.timer is not None:
            reading.got(len(data))
        self._piece = len(data)
        if self._head is not None:
            self._head += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._not_parsed(data, problem)
        if not self._awaiting:
            if reading.timer is not None:
                reading.end()
        elif reading.timer is None and not self.transport.is_closing():
            reading.begin()
        if self._head is not None and self._head > MOST_HEAD:
            self._refuse(431, TooLarge(f"the head of the request is longer than {MOST_HEAD} bytes"))

    def _not_parsed(self, data: bytes, problem: Exception) -> None:
        """The parser stopped: at what is no request, or behind the head of an upgrade."""
        if not isinstance(problem, httptools.HttpParserUpgrade):
            if (self._head or 0) <= MOST_HEAD:
                self._refuse(400, BadRequest(f"this is not a valid HTTP/1.1 request: {problem}"))
        elif not self._parsed_again:
            self.handle_websocket_upgrade()
        elif self.parser.get_method() == b"CONNECT":
            self._refuse(405, MethodNotAllowed("CONNECT is for proxies"))
        else:
            self._parse_again(data[problem.args[0] :])

    def _parse_again(self, rest: bytes) -> None:
        self._parsed_again = False
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(option for option in options if option.lower() not in _OF_UPGRADES)  # noqa: PLW2901
            if name not in _OF_UPGRADES:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # httptools before 0.6.3; the constructor of uvicorn does the same
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        data = b"".join([*head, b"\r\n", rest])
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._not_parsed(data, problem)

    def _should_upgrade(self) -> bool:
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head = self._head or 1
        self._awaiting = True

    def on_headers_complete(self) -> None:
        """The head is there; the body has its own time."""
        if max(self._piece, self._head or 0) > MOST_HEAD and (size := self._size_of_head()) > MOST_HEAD:
            self._head = size
            raise ValueError("too long")  # which ends the parsing
        self._head = None
        if self._reading.timer is not None:
            self._reading.end()
        upgrades, direct = self.parser.should_upgrade(), self.direct
        if upgrades and not self._should_upgrade():
            self._parsed_again = True
        elif upgrades or direct is None or not direct.is_plain:
            self._begin_asgi()
        else:
            self._begin_direct(direct)

    def _begin_direct(self, app: DirectApp) -> None:
        parser, url, earlier = self.parser, httptools.parse_url(self.url), self.cycle
        path = url.path.decode("ascii")
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        exchange = DirectExchange(
            self,
            parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            url.query or b"",
            app.terms,
            keep_alive=keep_alive,
        )
        if self.client is not None:
            exchange.client = self.client[0]
        self.cycle = exchange  # type: ignore[assignment]
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(exchange, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, app))  # type: ignore[arg-type]

    def _begin_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # makes the scope, and forgets what was read
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        self.scope[WAITING] = self._waiting  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """More of the body."""
        cycle: Any = self.cycle
        if type(cycle) is not DirectExchange:
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.got(body)

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_message_complete(self) -> None:
        """The whole request is there."""
        if self._parsed_again:
            return
        self._awaiting = False
        cycle: Any = self.cycle
        if type(cycle) is not DirectExchange:
            super().on_message_complete()
        else:
            cycle.more_body = False
            if cycle.waiter is not None:
                cycle.wake()

    def on_response_complete(self) -> None:
        """The next request may be answered, or come."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:  # else it looks again for as long as is left then
            self._close_idle_after(self.timeout_keep_alive)

    def _close_idle_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle since its last response."""
        self.timeout_keep_alive_task = None
        if self._awaiting or not self.cycle.response_complete:
            return  # the end of the response comes here again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._close_idle_after(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """What comes now are frames."""
        self._awaiting = False
        self._reading.end()
        self.unread.forget(self._waiting)
        super().handle_websocket_upgrade()

    def _late(self) -> None:
        if self._head == 0:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            self._refuse(408, BadRequest("the request did not arrive in time"))

    def _refuse(self, status: int, error: JinaError) -> None:
        """Say why, where no answer has begun, and close."""
        if self.transport.is_closing():
            return
        earlier = self._head is not None  # the answer is to a request before
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (earlier or cycle.response_started):
            self.refuse(status, error)
        self.transport.close()


def http_protocol(timeout: float, unread: Unread, direct: DirectApp | None = None) -> type[Any]:
    """The protocol of a server whose requests get `timeout` seconds to arrive; see `HttpProtocol.direct`."""
    return type("TimedHttpProtocol", (HttpProtocol,), {"timeout": timeout, "unread": unread, "direct": direct})
