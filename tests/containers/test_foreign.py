"""Other programs read what `jina hub push` and `build --daemonless` write; images for two platforms; small pushes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import oras.client
import oras.container
import pytest

from jina.hub.archives import pack
from jina.hub.oci import (
    IMAGE_CONFIG,
    IMAGE_LAYER,
    Descriptor,
    Index,
    Layout,
    Manifest,
    canonical,
    copy_manifest,
    parse_manifest,
)
from jina.hub.registry import Access, RegistryStore
from jina.supervisor.container import free_port
from tests.containers.engine import DOCKER
from tests.containers.packages import JINA, build, tool
from tests.hub.registries import counted, docker_registry

UV = Path(sys.executable).with_name("uv")
MACHINES = {"linux/amd64": 62, "linux/arm64": 183}
"""What ELF calls them (e_machine)."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]


def run(*words: object, limit: float = 200, **options) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=limit, check=False,
        stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


class TestSkopeo:
    def test_it_copies_an_image_from_registry_to_folder_and_archive(self, image, registry, tmp_path):
        """With the digest that it had."""
        folder, digest = image
        skopeo = tool("skopeo")
        there = f"docker://{registry.host}/images/upper:v1"
        # It compresses layers of a base that are not, unless it is told to leave them.
        run(skopeo, "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{folder}:v1", there)
        run(skopeo, "copy", "--preserve-digests", "--src-tls-verify=false", there, f"oci:{tmp_path}/back:v1")
        found = json.loads(run(skopeo, "inspect", "--tls-verify=false", there))
        assert found["Digest"] == digest
        assert Layout(tmp_path / "back").manifest("", "v1")[0].digest == digest
        run(skopeo, "copy", f"oci:{folder}:v1", f"docker-archive:{tmp_path}/image.tar:upper:v1")

    def test_it_copies_a_package(self, package, registry, tmp_path):
        """An artifact is no image, but is copied like one; we read the copy."""
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "JINA_HUB_INSECURE": registry.host}
        name = f"hub://{registry.host}/upper"
        pushed = json.loads(
            run(JINA, "hub", "push", package, "--no-check", "--name", name, "--json", env=environment)
        )["digest"]  # fmt: skip
        skopeo = tool("skopeo")
        raw = run(skopeo, "inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/upper:latest")
        assert json.loads(raw)["artifactType"] == "application/vnd.jina.executor.v1"
        words = ("--src-tls-verify=false", "--dest-tls-verify=false")
        run(skopeo, "copy", *words, f"docker://{registry.host}/upper:latest", f"docker://{registry.host}/copied:latest")
        found = json.loads(run(JINA, "hub", "pull", f"hub://{registry.host}/copied", "--json", env=environment))
        assert found["version"] == pushed
        assert (Path(found["folder"]) / "executor.py").read_text() == (package / "executor.py").read_text()


def test_oras_pulls_the_layers_of_an_image(image, registry, tmp_path):
    """One that we pushed ourselves: each file is what its name, a digest, says."""
    layout = pushed(image, registry)
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    manifest = client.get_manifest(oras.container.Container(f"{registry.host}/images/pushed:v1"))
    assert manifest == json.loads(layout.manifest("", "v1")[1])
    for layer in manifest["layers"]:  # `pull` would unpack them
        file = client.download_blob(f"{registry.host}/images/pushed:v1", layer["digest"], str(tmp_path / "layer"))
        with open(file, "rb") as content:
            assert f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}" == layer["digest"]


def pushed(image, registry) -> Layout:
    """The layout of the image, which is `images/pushed:v1` in the registry as well."""
    layout, store = Layout(image[0]), RegistryStore(registry.host, Access(frozenset({registry.host})), lambda _: None)
    copy_manifest(layout, store, "image", "images/pushed", "v1", ["v1"])
    return layout


