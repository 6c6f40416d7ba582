"""HTTP/1.1 from the client's side: what is sent and read, without I/O, and the connections for it.

`Outbound` is one request on its way, with its redirects; `Inbound` reads one response out of bytes. `Pool` keeps
sockets for blocking code, `AsyncPool` connections of one event loop; each lends a connection to one exchange at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from base64 import b64encode
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from http.cookies import SimpleCookie
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import httptools

from jina.client.http_messages import Outgoing
from jina.errors import BadServer, ConfigError, DeadlineExceeded, JinaError, TooLarge, Unavailable
from jina.net.channel import CallOptions, ChannelSettings, Target, unreachable
from jina.net.tls import client_context

IDLE_CONNECTIONS = 32
"""Connections that blocking code keeps; more are opened when more calls run at once, and closed afterwards."""
_IDLE = 15.0
"""Seconds that a connection may have been idle and is still used: some servers close theirs soon."""
_MOST_HEAD = 256 * 1024
"""Bytes that the head of a response may have."""
_PIECE = 256 * 1024
"""Bytes that are read at once, and up to which head and body are sent as one piece."""
_AHEAD = 1024 * 1024
"""Bytes of a stream that are read before somebody wants them."""
_GOODBYE = 1.0
"""Seconds that connections may take to close."""
_REDIRECTS = 10
_BREAKS = re.compile(rb"[\r\n\0]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Proxy(NamedTuple):
    """Where requests go instead, and the header that it wants."""

    host: str
    port: int
    authorization: str = ""


class Route(NamedTuple):
    """What a connection leads to; those of equal routes are interchangeable."""

    target: Target
    context: ssl.SSLContext | None
    proxy: Proxy | None

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        return (self.target.host, self.target.port) if self.proxy is None else (self.proxy.host, self.proxy.port)

    @property
    def tunnel(self) -> bytes:
        """What opens a way through a proxy that cannot read what passes; empty where none is needed."""
        if self.proxy is None or self.context is None:
            return b""
        headers = {"host": self.target.authority}
        if self.proxy.authorization:
            headers["proxy-authorization"] = self.proxy.authorization
        return _head("CONNECT", self.target.authority, headers)


class Routing:
    """Which routes requests of one channel take. TLS contexts are made once, as they take milliseconds."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self.target = target
        self._settings = settings
        self._contexts: dict[bool, ssl.SSLContext] = {}
        # Files that are no certificates are an error of the client's start.
        self._direct = Route(target, self._context(verified=True) if target.tls else None, None)

    def route(self, target: Target, options: CallOptions) -> Route:
        """The way to a target for a call."""
        extra = options.extra
        if target is self.target and not extra and not self._settings.use_proxy:
            return self._direct
        proxy = None
        if extra.get("proxy"):
            proxy = _proxy(str(extra["proxy"]), extra.get("proxy_auth"))
        elif self._settings.use_proxy and not urllib.request.proxy_bypass(target.host):
            url = urllib.request.getproxies().get("https" if target.tls else "http")
            proxy = _proxy(url, extra.get("proxy_auth")) if url else None
        return Route(target, self._tls(extra.get("ssl")) if target.tls else None, proxy)

    def _tls(self, asked: Any) -> ssl.SSLContext:
        if isinstance(asked, ssl.SSLContext):
            return asked
        if asked not in {None, True, False}:
            raise ConfigError(f"ssl: {asked!r} is neither an ssl.SSLContext nor a bool")
        return self._context(verified=asked is not False)

    def _context(self, *, verified: bool) -> ssl.SSLContext:
        if verified not in self._contexts:
            context = client_context(self._settings.tls)
            if not verified:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[verified] = context
        return self._contexts[verified]


