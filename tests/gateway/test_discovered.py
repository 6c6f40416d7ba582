"""A gateway whose replicas come and go behind a name: over real gRPC, to addresses of this machine."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from tests.certificates import Authority
from tests.gateway.api_server import endpoint, serving
from tests.gateway.gateways import on_a_loop, plan_of, request, texts, workers
from tests.nemesis.world import ISOLATED, can_isolate

from jina import Executor, Flow, requests
from jina.errors import NotSupportedError, RuntimeFailToStart
from jina.gateway import resolvers
from jina.gateway.links import UpstreamConnector
from jina.gateway.resolvers import Cluster
from jina.gateway.service import GatewayService
from jina.plan.plans import ListenerPlan, TlsPlan, UpstreamPlan, UpstreamTlsPlan
from jina.runtime.process import LinkInbox
from jina.server.server import serve

IN_TIME = 20.0


async def until(condition, what):
    end = time.monotonic() + IN_TIME
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


class Text(BaseDoc):
    text: str = ""


class Where(Executor):
    """Says which one it is; on demand after a while."""

    def __init__(self, host="", **kwargs):
        super().__init__(**kwargs)
        self.host = host
        self.begun = 0
        self.go_on = asyncio.Event()

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        self.begun += 1
        if parameters.get("wait"):
            await self.go_on.wait()
        for doc in docs:
            doc.text = self.host

    @requests(on="/stream")
    async def stream(self, doc: Text, **kwargs) -> Text:
        self.begun += 1
        yield Text(text="first")
        await self.go_on.wait()
        yield Text(text=self.host)


class Newer(Where):
    @requests(on="/more")
    async def more(self, docs: DocList[Text], **kwargs) -> DocList[Text]: ...


def free_port():
    """One that is free on all addresses of this machine."""
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        return sock.getsockname()[1]


class Machines:
    """Servers on 127.0.0.2, 127.0.0.3 ..., all on one port."""

    def __init__(self, stack):
        self._stack = stack
        self.port = free_port()
        self.executors = {}
        self.servers = {}

    async def start(self, host, cls=Where, tls=None):
        self.executors[host] = executor = cls(host)
        found = await self._stack.enter_async_context(workers({f"w{host}": executor}))
        listener = ListenerPlan(protocol="grpc", host=host, port=self.port, tls=tls)
        self.servers[host] = server = serve([listener], found[f"w{host}"])
        await server.start()
        return executor

    async def stop(self, host, grace=5.0):
        await self.servers.pop(host).stop(grace)

    async def close(self):
        for executor in self.executors.values():
            executor.go_on.set()
        for host in list(self.servers):
            await self.stop(host, 0)


@asynccontextmanager
async def machines(*hosts):
    async with contextlib.AsyncExitStack() as stack:
        made = Machines(stack)
        stack.push_async_callback(made.close)
        for host in hosts:
            await made.start(host)
        yield made


@asynccontextmanager
async def gateway(*upstreams, **options):
    """A gateway in front of what is found behind these."""
    plan = plan_of(
        {"a": {"needs": ["gateway"], "external": True, "upstreams": list(upstreams), **options}}, timeout_ready=15
    )
    service = GatewayService(plan, {})
    connector = UpstreamConnector(plan, LinkInbox(), lambda _: None)
    try:
        await connector.connect(service)
        yield service
    finally:
        await connector.close()


class Names:
    """What the system's resolver says of `echo.test`; all else is left to it."""

    def __init__(self, monkeypatch, *hosts):
        self.hosts = list(hosts)
        self.others = {}
        self._system = socket.getaddrinfo
        monkeypatch.setattr(resolvers.socket, "getaddrinfo", self)

    def __call__(self, host, port, *args, **options):
        hosts = self.hosts if host == "echo.test" else self.others.get(host)
        if hosts is None:
            return self._system(host, port, *args, **options)
        if not hosts:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in hosts]


