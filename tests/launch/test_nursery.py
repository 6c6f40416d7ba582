"""Workers that are forked from a nursery: like those that are started by themselves, and as well tied to us."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jina.errors import NotSupportedError, RuntimeFailToStart
from jina.launch import running, siblings
from jina.plan.plans import DeploymentPlan, ExecutorPlan, FacePlan, WorkerPlan

pytestmark = pytest.mark.skipif(not siblings.possible(), reason="workers are forked on Linux only")
HERE = Path(__file__).parent
DEADLINE = 40.0


def plan_of(executor, count=2, **options):
    plan = ExecutorPlan(module="nursery_cases", qualname=executor, sys_path=[str(HERE), *sys.path], cwd=str(HERE))
    workers = [
        WorkerPlan(
            name=f"d/rep-{number}", deployment="d", executor=plan, replica_id=number, replicas=count,
            **{"faces": [], **options},
        )
        for number in range(count)
    ]  # fmt: skip
    return DeploymentPlan(name="d", workers=workers)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts plans and ends what the test left running; `RECORD` is where Executors write."""
    monkeypatch.setenv("RECORD", str(tmp_path))
    started = []

    def begin(*args, ready=True, **options):
        started.append(running.start(plan_of(*args, **options)))
        if ready:
            started[-1].wait_ready(DEADLINE)
        return started[-1]

    yield begin
    for deployment in started:
        deployment.stop(now=True)


def _until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _told(tmp_path, count=2):
    return [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(count)]


def _forked(deployment):
    return [isinstance(process._process, siblings.Sibling) for process in deployment.processes]


def _nursery(deployment):
    return deployment._supervisor._nursery


@pytest.mark.slow
def test_a_forked_worker_is_as_one_started_by_itself(start, tmp_path, monkeypatch):
    forked = start("Facts")
    assert _forked(forked) == [True, True]
    facts = _told(tmp_path)
    for fact, process in zip(facts, forked.processes, strict=True):
        assert fact["pid"] == fact["session"] == fact["native"] == process.pid
    monkeypatch.setattr(siblings, "possible", lambda: False)
    direct = start("Facts")
    assert _forked(direct) == [False, False]
    assert _nursery(direct) is None
    for fact, other in zip(facts, _told(tmp_path), strict=True):
        for one in (fact, other):
            assert one["argv"].pop().isdigit()
            del one["pid"], one["session"], one["native"]
        assert fact == other
        assert fact["parent"] == os.getpid()
        assert fact["stdin"] == "/dev/null"


@pytest.mark.parametrize("forks", [True, False])
def test_lists_of_processes_show_names(start, monkeypatch, forks):
    if not forks:
        monkeypatch.setattr(siblings, "possible", lambda: False)
    deployment = start("Facts")
    assert _forked(deployment) == [forks] * 2
    for process in deployment.processes:
        with open(f"/proc/{process.pid}/cmdline") as file:
            assert file.read().rstrip("\0").split("\0")[-1].strip() == process.plan.name
        with open(f"/proc/{process.pid}/comm") as file:
            assert file.read().strip() == process.plan.name[:15]


def test_ready_then_stopped_leaves_nothing(start):
    threads, descriptors = set(threading.enumerate()), sorted(os.listdir("/proc/self/fd"))
    deployment = start("Facts", count=3)
    assert _forked(deployment) == [True] * 3
    pids = [process.pid for process in deployment.processes]
    assert not any(map(_gone, pids))
    _until(lambda: _gone(_nursery(deployment).pid))  # it has nothing left to do
    assert deployment.alive
    assert deployment.dead == []
    deployment.stop()
    assert all(map(_gone, pids))
    assert [process.exit_status for process in deployment.processes] == [0, 0, 0]
    assert set(threading.enumerate()) <= threads  # those of earlier tests may end
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


def test_no_two_workers_draw_the_same_numbers(start, tmp_path, monkeypatch):
    """Not even where a library that the nursery imports has used them up to there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import random, numpy.random\nrandom.seed(1)\nnumpy.random.seed(1)\nimport jina.transport.server_messages\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert _forked(start("Drawing")) == [True, True]
    one, other = _told(tmp_path)
    assert not set(one) & set(other)


@pytest.mark.slow
def test_linear_algebra_uses_all_cores(start, tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if "openblas" not in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        pytest.skip("numpy was built with another library")
    assert all(_forked(start("Multiplying")))
    cores = len(os.sched_getaffinity(0))
    assert [after - before for before, after in _told(tmp_path)] == [cores - 1] * 2


def test_the_exception_of_init_is_raised(start):
    deployment = start("Raising", ready=False)
    with pytest.raises(RuntimeFailToStart) as caught:
        deployment.wait_ready(DEADLINE)
    assert str(caught.value) == (
        "d/rep-1 failed in __init__ (nursery_cases.py:72): RuntimeError: no such file model.bin"
    )
    (note,) = caught.value.__cause__.__notes__
    assert 'nursery_cases.py", line 72, in __init__' in note
    assert "jina/launch" not in note


def test_how_a_worker_ended_is_known(start):
    deployment = start("Leaving", ready=False)
    with pytest.raises(RuntimeFailToStart, match=r"d/rep-1 died while in __init__ \d+ s: exited with code 7"):
        deployment.wait_ready(DEADLINE)
    assert all(_forked(deployment))
    other = deployment.processes[0]
    _until(lambda: other.ready)
    os.kill(other.pid, signal.SIGKILL)
    _until(lambda: other.exit_status is not None)
    assert other.exit_status == -signal.SIGKILL


def test_without_the_nursery_workers_start_by_themselves(start):
    deployment = start("Facts", ready=False)
    nursery = _nursery(deployment)
    _until(lambda: nursery.pid)
    os.kill(nursery.pid, signal.SIGKILL)
    deployment.wait_ready(DEADLINE)
    assert _forked(deployment) == [False, False]


@pytest.mark.slow
def test_a_nursery_that_cannot_fork_is_given_up(start, tmp_path, monkeypatch):
    """As where a library keeps a thread of its own."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[600], daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    deployment = start("Facts")
    assert _forked(deployment) == [False, False]


@pytest.mark.slow
def test_who_does_not_come_from_the_nursery(start):
    assert _nursery(start("Facts", count=1)) is None
    assert _nursery(start("Facts", env={"A": "b"})) is None
    assert _nursery(start("Facts", faces=[FacePlan(protocol="http", host="127.0.0.1", port=0)])) is None


@pytest.mark.slow
@pytest.mark.parametrize(("who", "count"), [("workers", 2), ("nursery", 1)])
def test_all_end_with_their_killed_parent(tmp_path, who, count):
    """Also while code holds the GIL, and before anything is forked."""
    environment = {**os.environ, "RECORD": str(tmp_path), "PYTHONPATH": str(HERE)}
    command = [sys.executable, HERE / "nursery_parent.py", who]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        if who == "workers":
            _until(lambda: (tmp_path / "0.json").exists() and (tmp_path / "1.json").exists())
        parent.kill()
    died = time.monotonic()
    assert len(pids) == count
    _until(lambda: all(map(_gone, pids)))
    assert time.monotonic() - died < 3
    assert (tmp_path / "0.json").exists() == (who == "workers")


def test_a_process_with_threads_is_not_forked():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(NotSupportedError, match="several threads"):
            siblings.fork_sibling()
    finally:
        done.set()
        thread.join()
