"""The golden exports, applied by a real API server: with its own validation, and a second time without a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cluster.cluster import Cluster
from tests.export.exported import GOLDEN

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]
EXPORTS = sorted(folder.parent.name for folder in GOLDEN.glob("*/kubernetes"))
APPLY = ("apply", "--server-side", "--field-manager=jina", "--validate=strict")


@pytest.mark.parametrize("name", EXPORTS)
def test_the_api_server_takes_it(cluster: Cluster, name: str) -> None:
    folder = GOLDEN / name / "kubernetes"
    objects = [one for file in sorted(folder.rglob("*.yml")) for one in yaml.safe_load_all(file.read_text("utf-8"))]
    (namespace,) = {one["metadata"]["namespace"] for one in objects}
    if namespace != "default":
        cluster.kubectl("create", "namespace", namespace)
    # Their images are nowhere: no pod is to be made of them.
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(quota))
    try:
        applied = cluster.apply(folder, *APPLY[1:])
        assert applied.count("serverside-applied") == len(objects) > 3
        versions = of_all(cluster, folder)
        cluster.apply(folder, *APPLY[1:])
        assert of_all(cluster, folder) == versions
    finally:
        cluster.kubectl("delete", "-R", "-f", folder, "--ignore-not-found", "--wait=false")
        cluster.kubectl("-n", namespace, "delete", "resourcequota", "none")
        if namespace != "default":
            cluster.forget(namespace)


def of_all(cluster: Cluster, folder: Path) -> dict[str, object]:
    """What the API server has for each object, without what controllers add."""
    found = json.loads(cluster.kubectl("get", "-R", "-f", folder, "-o", "json"))["items"]
    return {f"{one['kind']} {one['metadata']['name']}": one.get("spec", one.get("data")) for one in found}


def test_a_field_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    text = (GOLDEN / "chain/kubernetes/first/first.yml").read_text("utf-8")
    bad = text.replace("containerPort:", "containerPortt:").replace("namespace: chain", "namespace: default")
    with pytest.raises(AssertionError, match="containerPortt"):
        cluster.apply(bad, "--server-side", "--validate=strict", "--dry-run=server")