def by_name(port):
    return UpstreamPlan(kind="dns", name="a/rep-0", address=f"echo.test:{port}")


async def asked(service, path="/go", **options):
    return texts(await service.call(request(path, ["x"], **options)))[0]


def serving_hosts(service):
    return {upstream.name.removeprefix("a/").rpartition(":")[0] for upstream in service.steps["a"].upstreams}


@on_a_loop
async def test_all_addresses_of_a_name_share_the_requests(monkeypatch):
    async with machines("127.0.0.2", "127.0.0.3") as made:
        Names(monkeypatch, "127.0.0.2", "127.0.0.3")
        async with gateway(by_name(made.port), resolve_interval=0.05) as service:
            await until(lambda: len(serving_hosts(service)) == 2, "both")
            calls = [asyncio.create_task(asked(service, parameters={"wait": True})) for _ in range(10)]
            await until(lambda: sum(one.begun for one in made.executors.values()) == 10, "all requests")
            assert [one.begun for one in made.executors.values()] == [5, 5]
            for executor in made.executors.values():
                executor.go_on.set()
            assert sorted(await asyncio.gather(*calls)) == ["127.0.0.2"] * 5 + ["127.0.0.3"] * 5


@on_a_loop
async def test_a_new_address_gets_requests_and_one_that_is_gone_finishes_its_own(monkeypatch):
    async with machines("127.0.0.2", "127.0.0.3") as made:
        names = Names(monkeypatch, "127.0.0.2")
        async with gateway(by_name(made.port), resolve_interval=0.05) as service:
            call = asyncio.create_task(asked(service, parameters={"wait": True}))
            replies = service.stream(request("/stream", ["x"]))
            assert texts(await anext(replies)) == ["first"]
            await until(lambda: made.executors["127.0.0.2"].begun == 2, "a request at the first")
            old = service.steps["a"].upstreams[0]
            names.hosts = ["127.0.0.3"]
            await until(lambda: serving_hosts(service) == {"127.0.0.3"}, "the other one instead")
            assert {await asked(service) for _ in range(5)} == {"127.0.0.3"}
            assert old.up
            made.executors["127.0.0.2"].go_on.set()
            assert await call == "127.0.0.2"
            assert [texts(reply) async for reply in replies] == [["127.0.0.2"]]
            await until(lambda: not old.up, "the end of the connection that is idle")


@on_a_loop
async def test_an_address_is_dialled_until_it_answers(monkeypatch):
    async with machines("127.0.0.2") as made:
        Names(monkeypatch, "127.0.0.2", "127.0.0.3")
        async with gateway(by_name(made.port), resolve_interval=0.05) as service:
            assert serving_hosts(service) == {"127.0.0.2"}
            await asyncio.sleep(0.5)
            assert {await asked(service) for _ in range(5)} == {"127.0.0.2"}
            await made.start("127.0.0.3")
            began = time.monotonic()
            await until(lambda: len(serving_hosts(service)) == 2, "the second")
            assert time.monotonic() - began < 3  # at most a second on a machine that is not loaded


@on_a_loop
async def test_the_addresses_stay_when_the_name_is_not_known_any_more(monkeypatch):
    async with machines("127.0.0.2") as made:
        names = Names(monkeypatch, "127.0.0.2")
        async with gateway(by_name(made.port), resolve_interval=0.05) as service:
            names.hosts = []
            await asyncio.sleep(0.4)
            assert await asked(service) == "127.0.0.2"


@on_a_loop
async def test_nothing_behind_a_name_fails_the_start(monkeypatch):
    Names(monkeypatch)
    plan = plan_of({"a": {"needs": ["gateway"], "upstreams": [by_name(1)], "external": True}}, timeout_ready=0.3)
    connector = UpstreamConnector(plan, LinkInbox(), lambda _: None)
    with pytest.raises(RuntimeFailToStart, match="no answer from a/rep-0"):
        await connector.connect(GatewayService(plan, {}))
    await connector.close()


