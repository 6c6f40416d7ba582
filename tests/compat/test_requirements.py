"""`install_requirements`, in an environment of its own, with a wheel that is made here."""

import base64
import hashlib
import os
import subprocess
import sys
import sysconfig
import zipfile

import pytest

EXECUTOR = """
from jina import Executor, requests
from distribution_of_a_test import WORD

class Needy(Executor):
    @requests
    def say(self, docs, **kwargs):
        for doc in docs:
            doc.text = WORD
"""
PROGRAM = """
import sys
from jina import Deployment, Document

options = dict(uses="package/config.yml", host="127.0.0.1", quiet=True, replicas=2)
if __name__ == "__main__":
    with Deployment(**options, install_requirements=sys.argv[1] == "yes") as deployment:
        print(deployment.post("/", [Document(), Document()], request_size=1).texts)
"""


def wheel(folder):
    """A wheel of one module, made by hand: nothing is built, nothing is downloaded."""
    name = "distribution_of_a_test"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "WORD = 'installed'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name_of, text in files.items():
            archive.writestr(name_of, text)
    return path


@pytest.fixture
def run(tmp_path):
    """Runs the program in an environment that has what this one has, and where it may install."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=60)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "executor.py").write_text(EXECUTOR)
    (tmp_path / "package" / "config.yml").write_text("jtype: Needy\npy_modules: [executor.py]\n")
    (tmp_path / "program.py").write_text(PROGRAM)

    def call(answer):
        environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        return subprocess.run(
            [python, "program.py", answer], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return call


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_they_are_installed_before_the_module_is_imported(run, tmp_path):
    requirements = tmp_path / "package" / "requirements.txt"
    requirements.write_text(f"{wheel(tmp_path).as_uri()}\n")
    without = run("no")
    assert "install what provides 'distribution_of_a_test'" in without.stderr
    done = run("yes")
    assert done.stdout.splitlines()[-1:] == ["['installed', 'installed']"], done.stderr
    requirements.write_text("no-such-distribution-of-a-test==1\n")
    failed = run("yes")
    assert failed.returncode != 0
    assert f"install_requirements: {requirements} cannot be installed" in failed.stderr
    assert "no-such-distribution-of-a-test" in failed.stderr
