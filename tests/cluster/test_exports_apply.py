"""Exports applied by a real API server: with its own validation, and a second time without a change. No nodes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api_server import BINARIES, Server, api_server, lacking
from tests.cluster.binaries import words_of_kubectl
from tests.export.exported import GOLDEN, MANY, one_of_many

ROOT = Path(__file__).parents[2]
CRD = ROOT / ".cache/env-export/crd"
"""The schemas of cert-manager, of Prometheus' operator and of KEDA."""
LACKING = lacking("etcd", "kube-apiserver", "kubectl")
APPLY = ("apply", "--server-side", "--field-manager=jina", "--validate=strict")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not in {BINARIES}"),
]


class Kubectl:
    """kubectl, as an administrator calls it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, *words: object, stdin: str | None = None) -> str:
        command = [str(BINARIES / "kubectl"), "--kubeconfig", self._server.kubeconfig, *words_of_kubectl(*words)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def versions(self, folder: Path) -> dict[str, str]:
        """By object in files of a folder: what changes with it."""
        found: list[dict[str, Any]] = json.loads(self("get", "-R", "-f", folder, "-o", "json"))["items"]
        names = (f"{one['metadata']['namespace']} {one['kind']} {one['metadata']['name']}" for one in found)
        return dict(zip(names, (one["metadata"]["resourceVersion"] for one in found), strict=True))


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    subprocess.run([ROOT / "scripts/env.sh", "export"], check=True, timeout=300)
    with api_server(tmp_path_factory.mktemp("an API server"), ()) as server:
        made = Kubectl(server)
        made("apply", "--server-side", "-f", CRD)
        made("wait", "--for=condition=Established", "--timeout=60s", "-f", CRD)
        yield made


def takes(kubectl: Kubectl, folder: Path) -> int:
    """Apply all files of a folder twice; gives the number of their objects."""
    objects = [one for file in sorted(folder.rglob("*.yml")) for one in yaml.safe_load_all(file.read_text("utf-8"))]
    namespaces = {one["metadata"]["namespace"] for one in objects} - {"default", "shop"}
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)]
    kubectl("apply", "-f", "-", stdin=yaml.dump_all(made))
    applied = kubectl(*APPLY, "-R", "-f", folder)
    assert applied.count("serverside-applied") == len(objects)
    versions = kubectl.versions(folder)
    assert len(versions) == len(objects)
    kubectl(*APPLY, "-R", "-f", folder)
    assert kubectl.versions(folder) == versions
    return len(objects)


def test_the_api_server_takes_the_golden_files(kubectl: Kubectl, tmp_path: Path) -> None:
    for folder in sorted(GOLDEN.glob("*/kubernetes")):
        for file in sorted(folder.rglob("*.yml")):
            copy = tmp_path / folder.parent.name / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Each in a namespace of its own: some are for the same one, with objects of the same names.
            objects = [*yaml.safe_load_all(file.read_text("utf-8"))]
            for one in objects:
                one["metadata"]["namespace"] = folder.parent.name.replace("_", "-")
            copy.write_text(yaml.dump_all(objects))
    assert takes(kubectl, tmp_path) > 100


def test_the_api_server_takes_many_flows(kubectl: Kubectl, tmp_path: Path) -> None:
    assert len(MANY) == 30
    for number, one in enumerate(MANY):
        one_of_many(*one).to_kubernetes_yaml(str(tmp_path / str(number)), k8s_namespace=f"many-{number}")
    assert takes(kubectl, tmp_path) > 400


def test_a_field_that_does_not_exist_is_refused(kubectl: Kubectl) -> None:
    text = (GOLDEN / "chain/kubernetes/first/first.yml").read_text("utf-8")
    bad = text.replace("containerPort:", "containerPortt:").replace("namespace: chain", "namespace: default")
    with pytest.raises(AssertionError, match="containerPortt"):
        kubectl("apply", "-f", "-", "--server-side", "--validate=strict", "--dry-run=server", stdin=bad)
