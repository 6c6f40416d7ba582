"""A real etcd and a real API server of Kubernetes as processes on the loopback, without any node."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress

import yaml

from tests.certificates import Authority
from tests.cluster.binaries import FOLDER as BINARIES

IN_TIME = 90.0


def lacking(*names):
    """Those of the programs that are not in the cache."""
    return [name for name in names if not (BINARIES / name).exists()]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(condition, what, limit=IN_TIME):
    """The first true result of `condition`."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {limit:g} s: {what() if callable(what) else what}"
        threading.Event().wait(0.05)
    return found


class Server:
    """The API server, as an administrator sees it."""

    def __init__(self, folder, port, authority):
        self.folder, self.port = folder, port
        self._context = ssl.create_default_context(cafile=authority)
        self.kubeconfig = self.user("admin", "admin")

    def user(self, token, name):
        """A kubeconfig for who has a token."""
        path = self.folder / f"{name} config.yml"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.folder / "ca.pem")}
        path.write_text(yaml.dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}], "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
        }))  # fmt: skip
        return str(path)

    def ask(self, method, path, content=None, kind="application/json"):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", "Bearer admin")
        request.add_header("Content-Type", kind)
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(request, data, context=self._context, timeout=20) as answer:
            return json.loads(answer.read() or b"{}")

    def is_ready(self):
        with suppress(OSError, ValueError):
            request = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz")
            request.add_header("Authorization", "Bearer admin")
            with urllib.request.urlopen(request, context=self._context, timeout=5) as answer:
                return answer.status == 200
        return False


@contextmanager
def running(folder, name, *words):
    with (folder / f"{name}.log").open("w") as log:
        started = subprocess.Popen([str(BINARIES / name), *words], cwd=folder, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@contextmanager
def api_server(folder, users, kind=Server):
    """etcd and the API server, with a namespace `shop`; each of the `users` has a token that is its name."""
    shown = Authority(folder).issue("127.0.0.1", "kubernetes.default.svc")
    tokens = ["admin,admin,admin,system:masters", *(f"{name},{name},{name}" for name in users)]
    (folder / "tokens.csv").write_text("".join(f"{line}\n" for line in tokens))
    subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=folder, check=True, capture_output=True)
    client, peer, port = free_port(), free_port(), free_port()
    etcd = ("--data-dir", "etcd", "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync")  # fmt: skip
    server = (f"--etcd-servers=http://127.0.0.1:{client}", f"--secure-port={port}", "--bind-address=127.0.0.1",
              "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
              f"--tls-cert-file={shown.file}", f"--tls-private-key-file={shown.key}", "--token-auth-file=tokens.csv",
              "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
              "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
              "--service-account-issuer=https://kubernetes.default.svc",
              "--service-cluster-ip-range=10.0.0.0/24")  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(running(folder, "etcd", *etcd))
        stack.enter_context(running(folder, "kube-apiserver", *server))
        made = kind(folder, port, shown.authority)
        until(made.is_ready, lambda: (folder / "kube-apiserver.log").read_text()[-2000:], 120)
        made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        yield made
