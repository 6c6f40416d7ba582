"""Agents and workers are killed and stopped: what was acknowledged stays, once, and service goes on."""

import contextlib
import json
import random
import signal
import threading
import time

import pytest

from jina import Document
from jina.errors import JinaError
from tests.stateful.conftest import FAST, PATIENCE, Writer, check_history, group
from tests.stateful.users import Fatal, FolderLedger, Forgetful, Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}
SHORT_LOG = {**FAST, "snapshot_threshold": 60, "trailing_logs": 20}


@contextlib.contextmanager
def writing(running, count=4):
    """Writers that write on and on."""
    ended = threading.Event()
    writers = [Writer(running, f"w{number}") for number in range(count)]

    def work(writer):
        number = 0
        while not ended.is_set():
            writer.write(number)
            number += 1

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE)


def attempts_of(writers):
    return {line: place for one in writers for line, place in one.attempts.items()}


def acknowledged(writers):
    return sum(len(one.acknowledged) for one in writers)


def wait_for_more(writers, more=20):
    before, deadline = acknowledged(writers), time.monotonic() + PATIENCE
    while acknowledged(writers) < before + more:
        assert time.monotonic() < deadline, "writes do not go on"
        time.sleep(0.01)


def check(running, writers, replicas=3):
    states = running.everywhere("/list", replicas, **FRESH)
    assert all(one == states[0] for one in states)
    check_history(attempts_of(writers), states[0]["lines"])


def test_the_leaders_agent_is_killed(tmp_path):
    with group(Ledger, tmp_path) as running:
        with writing(running) as writers:
            wait_for_more(writers)
            running.kill_agent(running.leader())
            wait_for_more(writers)
        assert not [error for one in writers for error in one.errors]
        assert max(one.longest_gap for one in writers) < 5.0
        check(running, writers)


def test_the_leaders_worker_is_killed(tmp_path):
    """In Jina 3 writes stop for good then."""
    with group(Ledger, tmp_path) as running:
        with writing(running) as writers:
            wait_for_more(writers)
            running.kill_worker(running.leader())
            wait_for_more(writers)
        assert not [error for one in writers for error in one.errors]
        assert max(one.longest_gap for one in writers) < 5.0
        check(running, writers, replicas=2)


def test_all_agents_are_killed_at_once(tmp_path):
    with group(Ledger, tmp_path) as running:
        with writing(running) as writers:
            wait_for_more(writers)
            for replica in range(3):
                running.kill_agent(replica)
            wait_for_more(writers)
        check(running, writers)


def test_everything_is_killed_and_started_again(tmp_path):
    with group(Ledger, tmp_path) as running, writing(running) as writers:
        wait_for_more(writers, 50)
        for replica in range(3):
            running.kill_worker(replica)
            running.kill_agent(replica)
    with group(Ledger, tmp_path) as running:
        check(running, writers)


def test_a_leader_that_was_stopped_has_nothing_to_say_any_more(tmp_path):
    """And reads of it are not answered with what is old."""
    with group(Ledger, tmp_path) as running:
        old = running.leader()
        running.kill_agent(old, signal.SIGSTOP)
        try:
            with writing(running, 2) as writers:
                wait_for_more(writers, 10)
        finally:
            running.kill_agent(old, signal.SIGCONT)
        wrote = acknowledged(writers)
        for _ in range(6):
            assert len(json.loads(running.post("/list", Document(), **FRESH)[0].text)["lines"]) >= wrote
        check(running, writers)


def test_a_follower_that_was_stopped_catches_up(tmp_path):
    """120 writes of 100 KB: in Jina 3 it never does."""
    with group(Ledger, tmp_path) as running:
        behind = (running.leader() + 1) % 3
        running.kill_agent(behind, signal.SIGSTOP)
        try:
            names = [f"{number} " + "x" * 100_000 for number in range(120)]
            for name in names:
                running.add(name)
        finally:
            running.kill_agent(behind, signal.SIGCONT)
        states = running.everywhere("/list", **FRESH)
        assert all(one == states[0] for one in states)
        assert states[0]["lines"] == names


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_nemesis(seed, tmp_path):
    """Agents and workers are killed or stopped at random under load, with a short log: nothing is lost or doubled."""
    rng = random.Random(seed)
    with group(FolderLedger, tmp_path, raft_configuration=SHORT_LOG) as running:
        with writing(running) as writers:
            until = time.monotonic() + 8.0
            while time.monotonic() < until:
                for replica in rng.sample(range(3), rng.choice([1, 1, 2, 3])):
                    with contextlib.suppress(ProcessLookupError):
                        if (kind := rng.random()) < 0.15:
                            running.kill_worker(replica)
                        elif kind < 0.6:
                            running.kill_agent(replica)
                        else:
                            running.kill_agent(replica, signal.SIGSTOP)
                            threading.Timer(rng.uniform(0.1, 1.0), waken, [running, replica]).start()
                threading.Event().wait(rng.uniform(0.3, 1.2))
            for replica in range(3):
                waken(running, replica)
            until_all_serve(running)
            wait_for_more(writers)
        wrote = acknowledged(writers)
        assert len(json.loads(running.post("/list", Document(), **FRESH)[0].text)["lines"]) >= wrote
        check(running, writers)


