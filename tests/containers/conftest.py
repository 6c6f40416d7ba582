"""What several tests of containers need: a base image, a package and its images, an engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.base_image import VERSION, Unsuitable, base_layout

from tests.containers.engine import Engine, engine
from tests.containers.packages import IMAGE, PROBE, STATEFUL, UPPER, build, containers, new_package

CACHE = Path(__file__).parents[2] / ".cache/images/stand-in"


@pytest.fixture(scope="session")
def base() -> str:
    """A layout of one layer with the Python that runs this, made once."""
    try:
        return base_layout(CACHE / f"python-{VERSION}")
    except Unsuitable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    """A package with all wheels that it needs."""
    return new_package(tmp_path_factory.mktemp("images") / "upper", "Upper", UPPER, VERSION)


@pytest.fixture(scope="session")
def image(package, base, tmp_path_factory) -> tuple[Path, str]:
    """The layout of an image of the package that serves both protocols, and its digest."""
    folder = tmp_path_factory.mktemp("images") / "layout"
    return folder, build(package, base, f"oci:{folder}:v1", "--protocol", "grpc", "http")


@pytest.fixture(scope="session")
def archive(base, tmp_path_factory) -> Iterator[Path]:
    """The image of another package, `Probe`, as `docker load` takes it."""
    imports = "from jina import DocumentArray, Executor, requests, write"
    code = PROBE.format(imports=imports, stateful=STATEFUL)
    probe = new_package(tmp_path_factory.mktemp("uses") / "probe", "Probe", code, VERSION)
    (probe / "requirements.txt").write_text("rejina[stateful]\n")
    archive = probe.with_name("image.tar")
    build(probe, base, f"docker-archive:{archive}:{IMAGE}")
    shutil.rmtree(probe)
    yield archive
    archive.unlink()


@pytest.fixture(scope="session")
def engine_with_image(archive) -> Iterator[Engine]:
    """An engine that has the image `Probe`."""
    with engine() as made:
        made.docker("load", "-i", archive)
        yield made


@pytest.fixture
def running(engine_with_image, tmp_path_factory, monkeypatch) -> Iterator[Engine]:
    """That engine, which DOCKER_HOST names; no container is left in it."""
    monkeypatch.setenv("DOCKER_HOST", engine_with_image.environment["DOCKER_HOST"])
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    yield engine_with_image
    assert containers(engine_with_image) == []


@pytest.fixture(scope="session")
def elsewhere(archive) -> Iterator[Engine]:
    """An engine with a bridge, in a network namespace of its own."""
    with engine(elsewhere=True) as made:
        made.docker("load", "-i", archive)
        yield made
