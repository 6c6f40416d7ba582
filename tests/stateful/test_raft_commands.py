"""`jina raft ...`: what an operator asks and does, on real processes."""

import json
import os
import shutil
import tarfile
import time

import pytest

from jina import Document
from jina.cli.main import main
from jina.errors import RuntimeFailToStart
from tests.stateful.conftest import FAST, PATIENCE, group
from tests.stateful.test_members import all_vote, members
from tests.stateful.users import FolderLedger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NAME = "commanded"


@pytest.fixture
def jina(capsys):
    """Runs a command; gives its exit code and what it printed."""

    def run(*words):
        capsys.readouterr()
        code = main(["raft", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("commanded")


@pytest.fixture(scope="module")
def running(workspace):
    with group(FolderLedger, workspace, name=NAME) as found:
        yield found


def folder(workspace, replica):
    return workspace / "raft" / NAME / f"rep-{replica}"


def answering(running):
    """The processes that reads go to, which take turns."""
    headers = (running.post("/list", Document(), headers={"jina-consistency": "eventual"}) for _ in range(12))
    return {json.loads(docs[0].text)["process"] for docs in headers}


def lines(running, replicas=3):
    states = running.everywhere("/list", replicas, headers={"jina-consistency": "linearizable"})
    assert all(one == states[0] for one in states)
    return states[0]["lines"]


def test_status_is_found_by_name_by_folder_and_by_address(running, workspace, jina):
    address = running.status()[1]["peers"]["2"]
    key = ["--key-file", folder(workspace, 1) / "key"]
    for place in (
        ["--workspace", workspace],
        ["--peer", address, *key],
        ["--peer", address, "--workspace", workspace],
    ):
        code, output = jina("status", NAME, *place, "--json")
        assert code == 0, output
        (found,) = json.loads(output)
        assert [one["replica"] for one in found["replicas"]] == [0, 1, 2]
        assert sorted(one["role"] for one in found["replicas"]) == ["Follower", "Follower", "Leader"]
    code, output = jina("status", NAME, "--peer", address)
    assert (code, "does it ask for the key of its group (--key-file)?" in output) == (2, True), output
    code, output = jina("status", NAME)
    assert code == 0, output
    assert f"{NAME}: 3 of 3 replicas serve, replica {running.leader()} leads" in output
    assert address in output


def test_who_is_not_there_is_told(workspace, jina):
    assert jina("status", "nobody")[0] == 1
    assert "no stateful Deployment" in jina("transfer", "nobody")[1]
    assert "add NAME" in jina("status", "--peer", "127.0.0.1:1")[1]
    assert "answers at 127.0.0.1:1" in jina("status", "x", "--peer", "127.0.0.1:1")[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("transfer", "--to", "x"), "'x' is not a replica number"),
        (("add-voter", -1, "127.0.0.1:1"), "'-1' is not a replica number"),
        (("add-voter", 3, "nonsense"), "HOST:PORT: 'nonsense' is not HOST:PORT"),
        (("add-voter", 3, "127.0.0.1:99999"), "99999"),
        (("status", NAME, "--peer", "nonsense"), "--peer: 'nonsense' is not HOST:PORT"),
        (("restore-backup", "x", "--workspace", "x", "--replicas", "0"), "'0' is not a number of replicas"),
        (("recover", "--workspace", "x", "--replica", "x"), "'x' is not a replica number"),
    ],
)
def test_wrong_arguments_are_named_at_once(jina, words, text):
    code, output = jina(*words)
    assert (code, text in output, output.count("\n") <= 2) == (2, True, True), output


def test_a_name_that_is_nearly_right_is_suggested(running, workspace, jina):
    assert jina("status", "commandet") == (
        1,
        f"there is no stateful Deployment of the name 'commandet' running here; did you mean '{NAME}'?\n",
    )
    code, output = jina("snapshot", "commandet", "--workspace", workspace)
    assert (code, f"did you mean '{NAME}'?" in output) == (2, True)
    code, output = jina("recover", "commandet", "--workspace", workspace)
    assert (code, f"did you mean '{NAME}'?" in output) == (2, True)


def test_a_port_of_something_else_is_no_agent(running, jina):
    code, output = jina("status", NAME, "--peer", f"127.0.0.1:{running.deployment.port}")
    assert (code, "no agent of a group" in output) == (2, True)


def test_what_cannot_be_written_is_said(running, tmp_path, workspace, jina):
    code, output = jina("backup", tmp_path / "nowhere" / "file", NAME)
    assert (code, "nowhere is not a folder" in output) == (2, True)
    file = tmp_path / "ledger.backup"
    assert jina("backup", file, NAME)[0] == 0
    code, output = jina("restore-backup", file, "--workspace", file)
    assert (code, "--workspace: " in output, "cannot be made: Not a directory" in output) == (2, True, True)


