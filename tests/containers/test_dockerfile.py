"""The Dockerfile that jina generates, built as it is by a real engine from the wheels of `make wheels`, and run."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jina.hub.dockerfiles import TEMPLATES, dockerfile
from tests import wheels
from tests.containers.engine import DOCKER, Engine, base_image, engine, python_for
from tests.containers.packages import JINA, UPPER, new_package
from tests.hub.test_images import wheel

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
    """A package with the Dockerfile that `jina hub new` writes, and with the wheels."""
    place, words = tmp_path_factory.mktemp("containers") / "upper", ("--dockerfile", "cpu")
    folder = new_package(place, "Upper", UPPER, python_of("cpu"), "standard", words=words)
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


READ_ONLY = ("--read-only", "--tmpfs", "/tmp")
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
    options = ["--network", "none", "--name", protocol, "--health-interval", "1s", *READ_ONLY, *options]
    running.docker("run", "-d", *options, image, *arguments)
    try:
        wait_until_healthy(running, protocol)
        assert "HELLO" in running.docker("exec", protocol, *asks)
        assert running.docker("exec", protocol, "id", "-u").strip() == "10001"
        running.docker("stop", protocol)
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


def stand_in(running: Engine, template: str, folder: Path) -> None:
    """The base of `cpu` under the name of another template's, which cannot be had here: what that one has is not seen.

    One that is only an Ubuntu gets an `apt-get` that installs nothing, because the base of `cpu` has its Python.
    """
    if not TEMPLATES[template].packages:
        running.docker("tag", bases("cpu"), bases(template))
        return
    folder.mkdir()
    (folder / "apt-get").write_text("#!/bin/sh\n")
    (folder / "apt-get").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {bases('cpu')}\nCOPY apt-get /usr/bin/\nRUN mkdir -p /var/lib/apt/lists\n"
    )
    running.docker("build", "--network", "none", "-t", bases(template), folder)


@pytest.mark.parametrize("template", TEMPLATES)
def test_from_new_to_stop_nothing_is_edited(template, running, package, uv_wheel, tmp_path):
    """`jina hub new`, `build`, `docker run`, a request over each protocol, `docker stop`: closed, exit code 0."""
    name = template
    if template != "cpu":
        stand_in(running, template, tmp_path / "base")
    folder = tmp_path / "Ein Mappe mit Ümlauten"
    made = [JINA, "hub", "new", "--name", "Upper", "--path", folder, "--dockerfile", template]
    subprocess.run(made, check=True, timeout=50)
    (folder / "Dockerfile").unlink()  # that of pip; without one, `build` writes one for the builder that there is
    shutil.copy(package / "executor.py", folder)
    shutil.copytree(package / "wheels", folder / "wheels")
    shutil.copy(uv_wheel, folder / "wheels")
    for requirement in TEMPLATES[template].requirements:
        wheel(folder / "wheels", requirement.partition("[")[0], {"jax/__init__.py": ""})
    words = [JINA, "hub", "build", folder, "-t", name, "--dockerfile", template, "--engine", DOCKER]
    words += ["--network", "none", "--protocol", "grpc", "http"]
    done = subprocess.run(words, env=running.environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sha256:")
    assert not (folder / "Dockerfile").exists()
    running.docker("run", "-d", "--network", "none", "--name", name, "--health-interval", "1s", *READ_ONLY, name)
    try:
        wait_until_healthy(running, name)
        assert "HELLO" in running.docker("exec", name, "jina", "client", "--port", "8080", "--text", "hello")
        assert "HELLO" in running.docker("exec", name, "python3", "-c", POST.replace("9000", "8081"))
        assert running.docker("exec", name, "id", "-u").strip() == "10001"
        running.docker("stop", name)
        assert running.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
        assert "Upper is closed" in running.said(name)
    finally:
        running.docker("rm", "-f", name)


@pytest.fixture(scope="module")
def uv_wheel(tmp_path_factory) -> Path:
    """The wheel of uv, which the Dockerfile for BuildKit installs with."""
    folder = tmp_path_factory.mktemp("uv")
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, "uv"]
    if subprocess.run(asked, capture_output=True, timeout=100, check=False).returncode:
        pytest.skip("the wheel of uv cannot be had")
    (found,) = folder.iterdir()
    return found


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, on the loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            del words

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize("kind", ["version", "wheel", "folder", "address"])
def test_jina_comes_from_wherever_it_is_said_to(kind, running, package, uv_wheel, tmp_path):
    """Each installs what was given, and not what else stands in the folder of wheels."""
    shutil.copytree(package, tmp_path / "upper", ignore=shutil.ignore_patterns("Dockerfile", "rejina-*"))
    shutil.copy(uv_wheel, tmp_path / "upper/wheels")
    (tmp_path / "upper/requirements.txt").write_text("")
    (ours,) = (package / "wheels").glob("rejina-4*.whl")
    if kind == "version":
        shutil.copy(ours, tmp_path / "upper/wheels")
    with served(ours.parent) as host:
        given = {"version": "rejina==4.0.0", "wheel": ours, "folder": wheels.ROOT, "address": f"{host}/{ours.name}"}
        words = [JINA, "hub", "build", tmp_path / "upper", "-t", f"from:{kind}", "--engine", DOCKER]
        words += ["--network", "host", "--jina-package", given[kind]]
        done = subprocess.run(words, env=running.environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert running.docker("run", "--rm", "--entrypoint", "jina", f"from:{kind}", "--version").strip() == "4.0.0"


def test_requirements_of_a_project_are_installed_by_pip_as_well(running, package, tmp_path):
    """By the Dockerfile that `--dockerfile-only` writes, of pyproject.toml and of a file that is included."""
    shutil.copytree(package, tmp_path / "upper", ignore=shutil.ignore_patterns("Dockerfile"))
    for name in ("one", "two"):
        wheel(tmp_path / "upper/wheels", name, {f"{name}.py": ""})
    (tmp_path / "upper/pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["one"]\n')
    (tmp_path / "upper/requirements.txt").write_text("-r more/of-it.txt\n")
    (tmp_path / "upper/more").mkdir()
    (tmp_path / "upper/more/of-it.txt").write_text("two\n")
    subprocess.run([JINA, "hub", "build", tmp_path / "upper", "--dockerfile-only"], check=True, timeout=100)
    running.docker("build", "--network", "none", "-t", "project", tmp_path / "upper", buildkit=True)
    running.docker("run", "--rm", "--entrypoint", "python3", "project", "-c", "import one, two")
    # Bytecode of Python's own modules, which an official image lacks and its user cannot write.
    cached = "import argparse as it; from importlib.util import cache_from_source as of; open(of(it.__file__)).close()"
    running.docker("run", "--rm", "--entrypoint", "python3", "project", "-c", cached)


def test_without_wheels_the_build_fails_and_says_what_is_missing(running, package, tmp_path):
    shutil.copytree(package, tmp_path / "bare", ignore=shutil.ignore_patterns("wheels"))
    (tmp_path / "bare/requirements.txt").write_text("")
    with pytest.raises(AssertionError, match="No matching distribution found for rejina"):
        running.docker("build", "--network", "none", tmp_path / "bare")