@on_a_loop
async def test_endpoints_of_newer_replicas_become_known(monkeypatch):
    async with machines("127.0.0.2") as made:
        names = Names(monkeypatch, "127.0.0.2")
        async with gateway(by_name(made.port), resolve_interval=0.05) as service:
            assert "/more" not in service.endpoints
            await made.start("127.0.0.3", Newer)
            names.hosts = ["127.0.0.3"]
            await until(lambda: "/more" in service.endpoints, "the new endpoint")


@on_a_loop
async def test_each_address_shows_the_certificate_of_the_name(monkeypatch, tmp_path):
    authority = Authority(tmp_path)
    named, other = authority.issue("echo.test", name="named"), authority.issue("other.test", name="other")
    async with machines() as made:
        await made.start("127.0.0.2", tls=TlsPlan(certfile=named.file, keyfile=named.key))
        await made.start("127.0.0.3", tls=TlsPlan(certfile=other.file, keyfile=other.key))
        Names(monkeypatch, "127.0.0.2", "127.0.0.3")
        upstream = UpstreamPlan(kind="dns", name="a/rep-0", address=f"echo.test:{made.port}", tls=True)
        tls = UpstreamTlsPlan(ca_file=authority.file)
        async with gateway(upstream, resolve_interval=0.05, tls=tls) as service:
            await asyncio.sleep(0.5)
            assert {await asked(service) for _ in range(5)} == {"127.0.0.2"}


@on_a_loop
async def test_two_names_may_have_an_address_in_common(monkeypatch):
    async with machines("127.0.0.2", "127.0.0.3") as made:
        names = Names(monkeypatch, "127.0.0.2", "127.0.0.3")
        names.others["other.test"] = names.hosts
        more = UpstreamPlan(kind="dns", name="a/rep-1", address=f"other.test:{made.port}")
        async with gateway(by_name(made.port), more, resolve_interval=0.05) as service:
            await until(lambda: len(service.steps["a"].upstreams) == 4, "both addresses of both names")
            assert {await asked(service) for _ in range(20)} == {"127.0.0.2", "127.0.0.3"}


@on_a_loop
async def test_each_shard_is_found_behind_a_name_of_its_own(monkeypatch):
    """As a head that runs alone has it; the Executor after the shards too."""
    async with machines("127.0.0.2", "127.0.0.3", "127.0.0.4") as made:
        names = Names(monkeypatch)
        parts = [("a/shard-0", 0, ""), ("a/shard-1", 1, ""), ("a/uses_after", 0, "uses_after")]
        upstreams = []
        for number, (prefix, shard, part) in enumerate(parts):
            names.others[f"{number}.test"] = [f"127.0.0.{number + 2}"]
            address = f"{number}.test:{made.port}"
            upstreams.append(UpstreamPlan(kind="dns", name=f"{prefix}/rep-0", address=address, shard=shard, part=part))
        async with gateway(*upstreams, shards=2, polling={"*": "ALL"}, resolve_interval=0.05) as service:
            found = {part.name: [one.name for one in part.upstreams] for part in service.steps["a"].parts}
            assert {name: [one.split("@")[0] for one in hosts] for name, hosts in found.items()} == {
                "a/shard-0": [f"a/shard-0/127.0.0.2:{made.port}"],
                "a/shard-1": [f"a/shard-1/127.0.0.3:{made.port}"],
                "a/uses_before": [],
                "a/uses_after": [f"a/uses_after/127.0.0.4:{made.port}"],
            }
            await asked(service)
            assert [one.begun for one in made.executors.values()] == [1, 1, 1]
            names.others["1.test"] = ["127.0.0.2"]
            await until(lambda: "127.0.0.2" in service.steps["a"].parts[1].upstreams[0].name, "the other one")
            await asked(service)
            assert [one.begun for one in made.executors.values()] == [3, 1, 2]


