"""The agent's wheel, as pip installs it."""

import importlib.util
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from jina.errors import NotSupportedError
from jina.replication.admin import agent_path

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.timeout(120)]


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_pip_installs_a_program_that_runs(tmp_path):
    try:
        program = Path(agent_path())
    except NotSupportedError:
        pytest.skip("the consensus agent is not built: make agent")
    spec = importlib.util.spec_from_file_location("agent_build", ROOT / "consensus" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    built = tmp_path / program.name
    built.write_bytes(program.read_bytes())
    platform = "any" if sys.platform != "linux" else sysconfig.get_platform().replace("-", "_").replace(".", "_")
    wheel = build.wheel(tmp_path, built, program.name, platform, {})
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel)
    installed = run(python, "-c", "import jina_raft; print(jina_raft.PATH)").strip()
    assert installed.startswith(str(tmp_path))
    assert run(installed, "--version").strip() == build.VERSION
