from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jina.config import DeploymentSpec, takes_options_from, takes_options_of
from jina.errors import ConfigError


class Flow:
    """A flow."""

    def __init__(self) -> None:
        self.added: list[DeploymentSpec] = []

    @takes_options_of(DeploymentSpec)
    def add(self, spec: DeploymentSpec) -> Flow:
        """Add a step."""
        self.added.append(spec)
        return self


class Deployment:
    """A deployment."""

    @takes_options_from(lambda: DeploymentSpec)
    def __init__(self, spec: DeploymentSpec) -> None:
        """Make it."""
        self.spec = spec


def test_methods_take_options_by_name():
    flow = Flow().add(name="a").add(ports=[8080])
    assert [spec.name for spec in flow.added] == ["a", "executor"]
    assert Deployment(port=8080).spec.ports == [8080]


def test_problems_begin_with_the_method():
    with pytest.raises(ConfigError, match=r"^Flow\.add: unknown option 'replicass', did you mean 'replicas'\?$"):
        Flow().add(replicass=3)
    with pytest.raises(ConfigError, match=r"^Deployment: port: 'x' is not a port"):
        Deployment(port="x")


def test_positions_are_refused():
    with pytest.raises(TypeError, match="Deployment takes its options by name"):
        Deployment("X")


def test_subclasses_and_super():
    class Mine(Deployment):
        def __init__(self, **options):
            super().__init__(name="mine", **options)

    assert Mine(port=5).spec.name == "mine"


def test_signatures_show_every_option():
    parameters = inspect.signature(Deployment).parameters
    assert list(parameters) == list(DeploymentSpec.model_fields)
    assert parameters["replicas"].default == 1
    assert parameters["replicas"].annotation is int
    assert list(inspect.signature(Flow.add).parameters) == ["self", *DeploymentSpec.model_fields]
    assert list(inspect.signature(Flow().add).parameters) == list(DeploymentSpec.model_fields)


def test_help_shows_options_and_texts():
    text = pydoc.plain(pydoc.render_doc(Deployment))
    assert "replicas: int = 1" in text
    assert Flow.add.__doc__ == "Add a step."
    assert Flow.add.__name__ == "add"


SNIPPET = """\
from jina.config import DeploymentSpec, takes_options_from

class Deployment:
    @takes_options_from(lambda: DeploymentSpec)
    def __init__(self, spec: DeploymentSpec) -> None:
        self.spec = spec

Deployment(uses=int, replicas=3, port=[1, 2], protocol='GRPC', timeout_ready='30s', env={'A': 1}, polling={'/x': 'ALL'})
Deployment(replicass=3)
Deployment(replicas='three')
Deployment(quiet='no')
Deployment(3)
"""

ONE_OR_LIST = """\
from jina import Deployment, Flow
from jina.config import DeploymentSpec, FlowSpec, GatewaySpec

class X: ...

Flow().add(uses=X, needs='gateway').add(needs=['executor0'], port=1)
Flow().add(needs=3)
Flow(protocol='http', port=1, host='127.0.0.1')
Flow(protocol=['http', 'grpc'], port=[1, 2], extra_search_paths='x', py_modules='x.py')
Flow().config_gateway(py_modules='x.py', extra_search_paths=['x'])
Deployment(py_modules='x.py', extra_search_paths='x', exit_on_exceptions='OSError', volumes='x', image_pull_secrets='x')
Deployment(py_modules=['x.py'], extra_search_paths=['x'], exit_on_exceptions=['OSError'], volumes=['x'])
Deployment(host=['a', 'b'], port=[1, 2], protocol=('grpc', 'http'), port_monitoring=[1, 2], peer_ports=3)
Deployment(host='a', port=1, protocol='grpc', port_monitoring=1, peer_ports=[3], image_pull_secrets=['x'])
DeploymentSpec(exit_on_exceptions='OSError', py_modules=None)
GatewaySpec(py_modules='x.py', deployments_no_reduce='a')
FlowSpec(py_modules='x.py', volumes='x')
"""


def errors_of(command, code):
    root = Path(__file__).parents[2]
    # Not in a temporary folder: that may lie below a hidden one, which pyright leaves out without a word.
    with tempfile.TemporaryDirectory(dir=root / "tests", prefix="types_") as folder:
        snippet = Path(folder) / "snippet.py"
        snippet.write_text(code)
        return _errors([*command, str(snippet)], root)


def _errors(command, root):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if "snippet.py:" in line and "error" in line]
    return {int(line.split("snippet.py:")[1].split(":")[0]) for line in found}, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("command", [["mypy", "--strict"], ["pyright"]], ids=["mypy", "pyright"])
def test_type_checkers_find_the_mistakes(command):
    lines, output = errors_of(command, SNIPPET)
    assert lines == {9, 10, 11, 12}, output


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("command", [["mypy", "--strict"], ["pyright"]], ids=["mypy", "pyright"])
def test_type_checkers_know_what_takes_one_value_or_a_list(command):
    lines, output = errors_of(command, ONE_OR_LIST)
    assert lines == {7}, output


def test_what_takes_one_value_or_a_list_says_so():
    parameters = inspect.signature(Flow.add).parameters
    assert parameters["py_modules"].annotation == str | list[str] | None
    assert parameters["exit_on_exceptions"].annotation == str | list[str]