def _proxy(url: str, login: Any) -> Proxy:
    parts = urlsplit(url if "//" in url else f"//{url}")
    if login is None and parts.username is not None:
        login = (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(parts.hostname or "", parts.port or 80, _basic(login, "proxy_auth") if login is not None else "")


def _basic(login: Any, option: str) -> str:
    if not isinstance(login, tuple | list) or len(login) < 2:
        raise ConfigError(f"{option}: {login!r} is no pair of a name and a password")
    return f"Basic {b64encode(f'{login[0]}:{login[1]}'.encode()).decode()}"


class Outbound:
    """A request and where it goes, which redirects change."""

    def __init__(self, method: str, outgoing: Outgoing, options: CallOptions, routing: Routing) -> None:
        self._method = method
        self._options = options
        self._routing = routing
        self._body = outgoing.body
        self._headers = _with_extra(outgoing.headers, options.extra)
        self._path = outgoing.path
        if params := options.extra.get("params"):
            self._path += ("&" if "?" in self._path else "?") + (
                params if isinstance(params, str) else urlencode(params)
            )
        self._left = int(options.extra.get("max_redirects", _REDIRECTS))
        self.route = routing.route(routing.target, options)

    def pieces(self) -> tuple[bytes, ...]:
        """What is sent."""
        route, path = self.route, self._path
        headers = {"host": route.target.authority, "accept-encoding": "identity", **self._headers}
        if route.proxy is not None and route.context is None:
            path = f"http://{route.target.authority}{path}"
            if route.proxy.authorization:
                headers["proxy-authorization"] = route.proxy.authorization
        if self._body or self._method == "POST":
            headers["content-length"] = str(len(self._body))
        head = _head(self._method, path, headers)
        return (head + self._body,) if len(self._body) <= _PIECE else (head, self._body)

    def follows(self, response: Inbound) -> bool:
        """Whether the response sends the request elsewhere, where it goes from now on."""
        where = response.headers.get("location", "")
        if response.status not in {301, 302, 303, 307, 308} or not where:
            return False
        if not self._options.extra.get("allow_redirects", True):
            return False
        before = self.route.target
        if self._left <= 0:
            raise BadServer(f"{self._routing.target} redirects without end, at last to {where}")
        self._left -= 1
        parts = urlsplit(urljoin(f"{before}{self._path}", where))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadServer(f"{before} redirects to {where!r}, which is no address for HTTP")
        tls = parts.scheme == "https"
        target = Target(parts.scheme, parts.hostname, parts.port or (443 if tls else 80), tls)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if target != before:
            self._headers = {name: value for name, value in self._headers.items() if name not in _SECRETS}
            self.route = self._routing.route(target, self._options)
        if response.status == 303 or (response.status in {301, 302} and self._method == "POST"):
            self._method, self._body = "GET", b""
            self._headers.pop("content-type", None)
        return True


_SECRETS = {"authorization", "cookie", "x-api-key", "proxy-authorization"}
"""Headers that are for one server alone."""


def _with_extra(headers: Mapping[str, str], extra: Mapping[str, Any]) -> dict[str, str]:
    """The headers with what the arguments of the call say in other words."""
    found = dict(headers)
    if extra.get("auth") is not None:
        found["authorization"] = _basic(extra["auth"], "auth")
    if extra.get("cookies"):
        cookies: SimpleCookie = SimpleCookie({str(name): str(value) for name, value in dict(extra["cookies"]).items()})
        found["cookie"] = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in cookies.items())
    return found


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode()]
    for name, value in headers.items():
        key, text = name.encode("ascii", "replace"), _encoded(value)
        if _BREAKS.search(text) or not _TOKEN.fullmatch(key):
            raise ConfigError(f"headers: {name!r} with the value {value!r} cannot be sent")
        lines.append(b"%b: %b" % (key, text))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class Inbound:
    """One response, out of the bytes that come; `limit` is for its body, None where it is taken in pieces."""

    def __init__(self, target: Target, limit: int | None) -> None:
        self._target = target
        self._limit = limit
        self.streams = limit is None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun = False
        """Whether the head is there."""
        self.complete = False
        self.reusable = False
        """Whether the connection may carry another request."""
        self.size = 0
        """Bytes that wait to be taken."""
        self._pieces: list[bytes] = []
        self._heard = self._body = 0
        self._length: int | None = None
        self._left: int | None = None
        self._inflate: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)

    # --- httptools' callbacks, in which nothing may be raised ---------------------------------------------

    def on_message_begin(self) -> None:
        """What begins after the answer is another one, that nobody asked for."""
        self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of what follows a chunked body."""
        if not self.begun:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is there, of an answer or of something that only says that one follows."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            return
        self.begun = True
        length = self.headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() and "transfer-encoding" not in self.headers else None
        encoding = self.headers.get("content-encoding", "").lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            return
        self._pieces.append(data)
        self.size += len(data)
        self._body += len(data)

    def on_message_complete(self) -> None:
        """Nothing of this response follows."""
        if self.begun and not self.complete:
            self.complete = True
            self.reusable = bool(self._parser.should_keep_alive())

    # --- what connections call ----------------------------------------------------------------------------

    @property
    def wanted(self) -> int:
        """Bytes to read at once."""
        return min(max(self._left or 0, 1 << 16), _PIECE)

    def feed(self, data: bytes) -> None:
        """Take what came. Raises a `JinaError` for what is no HTTP, or is too large."""
        if self._left is None:
            self._parse(data)
        else:
            self.on_body(data if len(data) <= self._left else data[: self._left])
            self._left -= len(data)
            self.complete = self._left <= 0
            self.reusable = self.reusable and self._left >= 0
        if self._limit is not None and max(self._length or 0, self.size) > self._limit:
            raise self._too_large()

    def _parse(self, data: bytes) -> None:
        self._heard += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                raise BadServer(f"{self._target} does not speak HTTP/1.1 ({error}); is it a port for gRPC?") from error
            self.reusable = False  # what follows the answer is nothing that was asked for
        if not self.begun and self._heard > _MOST_HEAD:
            raise BadServer(f"the head of the answer of {self._target} has more than {_MOST_HEAD} bytes")
        if self.begun and not self.complete and self._length is not None:
            # The parser has nothing more to say, and would copy each byte.
            self.reusable = bool(self._parser.should_keep_alive())
            self._left = self._length - self._body

    def finish(self) -> None:
        """The peer closed the connection. Raises `Unavailable` where something of the response is missing."""
        self.reusable = False
        if self.complete:
            return
        if not self.begun:
            raise Unavailable(f"{self._target} closed the connection before it answered")
        if self._length is not None or "transfer-encoding" in self.headers:
            raise Unavailable(f"{self._target} closed the connection in the middle of its answer")
        self.complete = True  # its end is that of the connection

    def take(self) -> bytes:
        """What came of the body since the last time: all of it where the response is complete."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        if self._inflate is None or not data:
            return data
        try:
            data = self._inflate.decompress(data, (self._limit or 0) + 1 if self._limit is not None else 0)
        except zlib.error as error:
            raise BadServer(f"{self._target} sent a body that cannot be unpacked: {error}") from error
        if self._limit is not None and len(data) > self._limit:
            raise self._too_large()
        return cast("bytes", data)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the answer of {self._target} is over max_message_size, {self._limit} bytes")


