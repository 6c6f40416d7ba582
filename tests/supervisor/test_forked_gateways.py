"""Gateways that are forked from the fork server: like those that are started by themselves."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests.supervisor.forkservers import executor_of, forked, plan_of, until

from jina.plan.plans import RestartPlan
from jina.supervisor import forkserver
from jina.supervisor.forkserver import fork_server_for
from jina.supervisor.group import processes_of
from jina.supervisor.process import ChildProcess

pytestmark = pytest.mark.skipif(not forkserver.is_supported(), reason="processes are forked on Linux only")
LIBRARIES = ("numpy", "pydantic_core", "grpc/_cython")
OWN = executor_of("FactsOfGateway", "forkserver_gateway")


def _facts(pid):
    """What the kernel tells of a process."""
    place = Path(f"/proc/{pid}")
    *command, title = (place / "cmdline").read_text().rstrip("\0").split("\0")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    lines = (place / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "command": command[:-1],  # without the number of the control socket
        "title": title.strip(),
        "short": (place / "comm").read_text(),
        "parent": int(fields[1]) == os.getpid(),
        "group and session": [int(fields[2]) == pid, int(fields[3]) == pid],
        "signals": {name: status[name] for name in ("SigBlk", "SigIgn", "SigCgt")},
        "threads": status["Threads"],
        "limits": (place / "limits").read_text(),
        "environment": sorted((place / "environ").read_text().split("\0")),
        "folder": os.readlink(place / "cwd"),
        "stdin": os.readlink(place / "fd" / "0"),
        "descriptors": sorted(os.readlink(fd).partition(":")[0] for fd in (place / "fd").iterdir()),
        "libraries": [name for name in LIBRARIES if name in (place / "maps").read_text()],
    }


@pytest.mark.slow
def test_it_is_as_one_started_by_itself(start, monkeypatch):
    found = []
    for forks in (True, False):
        monkeypatch.setattr("jina.supervisor.forkserver.is_supported", lambda forks=forks: forks)
        service = start("Facts", behind={})
        assert forked(service) == [forks] * 3
        found.append(_facts(service.front[0].pid))
        service.stop()
    assert found[0] == found[1]
    assert found[0]["title"] == "gateway"
    assert found[0]["libraries"] == []  # neither those of Executors nor one that does not stand forks


@pytest.mark.slow
def test_one_of_a_user_is_as_one_started_by_itself(start, monkeypatch, tmp_path):
    found = []
    for forks in (True, False):
        monkeypatch.setattr("jina.supervisor.forkserver.is_supported", lambda forks=forks: forks)
        service = start("Facts", behind={"listeners": [], "custom": OWN})
        assert forked(service) == [forks] * 3
        fact = json.loads((tmp_path / "gateway.json").read_text())
        assert fact["pid"] == fact["session"] == fact["native"] == service.front[0].pid
        assert fact["argv"].pop().isdigit()
        del fact["pid"], fact["session"], fact["native"]
        found.append(fact)
    assert found[0] == found[1]
    assert found[0]["parent"] == os.getpid()


@pytest.mark.slow
def test_one_with_variables_of_its_own_is_not_forked(start, tmp_path):
    service = start("Facts", behind={"listeners": [], "custom": OWN, "env": {"MOOD": "good"}})
    assert forked(service) == [True, True, False]
    assert json.loads((tmp_path / "gateway.json").read_text())["mood"] == "good"


@pytest.mark.slow
def test_one_of_a_user_whose_modules_are_elsewhere(start, tmp_path):
    """It is forked as well, but before there is anything of the workers' path."""
    elsewhere = executor_of("FactsOfGateway", "forkserver_gateway")
    elsewhere.sys_path.append(str(tmp_path))
    service = start("Facts", behind={"listeners": [], "custom": elsewhere})
    assert forked(service) == [True] * 3
    assert json.loads((tmp_path / "gateway.json").read_text())["path"] == elsewhere.sys_path


def test_who_comes_when():
    """A gateway before what only workers need; alone with one worker it needs no fork server."""
    *workers, gateway = together = [ChildProcess(plan) for plan in processes_of(plan_of("Facts", behind={}))]
    fork_server = fork_server_for(together)
    assert fork_server_for([workers[0], gateway]) is None
    assert list(map(fork_server.can_fork, together)) == [True] * 3
    assert list(map(fork_server.can_fork_now, together)) == [False] * 3
    fork_server.phase = "common"
    assert list(map(fork_server.can_fork_now, together)) == [False, False, True]
    fork_server.phase = "ready"
    assert list(map(fork_server.can_fork_now, together)) == [True, True, False]
    fork_server.phase = "failed"
    assert list(map(fork_server.can_fork, together)) == [False] * 3


def test_a_killed_one_is_started_again_by_itself(start):
    service = start("Facts", behind={"restart": RestartPlan(limit=3)})
    first = service.front[0]
    assert forked(service) == [True] * 3
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: service.front[0] is not first and service.alive)
    assert first.exit_status == -signal.SIGKILL
    assert forked(service) == [True, True, False]
    until(lambda: service.front[0].linked == {"d/rep-0", "d/rep-1"})
    assert service.slots[-1].restarts.count == 1


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_one_signal_drains_and_a_second_ends_at_once(start, numbers):
    for sent, status in ((numbers[:1], {0}), (numbers, {128 + number for number in numbers})):
        service = start("Facts", behind={"restart": RestartPlan(limit=0)})
        gateway = service.front[0]
        assert forked(service) == [True] * 3
        os.kill(gateway.pid, signal.SIGSTOP)  # so that both are there when it goes on
        for number in sent:
            os.kill(gateway.pid, number)
        os.kill(gateway.pid, signal.SIGCONT)
        until(lambda gateway=gateway: gateway.exit_status is not None)
        assert gateway.exit_status in status
