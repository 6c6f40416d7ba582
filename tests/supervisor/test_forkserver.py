"""Workers that are forked from a fork server: like those that are started by themselves, and as well tied to us."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tests.processes import gone
from tests.supervisor.forkservers import DEADLINE, HERE, fork_server_of, forked, until

from jina.errors import NotSupportedError, RuntimeFailToStart
from jina.plan.plans import ListenerPlan
from jina.supervisor import forkserver

pytestmark = pytest.mark.skipif(not forkserver.is_supported(), reason="workers are forked on Linux only")


def _told(tmp_path, count=2):
    return [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(count)]


@pytest.mark.slow
def test_a_forked_worker_is_as_one_started_by_itself(start, tmp_path, monkeypatch):
    first = start("Facts")
    assert forked(first) == [True, True]
    facts = _told(tmp_path)
    for fact, process in zip(facts, first.processes, strict=True):
        assert fact["pid"] == fact["session"] == fact["native"] == process.pid
    monkeypatch.setattr("jina.supervisor.forkserver.is_supported", lambda: False)
    direct = start("Facts")
    assert forked(direct) == [False, False]
    assert fork_server_of(direct) is None
    for fact, other in zip(facts, _told(tmp_path), strict=True):
        for one in (fact, other):
            assert one["argv"].pop().isdigit()
            del one["pid"], one["session"], one["native"]
        assert fact == other
        assert fact["parent"] == os.getpid()
        assert fact["stdin"] == "/dev/null"


@pytest.mark.slow
@pytest.mark.parametrize("forks", [True, False])
def test_lists_of_processes_show_names(start, monkeypatch, forks):
    if not forks:
        monkeypatch.setattr("jina.supervisor.forkserver.is_supported", lambda: False)
    deployment = start("Facts")
    assert forked(deployment) == [forks] * 2
    for process in deployment.processes:
        with open(f"/proc/{process.pid}/cmdline") as file:
            assert file.read().rstrip("\0").split("\0")[-1].strip() == process.plan.name
        with open(f"/proc/{process.pid}/comm") as file:
            assert file.read().strip() == process.plan.name[:15]


def test_ready_then_stopped_leaves_nothing(start):
    threads, descriptors = set(threading.enumerate()), sorted(os.listdir("/proc/self/fd"))
    deployment = start("Facts", count=3)
    assert forked(deployment) == [True] * 3
    pids = [process.pid for process in deployment.processes]
    assert not any(map(gone, pids))
    until(lambda: gone(fork_server_of(deployment).pid))  # it has nothing left to do
    assert deployment.alive
    assert deployment.dead == []
    deployment.stop()
    assert all(map(gone, pids))
    assert [process.exit_status for process in deployment.processes] == [0, 0, 0]
    assert set(threading.enumerate()) <= threads  # those of earlier tests may end
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


def test_no_two_workers_draw_the_same_numbers(start, tmp_path, monkeypatch):
    """Not even where a library that the fork server imports has used them up to there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import random, numpy.random\nrandom.seed(1)\nnumpy.random.seed(1)\nimport jina.net.messages\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert forked(start("Drawing")) == [True, True]
    one, other = _told(tmp_path)
    assert not set(one) & set(other)


