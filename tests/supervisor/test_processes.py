"""Workers as processes: their start, their failures, their end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.processes import gone

from jina.errors import InternalError, PortAlreadyUsed, RuntimeFailToStart
from jina.plan.plans import DeploymentPlan, ExecutorPlan, ListenerPlan, WorkerPlan
from jina.supervisor import group, supervisor

HERE = Path(__file__).parent
DEADLINE = 40.0
"""Seconds after which a wait fails; generous, because tests share their machine."""


def _plan(executor, *, port=0, env=None, name="executor0", **options):
    plan = ExecutorPlan(module="worker_cases", qualname=executor, sys_path=[str(HERE), *sys.path], cwd=os.getcwd())
    listeners = [ListenerPlan(protocol="http", host="127.0.0.1", port=port)]
    worker = WorkerPlan(
        name=f"{name}/rep-0", deployment=name, executor=plan, listeners=listeners, env=env or {}, **options
    )
    return DeploymentPlan(name=name, workers=[worker])


@pytest.fixture
def start():
    """Starts plans and ends what the test left running."""
    started = []

    def begin(*args, **options):
        started.append(group.start(_plan(*args, **options)))
        return started[-1]

    yield begin
    for deployment in started:
        deployment.stop(now=True)


def _until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_ready_then_stopped_leaves_nothing(start, tmp_path):
    threads, descriptors = set(threading.enumerate()), sorted(os.listdir("/proc/self/fd"))
    log = tmp_path / "log"
    deployment = start("Recording", env={"RECORD": str(log)})
    deployment.wait_ready(DEADLINE)
    pid = deployment.workers[0].pid
    assert deployment.alive
    deployment.stop()
    assert gone(pid)
    assert not deployment.alive
    assert deployment.workers[0].exit_status == 0
    assert log.read_text().split() == ["imported", "init", "closed"]  # env was there at the import
    assert set(threading.enumerate()) <= threads  # those of earlier tests may end
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


def test_the_exception_of_init_is_raised(start):
    deployment = start("Failing")
    with pytest.raises(RuntimeFailToStart) as caught:
        deployment.wait_ready(DEADLINE)
    assert str(caught.value) == (
        "executor0 failed in __init__ (worker_cases.py:33): RuntimeError: no such file model.bin"
    )
    assert type(caught.value.__cause__) is RuntimeError
    (note,) = caught.value.__cause__.__notes__
    assert 'worker_cases.py", line 33, in __init__' in note
    assert "jina/supervisor" not in note


def test_a_class_that_is_refused_is_told_by_the_users_line(start):
    deployment = start("Refused")
    with pytest.raises(RuntimeFailToStart) as caught:
        deployment.wait_ready(DEADLINE)
    written = (HERE / "worker_cases.py").read_text().splitlines()
    line = written.index("class Refused(Executor):") + 2
    assert caught.value.message.startswith("executor0 failed to load the class: Refused.foo (")
    assert f"worker_cases.py:{line}): docs is annotated str, but gets all" in caught.value.message
    assert "`docs: list[str]`" in caught.value.help
    assert not getattr(caught.value.__cause__, "__notes__", [])  # nothing but our own frames


def test_a_missing_module_is_named(start):
    plan = _plan("X")
    worker = plan.workers[0]
    broken = ExecutorPlan(module="broken_case", qualname="X", sys_path=worker.executor.sys_path)
    deployment = group.start(DeploymentPlan(name="d", workers=[WorkerPlan(**_with(worker, executor=broken))]))
    try:
        with pytest.raises(RuntimeFailToStart, match=r"failed to import: .*broken_case.*no_such_library"):
            deployment.wait_ready(DEADLINE)
    finally:
        deployment.stop(now=True)


def _with(struct, **changes):
    return {name: getattr(struct, name) for name in struct.__struct_fields__} | changes


def test_a_worker_that_dies_while_it_starts_says_how(start):
    deployment = start("Dying")
    with pytest.raises(RuntimeFailToStart, match=r"executor0 died while in __init__ \d+ s: exited with code 7"):
        deployment.wait_ready(DEADLINE)


def test_a_taken_port_is_an_error_of_its_own(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        deployment = start("Plain", port=port)
        with pytest.raises(PortAlreadyUsed, match=str(port)):
            deployment.wait_ready(DEADLINE)


def test_a_time_limit_names_the_phase(start):
    deployment = start("Sleeping")
    _until(lambda: deployment.workers[0].phase == "init")
    events = []
    with pytest.raises(RuntimeFailToStart, match=r"executor0 is not ready after 0.5 s: in __init__ \d+ s") as caught:
        deployment.wait_ready(0.5, on_wait=events.append)
    assert "timeout_ready" in caught.value.help
    assert events[0].startswith("in __init__")
    deployment.stop()  # SIGTERM interrupts the constructor
    assert deployment.workers[0].exit_status == 0


def test_a_failure_of_the_supervision_is_raised_not_waited_for():
    deployment = group.start(_plan("Plain"), {"executor0": "no bytes"})
    with pytest.raises(InternalError, match="supervising executor0 failed"):
        deployment.wait_ready(DEADLINE)
    deployment.stop()
    assert gone(deployment.workers[0].pid)


def test_a_killed_worker_is_named_with_its_signal(start):
    deployment = start("Plain")
    deployment.wait_ready(DEADLINE)
    ended = threading.Event()
    deployment.on_end = ended.set
    assert deployment.down() is None
    os.kill(deployment.workers[0].pid, signal.SIGKILL)
    assert ended.wait(DEADLINE)
    down = deployment.down(wait=DEADLINE)
    assert not deployment.alive
    assert "executor0 (process" in str(down)
    assert "was killed by signal 9 (SIGKILL)" in str(down)
    assert "memory" in down.help
    assert down.retryable


def test_what_user_code_started_ends_with_the_worker(start, tmp_path):
    log = tmp_path / "log"
    deployment = start("Parent", env={"RECORD": str(log)})
    deployment.wait_ready(DEADLINE)
    grandchild = int(log.read_text().split()[-1])
    assert not gone(grandchild)
    deployment.stop()
    _until(lambda: gone(grandchild))


def test_a_stubborn_worker_is_killed_after_its_grace(start, monkeypatch):
    monkeypatch.setattr(supervisor, "CLOSE_MARGIN", 0.2)
    deployment = start("Stubborn", grace=0.1)
    deployment.wait_ready(DEADLINE)
    deployment.stop()
    assert deployment.workers[0].exit_status == -signal.SIGKILL


@pytest.mark.slow
def test_children_end_with_their_killed_parent(tmp_path):
    """Also while a handler holds the GIL inside C code; `close()` is called where Python still runs."""
    paths = f"{HERE}{os.pathsep}{HERE.parents[1]}"
    environment = {**os.environ, "RECORD": str(tmp_path / "log"), "PYTHONPATH": paths}
    with subprocess.Popen(
        [sys.executable, HERE / "killed_parent.py"], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    died = time.monotonic()
    assert len(pids) == 2
    _until(lambda: all(map(gone, pids)))
    assert time.monotonic() - died < 20
    assert "closed" in (tmp_path / "log").read_text()
