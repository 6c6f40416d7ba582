"""Finding an engine, and what it builds, with programs that stand for it. Real ones are in tests/containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hub.test_images import base, write_package

from jina.cli.main import main
from jina.errors import ConfigError
from jina.hub.engine import Engine, EngineFailed

ENGINE = """#!/bin/sh
case "$1" in
version) exit 0 ;;
buildx) exit {buildx} ;;
--version) echo "Docker version {version}, build 1" ;;
image) test -n "{digest}" && echo '[{{"Id": "sha256:made", "RepoDigests": ["python@{digest}"]}}]' ;;
build)
    for word; do context=$word; done
    cp -r "$context" "{folder}/context"
    printf '%s\\n' "$@" > "{folder}/words"
    echo "BUILDKIT=$DOCKER_BUILDKIT" >> "{folder}/words"
    exit {status} ;;
esac
"""
DIGEST = f"sha256:{'a' * 64}"


def program(folder: Path, name: str, **values: object) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    values = {"buildx": 1, "version": "20.10.24", "digest": "", "status": 0, "folder": folder, **values}
    file.write_text(ENGINE.format(**values))
    file.chmod(0o755)
    return file


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH, beside those of the system's own programs."""
    (tmp_path / "bin").mkdir()
    for name in ("cp", "sh"):
        (tmp_path / "bin" / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_the_first_that_answers_is_taken(path):
    (path / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    (path / "docker").chmod(0o755)
    with pytest.raises(ConfigError, match="Cannot connect to the Docker daemon; podman: not on PATH; nerdctl"):
        Engine.find()
    program(path, "podman")
    assert (Engine.find().name, Engine.find().cache_mounts) == ("podman", True)
    with pytest.raises(ConfigError, match=r"no container engine answers: .*/docker: Cannot connect"):
        Engine.find("docker")
    assert Engine.find(str(path / "podman")).program == str(path / "podman")


@pytest.mark.parametrize(
    ("buildx", "version", "mounts"), [(0, "28.2.2", "1"), (1, "28.2.2", "0"), (1, "20.10.24", "1"), (1, "odd", "0")]
)
def test_docker_builds_with_cache_mounts_where_it_can(buildx, version, mounts, path):
    program(path, "docker", buildx=buildx, version=version)
    engine = Engine.find()
    assert (engine.cache_mounts, engine.environment) == (mounts == "1", {"DOCKER_BUILDKIT": mounts})


def test_the_engine_gets_all_that_the_dockerfile_takes(path, tmp_path, capsys):
    program(path, "docker", digest=DIGEST)
    package = write_package(tmp_path / "My Package")
    (package / ".git").mkdir()
    words = ["--platform", "linux/amd64", "--network", "host", "--protocol", "http"]
    assert main(["hub", "build", str(package), *words]) == 0
    assert capsys.readouterr().out == "sha256:made my-package\n"
    given = (path / "words").read_text().splitlines()
    assert given[:-2] == [
        "build", "--tag", "my-package", "--platform", "linux/amd64", "--network", "host",
        "--build-arg", "JINA_PACKAGE=rejina>=4",
    ]  # fmt: skip
    context = path / "context"
    assert sorted(file.name for file in context.iterdir()) == [
        ".dockerignore", "Dockerfile", "config.yml", "executor.py", "models", "requirements.txt", "start.sh", "wheels",
    ]  # fmt: skip
    text = (context / "Dockerfile").read_text()
    assert f"FROM python:3.12-slim@{DIGEST} AS base" in text
    assert "RUN --mount=type=cache" in text
    assert "http://127.0.0.1:8080" in text
    assert not (package / "Dockerfile").exists()


def test_a_dockerfile_of_the_package_is_used_unless_forced(path, tmp_path, capsys):
    program(path, "podman")
    package = write_package(tmp_path / "package")
    (package / "Dockerfile").write_text("FROM scratch\n")
    assert main(["hub", "build", str(package), "-t", "a:b"]) == 0
    assert "does not list a:b: its builder keeps images elsewhere" in capsys.readouterr().err
    assert (path / "context/Dockerfile").read_text() == "FROM scratch\n"
    assert "--build-arg" not in (path / "words").read_text()
    (path / "context").rename(path / "before")
    assert main(["hub", "build", str(package), "-t", "a:b", "--force", "--base", "mine:1"]) == 0
    assert "FROM mine:1 AS base" in (path / "context/Dockerfile").read_text()


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ("rejina[otel]==4.0.0", "rejina[otel]==4.0.0"),
        ("https://example.org/rejina-4.0.0-py3-none-any.whl", "https://example.org/rejina-4.0.0-py3-none-any.whl"),
        ("{package}/wheels/rejina-4.0.0-py3-none-any.whl", "./rejina-4.0.0-py3-none-any.whl"),
    ],
)
def test_jina_is_what_was_asked_for(given, argument, path, tmp_path):
    program(path, "docker")
    package = write_package(tmp_path / "package")
    assert main(["hub", "build", str(package), "--jina-package", given.replace("{package}", str(package))]) == 0
    assert f"JINA_PACKAGE={argument}" in (path / "words").read_text().splitlines()