class Lines:
    """Pieces of a text as lines; `limit` is for the bytes of one."""

    def __init__(self, target: Target, limit: int) -> None:
        self._target = target
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limit:
            raise TooLarge(f"a document of {self._target} is over max_message_size, {self._limit} bytes")
        return lines

    def finish(self) -> list[bytes]:
        """The last line, where nothing ends it."""
        return [self._rest] if self._rest else []


def _failure(error: Exception, target: Target, timeout: float | None) -> Exception:
    """The error of ours that a failure of an exchange is."""
    match error:
        case JinaError():  # before OSError: some of ours are such errors too
            return error
        case TimeoutError():
            return DeadlineExceeded(f"{target} did not answer within {timeout} s")
        case OSError():
            return unreachable(target, f"cannot reach {target}: {error}", str(error))
    return error


def _opened(response: Inbound, route: Route) -> None:
    if response.status // 100 != 2:
        raise Unavailable.unreached(
            f"cannot reach {route.target}: the proxy answered {response.status} to CONNECT",
            help="correct `proxy` and `proxy_auth` of the client (or HTTPS_PROXY), or allow the proxy to connect there",
        )


# --- blocking ---------------------------------------------------------------------------------------------


class Connection:
    """A socket, for one exchange at a time; `timeout` is in seconds, for each operation."""

    def __init__(self, route: Route, timeout: float | None) -> None:
        self.route = route
        self.idle_since = 0.0
        self._socket = socket.create_connection(route.address, timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if route.tunnel:
                self.send((route.tunnel,))
                opened = Inbound(route.target, None)
                while not opened.begun:
                    self.receive(opened)
                _opened(opened, route)
            if route.context is not None:
                self._socket = route.context.wrap_socket(self._socket, server_hostname=route.target.host)
        except BaseException:
            self._socket.close()
            raise

    def usable(self, timeout: float | None) -> bool:
        """Whether the peer has left it open; with this timeout from now on."""
        if time.monotonic() - self.idle_since > _IDLE or _readable(self._socket):
            return False
        if self._socket.gettimeout() != timeout:
            self._socket.settimeout(timeout)
        return True

    def send(self, pieces: tuple[bytes, ...]) -> None:
        """Send all."""
        for piece in pieces:
            self._socket.sendall(piece)

    def receive(self, response: Inbound) -> None:
        """Read once."""
        if data := self._socket.recv(response.wanted):
            response.feed(data)
        else:
            response.finish()

    def close(self) -> None:
        """End it."""
        self._socket.close()


def _readable(sock: socket.socket) -> bool:
    """Whether there is something to read, which on an idle connection is its end."""
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # `select` knows only numbers below 1024
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Pool:
    """Idle sockets, shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    @contextlib.contextmanager
    def exchange(
        self, outbound: Outbound, limit: int | None, timeout: float | None
    ) -> Generator[tuple[Connection, Inbound]]:
        """Send a request, and lend the connection when the head of the response is there."""
        target = outbound.route.target
        connection: Connection | None = None
        try:
            connection = self._send(outbound, timeout)
            response = Inbound(target, limit)
            while not response.begun:
                connection.receive(response)
            yield connection, response
            if response.complete and response.reusable and self._keep(connection):
                connection = None
        except Exception as error:
            failure = _failure(error, target, timeout)
            if failure is error:
                raise
            raise failure from error
        finally:
            if connection is not None:
                connection.close()

    def _send(self, outbound: Outbound, timeout: float | None) -> Connection:
        """Send over an idle connection, else over a new one.

        Sending again is safe when sending failed: the peer never had the whole request.
        """
        pieces = outbound.pieces()
        while (kept := self._take(outbound.route, timeout)) is not None:
            try:
                kept.send(pieces)
            except (BrokenPipeError, ConnectionResetError):
                kept.close()
            except BaseException:
                kept.close()
                raise
            else:
                return kept
        fresh = Connection(outbound.route, timeout)
        try:
            # A peer that refuses a large request may answer, and close, before it has read all.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                fresh.send(pieces)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _take(self, route: Route, timeout: float | None) -> Connection | None:
        while True:
            with self._lock:
                found = next((one for one in reversed(self._idle) if one.route == route), None)
                if found is None:
                    return None
                self._idle.remove(found)
            if found.usable(timeout):
                return found
            found.close()

    def _keep(self, connection: Connection) -> bool:
        connection.idle_since = time.monotonic()
        with self._lock:
            if len(self._idle) >= IDLE_CONNECTIONS:
                return False
            self._idle.append(connection)
        return True

    def close(self) -> None:
        """Close the idle connections; lent ones end with their exchange."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    __del__ = close


# --- on an event loop -------------------------------------------------------------------------------------


class AsyncConnection(asyncio.Protocol):
    """A connection of the running loop, for one exchange at a time."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._response: Inbound | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    @classmethod
    async def opened(cls, route: Route) -> AsyncConnection:
        """A new one."""
        loop = asyncio.get_running_loop()
        direct = route.context if not route.tunnel else None
        host, port = route.address
        name = route.target.host if direct is not None else None
        _, made = await loop.create_connection(lambda: cls(route), host, port, ssl=direct, server_hostname=name)
        if route.tunnel:
            try:
                await made.open_tunnel()
            except BaseException:
                made.close()
                raise
        return made

    async def open_tunnel(self) -> None:
        """Connect to the target through the proxy, and begin TLS."""
        route = self.route
        assert self._transport is not None
        assert route.context is not None
        opened = self.send((route.tunnel,), None)
        while not opened.begun:
            await self.receive()
        _opened(opened, route)
        self._response = None
        loop = asyncio.get_running_loop()
        safe = await loop.start_tls(self._transport, self, route.context, server_hostname=route.target.host)
        self._transport = cast("asyncio.Transport", safe)

    # --- asyncio's callbacks ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        response = self._response
        if response is None or response.complete:  # nothing was asked
            self.close()
            return
        try:
            response.feed(data)
        except JinaError as error:
            self._error = error
            self.close()
        if response.size > _AHEAD and response.streams and not self._paused:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if not self.lost.done():
            self.lost.set_result(None)
        if self._response is not None and self._error is None:
            try:
                if exc is not None and not self._response.complete:
                    raise exc
                self._response.finish()
            except Exception as error:  # noqa: BLE001 - the task that reads raises it
                self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- for the exchange ---------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether the peer has left it open, and it was used a moment ago."""
        closing = self._transport is None or self._transport.is_closing()
        return not closing and not self.lost.done() and time.monotonic() - self.idle_since <= _IDLE

    def send(self, pieces: tuple[bytes, ...], limit: int | None) -> Inbound:
        """Begin to send a request; gives its response, which `receive` brings on."""
        assert self._transport is not None
        self._response = response = Inbound(self.route.target, limit)
        for piece in pieces:
            self._transport.write(piece)
        return response

    async def receive(self) -> None:
        """Wait until something more of the response is there. Raises what ended it."""
        response = self._response
        assert response is not None
        if self._error is None and not (response.streams and (response.size or response.complete)):
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    def released(self) -> bool:
        """Whether it may carry another request now that its response was read."""
        response, self._response = self._response, None
        transport = self._transport
        unsent = transport is None or transport.is_closing() or transport.get_write_buffer_size() > 0
        self.idle_since = time.monotonic()
        return response is not None and response.complete and response.reusable and not unsent

    def close(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()


class AsyncPool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Route, deque[AsyncConnection]] = {}
        self._all: set[AsyncConnection] = set()

    @contextlib.asynccontextmanager
    async def exchange(
        self, outbound: Outbound, limit: int | None, patience: float | None
    ) -> AsyncGenerator[tuple[AsyncConnection, Inbound]]:
        """Send a request, and lend the connection when the head of the response is there."""
        target = outbound.route.target
        connection: AsyncConnection | None = None
        try:
            async with asyncio.timeout(patience):
                connection = self._take(outbound.route) or await self._open(outbound.route)
                response = connection.send(outbound.pieces(), limit)
                while not response.begun:
                    await connection.receive()
            yield connection, response
            if connection.released():
                self._idle.setdefault(connection.route, deque()).append(connection)
                connection = None
        except Exception as error:
            failure = _failure(error, target, patience)
            if failure is error:
                raise
            raise failure from error
        finally:
            if connection is not None:
                connection.close()
                self._all.discard(connection)

    def _take(self, route: Route) -> AsyncConnection | None:
        idle = self._idle.get(route)
        while idle:
            connection = idle.pop()
            if connection.usable:
                while idle and not idle[0].usable:
                    self._drop(idle.popleft())
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: AsyncConnection) -> None:
        connection.close()
        self._all.discard(connection)

    async def _open(self, route: Route) -> AsyncConnection:
        connection = await AsyncConnection.opened(route)
        self._all.add(connection)
        return connection

    async def close(self) -> None:
        """Close all connections."""
        connections, self._all = self._all, set()
        self._idle.clear()
        for connection in connections:
            connection.close()
        if waiting := [connection.lost for connection in connections if not connection.lost.done()]:
            await asyncio.wait(waiting, timeout=_GOODBYE)