def test_the_leadership_goes_where_it_is_wanted(running, workspace, jina):
    to = (running.leader() + 1) % 3
    assert jina("transfer", NAME, "--to", to) == (0, f"{NAME}: the leadership was handed over\n")
    assert running.leader() == to
    address = running.status()[0]["peers"]["1"]
    assert jina("transfer", NAME, "--peer", address, "--workspace", workspace)[0] == 0
    code, output = jina("transfer", NAME, "--to", 7)
    assert code == 2
    assert "replica 7 cannot lead now; members are 0-" in output
    leads = running.leader()
    assert jina("transfer", NAME, "--to", leads)[0] == 0
    assert running.leader() == leads


def test_all_replicas_write_snapshots(running, jina):
    running.add("for the snapshot")
    code, output = jina("snapshot", NAME)
    assert code == 0
    assert output.count("the newest snapshot is at entry") == 3
    assert all(one["snapshot"] for one in running.status())


def test_a_member_is_removed_and_taken_in_again(running, jina):
    removed = (running.leader() + 1) % 3
    address = running.status()[0]["peers"][str(removed)]
    assert jina("remove", removed, NAME)[0] == 0
    assert len(members(running)) == 2
    code, output = jina("status", NAME)
    assert code == 1
    assert f"{NAME}: 2 of 3 replicas serve" in output
    assert f"replica {removed}: was removed from the group" in output
    deadline = time.monotonic() + PATIENCE
    while running.workers[removed].pid in answering(running):
        assert time.monotonic() < deadline, "the removed replica answers still"
    code, output = jina("remove", "9-nobody", NAME)
    assert code == 2
    assert "no member '9-nobody'; there are 0-" in output.replace('"', "'")
    code, output = jina("remove", 9, NAME)
    assert (code, "no member with the number 9; there are 0-" in output) == (2, True)
    assert jina("add-voter", removed, address, NAME)[0] == 0
    assert members(running) == all_vote(0, 1, 2)


def test_a_backup_is_restored_as_another_generation(tmp_path, jina):
    file, damaged = tmp_path / "ledger.backup", tmp_path / "damaged.backup"
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("one", "two")
        assert jina("backup", file, NAME, "--workspace", tmp_path)[0] == 0
        code, output = jina("backup", file, NAME, "--workspace", tmp_path)
        assert (code, "exists already" in output) == (2, True)
        running.add("after the backup")
        code, output = jina("restore-backup", file, "--workspace", tmp_path)
        assert (code, "another agent runs here" in output) == (2, True)
    data = bytearray(file.read_bytes())
    data[data.index(b'["one"')] ^= 1
    damaged.write_bytes(data)
    code, output = jina("restore-backup", damaged, "--workspace", tmp_path)
    assert (code, "the checksum of the state differs" in output) == (2, True)
    with tarfile.open(file) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    assert (manifest["group"], manifest["replicas"], len(manifest["members"])) == (NAME, 3, 3)
    code, output = jina("restore-backup", file, "--workspace", tmp_path)
    assert code == 0, output
    assert output.count("what was there before") == 3
    with group(FolderLedger, tmp_path, name=NAME) as running:
        assert lines(running) == ["one", "two"]
        running.add("three")
        assert lines(running) == ["one", "two", "three"]
    (old,) = folder(tmp_path, 0).parent.glob("rep-0.before-*")
    shutil.rmtree(folder(tmp_path, 0))
    os.rename(old, folder(tmp_path, 0))
    with pytest.raises(RuntimeFailToStart, match="another generation"), group(FolderLedger, tmp_path, name=NAME):
        pass
    assert jina("restore-backup", file, "elsewhere", "--workspace", tmp_path, "--replicas", 1)[0] == 0
    with group(FolderLedger, tmp_path, name="elsewhere", replicas=1) as running:
        assert lines(running, 1) == ["one", "two"]


def test_a_lost_majority_is_recovered_from_one_replica(tmp_path, jina):
    with group(FolderLedger, tmp_path, name=NAME, raft_configuration={**FAST, "trailing_logs": 2}) as running:
        running.add("one")
        assert jina("recover", "--workspace", tmp_path, "--yes")[0] == 2  # it runs
        running.deployment.snapshot()
        running.add("two")
        assert lines(running) == ["one", "two"]
    for lost in (0, 1):
        shutil.rmtree(folder(tmp_path, lost))
    code, output = jina("recover", "--workspace", tmp_path)
    assert code == 1
    assert "WARNING: of 3 members, only replica 2 goes on" in output
    assert "--yes" in output
    assert jina("recover", "--workspace", tmp_path, "--yes")[0] == 0
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("three")
        assert lines(running) == ["one", "two", "three"]
        while members(running) != all_vote(0, 1, 2):
            running.add("more")
