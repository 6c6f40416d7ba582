"""A Flow on the cluster: exported by `to_kubernetes_yaml`, applied, and asked through its Service."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jina import Flow
from tests.cluster.cluster import Cluster
from tests.cluster.images import archive, name_of

JINA = Path(sys.executable).with_name("jina")
READY_WITHIN = 240
POST = """
import json, sys
from jina import Client, Document

docs = Client(host=sys.argv[1]).post(sys.argv[2], Document(text=sys.argv[3]))
print(json.dumps([{"text": doc.text, "tags": doc.tags} for doc in docs]))
"""
STREAMS = """
import asyncio, json, sys
from jina import Client, Document

host, streams, parameters = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
found = [[] for _ in range(streams)]


async def one(number):
    async with Client(host=host, asyncio=True) as client:
        given = {"parameters": parameters, "return_type": Document}
        async for doc in client.stream_doc("/stream", Document(text=str(number)), **given):
            found[number].append(doc.text)
            if all(found):
                print("open", flush=True)


async def main():
    ended = await asyncio.gather(*map(one, range(streams)), return_exceptions=True)
    print(json.dumps([found, list(map(repr, ended))]))


asyncio.run(main())
"""


def noting(kind: str, folder: Path) -> dict[str, Any]:
    """A `kubernetes` block by which `close()` of an Executor leaves a file that outlives its pod."""
    pod = {
        "containers": [{"name": "executor", "volumeMounts": [{"name": "notes", "mountPath": "/notes"}]}],
        "volumes": [{"name": "notes", "hostPath": {"path": str(folder)}}],
    }
    return {"patch": {kind: {"spec": {"template": {"spec": pod}}}}}


def ask(cluster: Cluster, address: str, path: str, text: str) -> list[dict[str, Any]]:
    """What a client inside was answered, as JSON documents."""
    found: list[dict[str, Any]] = json.loads(cluster.run(sys.executable, "-c", POST, address, path, text))
    return found


def _start_of(pod: dict[str, Any]) -> str:
    """What happened to a pod, and how many seconds after what had happened before."""
    status = pod["status"]
    times = {one["type"]: one["lastTransitionTime"] for one in status.get("conditions", ()) if one["status"] == "True"}
    events = {"scheduled": times.get("PodScheduled"), "has a network": times.get("PodReadyToStartContainers")}
    for one in status.get("containerStatuses", ()):
        running = one["state"].get("running", {})
        events["runs" if not one["restartCount"] else "runs again"] = running.get("startedAt")
    events["ready"] = times.get("Ready")
    last, said = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]), []
    for what, at in events.items():
        if at is not None:
            now = datetime.fromisoformat(at)
            said.append(f"{what} +{(now - last).total_seconds():.0f}")
            last = now
    return f"{pod['metadata']['name']}: created {pod['metadata']['creationTimestamp']}, {', '.join(said)}"


class Shop:
    """A gateway x 2 in front of these steps: an encoder x 2, an index x 3, which is stateful."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, steps: Sequence[str]) -> None:
        self.cluster, self.namespace, self.steps = cluster, namespace, steps
        self.notes = cluster.folder / f"notes-{namespace}"
        shutil.rmtree(self.notes, ignore_errors=True)  # of another run in a cluster that stays
        self.notes.mkdir()
        self.notes.chmod(0o777)
        cluster.load(*map(archive, steps))
        flow = Flow(name="shop", protocol=["grpc", "http"]).config_gateway(replicas=2)
        if "encoder" in steps:
            noted = noting("Deployment", self.notes)
            flow = flow.add(name="encoder", uses=f"docker://{name_of('encoder')}", replicas=2, kubernetes=noted)
        if "index" in steps:
            noted = noting("StatefulSet", self.notes)
            flow = flow.add(
                name="index", uses=f"docker://{name_of('index')}", stateful=True, replicas=3, kubernetes=noted
            )
            self.kubectl("create", "secret", "generic", "index-raft", f"--from-literal=key={secrets.token_hex(32)}")
        flow.to_kubernetes_yaml(str(folder), k8s_namespace=namespace)
        cluster.apply(folder)
        self.wait_until_ready()

    def kubectl(self, *words: object, **rest: Any) -> str:
        """In the namespace of the Flow."""
        return self.cluster.kubectl("-n", self.namespace, *words, **rest)

    def wait_until_ready(self) -> None:
        """Until all pods that are wanted are ready, in the newest version."""
        for one in ("gateway", *(step for step in self.steps if step != "index")):
            words = ["rollout", "status", f"deployment/{one}", f"--timeout={READY_WITHIN}s"]
            self.kubectl(*words, limit=READY_WITHIN + 30)
        if "index" in self.steps:
            self.wait(lambda: len(self.ready("index")) == 3, "three ready pods of the index")

    def wait(self, condition: Callable[[], Any], what: str, limit: float = READY_WITHIN) -> Any:
        """As the cluster's; says how the pods are where it fails."""
        try:
            return self.cluster.wait(condition, what, limit)
        except AssertionError as error:
            pods = self.kubectl("get", "pods", "-o", "wide", check=False)
            raise AssertionError("\n".join([str(error), pods, *self.starts()])) from None

    def starts(self) -> list[str]:
        """Where the time went when each pod was started: seconds from one event to the next, which are whole ones."""
        return [_start_of(pod) for app in ("gateway", *self.steps) for pod in self.pods(app)]

    @property
    def hosts(self) -> tuple[str, str]:
        """The addresses of the Services in front of the gateways: for gRPC, for HTTP."""
        services = [self.cluster.get("service", one, namespace=self.namespace) for one in ("gateway", "gateway-1-http")]
        grpc, http = (one["spec"]["clusterIP"] for one in services)
        return grpc, http

    @property
    def addresses(self) -> tuple[str, str]:
        """The same for programs that take one address."""
        grpc, http = self.hosts
        return f"grpc://{grpc}:8080", f"http://{http}:8081"

    def pods(self, app: str) -> list[dict[str, Any]]:
        """The pods of a workload, those that end among them."""
        found: list[dict[str, Any]] = self.cluster.get("pods", "-l", f"app={app}", namespace=self.namespace)["items"]
        return found

    def ready(self, app: str) -> list[str]:
        """The names of the pods of a workload that are ready and are not to end."""
        return sorted(
            pod["metadata"]["name"]
            for pod in self.pods(app)
            if "deletionTimestamp" not in pod["metadata"]
            and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
        )

    def node_of(self, pod: str) -> str:
        """The name of the node on which a pod is."""
        found: str = self.cluster.get("pod", pod, namespace=self.namespace)["spec"]["nodeName"]
        return found

    def uid(self, pod: str) -> str:
        """Tells a pod from another one that had its name; empty where there is none."""
        return self.kubectl("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")

    def scale(self, app: str, replicas: int) -> None:
        """Another number of pods of a Deployment, until there are so many and no others."""
        self.kubectl("scale", f"deployment/{app}", f"--replicas={replicas}")
        self.wait(lambda: len(self.ready(app)) == replicas == len(self.pods(app)), f"{replicas} pods of {app}")

    def drain(self, node: str) -> None:
        """Empty a node, within the budgets of disruptions, and take it back into use."""
        self.cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=150s", limit=170
        )
        self.cluster.kubectl("uncordon", node)
        self.wait_until_ready()

    def closed(self) -> set[str]:
        """The pods whose Executors were closed."""
        return {file.stem for file in self.notes.glob("*.closed")}

    def post(self, address: str, path: str, text: str) -> list[dict[str, Any]]:
        """What a client inside was answered, as JSON documents."""
        return ask(self.cluster, address, path, text)

    @contextlib.contextmanager
    def streams(self, address: str, number: int, **parameters: float) -> Iterator[Callable[[], list[list[str]]]]:
        """So many open streams; what is given waits for their ends, and gives what came by each."""
        words = [sys.executable, "-c", STREAMS, address, str(number), json.dumps(parameters)]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                [*self.cluster.inside, *words], stdout=subprocess.PIPE, stderr=said, text=True,
                env=self.cluster.environment,
            )  # fmt: skip

            def ends() -> list[list[str]]:
                output, _ = process.communicate(timeout=120)
                said.seek(0)
                assert process.returncode == 0, said.read()[-3000:]
                found, ended = json.loads(output.splitlines()[-1])
                assert ended == ["None"] * number, ended
                return found

            try:
                assert process.stdout is not None
                assert select.select([process.stdout], [], [], 60)[0], f"not {number} streams within 60 s"
                yield ends
            finally:
                process.kill()
                process.wait()