@pytest.mark.slow
def test_linear_algebra_uses_all_cores(start, tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if "openblas" not in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        pytest.skip("numpy was built with another library")
    assert all(forked(start("Multiplying")))
    cores = len(os.sched_getaffinity(0))
    assert [after - before for before, after in _told(tmp_path)] == [cores - 1] * 2


def test_the_exception_of_init_is_raised(start):
    deployment = start("Raising", ready=False)
    with pytest.raises(RuntimeFailToStart) as caught:
        deployment.wait_ready(DEADLINE)
    assert str(caught.value) == (
        "d/rep-1 failed in __init__ (forkserver_cases.py:76): RuntimeError: no such file model.bin"
    )
    (note,) = caught.value.__cause__.__notes__
    assert 'forkserver_cases.py", line 76, in __init__' in note
    assert "jina/supervisor" not in note


def test_how_a_worker_ended_is_known(start):
    deployment = start("Leaving", ready=False)
    with pytest.raises(RuntimeFailToStart, match=r"d/rep-1 died while in __init__ \d+ s: exited with code 7"):
        deployment.wait_ready(DEADLINE)
    assert all(forked(deployment))
    other = deployment.processes[0]
    until(lambda: other.ready)
    os.kill(other.pid, signal.SIGKILL)
    until(lambda: other.exit_status is not None)
    assert other.exit_status == -signal.SIGKILL


@pytest.mark.slow
def test_without_the_fork_server_all_start_by_themselves(start):
    deployment = start("Facts", ready=False, behind={})
    fork_server = fork_server_of(deployment)
    until(lambda: fork_server.pid)
    os.kill(fork_server.pid, signal.SIGKILL)
    deployment.wait_ready(DEADLINE)
    assert forked(deployment) == [False] * 3


@pytest.mark.slow
def test_a_fork_server_that_ends_when_it_has_forked_the_gateway(start):
    deployment = start("Facts", ready=False, behind={})
    until(lambda: deployment.front[0].pid)
    os.kill(fork_server_of(deployment).pid, signal.SIGKILL)
    deployment.wait_ready(DEADLINE)
    assert forked(deployment) == [False, False, True]


DIES = """
import os, signal, sys

if sys.orig_argv[-1].strip() == "forkserver":
    waitpid, setsid = os.waitpid, os.setsid

    def dying(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def told():
        setsid()
        with open(os.path.join(os.environ["RECORD"], "forked"), "w") as file:
            file.write(str(os.getpid()))

    os.waitpid, os.setsid = dying, told
"""


@pytest.mark.slow
def test_what_a_fork_server_forked_just_before_its_end_leaves(start, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    deployment = start("Facts", behind={})
    assert forked(deployment) == [False] * 3
    assert len({process.pid for process in deployment.processes}) == 3
    until(lambda: gone(int((tmp_path / "forked").read_text())))


@pytest.mark.slow
@pytest.mark.parametrize("before", [0, 1])
def test_orphans_go_where_they_went(start, before):
    """This process becomes the parent of those that are forked for it, and of no others later."""
    library, now = ctypes.CDLL(None), ctypes.c_int()
    library.prctl(36, before, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    try:
        assert forked(start("Facts")) == [True, True]
        library.prctl(37, ctypes.byref(now), 0, 0, 0)
        assert now.value == before
    finally:
        library.prctl(36, 0, 0, 0, 0)


@pytest.mark.slow
def test_a_program_that_may_adopt_none_starts_all_by_themselves(start, monkeypatch):
    @contextlib.contextmanager
    def refused():
        raise OSError("not permitted")
        yield

    monkeypatch.setattr("jina.supervisor.forkserver.adopting_orphans", refused)
    assert forked(start("Facts", behind={})) == [False] * 3


@pytest.mark.slow
def test_a_fork_server_that_cannot_fork_is_given_up(start, tmp_path, monkeypatch):
    """As where a library keeps a thread of its own."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[600], daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    deployment = start("Facts", behind={})
    assert forked(deployment) == [False] * 3


def test_a_stop_before_there_are_workers_leaves_nothing(start):
    deployment = start("Facts", ready=False, behind={})
    until(lambda: deployment.front[0].pid)
    deployment.stop()
    assert [process.pid != 0 for process in deployment.processes] == [False, False, True]
    assert gone(deployment.front[0].pid)
    assert gone(fork_server_of(deployment).pid)


@pytest.mark.slow
def test_processes_that_no_fork_server_forks(start):
    assert fork_server_of(start("Facts", count=1)) is None
    assert fork_server_of(start("Facts", env={"A": "b"})) is None
    assert fork_server_of(start("Facts", listeners=[ListenerPlan(protocol="http", host="127.0.0.1", port=0)])) is None


@pytest.mark.slow
@pytest.mark.parametrize(("who", "count"), [("workers", 3), ("gateway", 2), ("forkserver", 1)])
def test_all_end_with_their_killed_parent(tmp_path, who, count):
    """Also while code holds the GIL, and before all or anything is forked."""
    environment = {**os.environ, "RECORD": str(tmp_path), "PYTHONPATH": str(HERE)}
    command = [sys.executable, HERE / "forkserver_parent.py", who]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        if who == "workers":
            until(lambda: (tmp_path / "0.json").exists() and (tmp_path / "1.json").exists())
        parent.kill()
    died = time.monotonic()
    assert len(pids) == count
    until(lambda: all(map(gone, pids)))
    assert time.monotonic() - died < 20
    assert (tmp_path / "0.json").exists() == (who == "workers")


def test_a_process_with_threads_is_not_forked():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(NotSupportedError, match="several threads"):
            forkserver.fork_sibling()
    finally:
        done.set()
        thread.join()
