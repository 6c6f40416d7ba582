"""Addresses behind names: DNS that fails and changes, and the API server of a cluster with all that it may do."""

import asyncio
import logging
import shutil
import socket
import ssl
import threading
import time
from contextlib import asynccontextmanager

import pytest
from tests.certificates import certificate
from tests.gateway.api_server import endpoint, serving
from tests.gateway.gateways import on_a_loop

from jina.errors import ConfigError
from jina.gateway import resolvers
from jina.gateway.resolvers import Cluster, DnsResolver, KubernetesResolver, resolver_of
from jina.plan.plans import UpstreamPlan
from jina.routing.addresses import Service

IN_TIME = 20.0


async def until(condition, what):
    """Wait for something; a second is enough on an idle machine."""
    end = time.monotonic() + IN_TIME
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


class Seen(list):
    """All that a resolver told."""

    @property
    def last(self):
        return set(self[-1]) if self else None


@asynccontextmanager
async def watching(server, *, folder, port=8080, tls=False, watch=60.0, lookup=lambda *_: [], service="echo"):
    """What a resolver finds at the stand-in."""
    cluster = Cluster("127.0.0.1", server.port, folder, tls, watch)
    seen = Seen()
    resolver = KubernetesResolver(cluster, Service(service), port, seen.append, interval=0.05, lookup=lookup)
    seen.resolver = resolver
    resolver.start()
    try:
        yield seen
    finally:
        await resolver.close()


