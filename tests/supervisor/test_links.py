"""Sockets that travel over the control socket, and processes that are started in turns."""

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from jina.errors import InternalError
from jina.plan.plans import DeploymentPlan, ExecutorPlan, GatewayPlan, GraphPlan, NodePlan, UpstreamPlan, WorkerPlan
from jina.runtime.process import LinkInbox
from jina.supervisor.control import receive_messages, send_link
from jina.supervisor.group import ProcessGroup, start

HERE = Path(__file__).parent
DEADLINE = 40.0


def _worker(number):
    plan = ExecutorPlan(module="worker_cases", qualname="Plain", sys_path=[str(HERE), *sys.path], cwd=os.getcwd())
    return WorkerPlan(
        name=f"d/rep-{number}", deployment="d", executor=plan, listeners=[], replica_id=number, replicas=3
    )


def test_links_arrive_under_their_names_and_are_connected():
    ours, theirs = socket.socketpair()
    kept = []
    with ours, theirs:

        def send():
            for number in range(300):  # more than one message can carry
                near, far = socket.socketpair()
                kept.append(near)
                send_link(ours, f"a/rep-{number}", far)
                far.close()
                near.sendall(f"{number}".encode())
            ours.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = list(receive_messages(theirs))
        sender.join()
        assert [word["link"] for word, _ in got] == [f"a/rep-{number}" for number in range(300)]
        for number, (_, link) in enumerate(got):
            with link, kept[number]:
                assert link.recv(10) == str(number).encode()
                assert not os.get_inheritable(link.fileno())


def test_links_wait_for_who_listens():
    source, got = LinkInbox(), []
    first, second, third = (socket.socket() for _ in range(3))
    source.add("a", first)
    forget = source.listen(lambda name, sock: got.append((name, sock)))
    source.add("b", second)
    forget()
    source.add("c", third)
    assert got == [("a", first), ("b", second)]
    source.close()
    assert third.fileno() == -1
    assert first.fileno() != -1
    first.close()
    second.close()


def test_a_link_to_nobody_is_refused():
    node = NodePlan(name="a", needs=["gateway"], upstreams=[UpstreamPlan(kind="link", name="b/rep-0")])
    gateway = GatewayPlan(listeners=[], graph=GraphPlan(nodes=[node], ends=["a"]))
    with pytest.raises(InternalError, match="gateway is to be linked to b/rep-0"):
        start(DeploymentPlan(name="d", workers=[_worker(0)], gateway=gateway))


@pytest.mark.slow
def test_processes_start_in_turns():
    started = ProcessGroup("d", [_worker(number) for number in range(3)], {})
    started._supervisor._at_once = 1
    most = 0
    started.begin()
    try:
        deadline = time.monotonic() + DEADLINE
        while not started.alive:
            most = max(most, sum(process.busy_starting for process in started.processes))
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert most == 1
        assert started.progress == "ready"
    finally:
        started.stop()
    assert [process.exit_status for process in started.processes] == [0, 0, 0]


def test_those_that_wait_for_their_turn_never_start():
    started = ProcessGroup("d", [_worker(number) for number in range(3)], {})
    started._supervisor._at_once = 1
    started.begin()
    started.stop(within=2)
    assert sorted(process.pid > 0 for process in started.processes) in ([False, False, False], [False, False, True])
    assert not started.dead
