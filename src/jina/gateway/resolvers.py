"""Finds the addresses behind a name, again and again: by DNS, or by the EndpointSlices of a Kubernetes Service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from asyncio import Task
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from jina.client.http import Connection, Connections, Exchange, LoopConnection
from jina.client.http_messages import Destination, Lines, Outbound, Outgoing, Routing
from jina.client.loops import ON_LOOP
from jina.errors import ConfigError, JinaError, Unavailable
from jina.net.channel import CallOptions, ChannelSettings, Target, TlsFiles
from jina.observe import logs
from jina.plan.plans import UpstreamPlan
from jina.routing.addresses import (
    Addresses,
    Ask,
    DnsAnswers,
    EndpointSlice,
    EndpointSlices,
    ListWatch,
    Service,
    Status,
    events_of,
    read_list,
    read_status,
    service_of,
)

_log = logs.get_logger("jina.gateway")
Found = Callable[[Addresses], None]
"""Told all addresses whenever they may have changed; on the loop."""
Lookup = Callable[[str, int], Iterable[str]]
"""The addresses of a host; raises `OSError`. May block."""
# Its own state, so that `random.seed` of user code does not let all gateways ask at the same time.
_rng = random.Random()  # noqa: S311 - no secret


class Resolver(Protocol):
    """Tells the addresses behind one name until it is closed."""

    def start(self) -> None:
        """Begin, on the running loop."""
        ...

    async def close(self) -> None:
        """Ask no more."""
        ...


def resolver_of(plan: UpstreamPlan, interval: float, found: Found) -> Resolver | None:
    """What finds the replicas of `plan`; None for a single address. `interval` is in seconds, of DNS.

    In a cluster, a name of a Service that is spelled out (`name.namespace.svc`) stands for its pods. Raises
    `ConfigError` for a Service where there is no cluster.
    """
    host, _, number = plan.address.rpartition(":")
    host, port = host.strip("[]"), int(number or 0)
    if plan.kind == "dns":
        return DnsResolver(host, port, interval, found)
    service = service_of(host, spelled_out=plan.kind == "grpc") if plan.kind in {"kubernetes", "grpc"} else None
    cluster = Cluster.of_environment()
    if service is None or (cluster is None and plan.kind == "grpc"):
        return None
    if cluster is None:
        raise ConfigError(
            f"kubernetes:///{plan.address}: this process does not run in a Kubernetes cluster, where "
            "KUBERNETES_SERVICE_HOST is set",
            help="give an address, or dns:///name:port for all addresses of a name",
        )
    return KubernetesResolver(cluster, service, port, found, named=host, interval=interval)


# --- DNS -----------------------------------------------------------------------------------------------------


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class DnsResolver:
    """Looks a name up every `interval` seconds; what fails leaves the addresses as they are.

    The system's resolver blocks, for minutes where no server answers: it has a thread of its own, that ends with the
    process.
    """

    def __init__(self, host: str, port: int, interval: float, found: Found, lookup: Lookup = addresses_of) -> None:
        self._host = host
        self._port = port
        self._interval = interval
        self._found = found
        self._lookup = lookup
        self._answers = DnsAnswers(port)
        self._failure = ""
        self._closed = threading.Event()

    def start(self) -> None:
        """See `Resolver`."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name=f"dns {self._host}", daemon=True).start()

    async def close(self) -> None:
        """See `Resolver`."""
        self._closed.set()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closed.is_set():
            hosts, failure = self._looked_up()
            try:
                loop.call_soon_threadsafe(self._take, hosts, failure)
            except RuntimeError:  # the loop has ended
                return
            self._closed.wait(self._interval * _rng.uniform(0.8, 1.0))

    def _looked_up(self) -> tuple[list[str], str]:
        try:
            hosts = list(self._lookup(self._host, self._port))
        except (OSError, UnicodeError) as error:
            return [], str(error)
        return hosts, "" if hosts else "no addresses"

    def _take(self, hosts: Sequence[str], failure: str) -> None:
        if self._closed.is_set():
            return
        if failure and not self._failure:
            _log.warning("%s cannot be resolved (%s); the addresses so far stay in use", self._host, failure)
        elif self._failure and not failure:
            _log.info("%s is resolved again", self._host)
        self._failure = failure
        if not failure:
            self._found(self._answers.answered(hosts))


# --- Kubernetes ----------------------------------------------------------------------------------------------

