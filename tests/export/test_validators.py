"""The exported files, read by those that they are for: the schemas of Kubernetes, Compose, and beside Jina 3's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.docs.blocks import blocks_of
from tests.export.exported import ALL, GOLDEN, MANY, ONLY_KUBERNETES, files, one_of_many
from tests.interop.programs import PYTHONS

from jina import Flow
from jina.cli.main import command_parser
from jina.config import DeploymentSpec, GatewaySpec, parse
from jina.config.command_line import given
from jina.export.kubernetes import files_of_flow
from jina.orchestration.configuration import images
from jina.orchestration.foreground import is_part
from jina.plan.gateway import plan_gateway
from jina.supervisor.ports import PortReservations

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".cache" / "env-export" / "bin"
VERSIONS = ("1.29", "1.32", "1.37")


@pytest.fixture(scope="module")
def tools():
    subprocess.run([ROOT / "scripts" / "env.sh", "export"], check=True, timeout=300)
    return BIN


def complaints(tools, folder, versions):
    """What clusters of these versions say of the files below `folder/VERSION`; gives the number of objects as well."""
    lines = [f"{version}\t{path}" for version in versions for path in sorted((folder / version).rglob("*.yml"))]
    done = subprocess.run(
        [tools / "python", ROOT / "tests" / "export" / "reading.py"],
        input="\n".join(lines), capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *found, count = done.stdout.splitlines()
    return found, int(count)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kubernetes_takes_them(tools, tmp_path):
    for version in VERSIONS:
        for name, made in ALL.items():
            if name != "operated" or version == "1.37":  # claims of devices came later
                made().to_kubernetes_yaml(tmp_path / version / name, k8s_version=version)
    bad = tmp_path / VERSIONS[0] / "bad.yml"
    good = (tmp_path / "1.37" / "operated" / "gateway" / "gateway.yml").read_text(encoding="utf-8")
    for word in ("containerPort:", "dnsNames:", "path: /metrics"):
        good = good.replace(word, f"x{word}")
    bad.write_text(good)
    found, count = complaints(tools, tmp_path, VERSIONS)
    assert [line for line in found if not line.startswith(str(bad))] == []
    kinds = [line.removeprefix(f"{bad}: ").partition(":")[0] for line in found]
    assert kinds == ["Deployment", "Certificate", "ServiceMonitor"]
    assert count > 300


@pytest.mark.slow
def test_each_of_many_flows_is_exported_byte_for_byte(tmp_path):
    assert len(MANY) == 30
    for number, one in enumerate(MANY):
        made = {}
        for side in ("one", "two"):
            folder = tmp_path / side / str(number)
            flow = one_of_many(*one)
            flow.to_kubernetes_yaml(folder / "plain", "ns")
            made[side] = files(folder)
        assert made["one"] == made["two"], one
        assert f"plain/first/first{'-0' if one[0] == 'shards' else ''}.yml" in made["one"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kubernetes_takes_many_flows(tools, tmp_path):
    for version in VERSIONS:
        for number, one in enumerate(MANY):
            one_of_many(*one).to_kubernetes_yaml(tmp_path / version / str(number), k8s_version=version)
    found, count = complaints(tools, tmp_path, VERSIONS)
    assert found == []
    assert count > 1500


def manifests():
    """The files of the page for those who write their own."""
    page = ROOT / "docs" / "how-to" / "kubernetes-manifests.md"
    blocks = [block for block in blocks_of(page.read_text(encoding="utf-8")) if block.title.endswith(".yml")]
    assert [block.title for block in blocks] == ["encoder.yml", "gateway.yml"]
    return blocks


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kubernetes_takes_the_manifests_of_the_page(tools, tmp_path):
    for version in ("1.30", "1.37"):
        for block in manifests():
            (tmp_path / version).mkdir(exist_ok=True)
            (tmp_path / version / block.title).write_text(block.code)
    assert complaints(tools, tmp_path, ("1.30", "1.37")) == ([], 2 * 7)


def test_the_commands_of_the_page_are_ours():
    objects = [one for block in manifests() for one in yaml.safe_load_all(block.code)]
    specs = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"}
    words = {name: pod["containers"][0]["args"] for name, pod in specs.items()}
    worker = given(command_parser("executor")[0].parse_all(words["encoder"][1:]))
    assert is_part(worker)
    parse(DeploymentSpec, worker)
    gateway = parse(GatewaySpec, given(command_parser("gateway")[0].parse_all(words["gateway"][1:])))
    ports = PortReservations()
    try:
        plan = plan_gateway(gateway, None, ports)
    finally:
        ports.close()
    [upstream] = plan.graph.nodes[0].upstreams
    assert (upstream.kind, upstream.address) == ("kubernetes", "encoder.shop:8080")
    # What the comment in the file adds up is what the export would write.
    flow = Flow(name="shop").add(name="encoder", uses="docker://registry.example.org/encoder:v1", replicas=2)
    exported = files_of_flow(flow.spec, images())["encoder/encoder.yml"]
    grace = f"terminationGracePeriodSeconds: {specs['encoder']['terminationGracePeriodSeconds']}\n"
    assert grace in exported


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compose_takes_many_flows(tools, tmp_path):
    for number, one in enumerate(MANY):
        folder = tmp_path / str(number)
        texts = []
        for _ in range(2):
            one_of_many(*one).to_docker_compose_yaml(folder / "docker-compose.yml")
            texts.append((folder / "docker-compose.yml").read_text(encoding="utf-8"))
        assert texts[0] == texts[1]
        done = subprocess.run(
            [tools / "docker-compose", "config", "-q"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (one, done.stderr)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [one for one in ALL if one not in ONLY_KUBERNETES])
def test_compose_takes_them(name, tools, tmp_path):
    shutil.copy(GOLDEN / name / "compose.yml", tmp_path / "docker-compose.yml")
    environment = {**os.environ, "TOKEN": "secret", "JINA_API_KEYS": "secret"}
    done = subprocess.run(
        [tools / "docker-compose", "config", "--format", "json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["services"]
    written = yaml.safe_load((GOLDEN / name / "compose.yml").read_text(encoding="utf-8"))["services"]
    assert read.keys() == written.keys()
    for service, one in read.items():
        # Compose writes what it read so that it reads it again: a single dollar sign would have been a variable.
        assert one["command"] == written[service]["command"]


EXPORT = """
import os
os.environ.update(JINA_HIDE_SURVEY="1", JINA_OPTOUT_TELEMETRY="1", JINA_GATEWAY_IMAGE="image")
from jina import Flow
flow = Flow(name="shop", port=[8080, 8081], protocol=["grpc", "http"]).add(
    name="a", uses="docker://a", shards=2, replicas=2, uses_after="docker://after", env={"K": "v"},
    env_from_secret={"TOKEN": {"name": "s", "key": "k"}}, image_pull_secrets=["registry"], gpus=1,
)
flow = flow.add(name="b", uses="docker://b", replicas=2)
flow.to_kubernetes_yaml("out", k8s_namespace="ns")
flow.to_docker_compose_yaml("compose.yml")
"""


@pytest.mark.interop
def test_names_and_places_are_those_of_jina_3(tmp_path):
    found = {}
    for side in ("ours", "theirs"):
        folder = tmp_path / side
        folder.mkdir()
        subprocess.run([PYTHONS[side], "-c", EXPORT], cwd=folder, check=True, timeout=120, capture_output=True)
        objects = {}
        for path in (folder / "out").rglob("*.yml"):
            place = path.relative_to(folder).as_posix()
            objects |= {
                (place, one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(path.read_text())
            }
        found[side] = objects, yaml.safe_load((folder / "compose.yml").read_text())
    (ours, our_compose), (theirs, their_compose) = found["ours"], found["theirs"]
    assert theirs.keys() - ours.keys() == set()
    for key, one in theirs.items():
        if key[1] != "Deployment":
            continue
        pods = [side[key]["spec"]["template"]["spec"]["containers"] for side in (ours, theirs)]
        for our, their in zip(*pods, strict=True):
            assert (our["name"], our["image"], our["command"]) == (their["name"], their["image"], their["command"])
            assert {item["name"] for item in their["env"]} <= {item["name"] for item in our["env"]}
            assert [port["containerPort"] for port in their["ports"]] == [
                port["containerPort"] for port in our["ports"] if not port["name"].startswith("m")
            ]
        assert ours[key]["spec"]["replicas"] == one["spec"]["replicas"]
        labels = [side[key]["spec"]["template"]["metadata"]["labels"] for side in (ours, theirs)]
        assert labels[1].items() <= labels[0].items()
    assert list(our_compose["services"]) == list(their_compose["services"])
    assert our_compose["networks"] == their_compose["networks"]
    for name, one in their_compose["services"].items():
        assert our_compose["services"][name]["image"] == one["image"]
