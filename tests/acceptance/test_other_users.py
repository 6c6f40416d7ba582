"""A second user of a machine reads nothing of a service, reaches none of its sockets, takes no place of its files."""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from jina.errors import ConfigError
from jina.executor.base import create
from jina.net.sockets import holder
from jina.observe.logs import file_handler
from jina.supervisor.environments import Environment
from jina.supervisor.status_socket import ask_all, names, serve_status
from tests.acceptance.first_user import KEY, VARIABLE
from tests.processes import descendants

OTHER = 65531
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="users, /proc and abstract sockets as on Linux"),
    pytest.mark.skipif(sys.platform == "linux" and os.getuid() != 0, reason="becoming another user needs root"),
]


def as_other(**tries):
    """What another user gets by `tests.acceptance.other_user`."""
    program = [sys.executable, "-m", "tests.acceptance.other_user"]
    asked = json.dumps({"uid": OTHER, **tries}) + "\n"
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


@pytest.mark.slow
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
    result = as_other(process=service["pids"])["process"]
    assert len(result) >= 3
    for command, *opened in result:
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
    for path, mode in ((was_there, 0o755), (tmp_path / "logs", 0o700), (create(f"{tmp_path}/w/x"), 0o700)):
        assert stat.S_IMODE(os.stat(path).st_mode) == mode


@contextlib.contextmanager
def pretending(*names):
    """Another user's process that has sockets with these names."""
    program = [sys.executable, "-m", "tests.acceptance.other_user"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(json.dumps({"uid": OTHER, "pretend": [names]}) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "pretending\n"
        yield
        child.stdin.close()


def test_sockets_with_names_of_our_services_stop_no_look_at_them():
    """`jina status` and `jina logs` ask by such names, which anybody can take."""
    me = f"@jina/{os.getuid()}"
    names = [
        f"{me}/none/0",
        f"{me}/1",
        f"{me}/",
        f"{me}/99999999999/0",
        f"{me}/1/\n x",
        *(f"{me}/1/{n}" for n in range(9)),
    ]
    with pretending(*names), serve_status(lambda _: b"it is us"):
        began = time.monotonic()
        result = dict(ask_all())
        assert time.monotonic() - began < 20  # not 8 s for each of them
    assert result[os.getpid()] == b"it is us"
    assert not result.keys() & {1, 99999999999}


@pytest.mark.slow
def test_a_service_tells_another_user_nothing_of_itself():
    with serve_status(lambda _: b"a secret"):
        name = next(name for pid, name in names() if pid == os.getpid())
        assert as_other(connect=[f"@{name}"])["connect"] == [["is told b''"]]


@pytest.mark.slow
def test_environments_in_a_folder_of_another_user_are_not_run(shared, monkeypatch):
    cache = Path(tempfile.mkdtemp(dir=shared))
    (cache / "requirements.txt").write_text("none-such\n")
    folder = cache / "jina" / "environments"
    folder.mkdir(parents=True)
    os.chown(folder, OTHER, OTHER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with pytest.raises(ConfigError, match="belongs to another user") as caught:
        Environment.read([str(cache / "requirements.txt")]).make()
    assert str(folder) in caught.value.message
    assert "XDG_CACHE_HOME" in caught.value.help


@pytest.mark.slow
def test_keys_on_a_command_line_are_taken_from_it():
    """Until the program has read them they are seen; who does not want that uses JINA_API_KEYS or api_keys_file."""
    words = ["--api-keys", "secret-of-bob-0123456789", "secret-of-all-0123456789", "--env", "TOKEN:secret-too"]
    words += ["--name=seen", "--host", "127.0.0.1", "--uses", "tests.acceptance.first_user.Keeping"]
    program = [sys.executable, "-m", "jina", "deployment", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        said = next(line for line in child.stdout if "ready" in line or line.startswith("jina:"))
        try:
            result = as_other(process=[child.pid, *descendants(child.pid)])["process"]
        finally:
            child.terminate()
    assert "seen is ready" in said
    assert not any("secret" in word for shown in result for word in shown)
    assert all(word in result[0][0] for word in ("--api-keys", "--env", "****", "--name=seen", "--uses"))


@pytest.mark.slow
def test_a_port_of_another_user_is_named_as_such():
    """Which process of theirs has it is not to be seen, and not guessed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert as_other(holder=[port])["holder"] == ["a process of user root"]
        assert holder(port).startswith(f"process {os.getpid()} (")
