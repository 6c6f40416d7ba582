"""Large states, long logs, damaged disks. JINA_CHAOS=1 runs them at length and with the bounds that are promised."""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jina import Document
from jina.errors import RuntimeFailToStart
from tests.stateful.conftest import FAST, PATIENCE, check_history, group
from tests.stateful.test_faults import attempts_of, check, until_all_serve, wait_for_more, writing
from tests.stateful.users import Archive, Blob, Ledger

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 if AT_LENGTH else 180)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}
MB = 1 << 20


def folder_of(workspace, replica):
    (found,) = Path(workspace).glob(f"raft/*/rep-{replica}")
    return found


def size_of(folder):
    """Bytes on the disk; files and folders that go meanwhile are none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(parent, name)).st_blocks * 512
    return total


def flip(path, needle):
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    data[at] ^= 1
    path.write_bytes(data)
    return at


def test_a_damaged_log_is_refused_by_file_and_byte_and_its_replica_joins_anew(tmp_path):
    with group(Ledger, tmp_path) as running:
        for number in range(20):
            running.add(f"line {number}")
        agents = running.agents
    damaged = folder_of(tmp_path, 1)
    (segment,) = (damaged / "log").glob("*.wal")
    at = flip(segment, b"line 3")
    with pytest.raises(RuntimeFailToStart, match=r"entry \d+ of the log is damaged") as caught, group(Ledger, tmp_path):
        pass
    text = str(caught.value)
    assert str(segment) in text
    assert at - 500 < int(re.search(r", byte (\d+)", text)[1]) <= at
    assert not any(agent.pid for agent in agents)
    shutil.rmtree(damaged)
    with group(Ledger, tmp_path) as running:
        until_all_serve(running)
        assert [one["lines"] for one in running.everywhere("/list", **FRESH)] == [[f"line {n}" for n in range(20)]] * 3


def test_a_long_log_is_there_soon_after_a_restart_on_other_ports(tmp_path):
    count, clients = (6000, 16) if AT_LENGTH else (600, 4)
    names = [f"{number}" for number in range(count)]
    with group(Ledger, tmp_path) as running:
        threads = [
            threading.Thread(target=lambda some=names[first::clients]: [running.add(name) for name in some])
            for first in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ports = running.agents[0].plan.peers
    began = time.monotonic()
    with group(Ledger, tmp_path) as running:
        took = time.monotonic() - began
        assert running.agents[0].plan.peers != ports
        # Without asking for consistency: a replica that is ready has caught up.
        assert all(sorted(one["lines"], key=int) == names for one in running.everywhere("/list"))
    assert took < (3.0 if AT_LENGTH else PATIENCE), f"ready after {took:.1f} s"


@pytest.mark.parametrize("what", ["agent", "worker"])
def test_the_gap_when_the_leader_dies(tmp_path, what):
    rounds = 5 if AT_LENGTH else 1
    with group(Ledger, tmp_path, raft_configuration={}) as running:
        with writing(running) as writers:
            for _ in range(rounds):
                until_all_serve(running)
                wait_for_more(writers, 50)
                getattr(running, f"kill_{what}")(running.leader())
                wait_for_more(writers, 50)
            until_all_serve(running)
        assert not [error for one in writers for error in one.errors]
        times = sorted(when for one in writers for when in one.acknowledged)
        gap = max(after - before for before, after in itertools.pairwise(times))
        assert gap < (1.5 if AT_LENGTH else 10.0), f"{gap:.2f} s without an acknowledged write"
        check_history(attempts_of(writers), running.everywhere("/list", 2, **FRESH)[0]["lines"])


def test_files_stay_bounded(tmp_path):
    """Their bound: the bytes after which a snapshot is taken, those kept behind it, three segments of 16 MB and what is
    written while one is taken; and three states."""
    megabytes, state = (5000, 50) if AT_LENGTH else (300, 10)
    options = {**FAST, "snapshot_bytes": 32 * MB, "trailing_bytes": 16 * MB}
    with group(Blob, tmp_path, raft_configuration=options) as running:
        text, most = "x" * (2 * MB), 0
        for number in range(megabytes // 2):
            running.post("/put", Document(text=text), parameters={"name": str(number % (state // 2))})
            most = max(most, *(size_of(folder_of(tmp_path, replica)) for replica in range(3)))
        until_all_serve(running)
        assert all(one["snapshot"] > 0 for one in running.status())
    assert most < (32 + 16 + 3 * 16 + 64 + 4 * state) * MB, f"{most // MB} MB"


def put(running, megabytes, piece):
    """Make the state so large."""
    text = "x" * (piece * MB)
    for number in range(megabytes // piece):
        running.post("/put", Document(text=text), parameters={"name": str(number)})
    running.deployment.snapshot()


def test_a_replica_with_a_blank_disk_gets_a_large_state(tmp_path):
    with group(Blob, tmp_path) as running:
        put(running, 60, 5)
    shutil.rmtree(folder_of(tmp_path, 2))
    with group(Blob, tmp_path) as running:
        until_all_serve(running)
        states = running.everywhere("/sums", **FRESH)
        assert states[0] == states[1] == states[2]
        assert len(states[0]["sums"]) == 12
        deadline = time.monotonic() + PATIENCE
        while not all(list(one["members"].values()) == ["Voter"] * 3 for one in running.status()):
            assert time.monotonic() < deadline, running.status()
            time.sleep(0.05)


def test_a_new_replica_gets_a_large_state_while_writes_go_on(tmp_path):
    megabytes, piece = (1000, 10) if AT_LENGTH else (60, 5)
    with group(Archive, tmp_path, raft_configuration={}) as running:
        put(running, megabytes, piece)
        with writing(running, 1) as writers:
            wait_for_more(writers)
            began = time.monotonic()
            assert running.deployment.add_replica() == 3
            took = time.monotonic() - began
            wait_for_more(writers)
        assert not writers[0].errors
        assert writers[0].longest_gap < (1.5 if AT_LENGTH else 10.0)
        states = running.everywhere("/sums", 4, **FRESH)
        assert all(one["sums"] == states[0]["sums"] for one in states)
        assert len(states[0]["sums"]) == megabytes // piece
        check(running, writers, 4)
    if AT_LENGTH:
        assert megabytes / took >= 50, f"{megabytes / took:.0f} MB/s"


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path):
    namespace = ["unshare", "--mount", "--propagation", "private"]
    probe = subprocess.run([*namespace, "mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounts are not permitted here")
    program = [sys.executable, "-m", "tests.stateful.full_disk", str(tmp_path / "ws")]
    ran = subprocess.run([*namespace, *program], capture_output=True, text=True, check=False, timeout=170)
    assert ran.returncode == 0, ran.stderr
    output = json.loads(ran.stdout.splitlines()[-1])
    assert output["sums"][0] == output["sums"][1] == output["sums"][2]
    assert set(output["acknowledged"]) <= set(output["sums"][0])
    assert output["acknowledged"][-10:] == [str(number) for number in range(60, 70)]
    full = [line for line in output["full"].splitlines() if line.startswith("  replica 0: its log cannot be written: ")]
    assert len(full) == 1, output["full"]
    assert "/raft/executor/rep-0/log/" in full[0]
    assert "no space left on device" in full[0]
    assert "cannot be written" not in output["after"]
