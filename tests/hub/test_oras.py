"""oras-py, another client of the same protocol: it reads what we push, and we read what it pushes."""

import io
import json
import os

import oras.client
import oras.container
import pytest
from tests.hub.conftest import CONFIG
from tests.hub.registries import PASSWORD, USER, docker_registry
from tests.hub.test_packages import EXECUTOR, write
from tests.hub.test_signatures import make_key

from jina.hub.archives import pack, unpack
from jina.hub.credentials import Credentials
from jina.hub.fetch import Fetching
from jina.hub.oci import digest_of
from jina.hub.packages import ARTIFACT, FILE, LARGE, SOURCE, TITLE, Package, push
from jina.hub.registry import Access, RegistryStore
from jina.hub.signatures import sign

NAME = "team/upper"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with docker_registry(tmp_path_factory.mktemp("registry"), auth="basic") as running:
        yield running


@pytest.fixture
def foreign(registry, tmp_path, monkeypatch):
    """oras, logged in; what it looks for in the home folder is not there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("JINA_HUB_INSECURE", registry.host)
    client = oras.client.OrasClient(hostname=registry.host, insecure=True, auth_backend="basic")
    client.login(
        username=USER, password=PASSWORD, hostname=registry.host, config_path=str(tmp_path / "docker/config.json")
    )
    return client


@pytest.fixture
def store(registry):
    return RegistryStore(
        registry.host, Access(frozenset({registry.host}), patience=10), lambda _: Credentials(USER, PASSWORD)
    )


def test_oras_reads_what_we_push(foreign, registry, store, tmp_path):
    weights = os.urandom(LARGE + 3)
    files = {"config.yml": CONFIG, "executor.py": EXECUTOR, "requirements.txt": "numpy\n", "weights.bin": weights}
    pushed = push(Package.read(write(tmp_path / "upper", files)), store, NAME, ["v1"], endpoints=[])
    sign(store, NAME, NAME, pushed, make_key(tmp_path, "ada")[0])
    target = f"{registry.host}/{NAME}:v1"
    manifest = foreign.get_manifest(oras.container.Container(target))
    assert (manifest["artifactType"], manifest["annotations"][TITLE]) == (ARTIFACT, "Upper")
    assert set(foreign.get_tags(target)) >= {"v1", pushed.digest.replace(":", "-") + ".sig"}
    foreign.pull(target, outdir=str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/weights.bin").read_bytes() == weights
    (source,) = [layer for layer in manifest["layers"] if layer["mediaType"] == SOURCE]
    archive = foreign.get_blob(oras.container.Container(target), source["digest"]).content
    assert digest_of(archive) == source["digest"]
    unpack(io.BytesIO(archive), tmp_path / "source", most_bytes=1 << 20, most_files=10)
    assert (tmp_path / "source/executor.py").read_text() == EXECUTOR


def test_we_read_what_oras_pushes(foreign, registry, tmp_path, monkeypatch):
    """A package made by hand: its type is that of the configuration, as oras names none besides."""
    weights = os.urandom(LARGE + 3)
    with (tmp_path / "source.tar.gz").open("wb") as file:
        pack([("config.yml", CONFIG.encode(), False), ("executor.py", EXECUTOR.encode(), False)], file)
    metadata = {"config": "config.yml", "jtype": "Upper", "name": "Upper", "endpoints": None}
    write(tmp_path, {"config.json": json.dumps(metadata), "weights.bin": weights})
    monkeypatch.chdir(tmp_path)
    foreign.push(
        f"{registry.host}/{NAME}-by-hand:v1", files=[f"source.tar.gz:{SOURCE}", f"weights.bin:{FILE}"],
        manifest_config=f"config.json:{ARTIFACT}", quiet=True,
    )  # fmt: skip
    monkeypatch.setenv("JINA_HUB_REGISTRY", registry.host)
    monkeypatch.setenv("JINA_HUB_USERNAME", USER)
    monkeypatch.setenv("JINA_HUB_PASSWORD", PASSWORD)
    found = Fetching().fetch(f"jinaai://{NAME}-by-hand:v1")
    assert (found.folder / "executor.py").read_text() == EXECUTOR
    assert (found.folder / "weights.bin").read_bytes() == weights
