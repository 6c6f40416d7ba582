"""The Dockerfile that jina generates, built as it is by a real engine from the wheels of `make wheels`, and run."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jina.hub.dockerfiles import TEMPLATES, dockerfile
from tests import wheels
from tests.containers.engine import DOCKER, Engine, base_image, engine, python_for

JINA = Path(sys.executable).with_name("jina")
READY_WITHIN = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]


def bases(template: str) -> str:
    """The name of the base image of a template, with the defaults of its arguments."""
    text = dockerfile(template)
    arguments = dict(re.findall(r'^ARG (\w+)="(.*)"$', text, re.MULTILINE))
    (base,) = re.findall(r"^FROM (\S+) AS base$", text, re.MULTILINE)
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match.group(1)], base)


def python_of(template: str) -> str:
    (version,) = re.findall(r":(\d+\.\d+)-slim$", bases(template))
    return version


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    """An engine that has the base image of the template `cpu`, made of the same version of Python."""
    version = python_of("cpu")
    prefix = python_for(version)
    if prefix is None:
        pytest.skip(f"no Python {version} beside the one that runs this, to make a base image from")
    with engine() as made:
        base_image(made, bases("cpu"), prefix, version)
        yield made


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A package as `jina hub new` writes it, with an Executor that says when it is closed, and with the wheels."""
    folder = tmp_path_factory.mktemp("containers") / "upper"
    subprocess.run(
        [JINA, "hub", "new", "--name", "Upper", "--path", folder, "--dockerfile", "cpu"], check=True, timeout=50
    )
    (folder / "executor.py").write_text(
        "from jina import DocumentArray, Executor, requests\n\n\n"
        "class Upper(Executor):\n"
        "    @requests\n"
        "    def foo(self, docs: DocumentArray, **kwargs):\n"
        "        for doc in docs:\n"
        "            doc.text = doc.text.upper()\n\n"
        "    def close(self):\n"
        "        print('Upper is closed', flush=True)\n"
    )
    wheels.ours(folder / "wheels")
    for file in wheels.dependencies(python_of("cpu"), "standard").iterdir():
        shutil.copy(file, folder / "wheels")
    # A requirement line for Jina, as programs for Jina 3 have it, must not bring Jina 3; it brings two extras.
    (folder / "requirements.txt").write_text("jina>=3\n")
    return folder


@pytest.fixture(scope="module")
def image(running, package) -> str:
    """Built once, by the builder that engines have by default."""
    running.docker("build", "--network", "none", "-t", "upper", package, buildkit=True)
    return "upper"


POST = """
import json, urllib.request
body = json.dumps({'data': [{'text': 'hello'}]}).encode()
request = urllib.request.Request('http://127.0.0.1:9000/', body, {'Content-Type': 'application/json'})
print(json.load(urllib.request.urlopen(request, timeout=20))['data'][0]['text'])
"""


def wait_until_healthy(running: Engine, name: str) -> None:
    event = running.first_event(name, "health_status", "die", limit=READY_WITHIN)
    assert event == "health_status: healthy", f"{event or f'none within {READY_WITHIN:g} s'}: {running.said(name)}"


RUNS = {
    "grpc": ([], [], ["jina", "client", "--port", "8080", "--text", "hello"]),
    "http": (
        ["--health-cmd", "jina ping executor http://127.0.0.1:9000"],
        ["--protocol", "http", "--port", "9000"],
        ["python", "-c", POST],
    ),
}
"""Options of `docker run`, arguments after the image's name, and how to ask. Without any, the Dockerfile decides."""


@pytest.mark.parametrize("protocol", RUNS)
def test_it_serves_and_ends_by_sigterm(running, image, protocol):
    """Each container has a network of its own, with the port that it is given; the health check asks there."""
    options, arguments, asks = RUNS[protocol]
    options = ["--network", "none", "--name", protocol, "--health-interval", "1s", *options]
    running.docker("run", "-d", *options, image, *arguments)
    try:
        wait_until_healthy(running, protocol)
        assert "HELLO" in running.docker("exec", protocol, *asks)
        assert running.docker("exec", protocol, "id", "-u").strip() == "10001"
        running.docker("kill", "--signal", "TERM", protocol)
        assert running.docker("wait", protocol).strip() == "0"
        assert "Upper is closed" in running.said(protocol)
    finally:
        running.docker("rm", "-f", protocol)


def test_it_holds_this_package_and_not_jina_3(running, image):
    listed = running.docker("run", "--rm", "--entrypoint", "pip", image, "list", "--format", "json")
    found = {one["name"]: one["version"] for one in json.loads(listed)}
    assert {name: found.get(name) for name in ("jina", "rejina")} == {"jina": "4.0.0", "rejina": "4.0.0"}


def test_wheels_are_in_one_layer_only(running, image, tmp_path):
    running.docker("save", "-o", tmp_path / "image.tar", image)
    held = []
    with tarfile.open(tmp_path / "image.tar") as saved:
        for member in filter(tarfile.TarInfo.isfile, saved):
            with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=saved.extractfile(member)) as layer:
                held += [Path(name).name for name in layer.getnames() if name.endswith(".whl")]
    assert "rejina-4.0.0-py3-none-any.whl" in held
    assert sorted(held) == sorted(set(held))


@pytest.mark.parametrize("template", [name for name in TEMPLATES if not TEMPLATES[name].packages and name != "cpu"])
def test_the_steps_of_a_gpu_template_work(template, running, image, package, tmp_path):
    """On a stand-in for its base image, which cannot be had here: what the base has and how it behaves is not seen."""
    running.docker("tag", bases("cpu"), bases(template))
    (tmp_path / "Dockerfile").write_text(dockerfile(template))
    file = tmp_path / "Dockerfile"
    running.docker("build", "--network", "none", "-t", template, "-f", file, package, buildkit=True)


def test_without_wheels_the_build_fails_and_says_what_is_missing(running, package, tmp_path):
    shutil.copytree(package, tmp_path / "bare", ignore=shutil.ignore_patterns("wheels"))
    (tmp_path / "bare/requirements.txt").write_text("")
    with pytest.raises(AssertionError, match="No matching distribution found for rejina"):
        running.docker("build", "--network", "none", tmp_path / "bare")


def test_jina_hub_build_calls_the_engine(running, package, tmp_path):
    """With a context of its own and the Dockerfile for BuildKit, in which uv installs."""
    shutil.copytree(package, tmp_path / "upper", ignore=shutil.ignore_patterns("Dockerfile"))
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", tmp_path / "upper/wheels", "uv"]
    if subprocess.run(asked, capture_output=True, timeout=100, check=False).returncode:
        pytest.skip("the wheel of uv cannot be had")
    words = [JINA, "hub", "build", tmp_path / "upper", "-t", "upper:built", "--engine", DOCKER, "--network", "none"]
    done = subprocess.run(words, env=running.environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert "uv pip install" in done.stderr
    assert done.stdout.startswith("sha256:")
    assert running.docker("run", "--rm", "--entrypoint", "jina", "upper:built", "--version").strip() == "4.0.0"
    assert not (tmp_path / "upper/Dockerfile").exists()
