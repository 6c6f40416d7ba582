"""`install_requirements`, with a wheel that is made here: into an environment of the package's own."""

import os
import subprocess
import sys
import sysconfig

import pytest

from tests.supervisor.test_environments import CACHE, wheel

EXECUTOR = """
import os, sys
from jina import Executor, requests
from distribution_of_a_test import WORD

class Needy(Executor):
    @requests
    def say(self, docs, **kwargs):
        for doc in docs:
            doc.text = WORD
            doc.tags = {"prefix": sys.prefix}
"""
PROGRAM = """
import importlib.util, sys
from jina import Deployment, Document

options = dict(uses="package/config.yml", host="127.0.0.1", quiet=True, replicas=2)
if __name__ == "__main__":
    with Deployment(**options, install_requirements=sys.argv[1] == "yes") as deployment:
        docs = deployment.post("/", [Document(), Document()], request_size=1)
        print(docs.texts)
        assert all(doc.tags["prefix"] != sys.prefix for doc in docs)
        assert importlib.util.find_spec("distribution_of_a_test") is None
"""


@pytest.fixture
def run(tmp_path):
    """Runs the program in an environment that has what this one has, but uv."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=60)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "executor.py").write_text(EXECUTOR)
    (tmp_path / "package" / "config.yml").write_text("jtype: Needy\npy_modules: [executor.py]\n")
    (tmp_path / "program.py").write_text(PROGRAM)

    def call(answer, **variables):
        environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, CACHE: str(tmp_path / "cache")}
        return subprocess.run(
            [python, "program.py", answer], cwd=tmp_path, env=environ | variables, capture_output=True, text=True,
            timeout=200, check=False,
        )  # fmt: skip

    return call


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_they_are_installed_before_the_module_is_imported(run, tmp_path, installer):
    uv = os.path.dirname(sys.executable)
    path = {"PATH": os.pathsep.join([uv, "/usr/bin", "/bin"] if installer == "uv" else ["/usr/bin", "/bin"])}
    requirements = tmp_path / "package" / "requirements.txt"
    requirements.write_text(f"{wheel(tmp_path).as_uri()}\n")
    without = run("no", **path)
    assert "install what provides 'distribution_of_a_test'" in without.stderr
    done = run("yes", **path)
    assert done.stdout.splitlines()[-1:] == ["['installed', 'installed']"], done.stderr
    (log,) = (tmp_path / "cache/jina/environments").glob("*.log")
    assert ("Using CPython" in log.read_text()) == (installer == "uv")
    requirements.write_text("no-such-distribution-of-a-test==1\n")
    failed = run("yes", **path)
    assert failed.returncode != 0
    assert f"install_requirements: {requirements} cannot be installed" in failed.stderr
    assert "no-such-distribution-of-a-test" in failed.stderr
