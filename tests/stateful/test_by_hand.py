"""Replicas that are started one by one form one group, and are served by a gateway elsewhere."""

import json
import signal
import sys
import threading
import time

import pytest

from jina import Client, Flow
from jina.replication.admin import Peer, agent_status
from tests.cli.running import serving
from tests.stateful.by_hand import FRESH, HOSTS, add, replicas
from tests.stateful.conftest import PATIENCE, Writer, check_history

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have only one address of their own"),
]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Each comes up when the one before it already waits for the others, the first one last."""
    with replicas(tmp_path_factory.mktemp("three")) as found:
        for replica in (2, 1, 0):
            found.start(replica)
            found.await_agent(replica)
        found.await_ready(0, 1, 2)
        yield found


def test_they_form_one_group(three):
    for replica, host in enumerate(HOSTS):
        with Client(host=host, port=three.port) as client:
            add(client, f"through {replica}")
    assert [three.lines(replica) for replica in range(3)] == [[f"through {replica}" for replica in range(3)]] * 3


def test_an_agent_listens_on_its_own_host_only(three):
    assert [three.listens(0, host) for host in (*HOSTS, "127.0.0.1")] == [True, True, True, False]


def test_a_flow_elsewhere_goes_on_when_one_is_lost(three):
    """Also with what was on its way to it: sent to another one, under the same id, and applied once."""
    flow = Flow(host="127.0.0.1", quiet=True).add(name="ledger", external=True, host=list(HOSTS), port=three.port)
    with flow:
        before = len(three.lines(0))
        writers = [Writer(Through(flow), f"w{number}") for number in range(3)]
        threads = [threading.Thread(target=lambda one=one: [one.write(n) for n in range(40)]) for one in writers]
        for thread in threads:
            thread.start()
        three.kill(0)
        for thread in threads:
            thread.join()
        assert not [error for one in writers for error in one.errors]
        add(flow, "last")
        assert json.loads(flow.post("/list", **FRESH)[0].text)["lines"][-1] == "last"
        three.start(0)
        three.await_ready(0)
    result = [three.lines(replica) for replica in range(3)]
    assert result[0] == result[1] == result[2]
    attempts = {line: place for one in writers for line, place in one.attempts.items()}
    check_history({**attempts, **dict.fromkeys([*result[0][:before], "last"])}, result[0])
    assert len(result[0]) == before + 121


def test_a_gateway_by_command_goes_on_and_all_come_back_from_their_disks(three):
    graph = ["--graph-description", '{"start-gateway": ["ledger"], "ledger": ["end-gateway"]}']
    where = ["--deployments-addresses", json.dumps({"ledger": [f"grpc://{host}:{three.port}" for host in HOSTS]})]
    with serving("gateway", "--host", "127.0.0.1", *graph, *where, cwd=three.folder) as gateway:
        with Client(host=gateway.address("grpc")) as client:
            three.kill(1)
            for number in range(10):
                add(client, f"by the gateway {number}")
                wrote = json.loads(client.post("/list", **FRESH)[0].text)["lines"]
                assert wrote[-1] == f"by the gateway {number}"
        assert gateway.end() == 0
    for replica in (0, 2):
        three.kill(replica)
    for replica in range(3):
        three.start(replica)
    three.await_ready(0, 1, 2)
    assert [three.lines(replica) for replica in range(3)] == [wrote] * 3


class Through:
    """A group as it is reached through a gateway."""

    def __init__(self, gateway):
        self.gateway = gateway

    def add(self, line):
        return add(self.gateway, line)


def leader_of(three, *replicas):
    """The one of these replicas that leads, None where it is not known or another one."""
    for replica in replicas:
        if agent_status(Peer(three.peers[replica], "executor", key="k" * 64)).get("role") == "Leader":
            return replica
    return None


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while (found := condition()) is None:
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def test_a_leader_that_is_told_to_end_hands_over_before_it_drains(tmp_path):
    """It may be killed before it has drained, as where its pod is deleted by force: no election is needed then."""
    with replicas(tmp_path, "--drain-delay", "60s") as three:
        for replica in range(3):
            three.start(replica)
        three.await_ready(0, 1, 2)
        leader = until(lambda: leader_of(three, 0, 1, 2), "a leader")
        three.services[leader].process.send_signal(signal.SIGTERM)
        until(lambda: leader_of(three, *({0, 1, 2} - {leader})), "another leader")
        assert three.services[leader].process.poll() is None
        assert three.listens(leader)
        for replica in range(3):
            three.kill(replica)
