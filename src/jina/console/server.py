"""What the console answers over HTTP: the page, the feed, history, logs and actions."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from jina.config.types import ADMIN, split_address
from jina.console.feed import Feed, Places, Viewer, event
from jina.console.lines import Lines, Wanted
from jina.console.model import WINDOW
from jina.console.page import page
from jina.errors import (
    BadRequest,
    ConfigError,
    EndpointNotFound,
    PermissionDenied,
    UnsupportedMediaType,
    UsageError,
)
from jina.observe.logs import get_logger
from jina.server.http import JSON, Exchange, Header, Terms, dumps
from jina.server.http_calls import guarded
from jina.version import __version__

_MOST_BODY: Final = 64 * 1024
_STREAM: Final = b"text/event-stream"
_HEADERS: Final = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What proxies add: the caller is not on this machine then, whatever its address is."""
NEEDS_KEY: Final = "logs are shown with an API key (api_keys), by `jina console`, or on the machine of the service"
NEEDS_ADMIN: Final = (
    "actions need an API key with the scope `admin` (api_keys), or `jina console` on the machine of the service"
)


class Services(Protocol):
    """The services that one console shows. Both methods block, and are called on a thread."""

    def listed(self) -> list[dict[str, Any]]:
        """`id`, `name` and `state` of each."""
        ...

    def ask(self, ident: str) -> Callable[[bytes], bytes]:
        """What answers questions about one; raises `EndpointNotFound`."""
        ...


class OneService:
    """The service that serves the console."""

    def __init__(self, ask: Callable[[bytes], bytes]) -> None:
        self._ask = ask

    def listed(self) -> list[dict[str, Any]]:
        """See `Services`."""
        status = msgspec.json.decode(self._ask(b"{}")).get("status") or {}
        return [{"id": "this", "name": status.get("name", ""), "state": status.get("state", "down")}]

    def ask(self, ident: str) -> Callable[[bytes], bytes]:
        """See `Services`."""
        if ident not in {"", "this"}:
            raise EndpointNotFound(f"no service {ident!r} here")
        return self._ask