def test_a_gateway_in_this_process_does_not_follow_names():
    flow = Flow().add(name="a", external=True, host="dns:///echo.test:1")
    with (
        pytest.raises(NotSupportedError, match="a gateway process follows the replicas behind a name"),
        flow.in_process(),
    ):
        pass


# --- Kubernetes ----------------------------------------------------------------------------------------------


@pytest.fixture
def account(tmp_path):
    (tmp_path / "namespace").write_text("shop")
    (tmp_path / "token").write_text("secret")
    return tmp_path


def in_cluster(monkeypatch, server, folder):
    cluster = Cluster("127.0.0.1", server.port, folder, tls=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setattr(Cluster, "of_environment", classmethod(lambda _: cluster))


def pods(port):
    return UpstreamPlan(kind="kubernetes", name="a/rep-0", address=f"echo:{port}")


@on_a_loop
async def test_pods_get_requests_as_the_slices_say(monkeypatch, account):
    """A new one soon after it is ready, one that terminates none from then on; nothing fails meanwhile."""
    async with serving(token="secret") as server, machines("127.0.0.2", "127.0.0.3") as made:
        in_cluster(monkeypatch, server, account)
        ports = (made.port,)
        one, two = endpoint("127.0.0.2", "one"), endpoint("127.0.0.3", "two")
        await server.put("a", one, endpoint("127.0.0.3", "two", ready=False), ports=ports)
        failures, answers = [], []
        async with gateway(pods(made.port)) as service:

            async def load():
                while True:
                    try:
                        answers.append((time.monotonic(), await asked(service)))
                    except Exception as error:
                        failures.append(error)
                    await asyncio.sleep(0.002)

            loading = asyncio.create_task(load())
            await until(lambda: len(answers) > 20, "some answers")
            assert {host for _, host in answers} == {"127.0.0.2"}
            await until(lambda: server.watches, "a watch")
            ready = time.monotonic()
            await server.put("a", one, two, ports=ports)
            await until(lambda: answers[-1][1] == "127.0.0.3", "an answer of the second")
            assert answers[-1][0] - ready < 2  # one second on a machine that is not loaded
            terminating = time.monotonic()
            await server.put("a", endpoint("127.0.0.2", "one", terminating=True), two, ports=ports)
            await until(lambda: serving_hosts(service) == {"127.0.0.3"}, "the second alone")
            assert time.monotonic() - terminating < 1  # half a second on a machine that is not loaded
            count = len(answers)
            await made.stop("127.0.0.2")
            await until(lambda: len(answers) > count + 20, "more answers")
            assert {host for _, host in answers[count + 1 :]} == {"127.0.0.3"}
            loading.cancel()
        assert failures == []


@on_a_loop
async def test_the_name_of_a_service_stands_for_its_pods(monkeypatch, account):
    """An address as Jina 3 exports it: in a cluster no mesh is needed."""
    async with serving(token="secret") as server, machines("127.0.0.2", "127.0.0.3") as made:
        in_cluster(monkeypatch, server, account)
        await server.put("a", endpoint("127.0.0.2", "one"), endpoint("127.0.0.3", "two"), ports=(made.port,))
        named = UpstreamPlan(kind="grpc", name="a/rep-0", address=f"echo.shop.svc:{made.port}")
        async with gateway(named) as service:
            await until(lambda: len(serving_hosts(service)) == 2, "both pods")
            assert {await asked(service) for _ in range(20)} == {"127.0.0.2", "127.0.0.3"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(not can_isolate(), reason="networks of a test's own need root, unshare and ip")
def test_what_is_in_flight_at_a_pod_that_vanished_fails_soon_and_at_one_that_only_leaves_it_is_answered():
    command = [*ISOLATED, sys.executable, "-m", "tests.gateway.vanished_pods"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    error, seconds = ends["received"]
    assert error.startswith("Unavailable: a: no worker answers"), error
    assert "its machine is gone" in error
    assert seconds < 4  # 1.5 on a machine that is not loaded
    assert ends["stays"][0] == "answered"
