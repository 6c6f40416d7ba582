"""Images without an engine, on a base made of what is on this machine: read by foreign programs, and run."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.containers.engine import engine
from tests.containers.packages import build, tool
from tests.containers.test_dockerfile import POST, wait_until_healthy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]


def test_the_same_package_elsewhere_gives_the_same_digest(package, base, image, tmp_path):
    shutil.copytree(package, tmp_path / "copy", copy_function=shutil.copyfile)
    words = ("--protocol", "grpc", "http")
    assert build(tmp_path / "copy", base, f"oci:{tmp_path}/layout", *words) == image[1]


def test_skopeo_reads_it(image):
    folder, digest = image
    command = [tool("skopeo"), "inspect", f"oci:{folder}:v1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert (found["Digest"], len(found["Layers"])) == (digest, 3)
    assert found["Labels"]["org.opencontainers.image.title"] == "Upper"


def test_umoci_unpacks_it(image, tmp_path):
    command = [tool("umoci"), "unpack", "--image", f"{image[0]}:v1", tmp_path / "bundle"]
    subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    config = json.loads((tmp_path / "bundle/config.json").read_text())["process"]
    assert config["args"][:3] == ["jina", "executor", "--uses"]
    assert (config["user"]["uid"], config["cwd"]) == (10001, "/workdir")
    root = tmp_path / "bundle/rootfs"
    assert (root / "workdir/executor.py").stat().st_uid == 10001
    called = [shutil.which("chroot") or "/usr/sbin/chroot", "--userspec=10001:10001", root, "jina", "--version"]
    done = subprocess.run(
        called, capture_output=True, text=True, timeout=60, check=True, env={"PATH": "/usr/local/bin"}
    )
    assert done.stdout.strip() == "4.0.0"


def test_docker_runs_it_with_a_root_that_cannot_be_written(package, base, tmp_path):
    """Both protocols answer, the health check sees it, SIGTERM ends it well."""
    archive = tmp_path / "image.tar"
    build(package, base, f"docker-archive:{archive}:upper:daemonless", "--protocol", "grpc", "http")
    with engine() as running:
        running.docker("load", "-i", archive)
        options = ["--network", "none", "--name", "upper", "--health-interval", "1s", "--read-only", "--tmpfs", "/tmp"]
        running.docker("run", "-d", *options, "upper:daemonless")
        wait_until_healthy(running, "upper")
        assert "HELLO" in running.docker("exec", "upper", "jina", "client", "--port", "8080", "--text", "hello")
        assert "HELLO" in running.docker("exec", "upper", "python3", "-c", POST.replace("9000", "8081"))
        assert running.docker("exec", "upper", "id", "-u").strip() == "10001"
        running.docker("stop", "upper")
        assert running.docker("wait", "upper").strip() == "0"
        assert "Upper is closed" in running.said("upper")
        size = int(running.docker("image", "inspect", "--format", "{{.Size}}", "upper:daemonless"))
        assert size < 350_000_000
