"""A real API server with the real controllers of Kubernetes, and pods that are processes on addresses of the loopback.

etcd, kube-apiserver and kube-controller-manager are what `make cluster` leaves in a cache; in
place of kubelets, `Kubelet` starts `jina executor` for each pod of a StatefulSet, with a folder for each claim.
"""

from __future__ import annotations

import json
import os
import pwd
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import yaml

from tests.certificates import Authority

ROOT = Path(__file__).parents[2]
JINA = str(Path(sys.executable).with_name("jina"))
BINARIES = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "jina-cluster-binaries"
NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager")
LACKING = [name for name in NEEDED if not (BINARIES / name).exists()]
IN_TIME = 90.0


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
def _process(folder, name, *words):
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
def control_plane(folder):
    """etcd, the API server and the controllers, with a namespace `shop`."""
    shown = Authority(folder).issue("127.0.0.1", "kubernetes.default.svc")
    (folder / "tokens.csv").write_text("admin,admin,admin,system:masters\nada,ada,ada\nbob,bob,bob\n")
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
        stack.enter_context(_process(folder, "etcd", *etcd))
        stack.enter_context(_process(folder, "kube-apiserver", *server))
        made = Server(folder, port, shown.authority)
        until(made.is_ready, lambda: (folder / "kube-apiserver.log").read_text()[-2000:], 120)
        names = "statefulset-controller,disruption-controller,persistentvolumeclaim-protection-controller"
        stack.enter_context(_process(
            folder, "kube-controller-manager", "--kubeconfig", made.kubeconfig, "--leader-elect=false",
            "--bind-address=127.0.0.1", "--secure-port=0", "--controllers", names,
            "--kube-api-qps=200", "--kube-api-burst=400",
        ))  # fmt: skip
        made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        yield made


class Kubelet:
    """Runs the pods of StatefulSets as processes, each on an address of its own, and says how they are."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.network = f"127.{random.randrange(64, 250)}.{random.randrange(1, 250)}"
        self.running = {}
        """By name of the pod: uid and process."""
        self.pulls = lambda image: True
        self._over = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._keep)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(60)
        for _, process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in self.running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert self._failure is None, self._failure

    def address(self, number):
        return f"{self.network}.{10 + number}"

    def kill(self, name):
        """The process of a pod, its agent and all, as by a crash of the node's kernel: no goodbye."""
        _, process = self.running[name]
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
        )
        for pid in [*map(int, found.stdout.split()), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _keep(self):
        try:
            while not self._over.wait(0.2):
                for pod in self.server.ask("GET", "/api/v1/namespaces/shop/pods")["items"]:
                    with suppress(urllib.error.HTTPError):  # it changed meanwhile
                        self._look(pod)
        except Exception as error:
            self._failure = error
            raise

    def _look(self, pod):
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        path = f"/api/v1/namespaces/shop/pods/{name}"
        known, process = self.running.get(name, ("", None))
        if "deletionTimestamp" in pod["metadata"]:
            if process is not None and known == uid and process.poll() is None:
                if not getattr(process, "told", False):
                    process.told = True
                    process.send_signal(signal.SIGTERM)
                self._tell(path, ready=False)
                return
            self.running.pop(name, None)
            self.server.ask("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            return
        if process is None or known != uid:
            self._start(pod, path)
        elif process.poll() is not None:
            self.running[name] = uid, self._process(pod)  # as the kubelet restarts a container
        else:
            self._tell(path, ready=self._is_ready(int(name.rpartition("-")[2])))

    def _start(self, pod, path):
        container = pod["spec"]["containers"][0]
        if not pod["spec"].get("nodeName"):
            name = pod["metadata"]["name"]
            target = {"apiVersion": "v1", "kind": "Node", "name": "here"}
            self.server.ask("POST", f"{path}/binding", {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target,
            })  # fmt: skip
        if not self.pulls(container["image"]):
            state = {"waiting": {"reason": "ImagePullBackOff", "message": f"no image {container['image']}"}}
            self._tell(path, ready=False, state=state)
            return
        self.running[pod["metadata"]["name"]] = pod["metadata"]["uid"], self._process(pod)
        self._tell(path, ready=False)

    def _tell(self, path, *, ready, state=None):
        pod = self.server.ask("GET", path)
        number = int(pod["metadata"]["name"].rpartition("-")[2])
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [
            {"type": kind, "status": str(ready), "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
        ]
        running = {"running": {"startedAt": now}}
        status = {
            "phase": "Pending" if state else "Running", "podIP": self.address(number),
            "podIPs": [{"ip": self.address(number)}], "conditions": conditions,
            "containerStatuses": [{
                "name": pod["spec"]["containers"][0]["name"], "ready": ready, "restartCount": 0, "image": "x",
                "imageID": "x", "state": state or running,
            }],
        }  # fmt: skip
        old = pod.get("status") or {}
        was = [(one["type"], one["status"]) for one in old.get("conditions") or ()]
        if was != [(one["type"], one["status"]) for one in conditions] or not old.get("containerStatuses"):
            self.server.ask("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")

    def _process(self, pod):
        container, name = pod["spec"]["containers"][0], pod["metadata"]["name"]
        number = int(name.rpartition("-")[2])
        variables = self.server.ask(
            "GET", f"/api/v1/namespaces/shop/configmaps/{container['envFrom'][0]['configMapRef']['name']}"
        )
        listed = variables["data"]["RAFT_PEERS"]
        members = ",".join(f"{self.address(one)}:8090" for one in range(len(listed.split(","))))
        claims = [
            one["persistentVolumeClaim"]["claimName"]
            for one in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in one
        ]
        uid = self.server.ask("GET", f"/api/v1/namespaces/shop/persistentvolumeclaims/{claims[0]}")["metadata"]["uid"]
        volume = self.folder / "volumes" / uid
        volume.mkdir(parents=True, exist_ok=True)
        words = {"$(REPLICA_ID)": str(number), "$(RAFT_PEERS)": members, "0.0.0.0": self.address(number),
                 "/workspace": str(volume), "/etc/jina/raft/key": str(self.folder / "key")}  # fmt: skip
        args = [words.get(word, word) for word in container["args"]]
        with (self.folder / f"{name}.log").open("a") as log:
            environment = {**os.environ, "HOME": str(self.folder), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
            return subprocess.Popen([JINA, *args], cwd=self.folder, env=environment, stdout=log, stderr=log)

    def _is_ready(self, number):
        with suppress(OSError):
            return urllib.request.urlopen(f"http://{self.address(number)}:9090/readyz", timeout=2).status == 200
        return False

    def claims(self):
        return {one["metadata"]["name"]: one for one in
                self.server.ask("GET", "/api/v1/namespaces/shop/persistentvolumeclaims")["items"]}  # fmt: skip

    def lose(self, name):
        """What the claim was bound to is gone, with all that was on it."""
        claim = self.claims()[name]
        path = f"/api/v1/namespaces/shop/persistentvolumeclaims/{name}/status"
        self.server.ask("PATCH", path, {"status": {"phase": "Lost"}}, "application/merge-patch+json")
        shutil.rmtree(self.folder / "volumes" / claim["metadata"]["uid"])
