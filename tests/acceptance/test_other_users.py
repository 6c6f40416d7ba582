"""A second user of a machine reads nothing of a service, reaches none of its sockets, takes no place of its files."""

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jina.errors import ConfigError
from jina.executor import workspace
from jina.observe.log_config import file_handler
from tests.acceptance.first_user import KEY, VARIABLE

OTHER = 65531
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="users, /proc and abstract sockets as on Linux"),
    pytest.mark.skipif(sys.platform == "linux" and os.getuid() != 0, reason="becoming another user needs root"),
]


def as_other(**tries):
    """What another user gets by `tests.acceptance.other_user`."""
    program = [sys.executable, "-m", "tests.acceptance.other_user"]
    asked = json.dumps({"uid": OTHER, **tries})
    done = subprocess.run(program, input=asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shared():
    """A folder that every user may enter and write to, as the system's temporary one."""
    folder = Path(tempfile.mkdtemp(prefix="jina-test-users-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def service(shared):
    """With usual modes of new files; its temporary folder is everybody's, the folder of its replica was there."""
    if importlib.util.find_spec("jina_raft") is None:
        pytest.skip("the consensus agent is not built: make agent")
    there, temporary = shared / "ws" / "raft" / "it" / "rep-0", shared / "tmp"
    for folder, mode in ((there, 0o755), (temporary, 0o1777)):
        folder.mkdir(parents=True)
        folder.chmod(mode)
    program = [sys.executable, "-m", "tests.acceptance.first_user", str(shared)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, umask=0o022
    ) as child:
        for line in child.stdout:
            if line.startswith("{"):
                break
        yield json.loads(line)
        child.stdin.close()
        assert child.wait(60) == 0


def test_nothing_of_a_service_can_be_read_or_replaced(shared, service):
    files = [path for path in shared.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert {"key", "identity.json", "wal-meta.db", "state.bin", "file", "backup", "it-rep-0.log"} <= names, names
    (got,) = as_other(walk=[str(shared)])["walk"]
    assert set(got) == {f"writes in {shared}", f"writes in {shared}/tmp"}


def test_sockets_with_a_path_are_out_of_reach(shared, service):
    sockets = [str(path) for path in shared.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
    assert sockets
    assert as_other(connect=sockets)["connect"] == [["PermissionError"]] * len(sockets)


def test_ports_are_not_shared_with_another_user(service):
    assert as_other(bind=[service["port"]])["bind"] == [["OSError"]]


def test_processes_show_no_secrets(shared, service):
    key = (shared / "ws/raft/it/rep-0/key").read_text().strip()
    told = as_other(process=service["pids"])["process"]
    assert len(told) >= 3
    for command, *opened in told:
        assert command
        assert not opened
        assert not any(secret in command for secret in (KEY, VARIABLE, key))


def test_a_log_is_not_written_into_what_another_user_put_there(tmp_path, shared):
    """A link would let its owner choose a file of ours, a file would let it read, a pipe would stop the start."""
    folder = shared / "planted"
    folder.mkdir()
    folder.chmod(0o1777)
    ours = tmp_path / "ours"
    ours.write_text("as it was")
    for name, make in {
        "link": lambda path: path.symlink_to(ours),
        "dangling": lambda path: path.symlink_to(tmp_path / "new"),
        "file": Path.touch,
        "pipe": os.mkfifo,
    }.items():
        path = folder / f"{name}.log"
        make(path)
        os.chown(path, OTHER, OTHER, follow_symlinks=False)
        with pytest.raises(ConfigError, match=f"the log .*{name}.log cannot be written: "):
            file_handler(str(path))
    assert ours.read_text() == "as it was"
    assert not (tmp_path / "new").exists()
    own = folder / "own.log"
    own.symlink_to(ours)
    handler = file_handler(str(own))
    handler.stream.write(", and more")
    handler.close()
    assert ours.read_text() == "as it was, and more"


def test_new_folders_are_for_their_user_alone(tmp_path):
    was_there = tmp_path / "there"
    was_there.mkdir(mode=0o755)
    file_handler(str(was_there / "a.log")).close()
    file_handler(str(tmp_path / "logs" / "a.log")).close()
    for path, mode in ((was_there, 0o755), (tmp_path / "logs", 0o700), (workspace.create(f"{tmp_path}/w/x"), 0o700)):
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
