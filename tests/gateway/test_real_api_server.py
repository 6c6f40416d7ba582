"""The watcher against a real kube-apiserver and etcd, where `make test-cluster` has built them."""

import asyncio
import contextlib
import shutil
import time

import pytest
from tests.cluster.api_server import BINARIES, Server, api_server, lacking
from tests.gateway.gateways import on_a_loop

from jina.gateway import resolvers
from jina.gateway.resolvers import Cluster, KubernetesResolver
from jina.routing.addresses import Service

IN_TIME = 60.0
LACKING = lacking("etcd", "kube-apiserver")
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not in {BINARIES}"),
]


class Api(Server):
    """The API server, with endpoints that come and go, and an account that may see them or not."""

    def put(self, name, *endpoints, new=False):
        content = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "echo"}},
            "addressType": "IPv4",
            "endpoints": list(endpoints),
            "ports": [{"name": "grpc", "port": 8080, "protocol": "TCP"}],
        }
        self.ask("POST", SLICES, content) if new else self.ask("PUT", f"{SLICES}/{name}", content)

    def allow(self):
        """What the docs say that the account needs."""
        rules = [
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
        ]
        path = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop"
        self.ask("POST", f"{path}/roles", {"metadata": {"name": "gateway"}, "rules": rules})
        binding = {
            "metadata": {"name": "gateway"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gateway"},
            "subjects": [{"kind": "User", "name": "gateway", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        self.ask("POST", f"{path}/rolebindings", binding)


@pytest.fixture
def api(tmp_path):
    """etcd and the API server, without any node."""
    with api_server(tmp_path, ("gateway",), Api) as made:
        account = tmp_path / "account"
        account.mkdir()
        shutil.copy(tmp_path / "ca.pem", account / "ca.crt")
        (account / "token").write_text("gateway")
        (account / "namespace").write_text("shop")
        made.account = account
        yield made


async def until(condition, what):
    end = time.monotonic() + IN_TIME
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


def pod(ip, *, ready=True, terminating=False):
    conditions = {"ready": ready and not terminating, "serving": ready, "terminating": terminating}
    return {"addresses": [ip], "conditions": conditions}


@on_a_loop
async def test_the_watcher_understands_a_real_api_server(api, monkeypatch, caplog):
    """Refused, then allowed; a list, a watch with events, its end, versions that are too old, bookmarks."""
    monkeypatch.setattr(resolvers, "_RETRY_DENIED", 0.3)
    ask = lambda *words, **named: asyncio.to_thread(api.put, *words, **named)  # noqa: E731
    seen, names = [], ["10.0.0.9"]
    cluster = Cluster("127.0.0.1", api.port, api.account, watch=3.0)
    resolver = KubernetesResolver(cluster, Service("echo"), 8080, seen.append, interval=0.1, lookup=lambda *_: names)
    last = lambda: set(seen[-1]) if seen else None  # noqa: E731
    resolver.start()
    try:
        await until(lambda: last() == {"10.0.0.9:8080"}, "the name, since the account may not list")
        assert "(403: " in caplog.text
        await ask("a", pod("10.0.0.1"), new=True)
        await asyncio.to_thread(api.allow)
        await until(lambda: last() == {"10.0.0.1:8080"}, "the pods, once that is allowed")
        began = time.monotonic()
        await ask("b", pod("10.0.0.2"), new=True)
        await until(lambda: last() == {"10.0.0.1:8080", "10.0.0.2:8080"}, "a new slice")
        took = time.monotonic() - began
        await ask("a", pod("10.0.0.1", terminating=True))
        await until(lambda: last() == {"10.0.0.2:8080"}, "a pod that terminates")
        await until(lambda: resolver._cycle._version != "0", "a version")
        await asyncio.sleep(5)  # the server ends the watch after its 3 seconds
        await ask("a", pod("10.0.0.3"))
        await until(lambda: last() == {"10.0.0.2:8080", "10.0.0.3:8080"}, "an event of a later watch")
        resolver._cycle._version = "1"  # as after a long absence
        with contextlib.suppress(KeyError):
            for connection in list(resolver._connections._of_loop):
                connection.close()
        await ask("b", pod("10.0.0.4"))
        await until(lambda: last() == {"10.0.0.3:8080", "10.0.0.4:8080"}, "what came after a version that is too old")
        await asyncio.to_thread(api.ask, "DELETE", f"{SLICES}/a")
        await until(lambda: last() == {"10.0.0.4:8080"}, "a slice that was deleted")
        assert took < 5
    finally:
        await resolver.close()