def test_podman_runs_an_image(image, registry):
    """One built without an engine answers, and ends with SIGTERM; nothing of podman's is left."""
    podman = tool("podman")
    if shutil.which("runc") is None:
        tool("runc")
    home = Path(tempfile.mkdtemp(prefix="jina-podman-", dir="/tmp"))  # sockets need a short path
    own = [
        podman, "--root", home / "root", "--runroot", home / "run", "--tmpdir", home / "tmp", "--runtime", "runc",
        "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs",
    ]  # fmt: skip
    limits = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=20000:20000", "--network", "host")
    try:
        pushed(image, registry)
        run(*own, "pull", "-q", "--tls-verify=false", f"{registry.host}/images/pushed:v1")
        name = json.loads(run(*own, "images", "--format", "json"))[0]["Id"]
        done = subprocess.run(
            [str(word) for word in (*own, "run", "--rm", *limits, "--entrypoint", "jina", name, "--version")],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        if done.returncode in {125, 126}:
            pytest.skip(f"podman runs no container here: {done.stderr[-300:]}")
        assert done.stdout.strip() == "4.0.0"
        said = _served_by(own, limits, name)
        assert "Upper is closed" in said
    finally:
        run(*own, "system", "reset", "--force")
        shutil.rmtree(home, ignore_errors=True)


def _served_by(podman: list, limits: tuple, name: str) -> str:
    """What a container says that serves on a free port, answers one request, and is told to end."""
    command = [
        str(word) for word in (*podman, "run", "--rm", "--name", "upper", *limits, "-e", "PYTHONUNBUFFERED=1", name)
    ]
    ports = ("--protocol", "grpc", "--port", str(free_port()))
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        said, port = "", ""
        assert running.stdout is not None
        for line in running.stdout:
            said += line
            if found := _port(line):
                port = found
                break
        assert port, said
        try:
            assert "HELLO" in run(JINA, "client", "--port", port, "--text", "hello")
        finally:
            run(*podman, "stop", "-t", "20", "upper")
        said += running.stdout.read()
        assert running.wait(60) in {0, -signal.SIGTERM}
    return said


def _port(line: str) -> str:
    """The port of a banner, such as `grpc://0.0.0.0:43125`."""
    _, found, rest = line.partition("grpc://")
    return rest.split()[0].rpartition(":")[2].strip("/") if found else ""


class TestPushes:
    def test_a_change_of_code_pushes_little(self, package, base, registry, tmp_path):
        """Counted on the wire, headers, questions and the first connection's TLS included."""
        folder = tmp_path / "upper"
        shutil.copytree(package, folder)
        with counted(registry.port) as relay:
            name = f"{relay.host}/images/counted:v1"
            first = build(folder, base, name)
            whole, relay.sent = relay.sent, 0
            (folder / "executor.py").write_text((folder / "executor.py").read_text() + "# changed\n")
            second = build(folder, base, name)
            changed, relay.sent = relay.sent, 0
            assert build(folder, base, name) == second != first
            sys.stderr.write(f"bytes sent: all {whole:,}, code changed {changed:,}, nothing changed {relay.sent:,}\n")
            assert whole > 10_000_000
            assert changed <= 50_000


@pytest.fixture(scope="module")
def two_platforms(tmp_path_factory) -> str:
    """A base for two platforms that says which Python it has, as official images do. No program in it runs."""
    folder = tmp_path_factory.mktemp("base") / "layout"
    store, entries = Layout(folder), []
    for architecture in ("amd64", "arm64"):
        layer = io.BytesIO()
        content = pack([("etc/architecture", architecture.encode(), False)], layer)
        environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.11.9"]
        config = canonical({"os": "linux", "architecture": architecture, "config": {"Env": environment},
                            "rootfs": {"type": "layers", "diff_ids": [content]}})  # fmt: skip
        blobs = (Descriptor.of(IMAGE_CONFIG, config), Descriptor.of(IMAGE_LAYER, layer.getvalue()))
        for blob, data in zip(blobs, (config, layer.getvalue()), strict=True):
            store.write_blob("", blob, io.BytesIO(data))
        entry = store.write_manifest("", Manifest(blobs[0], blobs[1:]).to_bytes())
        about = {"os": "linux", "architecture": architecture}
        entries.append(Descriptor(entry.media_type, entry.digest, entry.size, platform=about))
    store.write_manifest("", Index(tuple(entries)).to_bytes(), ["latest"])
    return f"oci:{folder}"


def binaries(layout: Layout, manifest: Manifest) -> dict[str, int]:
    """The machine of each ELF file in the layers of an image, by its name."""
    found = {}
    for layer in manifest.layers:
        with layout.read_blob("", layer) as content, tarfile.open(fileobj=content, mode="r|gz") as archive:
            for member in archive:
                head = archive.extractfile(member).read(20) if member.isreg() else b""
                if head[:4] == b"\x7fELF":
                    found[member.name] = int.from_bytes(head[18:20], "little")
    return found


@pytest.mark.long
def test_two_platforms_with_the_versions_of_a_lock(package, two_platforms, tmp_path):
    """Installed for each from `uv.lock`, whatever newer there is; twice the same digest, in two folders."""
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name / "upper"
        shutil.copytree(package, folder, ignore=shutil.ignore_patterns("wheels", "requirements.txt"))
        shutil.copytree(package / "wheels", folder / "wheels", ignore=lambda _, names: {
            one for one in names if not one.startswith("rejina")})  # fmt: skip
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "upper"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["markupsafe<3"]\n'
        )
        if name == "one":
            run(UV, "lock", "-q", "--directory", folder, limit=300)
        else:
            shutil.copy(tmp_path / "one/upper/uv.lock", folder)
        command = [JINA, "hub", "build", folder, "--daemonless", "--base", two_platforms, "--output",
                   f"oci:{tmp_path}/{name}/layout:v1", "--platform", "linux/amd64,linux/arm64"]  # fmt: skip
        digests.append(run(*command, limit=500).split()[0])
    assert digests[0] == digests[1]
    layout = Layout(tmp_path / "one/layout")
    index = parse_manifest(layout.manifest("", "v1")[1])
    assert isinstance(index, Index)
    platforms = [f"{one.platform['os']}/{one.platform['architecture']}" for one in index.manifests]
    assert platforms == list(MACHINES)
    for entry, platform in zip(index.manifests, platforms, strict=True):
        manifest = parse_manifest(layout.manifest("", entry.digest)[1])
        found = binaries(layout, manifest)
        assert set(found.values()) == {MACHINES[platform]}
        names = {Path(name).name.partition(".")[0] for name in found}
        assert {"_speedups", "_multiarray_umath"} <= names, names
        assert _installed(layout, manifest, "markupsafe-").lower().startswith("markupsafe-2.")
    skopeo = tool("skopeo")
    about = json.loads(run(skopeo, "--override-arch", "arm64", "inspect", f"oci:{tmp_path}/one/layout:v1"))
    assert about["Architecture"] == "arm64"


def _installed(layout: Layout, manifest: Manifest, prefix: str) -> str:
    """The folder of a distribution's metadata."""
    with layout.read_blob("", manifest.layers[1]) as content, tarfile.open(fileobj=content, mode="r|gz") as archive:
        names = (name for member in archive for name in Path(member.name).parts)
        return next((name for name in names if name.lower().startswith(prefix)), "")


def test_dockerd_loads_what_skopeo_made_of_it(image, tmp_path):
    """From our layout over skopeo's docker archive into an engine: no step changes a layer."""
    from tests.containers.engine import engine

    if not DOCKER.exists():
        pytest.skip("no docker client")
    run(tool("skopeo"), "copy", f"oci:{image[0]}:v1", f"docker-archive:{tmp_path}/image.tar:upper:copied")
    with engine() as running:
        running.docker("load", "-i", tmp_path / "image.tar")
        listed = json.loads(running.docker("image", "inspect", "upper:copied"))[0]["RootFS"]["Layers"]
    layout = Layout(image[0])
    manifest = parse_manifest(layout.manifest("", "v1")[1])
    with layout.read_blob("", manifest.config) as content:
        assert json.loads(content.read())["rootfs"]["diff_ids"] == listed
