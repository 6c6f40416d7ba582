"""`jina new`: the projects it writes start as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jina import Deployment, Flow
from jina.cli.main import main

FILES = {"client.py", "executor1/config.yml", "executor1/executor.py", "executor1/requirements.txt"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def without_ports(config: Path) -> str:
    """The project's own ports may be taken here: let them be chosen."""
    text = config.read_text()
    assert "port: [54321, " in text
    config.write_text(re.sub(r"\n *port: .*", "", text))
    return str(config)


def ask(client: Path, port: int) -> str:
    """What the project's client prints."""
    text = client.read_text()
    assert "localhost:54321" in text
    client.write_text(text.replace("54321", str(port)))
    done = subprocess.run([sys.executable, client], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_flow_is_what_comes_without_a_type(folder, capsys):
    assert main(["new"]) == 0
    assert written(folder / "hello-jina") == {"flow.yml", *FILES}
    shown = capsys.readouterr()
    assert {Path(line) for line in shown.out.splitlines()} == {
        file.relative_to(folder) for file in (folder / "hello-jina").rglob("*") if file.is_file()
    }
    assert "cd hello-jina; jina flow --uses flow.yml" in shown.err


@pytest.mark.slow
def test_flow_starts_as_it_is(folder):
    assert main(["new", "mine", "--type", "flow"]) == 0
    with Flow.load_config(without_ports(folder / "mine" / "flow.yml")) as flow:
        assert flow.protocols == ["grpc", "http", "websocket"]
        assert flow[0].name == "toyExecutor"
        assert ask(folder / "mine" / "client.py", flow.ports[0]) == "['hello, world!', 'goodbye, world!']\n"


@pytest.mark.slow
def test_deployment_starts_as_it_is(folder, capsys):
    assert main(["new", "mine", "--type", "deployment"]) == 0
    assert written(folder / "mine") == {"deployment.yml", *FILES}
    assert "jina deployment --uses deployment.yml" in capsys.readouterr().err
    with Deployment.load_config(without_ports(folder / "mine" / "deployment.yml")) as service:
        assert service.protocols == ["grpc", "http"]
        assert service.name == "toyExecutor"
        assert ask(folder / "mine" / "client.py", service.ports[0]) == "['hello, world!', 'goodbye, world!']\n"


def test_own_ports_are_those_of_jina_3(folder):
    for kind in ("flow", "deployment"):
        assert main(["new", kind, "--type", kind]) == 0
    flow = Flow.load_config("flow/flow.yml")
    deployment = Deployment.load_config("deployment/deployment.yml")
    assert flow.spec.front.port == [54321, 54322, 54323]
    assert deployment.spec.port == [54321, 54322]


def test_existing_folder_is_left_alone(folder, capsys):
    (folder / "mine").mkdir()
    assert main(["new", "mine"]) == 2
    assert "mine exists already" in capsys.readouterr().err
    assert written(folder) == set()


def test_unknown_type(capsys):
    assert main(["new", "mine", "--type", "flwo"]) == 2
    assert "flow" in capsys.readouterr().err