class ConsoleServer:
    """The console of one process, on one loop.

    `rights` tells what the caller of a request may: `view`, `logs`, `admin`.
    """

    def __init__(
        self, services: Services, rights: Callable[[Exchange], Collection[str]], *, mode: str, closed: bool
    ) -> None:
        self._services = services
        self._rights = rights
        self._mode = mode
        self._closed = closed
        self._feeds: dict[str, Feed] = {}
        self._places = Places()
        self._ended: list[Callable[[], None]] = []
        self._log = get_logger("jina.console")

    @classmethod
    def of_service(cls, ask: Callable[[bytes], bytes], *, closed: bool) -> ConsoleServer:
        """That of a worker or a gateway; `closed` where callers need a key."""
        return cls(OneService(ask), rights_with_keys if closed else rights_without_keys, mode="service", closed=closed)

    def stop(self) -> None:
        """End all streams: the server is about to stop."""
        for feed in self._feeds.values():
            feed.stop("the server stops")
        for end in self._ended:
            end()

    async def page(self, exchange: Exchange) -> None:
        """Answer with the page."""
        found = page()
        exchange.terms = _terms(exchange, ())
        if exchange.headers.get("if-none-match") == found.etag:
            await exchange.respond((), None, status=304, headers=found.headers[1:])
        else:
            await exchange.respond((found.body,), None, headers=found.headers)

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer a request below the page; raises a `JinaError`."""
        exchange.terms = _terms(exchange, _HEADERS)
        handler = {
            ("GET", "info"): self._info,
            ("GET", "feed"): self._feed,
            ("GET", "history"): self._history,
            ("GET", "logs"): self._logs,
            ("POST", "actions"): self._actions,
        }.get((exchange.method, path))
        if handler is None:
            allowed = {"info": "GET", "feed": "GET", "history": "GET", "logs": "GET", "actions": "POST"}.get(path)
            if allowed is None:
                raise EndpointNotFound(f"the console has no {path!r}")
            await exchange.refuse_method([allowed])
            return
        await handler(exchange)

    async def _info(self, exchange: Exchange) -> None:
        rights = self._rights(exchange)
        reasons = {"logs": NEEDS_KEY, ADMIN: NEEDS_ADMIN}
        await _json(exchange, {
            "version": __version__,
            "mode": self._mode,
            "services": await asyncio.to_thread(self._services.listed),
            "rights": [one for one in ("view", "logs", ADMIN) if one in rights],
            "why_not": {name: text for name, text in reasons.items() if name not in rights},
            "closed": self._closed,
            "interval": 1.0,
            "window": WINDOW,
        })  # fmt: skip

    async def _feed_of(self, ident: str) -> Feed:
        found = self._feeds.get(ident)
        if found is None:
            ask = await asyncio.to_thread(self._services.ask, ident)
            self._feeds = {name: one for name, one in self._feeds.items() if one.running}
            found = self._feeds[ident] = self._feeds.get(ident) or Feed(ask)
        return found

    async def _feed(self, exchange: Exchange) -> None:
        self._places.take()
        try:
            feed = await self._feed_of(exchange.query().get("service", ""))
            viewer = feed.enter(exchange.drop)
            try:
                await guarded(exchange, _send(exchange, viewer), None)
            finally:
                feed.leave(viewer)
        finally:
            self._places.free()

    async def _history(self, exchange: Exchange) -> None:
        asked = exchange.query()
        feed = self._feeds.get(asked.get("service", ""))
        track = asked.get("track", "total")
        await _json(exchange, (feed or Feed(lambda _: b"{}")).model.history(track))

    async def _logs(self, exchange: Exchange) -> None:
        if "logs" not in self._rights(exchange):
            raise PermissionDenied(NEEDS_KEY)
        wanted = Wanted.of_query(parse_qsl(exchange.query_string.decode("latin-1"), keep_blank_values=True))
        self._places.take()
        try:
            ask = await asyncio.to_thread(self._services.ask, wanted.service)
            lines = Lines(ask, wanted)
            self._ended.append(lines.stop)
            try:
                await guarded(exchange, _send_lines(exchange, lines), None)
            finally:
                self._ended.remove(lines.stop)
        finally:
            self._places.free()

    async def _actions(self, exchange: Exchange) -> None:
        check_origin(exchange)
        if exchange.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise UnsupportedMediaType(f"an action is sent as {JSON}")
        if ADMIN not in self._rights(exchange):
            raise PermissionDenied(NEEDS_ADMIN)
        action = Action.read(await exchange.body())
        ask = await asyncio.to_thread(self._services.ask, action.service)
        who = exchange.headers.get("x-api-key-name", "") or exchange.client
        self._log.info("the console: %s asks for %s of %s", who, action.do, action.group)
        message = await asyncio.to_thread(action.run, ask)
        await _json(exchange, {"message": message})


class Action(msgspec.Struct, forbid_unknown_fields=True):
    """What `jina raft` does as well, with the group of a stateful Deployment."""

    do: str
    group: str
    service: str = ""
    replica: int | None = None
    address: str = ""

    @classmethod
    def read(cls, body: bytes) -> Action:
        """Raises `BadRequest` for what is none."""
        try:
            action = msgspec.json.decode(body, type=cls)
        except msgspec.DecodeError as error:
            raise BadRequest(f"not an action: {error}") from None
        needed = {"snapshot": (), "transfer": (), "add": ("replica", "address"), "remove": ("replica",)}.get(action.do)
        if needed is None:
            raise BadRequest(f"no action {action.do!r}; there are snapshot, transfer, add and remove")
        if missing := [name for name in needed if getattr(action, name) in {None, ""}]:
            raise BadRequest(f"{action.do} needs {' and '.join(missing)}")
        if action.replica is not None and action.replica < 0:
            raise BadRequest("replica is the number of a replica, 0 or more")
        if action.address:
            _check_address(action.address)
        return action

    def run(self, ask: Callable[[bytes], bytes]) -> str:
        """Do it, which may take a minute; returns what was done, for people."""
        from jina.replication.admin import Group, administer

        status = msgspec.json.decode(ask(b"{}")).get("status") or {}
        group = Group(self.group)
        for process in status.get("processes", ()):
            if process.get("group") == self.group and process.get("agent"):
                group.agents[int(process["name"].rpartition("-")[2])] = process["agent"]
        if not group.agents:
            raise EndpointNotFound(f"no group {self.group!r} runs here")
        try:
            return self._done(group, administer)
        except UsageError as error:
            raise ConfigError(error.message, help=error.help) from None

    def _done(self, group: Any, administer: Callable[..., bytes]) -> str:
        if self.do == "snapshot":
            chosen = sorted(group.agents) if self.replica is None else [self.replica]
            for number in chosen:
                if number not in group.agents:
                    raise BadRequest(f"{self.group} has no replica {number} here")
                administer(group.agents[number], "snapshot")
            return f"{self.group}: a snapshot was written by {', '.join(f'replica {one}' for one in chosen)}"
        if self.do == "transfer":
            group.change("transfer", **({} if self.replica is None else {"replica": self.replica}))
            return f"{self.group}: the leadership was handed over"
        if self.do == "add":
            group.change("add", replica=self.replica, address=self.address)
            return f"{self.group}: replica {self.replica} at {self.address} has a vote"
        group.change("remove", replica=self.replica)
        return f"{self.group}: replica {self.replica} is no longer a member"


def _check_address(text: str) -> None:
    try:
        address = split_address(text)
    except ValueError as error:
        raise BadRequest(f"address: {error}") from None
    if address.port is None or address.scheme:
        raise BadRequest(f"address: {text!r} is not HOST:PORT")


def rights_with_keys(exchange: Exchange) -> Collection[str]:
    """What a key may whose scope `console` was checked before."""
    caller = exchange.caller
    return {"view", "logs", ADMIN} if caller is not None and caller.has_scope(ADMIN) else {"view", "logs"}


def rights_without_keys(exchange: Exchange) -> Collection[str]:
    """Where no keys are set, only people on the same machine see logs, which may have anything in them.

    A page of another origin whose name was bound to this address is not taken for one of these: its name is sent.
    """
    here = is_loopback(exchange.client) and is_loopback(host_of(exchange.headers.get("host", "")))
    return {"view", "logs"} if here and not any(name in exchange.headers for name in _FORWARDED) else {"view"}


def host_of(netloc: str) -> str:
    """The host in a header Host or an Origin; empty where there is none."""
    with contextlib.suppress(ValueError):
        return urlsplit(netloc if "//" in netloc else f"//{netloc}").hostname or ""
    return ""


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of the machine itself."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_origin(exchange: Exchange) -> None:
    """Raise `PermissionDenied` for a request that a page of another origin has sent."""
    origin, site = exchange.headers.get("origin"), exchange.headers.get("sec-fetch-site", "same-origin")
    host = exchange.headers.get("host", "")
    if site not in {"same-origin", "none"} or (origin is not None and urlsplit(origin).netloc.lower() != host.lower()):
        raise PermissionDenied("actions are taken from the console's own page alone")


async def _send(exchange: Exchange, viewer: Viewer) -> None:
    await exchange.start_stream(_STREAM)
    async for data in viewer.messages():
        await exchange.write(data)
    await exchange.write(b"", more=False)


async def _send_lines(exchange: Exchange, lines: Lines) -> None:
    await exchange.start_stream(_STREAM)
    async for data in lines.messages():
        await exchange.write(data)
    await exchange.write(event("end", {"reason": "the server stops"}), more=False)


async def _json(exchange: Exchange, value: Mapping[str, Any]) -> None:
    await exchange.respond_json(dumps(value))


def _terms(exchange: Exchange, headers: Iterable[Header]) -> Terms:
    """With headers of the console, and without those by which pages of other origins may read an answer."""
    kept = [header for header in exchange.terms.headers if not header[0].startswith(b"access-control-")]
    return Terms(_MOST_BODY, [*kept, *headers])
