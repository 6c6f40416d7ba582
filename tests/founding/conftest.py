"""The marker of this folder, and an Executor that tells what it was given, served twice."""

import json
from pathlib import Path

import pytest

USERS = Path(__file__).parent / "users.py"


def pytest_configure(config):
    config.addinivalue_line("markers", "sentence(*numbers): sentences of the founding text that the test shows")


@pytest.fixture(scope="session")
def python_service(tmp_path_factory):
    """`Inspect`, configured by the arguments of a Deployment."""
    from jina import Deployment
    from tests.founding.users import Inspect

    with Deployment(
        uses=Inspect,
        uses_with={"foo": "python", "bar": 1},
        uses_metas={"name": "given", "description": "by Python"},
        uses_requests={"/bound": "unbound"},
        workspace=str(tmp_path_factory.mktemp("python") / "work"),
        protocol=["grpc", "http"],
        host="127.0.0.1",
        quiet=True,
    ) as served:
        yield served


@pytest.fixture(scope="session")
def yaml_service(tmp_path_factory):
    """`Inspect`, configured by a Deployment's and an Executor's YAML."""
    from jina import Deployment

    folder = tmp_path_factory.mktemp("yaml")
    (folder / "config.yml").write_text(
        "jtype: Inspect\n"
        f"py_modules: [{json.dumps(str(USERS))}]\n"
        "with: {foo: yaml, bar: 2}\n"
        "metas: {name: given, description: by YAML}\n"
        "requests: {/bound: unbound}\n"
    )
    (folder / "deployment.yml").write_text(
        "jtype: Deployment\n"
        "with:\n"
        "  uses: config.yml\n"
        "  name: searcher\n"
        f"  workspace: {json.dumps(str(folder / 'work'))}\n"
        "  host: 127.0.0.1\n"
        "  quiet: true\n"
    )
    with Deployment.load_config(str(folder / "deployment.yml")) as served:
        yield served


@pytest.fixture(scope="session")
def by_python(python_service):
    """What the Executor of `python_service` tells."""
    return inspected(python_service)


@pytest.fixture(scope="session")
def by_yaml(yaml_service):
    """What the Executor of `yaml_service` tells."""
    return inspected(yaml_service)


def inspected(service):
    (response,) = service.post("/inspect", return_responses=True)
    (found,) = response.parameters["__results__"].values()
    return found
