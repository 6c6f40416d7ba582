"""A real API server with the real controllers of Kubernetes, and pods that are processes on addresses of the loopback.

etcd, kube-apiserver and kube-controller-manager are what `make test-cluster` leaves in a cache; in place of kubelets,
`Kubelet` starts `jina executor` for each pod of a StatefulSet, with a folder for each claim.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster.api_server import api_server, lacking, running

ROOT = Path(__file__).parents[2]
JINA = str(Path(sys.executable).with_name("jina"))
LACKING = lacking("etcd", "kube-apiserver", "kube-controller-manager")


@contextmanager
def control_plane(folder):
    """etcd, the API server and the controllers, with a namespace `shop`."""
    controllers = ("statefulset", "disruption", "persistentvolumeclaim-protection", "garbage-collector")
    names = ",".join(f"{name}-controller" for name in controllers)
    with (
        api_server(folder, ("ada", "bob")) as made,
        running(
            folder, "kube-controller-manager", "--kubeconfig", made.kubeconfig, "--leader-elect=false",
            "--bind-address=127.0.0.1", "--secure-port=0", "--controllers", names,
            "--kube-api-qps=200", "--kube-api-burst=400",
        ),
    ):  # fmt: skip
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
        volume = self.folder / "volumes" / claim["metadata"]["uid"]
        # At once: what runs there still would write files between those that are deleted.
        gone = volume.rename(volume.with_name(f"gone {volume.name}"))
        shutil.rmtree(gone, ignore_errors=True)
