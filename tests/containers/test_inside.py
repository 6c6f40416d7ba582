"""A program that runs in a container itself, with the socket of the engine, and starts containers beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import DOCKER, Engine
from tests.containers.packages import IMAGE, WAIT, containers, until

GONE_WITHIN = 30.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("containers"),
]

PROGRAM = textwrap.dedent(f"""
    import sys
    from jina import Deployment, Document, DocumentArray, Flow

    def asked(service, endpoint):
        return service.post(endpoint, DocumentArray([Document(text="a")])).texts[0]

    if __name__ == "__main__":
        image = dict(uses="docker://{IMAGE}", name="probe", uses_with={{"suffix": "!"}})
        if "refused" in sys.argv:
            Deployment(**image, force_network_mode="BRIDGE").start()
        with Flow().add(**image, volumes=["/shared/kept:/data"], workspace="/data") as flow:
            print("answers:", asked(flow, "/upper"), asked(flow, "/keep"), flush=True)
            if "block" in sys.argv:
                flow.block()
""")


@pytest.fixture
def shared(tmp_path) -> Path:
    """A folder with the program, for its container."""
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def words(made: Engine, shared: Path, socket_of: Engine | None = None) -> list[object]:
    """For `docker run`: what the program's container needs to reach an engine, and the program."""
    socket = (socket_of or made).home / "docker.sock"
    volumes = [f"{socket}:/var/run/docker.sock", f"{DOCKER}:/usr/bin/docker:ro", f"{shared}:/shared"]
    return [*(f"--volume={one}" for one in volumes), "--user=0", "--entrypoint=python3", IMAGE, "/shared/program.py"]


def test_in_a_bridged_container(elsewhere, shared):
    """They share its network, whatever it is called, and its volumes; killed with all its processes, it leaves none."""
    elsewhere.docker("run", "-d", "--name=outer", "--hostname=db", *words(elsewhere, shared), "block", limit=WAIT)
    try:
        until(lambda: "answers: A! a" in elsewhere.said("outer") or not running(elsewhere), "an answer")
        assert "answers: A! a" in elsewhere.said("outer"), elsewhere.said("outer")
        (inner,) = [name for name in containers(elsewhere) if name != "outer"]
        mode = elsewhere.docker("container", "inspect", "--format", "{{.HostConfig.NetworkMode}}", inner).strip()
        assert mode.startswith("container:")
        assert [file.read_text() for file in (shared / "kept").rglob("kept")] == ["a"]
        elsewhere.docker("kill", "outer")
        until(lambda: containers(elsewhere) == ["outer"], "the end of the container of the image", GONE_WITHIN)
    finally:
        elsewhere.docker("rm", "--force", *containers(elsewhere))


def test_a_network_that_is_not_reached_is_refused(elsewhere, shared):
    elsewhere.docker("run", "-d", "--name=outer", *words(elsewhere, shared), "refused", limit=WAIT)
    try:
        until(lambda: not running(elsewhere), "its refusal")
        said = elsewhere.said("outer")
        assert "the network 'bridge' of an image is not reached from here" in said, said
        assert "leave out force_network_mode" in said
        assert containers(elsewhere) == ["outer"]
    finally:
        elsewhere.docker("rm", "--force", "outer")


def test_in_the_network_of_the_host(running_engine, shared):
    name = "outer-of-the-host"
    running_engine.docker("run", "-d", f"--name={name}", "--network=host", *words(running_engine, shared), limit=WAIT)
    try:
        until(lambda: not running(running_engine), "the end of the program")
        assert "answers: A! a" in running_engine.said(name), running_engine.said(name)
        assert containers(running_engine) == [name]
    finally:
        running_engine.docker("rm", "--force", name)


def test_the_engine_of_others_is_refused(elsewhere, running_engine, shared):
    """Whose containers have other networks than this program's own."""
    elsewhere.docker("run", "-d", "--name=outer", *words(elsewhere, shared, running_engine), limit=WAIT)
    try:
        until(lambda: not running(elsewhere), "its refusal")
        said = elsewhere.said("outer")
        assert "this program runs in a container that docker does not know" in said, said
        assert "mount the socket of the engine that runs this program's container" in said
        assert containers(running_engine) == []
    finally:
        elsewhere.docker("rm", "--force", "outer")


@pytest.fixture
def running_engine(engine_with_image) -> Iterator[Engine]:
    """An engine in the network of this machine; no container is left in it."""
    yield engine_with_image
    assert containers(engine_with_image) == []


def running(made: Engine) -> list[str]:
    """The names of containers that run."""
    return made.docker("ps", "--format", "{{.Names}}").split()