_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet keeps token, authorities and namespace of the pod's account."""
_ANSWER: Final = 10.0
"""Seconds in which a list is answered, and beyond the end of a watch."""
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a list, and of an event: a slice with 1000 endpoints has half a megabyte."""
_RETRY_DENIED: Final = 30.0
"""Seconds after which an API that refused the account is asked again."""
_TRIES: Final = 3
"""Failed lists after which the name is resolved meanwhile."""
_EXPIRED: Final = {410, 504}
"""Codes for a version that the server has no longer, or, when it is another server, not yet."""
_REFUSED: Final = {401: "does not know the service account", 403: "refuses it to the service account", 404: "lacks it"}


class Cluster(msgspec.Struct, frozen=True):
    """How to reach the API server, as a pod is told. `watch` is how many seconds a watch lasts, about."""

    host: str
    port: int
    folder: Path = _FOLDER
    tls: bool = True
    watch: float = 60.0

    @classmethod
    def of_environment(cls) -> Cluster | None:
        """That of the pod in which this process runs; None elsewhere."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        return cls(host, int(port)) if host and port.isdecimal() else None

    @property
    def namespace(self) -> str:
        """That of the pod."""
        try:
            return (self.folder / "namespace").read_text().strip() or "default"
        except OSError:
            return "default"

    @property
    def token(self) -> str:
        """The token of the account, which the kubelet replaces within the hour; empty where there is none."""
        try:
            return (self.folder / "token").read_text().strip()
        except OSError:
            return ""

    @property
    def target(self) -> Target:
        """Its address."""
        return Target("https" if self.tls else "http", self.host, self.port, self.tls)

    def routing(self) -> Routing:
        """How requests go there, with the authorities that are in the file now."""
        ca = str(self.folder / "ca.crt") if self.tls else None
        return Routing(self.target, ChannelSettings(tls=TlsFiles(ca=ca)))


class _Refused(Exception):
    """The API server answered with a failure."""

    def __init__(self, status: int, what: Status, retry_after: float = 0.0) -> None:
        super().__init__(what.message or what.reason or f"HTTP status {status}")
        self.status = status
        self.retry_after = retry_after


class _Expired(Exception):
    """The version of the last list or event is no longer, or not yet, known to the server."""


class _Watched(Connections):
    """Connections that notice within seconds that the other end is gone, though nothing is sent."""

    async def open(self, to: Destination, timeout: float | None) -> Connection:  # noqa: ASYNC109 - as its base
        """See `Connections`."""
        connection = await super().open(to, timeout)
        if isinstance(connection, LoopConnection):
            connection.notice_loss(5, 3, 3)
        return connection


