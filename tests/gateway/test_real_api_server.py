"""The watcher against a real kube-apiserver and etcd, where their binaries are in the cache of this user.

`make` does not build them: they are what scripts that start clusters leave in `~/.cache/jina-cluster-binaries`.
"""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.certificates import Authority
from tests.gateway.gateways import on_a_loop

from jina.gateway import resolvers
from jina.gateway.resolvers import Cluster, KubernetesResolver
from jina.routing.addresses import Service

IN_TIME = 60.0
CACHE = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache"
FOLDERS = [CACHE / "jina-cluster-binaries", CACHE / "k8s-1.34" / "bin"]
BINARIES = next((one for one in FOLDERS if all((one / name).exists() for name in ("etcd", "kube-apiserver"))), None)
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BINARIES is None, reason=f"no kube-apiserver and etcd in {FOLDERS[0]}"),
]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Api:
    """The API server, as an administrator sees it."""

    def __init__(self, port, authority):
        self.port = port
        self._context = ssl.create_default_context(cafile=authority)

    def ask(self, method, path, content=None):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", "Bearer admin")
        request.add_header("Content-Type", "application/json")
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(request, data, context=self._context, timeout=20) as answer:
            return json.loads(answer.read() or b"{}")

    def is_ready(self):
        try:
            request = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz")
            request.add_header("Authorization", "Bearer admin")
            with urllib.request.urlopen(request, context=self._context, timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

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


@contextmanager
def process(words, folder, name):
    with (folder / f"{name}.log").open("w") as log:
        started = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@pytest.fixture
def api(tmp_path):
    """etcd and the API server, without any node."""
    shown = Authority(tmp_path).issue("127.0.0.1", "kubernetes.default.svc")
    (tmp_path / "tokens.csv").write_text("admin,admin,admin,system:masters\ngateway,gateway,gateway\n")
    subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=tmp_path, check=True, capture_output=True)
    client, peer, port = free_port(), free_port(), free_port()
    etcd = [str(BINARIES / "etcd"), "--data-dir", "etcd", "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"]  # fmt: skip
    server = [str(BINARIES / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}", f"--secure-port={port}",
              "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
              f"--tls-cert-file={shown.file}", f"--tls-private-key-file={shown.key}", "--token-auth-file=tokens.csv",
              "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
              "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
              "--service-account-issuer=https://kubernetes.default.svc",
              "--service-cluster-ip-range=10.0.0.0/24"]  # fmt: skip
    with process(etcd, tmp_path, "etcd"), process(server, tmp_path, "apiserver"):
        made = Api(port, shown.authority)
        end = time.monotonic() + 120
        while not made.is_ready():
            assert time.monotonic() < end, (tmp_path / "apiserver.log").read_text()[-2000:]
            time.sleep(0.2)
        made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        account = tmp_path / "account"
        account.mkdir()
        shutil.copy(shown.authority, account / "ca.crt")
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
