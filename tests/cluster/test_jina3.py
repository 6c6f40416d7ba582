"""A Flow that Jina 3.34 exported, unchanged but for the image, runs with an image of ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.flows import ask
from tests.cluster.images import archive, name_of
from tests.interop.programs import PYTHONS

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]
EXPORT = """
import os, sys
os.environ.update(JINA_HIDE_SURVEY="1", JINA_OPTOUT_TELEMETRY="1", JINA_GATEWAY_IMAGE=sys.argv[2])
from jina import Flow
flow = Flow(name="theirs", port=[8080, 8081], protocol=["grpc", "http"])
flow = flow.add(name="encoder", uses="docker://" + sys.argv[2], replicas=2, env={"K": "v"})
flow = flow.add(name="sharded", uses="docker://" + sys.argv[2], shards=2, polling={"/encode": "ANY", "/all": "ALL"})
flow.to_kubernetes_yaml(sys.argv[1], k8s_namespace=sys.argv[3])
"""


def test_a_flow_that_jina_3_exported_answers(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    if not PYTHONS["theirs"].exists():
        pytest.skip("no Jina 3.34 here: scripts/env.sh jina3 makes its environment")
    cluster.load(archive("encoder"))
    command = [PYTHONS["theirs"], "-c", EXPORT, tmp_path / "files", name_of("encoder"), namespace]
    subprocess.run(command, check=True, timeout=120, capture_output=True, cwd=tmp_path)
    cluster.apply(tmp_path / "files")
    for one in ("gateway", "encoder", "sharded-head", "sharded-0", "sharded-1"):
        words = ["-n", namespace, "rollout", "status", f"deployment/{one}", "--timeout=120s"]
        cluster.kubectl(*words, limit=150)
    pods: set[str] = set()
    for address in addresses(cluster, namespace):
        for number in range(4):
            (doc,) = ask(cluster, address, "/encode", f"hello {number}")
            pods.add(doc["tags"]["pod"].rpartition("-")[0].rpartition("-")[0])
    assert pods <= {"sharded-0", "sharded-1"}


def addresses(cluster: Cluster, namespace: str) -> list[str]:
    """Those of the gateway, for each protocol, as their Services have them."""
    found = []
    for service in cluster.get("services", namespace=namespace)["items"]:
        name, spec = service["metadata"]["name"], service["spec"]
        if name.startswith("gateway"):
            protocol = "http" if "http" in name else "grpc"
            port = 8081 if protocol == "http" else 8080
            found.append(f"{protocol}://{spec['clusterIP']}:{port}")
    assert len(found) == 2
    return found