@pytest.fixture
def account(tmp_path):
    """The files of a service account."""
    (tmp_path / "namespace").write_text("shop\n")
    (tmp_path / "token").write_text("first\n")
    return tmp_path


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What waits for a server does not wait for long."""
    monkeypatch.setattr(resolvers, "_RETRY_DENIED", 0.2)
    monkeypatch.setattr(resolvers, "_ANSWER", 1.0)


def questions(server):
    """What was asked: the version of a list, or of a watch."""
    return [("watch" if "watch" in query else "list", query["resourceVersion"]) for _, query in server.asked]


# --- list and watch ------------------------------------------------------------------------------------------


@on_a_loop
async def test_pods_come_leave_and_go(account):
    async with serving() as server:
        await server.put("a", endpoint("10.0.0.1", "one"))
        await server.put("other", endpoint("10.9.9.9", "nine"), service="other")
        async with watching(server, folder=account) as seen:
            await until(lambda: seen.last == {"10.0.0.1:8080"}, "the list")
            await until(lambda: server.watches, "a watch")
            await server.put("b", endpoint("10.0.0.2", "two"))
            await until(lambda: seen.last == {"10.0.0.1:8080", "10.0.0.2:8080"}, "a new slice")
            await server.put("a", endpoint("10.0.0.1", "one", terminating=True))
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "a pod that terminates")
            await server.delete("b")
            await until(lambda: seen.last == {"10.0.0.1:8080"}, "the pod that still serves while none is ready")
            await server.put("other", endpoint("10.9.9.8", "nine"), service="other")
            await server.delete("a")
            await until(lambda: seen.last == set(), "nothing left")
        assert questions(server)[0] == ("list", "0")
        path, query = server.asked[1]
        assert path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        assert query["labelSelector"] == "kubernetes.io/service-name=echo"
        assert (query["allowWatchBookmarks"], 40 <= int(query["timeoutSeconds"]) <= 80) == ("true", True)


@on_a_loop
async def test_an_event_is_told_at_once(account):
    async with serving() as server:
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: server.watches, "a watch")
            delays = []
            for number in range(10):
                began = time.monotonic()
                await server.put("a", endpoint(f"10.0.0.{number + 2}", "two"))
                await until(lambda number=number: seen.last == {f"10.0.0.{number + 2}:8080"}, "an event")
                delays.append(time.monotonic() - began)
            assert sorted(delays)[5] < 0.5, delays


@on_a_loop
async def test_the_next_watch_begins_where_the_last_one_ended(account):
    async with serving() as server:
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: server.watches, "a watch")
            for _ in range(3):
                await server.bookmark()
            version = str(server.version)
            await until(lambda: seen.resolver._cycle._version == version, "the bookmarks")
            await server.cut()
            await until(lambda: server.watches, "another watch")
            assert questions(server) == [("list", "0"), ("watch", "101"), ("watch", version)]
            await server.put("a", endpoint("10.0.0.2", "two"))
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "an event of the second watch")


@on_a_loop
async def test_watches_that_the_server_ends_are_followed_by_others(account):
    async with serving() as server:
        server.deadline = 0.2
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: len(server.asked) > 3, "several watches")
            await server.put("a", endpoint("10.0.0.2", "two"))
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "an event")
        assert [kind for kind, _ in questions(server)].count("list") == 1


@pytest.mark.parametrize("as_event", [True, False])
@on_a_loop
async def test_a_version_that_is_forgotten_is_listed_again(as_event, account):
    async with serving() as server:
        server.gone_as_event = as_event
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: server.watches, "a watch")
            server.silent = True
            await server.cut()
            await server.put("a", endpoint("10.0.0.2", "two"))
            await server.forget()
            server.silent = False
            await server.cut()
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "what came meanwhile")
            assert ("list", "") in questions(server)


@on_a_loop
async def test_addresses_stay_while_the_server_is_away(account, caplog):
    async with serving() as server:
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: server.watches, "a watch")
            port = server.port
            await server.stop()
            await asyncio.sleep(0.5)
            assert seen == [{"10.0.0.1:8080": "one"}]
            await server.start(port)
            await server.put("a", endpoint("10.0.0.2", "two"))
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "the server's return")
    assert "resolved instead" not in caplog.text


@on_a_loop
async def test_a_connection_that_only_seems_to_be_there_is_given_up(account):
    """As through a load balancer that goes on holding it: the server never ends the watch in its time."""
    async with serving() as server:
        server.deadline = 1000.0
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account, watch=1.0):
            await until(lambda: len(server.asked) >= 3, "a second watch")
        assert [kind for kind, _ in questions(server)][:3] == ["list", "watch", "watch"]


@on_a_loop
async def test_a_watch_notices_a_machine_that_is_gone(account):
    async with serving() as server:
        cluster = Cluster("127.0.0.1", server.port, account, tls=False)
        resolver = KubernetesResolver(cluster, Service("echo"), 8080, lambda _: None)
        resolver.start()
        await until(lambda: server.watches, "a watch")
        (connection,) = resolver._connections._of_loop
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        await resolver.close()


@on_a_loop
async def test_many_failures_are_few_questions(account):
    async with serving() as server:
        server.refusal, server.retry_after = 429, 5
        async with watching(server, folder=account):
            await until(lambda: server.asked, "a question")
            await asyncio.sleep(0.5)
            assert len(server.asked) == 1
            server.refusal = None


@on_a_loop
async def test_the_token_is_read_again(account):
    async with serving(token="first") as server:
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account) as seen:
            await until(lambda: server.watches, "a watch")
            server.token = "second"
            (account / "token").write_text("second")
            await server.cut()
            await server.put("a", endpoint("10.0.0.2", "two"))
            await until(lambda: seen.last == {"10.0.0.2:8080"}, "an event after the token has changed")
        assert [kind for kind, _ in questions(server)].count("list") == 1


@on_a_loop
async def test_the_server_shows_its_certificate(account, tmp_path):
    shown = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.file, shown.key)
    async with serving() as server:
        await server.stop()
        await server.start(context=context)
        await server.put("a", endpoint("10.0.0.1", "one"))
        shutil.copy(shown.authority, account / "ca.crt")
        async with watching(server, folder=account, tls=True) as seen:
            await until(lambda: seen.last == {"10.0.0.1:8080"}, "a list over TLS")


# --- without the API -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404])
@on_a_loop
async def test_a_refusal_is_said_once_and_the_name_is_resolved(status, account, caplog):
    asked = []

    def lookup(host, port):
        asked.append((host, port))
        return ["10.0.0.7"]

    async with serving() as server:
        server.refusal = status
        await server.put("a", endpoint("10.0.0.1", "one"))
        async with watching(server, folder=account, lookup=lookup) as seen:
            await until(lambda: seen.last == {"10.0.0.7:8080"}, "the addresses of the name")
            await until(lambda: len(server.asked) > 2, "the API is asked again")
            assert set(asked) == {("echo.shop.svc", 8080)}
            assert caplog.text.count("its name is resolved instead") == 1
            assert f"({status}: refused with {status})" in caplog.text
            server.refusal = None
            await until(lambda: seen.last == {"10.0.0.1:8080"}, "the pods, once that is allowed")
            count = len(asked)
            await asyncio.sleep(0.2)
            assert len(asked) <= count + 1


@on_a_loop
async def test_a_server_that_never_answered_is_no_reason_to_have_no_addresses(account, monkeypatch):
    monkeypatch.setattr(resolvers, "_ANSWER", 0.1)
    async with serving() as server:
        server.silent = True
        async with watching(server, folder=account, lookup=lambda *_: ["10.0.0.7"]) as seen:
            await until(lambda: seen.last == {"10.0.0.7:8080"}, "the addresses of the name")


@on_a_loop
async def test_a_port_that_no_pod_has_is_said(account, caplog):
    async with serving() as server:
        await server.put("a", endpoint("10.0.0.1", "one"), ports=(54321, 9090))
        async with watching(server, folder=account, port=80) as seen:
            await until(lambda: seen.last == set(), "the list")
            await until(lambda: server.watches, "a watch")
            await server.put("a", endpoint("10.0.0.1", "one"), ports=(54321,))
            await until(lambda: seen.last == {"10.0.0.1:54321"}, "the only port")
    assert caplog.text.count("none of the ports of echo.shop.svc (9090, 54321) is 80") == 1


# --- DNS -----------------------------------------------------------------------------------------------------


class Names:
    """A resolver of the system that the test decides about."""

    def __init__(self, *hosts):
        self.hosts = list(hosts)
        self.error = None

    def __call__(self, host, port):
        if self.error is not None:
            raise self.error
        return list(self.hosts)


@asynccontextmanager
async def resolving(names):
    seen = Seen()
    resolver = DnsResolver("echo.example", 80, 0.02, seen.append, names)
    resolver.start()
    try:
        yield seen
    finally:
        await resolver.close()


@on_a_loop
async def test_a_name_is_looked_up_again_and_again(caplog):
    caplog.set_level(logging.INFO)
    names = Names("10.0.0.1", "fd00::1")
    async with resolving(names) as seen:
        await until(lambda: seen.last == {"10.0.0.1:80", "[fd00::1]:80"}, "both families")
        names.hosts = ["10.0.0.2"]
        await until(lambda: seen.last == {"10.0.0.2:80"}, "another address")
        names.error = socket.gaierror(-3, "Temporary failure in name resolution")
        await until(lambda: "Temporary failure" in caplog.text, "the failure in the log")
        names.error, names.hosts = None, []
        await asyncio.sleep(0.1)
        assert seen.last == {"10.0.0.2:80"}
        names.hosts = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: seen.last == {"10.0.0.2:80", "10.0.0.3:80"}, "the name is back")
    assert caplog.text.count("cannot be resolved") == 1
    assert caplog.text.count("is resolved again") == 1


@on_a_loop
async def test_a_resolver_that_hangs_holds_nothing_up():
    entered, leave = threading.Event(), threading.Event()

    def hangs(host, port):
        entered.set()
        leave.wait(IN_TIME)
        return ["10.0.0.1"]

    async with resolving(hangs) as seen:
        await until(entered.is_set, "a look-up")
        began = time.monotonic()
    assert time.monotonic() - began < 1
    leave.set()
    await asyncio.sleep(0.05)
    assert seen == []


@on_a_loop
async def test_names_of_the_system():
    seen = Seen()
    resolver = DnsResolver("localhost", 80, 0.05, seen.append)
    resolver.start()
    await until(lambda: seen, "localhost")
    assert "127.0.0.1:80" in seen[0]
    await resolver.close()


# --- which of them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "address", "in_cluster", "kind_of_resolver"),
    [
        ("grpc", "10.0.0.1:80", True, None),
        ("grpc", "echo:80", True, None),
        ("grpc", "echo.shop.svc:80", True, KubernetesResolver),
        ("grpc", "echo.shop.svc.cluster.local:80", True, KubernetesResolver),
        ("grpc", "echo.shop.svc:80", False, None),
        ("dns", "echo.shop.svc:80", True, DnsResolver),
        ("dns", "echo:80", False, DnsResolver),
        ("kubernetes", "echo:80", True, KubernetesResolver),
    ],
)
def test_what_finds_the_replicas(kind, address, in_cluster, kind_of_resolver, monkeypatch):
    if in_cluster:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    else:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = resolver_of(UpstreamPlan(kind=kind, name="a/rep-0", address=address), 1.0, lambda _: None)
    assert type(found) is (kind_of_resolver or type(None))


def test_pods_are_found_inside_a_cluster_alone(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="does not run in a Kubernetes cluster"):
        resolver_of(UpstreamPlan(kind="kubernetes", name="a/rep-0", address="echo.shop:80"), 1.0, lambda _: None)