SOURCES = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "rejina"
version = "9.9"

[tool.hatch.build.targets.wheel]
only-include = ["jina_of_tests.py"]
"""


def test_jina_is_built_from_a_folder_whatever_wheels_there_are(path, tmp_path):
    program(path, "docker")
    package = write_package(tmp_path / "package")
    sources = tmp_path / "a folder of sources"
    sources.mkdir()
    (sources / "pyproject.toml").write_text(SOURCES)
    (sources / "jina_of_tests.py").write_text("")
    words = ["hub", "build", str(package), "--jina-package", str(sources), "--protocol", "grpc", "websocket"]
    assert main(words) == 0
    (made,) = (file.name for file in (path / "context/wheels").glob("rejina-9.9-*.whl"))
    assert f"JINA_PACKAGE=./{made}[websockets]" in (path / "words").read_text().splitlines()
    assert not list((path / "context/wheels").glob("tmp*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("./no/such/wheel.whl", "no such wheel or folder"),
        ("no/such/folder", "no such wheel or folder"),
        ("{package}", "is no copy of jina's repository"),
    ],
)
def test_a_jina_that_is_not_there_is_named(given, message, path, tmp_path, capsys):
    program(path, "docker")
    package = write_package(tmp_path / "package")
    assert main(["hub", "build", str(package), "--jina-package", given.replace("{package}", str(package))]) == 2
    assert message in capsys.readouterr().err
    assert not (path / "words").exists()


def test_a_name_is_a_requirement_though_a_folder_has_it(path, tmp_path, monkeypatch):
    program(path, "docker")
    package = write_package(tmp_path / "package")
    (tmp_path / "rejina").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["hub", "build", str(package), "--jina-package", "rejina"]) == 0
    assert "JINA_PACKAGE=rejina" in (path / "words").read_text().splitlines()


def test_an_ignore_file_does_not_keep_the_wheels_of_jina_from_the_engine(path, tmp_path):
    program(path, "docker")
    package = write_package(tmp_path / "Gewölbe mit Lücken")
    (package / ".dockerignore").write_text("wheels\nrequirements.txt\n")
    (package / "wheels/.gitignore").write_text("*\n")
    own = str(package / "wheels/rejina-4.0.0-py3-none-any.whl")
    assert main(["hub", "build", str(package), "--jina-package", own]) == 0
    assert (path / "context/wheels/rejina-4.0.0-py3-none-any.whl").is_file()
    assert "wheels" not in (path / "context/.dockerignore").read_text().split()
    assert (path / "words").read_text().splitlines()[2] == "gew-lbe-mit-l-cken"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("builder", ["engine", "uv"])
def test_a_build_that_is_interrupted_leaves_nothing(how, builder, path, tmp_path):
    blocked, scratch = tmp_path / "blocked.txt", tmp_path / "scratch"
    os.mkfifo(blocked)
    scratch.mkdir()
    package = write_package(tmp_path / "package")
    words = ["-t", "upper", "--jina-package", "rejina"]
    if builder == "engine":
        (path / "cat").symlink_to("/bin/cat")
        program(path, "docker", status=f"$(cat '{blocked}')")
    else:
        (package / "requirements.txt").write_text(f"-r {blocked}\n")
        words = ["--daemonless", "--base", base(tmp_path / "base"), "--output", f"oci:{tmp_path}/out"]
    command = [sys.executable, "-m", "jina", "hub", "build", str(package), *words]
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_NO_INDEX": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True, text=True) as build:
        opened = os.open(blocked, os.O_WRONLY)  # once the builder reads it
        build.send_signal(how)
        os.close(opened)  # what still reads it ends
        output = build.communicate(timeout=60)[1]
    assert build.returncode == 130, output
    assert "Traceback" not in output
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_build_that_fails_is_one_error(path, tmp_path, capsys):
    program(path, "docker", status=3)
    package = write_package(tmp_path / "package")
    assert main(["hub", "build", str(package)]) == EngineFailed.exit_code == 1
    assert "docker build failed with exit code 3" in capsys.readouterr().err


def test_an_engine_takes_no_output(path, tmp_path, capsys):
    package = write_package(tmp_path / "package")
    assert main(["hub", "build", str(package), "--output", "oci:x"]) == 2
    assert "--output: a container engine keeps the image itself" in capsys.readouterr().err


def test_what_an_engine_says_of_an_image(path):
    program(path, "docker", digest=DIGEST)
    engine = Engine.find()
    assert engine.inspect("x") == {"Id": "sha256:made", "RepoDigests": [f"python@{DIGEST}"]}
    assert engine.pinned(f"x@{DIGEST}") == f"x@{DIGEST}"
    program(path, "docker")
    assert (engine.inspect("x"), engine.pinned("x")) == (None, "x")
    (path / "docker").write_text(f"#!/bin/sh\necho '{json.dumps([1])}'\n")
    assert engine.inspect("x") is None