class KubernetesResolver:
    """Lists and watches the EndpointSlices of a Service; resolves its name where the API refuses that, or is silent.

    `named` is how the Service was called. The addresses that are known stay in use while the API cannot be reached.
    """

    def __init__(
        self,
        cluster: Cluster,
        service: Service,
        port: int,
        found: Found,
        *,
        named: str = "",
        interval: float = 1.0,
        lookup: Lookup = addresses_of,
    ) -> None:
        self._cluster = cluster
        self._namespace = service.namespace or cluster.namespace
        self._service = service.name
        self._port = port
        self._found = found
        self._slices = EndpointSlices(port)
        self._cycle = ListWatch(_rng.uniform, cluster.watch)
        self._connections = _Watched(ON_LOOP)
        self._routing: Routing | None = None
        self._task: Task[None] | None = None
        self._watches = False
        """Whether the addresses are those of the slices."""
        self._last: Addresses | None = None
        self._warned = ""
        self._named = named if named.count(".") > 1 else f"{service.name}.{self._namespace}.svc"
        self._make_dns = partial(DnsResolver, self._named, port, interval, self._resolved, lookup)
        self._dns: DnsResolver | None = None

    def start(self) -> None:
        """See `Resolver`."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """See `Resolver`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._dns is not None:
            await self._dns.close()
        await self._connections.close()

    async def _run(self) -> None:
        while True:
            ask = self._cycle.next()
            await asyncio.sleep(ask.wait)
            try:
                await (self._watch(ask) if ask.watch else self._list(ask))
            except _Expired:
                self._cycle.expired()
            except _Refused as refused:
                await self._refused(refused)
            except (JinaError, OSError, ValueError) as error:  # what cannot be decoded is a ValueError
                self._failed(error)

    async def _refused(self, refused: _Refused) -> None:
        may_pass = self._watches and self._cycle.failures < _TRIES
        if refused.status not in _REFUSED or may_pass:
            self._failed(refused, refused.retry_after)
            return
        self._resolve(f"the API of the cluster {_REFUSED[refused.status]} ({refused.status}: {refused})")
        self._cycle.expired()
        await asyncio.sleep(_RETRY_DENIED * _rng.uniform(0.8, 1.2))

    def _failed(self, error: Exception, retry_after: float = 0.0) -> None:
        self._routing = None  # the file of the authorities may be another one by now
        self._cycle.failed(retry_after)
        _log.debug("the EndpointSlices of %s: %s", self._named, error)
        if not self._watches and self._cycle.failures >= _TRIES:
            self._resolve(f"the API of the cluster does not answer ({error})")

    def _resolve(self, why: str) -> None:
        """Take the addresses of the name from now on."""
        self._watches = False
        if self._dns is None:
            _log.warning(
                "the pods of %s cannot be watched: %s; its name is resolved instead, which learns of them later. The "
                "account of this pod needs get, list and watch of endpointslices in discovery.k8s.io",
                self._named,
                why,
            )
            self._dns = self._make_dns()
            self._dns.start()

    def _resolved(self, addresses: Addresses) -> None:
        if not self._watches:
            self._tell(addresses)

    def _tell(self, addresses: Addresses) -> None:
        if addresses != self._last:
            self._last = addresses
            self._found(addresses)

    async def _list(self, ask: Ask) -> None:
        async with _within(_ANSWER), self._exchange({"resourceVersion": ask.version}, _LARGEST) as exchange:
            body = await exchange.rest()
            _check(exchange, body)
        found = read_list(body)
        self._slices.listed(found.items or ())
        self._cycle.listed(found.metadata.resourceVersion)
        self._watches = True
        self._changed()
        if self._dns is not None:
            await self._dns.close()
            self._dns = None
            _log.info("the pods of %s are watched from now on", self._named)

    async def _watch(self, ask: Ask) -> None:
        seconds = max(1, round(ask.seconds))
        query = {
            "resourceVersion": ask.version,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        started = time.monotonic()
        async with _within(_ANSWER) as limit, self._exchange(query, None) as exchange:
            response = exchange.response
            if response.status != HTTPStatus.OK:
                _check(exchange, await exchange.rest())
            # A connection through something that holds it though the server is gone is noticed by this alone.
            limit.reschedule(asyncio.get_running_loop().time() + seconds + _ANSWER)
            lines = Lines(self._cluster.target, _LARGEST)
            while True:
                self._take(lines.feed(response.take()))
                if response.complete:
                    break
                await exchange.receive()
        self._cycle.ended(time.monotonic() - started)

    def _take(self, lines: Sequence[bytes]) -> None:
        """Take the lines that came together; what they change is told once."""
        changed = False
        for event in events_of(lines):
            if isinstance(event.content, EndpointSlice):
                changed = self._slices.changed(event) or changed
                self._cycle.heard(event.content.metadata.resourceVersion)
            elif event.content.code in _EXPIRED:
                raise _Expired
            else:
                raise _Refused(event.content.code, event.content)
        if changed:
            self._changed()

    def _changed(self) -> None:
        ports = self._slices.ports
        if len(ports) > 1 and self._port not in ports:
            warning = f"none of the ports of {self._named} ({', '.join(map(str, ports))}) is {self._port}"
            if warning != self._warned:
                _log.warning("%s: give the port of the containers instead of that of the Service", warning)
            self._warned = warning
        self._tell(self._slices.addresses)

    def _exchange(self, query: dict[str, str], limit: int | None) -> Exchange:
        self._routing = self._routing or self._cluster.routing()
        query = {"labelSelector": f"kubernetes.io/service-name={self._service}", **query}
        path = f"/apis/discovery.k8s.io/v1/namespaces/{quote(self._namespace)}/endpointslices?{urlencode(query)}"
        headers = {"accept": "application/json", "user-agent": "jina-gateway"}
        if token := self._cluster.token:
            headers["authorization"] = f"Bearer {token}"
        options = CallOptions(extra={"allow_redirects": False})
        outbound = Outbound("GET", Outgoing(path, headers, b""), options, self._routing)
        return Exchange(self._connections, outbound, limit, None)


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncGenerator[asyncio.Timeout]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError as error:
        raise Unavailable("it did not answer in time") from error


def _check(exchange: Exchange, body: bytes) -> None:
    """Raise what the answer says of a failure."""
    status = exchange.response.status
    if status == HTTPStatus.OK:
        return
    if status in _EXPIRED:
        raise _Expired
    hint = exchange.response.headers.get("retry-after", "")
    raise _Refused(status, read_status(body), float(hint) if hint.isdecimal() else 0.0)
