"""That the cluster of the tests is one: pods, names, volumes, nodes that lose their power."""

from __future__ import annotations

import json

import pytest

from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]
PAUSE = {"name": "main", "image": "docker.io/jina-test/pause:1"}


def test_pods_run_have_volumes_and_come_back_after_a_power_cut(cluster: Cluster, namespace: str) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
             "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    pods = {
        "metadata": {"labels": {"app": "kept"}},
        "spec": {"containers": [{**PAUSE, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                 "terminationGracePeriodSeconds": 1},
    }  # fmt: skip
    kept = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "kept"},
        "spec": {"replicas": 1, "serviceName": "kept", "selector": {"matchLabels": {"app": "kept"}},
                 "template": pods, "volumeClaimTemplates": [claim]},
    }  # fmt: skip
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(kept))
    cluster.kubectl("-n", namespace, "rollout", "status", "statefulset/kept", "--timeout=60s")
    node = cluster.get("pod", "kept-0", namespace=namespace)["spec"]["nodeName"]
    bound = cluster.get("pvc", "data-kept-0", namespace=namespace)["spec"]["volumeName"]
    assert bound.startswith(f"{node}-")
    number = int(node.removeprefix("node"))
    cluster.cut_power(number)
    cluster.wait(lambda: not is_ready(cluster, node), f"that {node} is not ready", 60)
    cluster.boot(number)
    cluster.wait(lambda: is_ready(cluster, node), f"that {node} is ready again", 60)
    cluster.wait(
        lambda: cluster.get("pod", "kept-0", namespace=namespace)["status"]["phase"] == "Running", "the pod", 90
    )


def is_ready(cluster: Cluster, node: str) -> bool:
    """Whether the control plane counts on a node."""
    conditions = cluster.get("node", node)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
