"""An agent that cannot run fails the start at once, with the reason, its file and the way out."""

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from jina.errors import RuntimeFailToStart
from jina.replication import admin
from tests.stateful.conftest import group
from tests.stateful.users import Ledger

ROOT = Path(__file__).parents[2]
_MACHINE = 18
"""Where the header of an ELF file says for which processor it is."""
_AARCH64, _X86_64 = 183, 62


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A copy of the agent that is started in the place of the one that is installed."""
    copy = tmp_path / "agent"
    shutil.copy(admin.agent_path(), copy)
    monkeypatch.setattr(admin, "agent_path", lambda: str(copy))
    return copy


def failure(tmp_path):
    with pytest.raises(RuntimeFailToStart) as caught, group(Ledger, tmp_path / "workspace", timeout_ready=30_000):
        pass
    return caught.value


def script(program, body):
    """Put a script in the place of the agent, which lies beside it as `real`."""
    real = program.rename(program.with_name("real"))
    program.write_text(f"#!/bin/sh\n{body.format(real=shlex.quote(str(real)))}\n")
    program.chmod(0o755)


def test_a_file_without_the_right_to_be_executed(tmp_path, program):
    program.chmod(0o644)
    error = failure(tmp_path)
    assert error.message == f"the consensus agent {program} is not executable (its mode is 0644)"
    assert error.help == f"chmod +x {program}"


def test_a_file_for_another_processor(tmp_path, program):
    data = bytearray(program.read_bytes())
    assert data[:4] == b"\x7fELF"
    data[_MACHINE] = _X86_64 if data[_MACHINE] == _AARCH64 else _AARCH64
    program.write_bytes(data)
    error = failure(tmp_path)
    assert error.message.startswith(f"the consensus agent {program} is not a program for this machine (Linux ")
    assert "install" in error.help


def test_a_file_that_is_missing(tmp_path, program):
    program.unlink()
    error = failure(tmp_path)
    assert error.message == f"the consensus agent {program} is missing"
    assert "install" in error.help


def test_a_program_whose_interpreter_is_missing(tmp_path, program):
    program.write_text("#!/nowhere/sh\n")
    assert failure(tmp_path).message == (
        f"the consensus agent {program} needs an interpreter or a loader that is not on this machine"
    )


def test_another_version(tmp_path, program):
    script(program, "echo 3.9.1")
    error = failure(tmp_path)
    assert error.message.startswith(f"the consensus agent {program} is of version 3.9.1, jina is of ")
    assert "install" in error.help


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("kill -SEGV $$", "was killed by signal 11 (SIGSEGV)"),
        ("echo no luck today >&2; exit 9", "exited with code 9: no luck today"),
        # Where a limit leaves it no memory, a Go program says so in the first of many lines.
        ("ulimit -v 100000; exec {real} $*", "exited with code 2: fatal error: "),
    ],
)
def test_a_crash_before_it_says_its_version(tmp_path, program, body, message):
    script(program, body)
    error = failure(tmp_path)
    assert error.message.startswith(f"the consensus agent {program} {message}")
    assert f"{program} --version" in error.help


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("kill -SEGV $$", "was killed by signal 11 (SIGSEGV)"),
        ("read line; echo no luck today >&2; exit 9", "exited with code 9: no luck today"),
        ("ulimit -v 100000; exec {real} $*", "exited with code 2: fatal error: "),
    ],
)
def test_a_crash_before_it_is_ready(tmp_path, program, body, message):
    script(program, f'test "$1" = --version && exec {{real}} --version\n{body}')
    assert f"does not start: {program} {message}" in failure(tmp_path).message


@pytest.mark.slow
def test_one_that_goes_missing_between_two_steps_of_the_start(tmp_path, program):
    script(program, 'rm "$0"; exec {real} --version')
    assert f"does not start: {program} is missing" in failure(tmp_path).message


NOEXEC = """
    import os, shutil, subprocess, sys
    from pathlib import Path
    from jina import Deployment
    from jina.errors import RuntimeFailToStart
    from jina.replication import admin
    from tests.stateful.users import Ledger

    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,size=100m", "none", folder], check=True)
    copy = folder / "agent"
    shutil.copy(admin.agent_path(), copy)
    admin.agent_path = lambda: str(copy)
    try:
        with Deployment(uses=Ledger, stateful=True, workspace=sys.argv[2], quiet=True):
            print("started")
    except RuntimeFailToStart as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting takes root on Linux")
def test_a_file_system_that_executes_nothing(tmp_path):
    namespace = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no mount namespaces")
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "-c", textwrap.dedent(NOEXEC), str(tmp_path / "disk"), str(tmp_path / "workspace")]
    done = subprocess.run([*namespace, *command], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    agent = tmp_path / "disk" / "agent"
    assert f"the consensus agent {agent} is on a file system that is mounted noexec" in done.stdout
    assert "another file system" in done.stdout