def waken(running, replica):
    with contextlib.suppress(ProcessLookupError):
        running.kill_agent(replica, signal.SIGCONT)


def test_a_replica_that_did_something_else_is_taken_out(tmp_path):
    with group(Forgetful, tmp_path) as running:
        running.add("even")
        assert all(one["diverged"] == 0 for one in running.status())
        running.add("odd")
        until_odd(running)
        states = running.everywhere("/list", 2, **FRESH)
        assert [one["lines"] for one in states] == [["even", "odd"]] * 2
        for _ in range(10):
            running.add("later")
        assert not [one for one in running.everywhere("/list", 2, **FRESH) if "odd" not in one["lines"]]


class ForgetfulFolder(Forgetful, FolderLedger):
    """Its mistake is in its snapshots."""


def until_odd(running):
    deadline = time.monotonic() + PATIENCE
    while [one["replica"] for one in running.status() if one.get("diverged")] != [1]:
        assert time.monotonic() < deadline, running.status()
        time.sleep(0.05)


def until_another(number, pid):
    """Wait until that process is not there any more, and another one is in its place."""
    deadline = time.monotonic() + PATIENCE
    while number() in {0, pid, None}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def add_elsewhere(running, text):
    """Have one of the others answer: a worker that is stopped keeps what it got for as long as it may."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(JinaError):
            return running.add(text, timeout=1.0)
        assert time.monotonic() < deadline, "no replica answers"


def test_a_difference_is_found_without_another_write_whoever_missed_what_others_told(tmp_path):
    """The odd one does it when the others have told their hashes; agents forget them, and so do fresh Executors."""
    with group(ForgetfulFolder, tmp_path) as running:
        running.add("even")
        running.kill_worker(1, signal.SIGSTOP)
        add_elsewhere(running, "odd")
        threading.Event().wait(0.6)  # three times as long as others need to tell
        running.kill_worker(1, signal.SIGCONT)
        until_odd(running)
        old = running.agents[1].pid
        running.kill_agent(1)
        until_another(lambda: running.agents[1].pid, old)
        until_odd(running)
        running.deployment.snapshot()
        old = running.agents[1].pid
        running.kill_worker(1)  # the next one restores the mistake
        running.kill_agent(1)
        until_another(lambda: running.agents[1].pid, old)
        until_odd(running)


def test_killed_workers_come_back_with_everything(tmp_path):
    """They are started again, restored from the newest snapshot, and given the log behind it."""
    with group(FolderLedger, tmp_path, raft_configuration=SHORT_LOG) as running:
        with writing(running) as writers:
            wait_for_more(writers, 100)
            for replica in (running.leader(), (running.leader() + 1) % 3):
                running.kill_worker(replica)
                wait_for_more(writers, 50)
                until_all_serve(running)
            wait_for_more(writers)
        assert not [error for one in writers for error in one.errors]
        check(running, writers)


def test_a_replica_that_is_behind_the_log_begins_anew_from_a_snapshot(tmp_path):
    with group(FolderLedger, tmp_path, raft_configuration=SHORT_LOG) as running:
        behind = (running.leader() + 1) % 3
        with writing(running) as writers:
            wait_for_more(writers)
            running.kill_agent(behind, signal.SIGSTOP)
            wait_for_more(writers, 200)
            running.kill_agent(behind, signal.SIGCONT)
            wait_for_more(writers, 50)
        until_all_serve(running)
        check(running, writers)


def until_all_serve(running):
    deadline = time.monotonic() + PATIENCE
    while not all(one.get("serving") for one in running.status()):
        assert time.monotonic() < deadline, running.status()
        time.sleep(0.05)


def test_a_write_that_ends_its_process_is_overcome_by_an_executor_that_raises(tmp_path):
    mended = tmp_path / "mended"
    options = {"uses_with": {"mended": str(mended)}}
    with group(Fatal, tmp_path / "files", **options) as running:
        running.add("before")
        pids = {worker.pid for worker in running.workers}
        with pytest.raises(JinaError):
            running.post("/fatal", Document(), timeout=2.0)
        deadline = time.monotonic() + 30
        while any(worker.pid in pids for worker in running.workers):
            assert time.monotonic() < deadline, "the replicas live on"
    mended.touch()
    with group(Fatal, tmp_path / "files", **options) as running:
        running.add("after")
        running.settled("/list", {"lines": ["before", "after"]})


def test_one_replica_alone_waits_for_its_agent(tmp_path):
    """No other one could answer: an agent that is silent for a while costs time and no request."""
    with group(Ledger, tmp_path, replicas=1) as running:
        running.add("one")
        for ask in (lambda: running.add("two"), lambda: running.everywhere("/list", 1, **FRESH)):
            running.kill_agent(0, signal.SIGSTOP)
            again = threading.Timer(4.0, running.kill_agent, [0, signal.SIGCONT])
            again.start()
            ask()
            again.join()
        assert running.everywhere("/list", 1, **FRESH)[0]["lines"] == ["one", "two"]
