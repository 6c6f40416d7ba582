"""Plans of a stateful Deployment whose replicas come and go."""

import pytest

from jina.config import DeploymentSpec, parse
from jina.plan import consensus
from jina.plan.deployment import plan_deployment
from jina.plan.plans import ExecutorPlan


class Counting:
    """Gives ports from a number on."""

    def __init__(self, first):
        self.next = first

    def port(self):
        self.next += 1
        return self.next - 1


def planned(replicas, ports, shards=1, peer_ports=None):
    options = {"name": "x", "stateful": True, "workspace": "/ws", "host": "127.0.0.1"}
    options |= {"replicas": replicas, "shards": shards}
    spec = parse(DeploymentSpec, options, "Deployment").model_copy(update={"peer_ports": peer_ports})
    return plan_deployment(spec, ExecutorPlan(), ports, behind_gateway=True)


def test_ports_in_use_come_first():
    ports = consensus.Ports([7, 8], Counting(100))
    assert [ports.port() for _ in range(4)] == [7, 8, 100, 101]


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("kept", [{0, 2}, {1}, {0, 1, 2}, {0, 1, 2, 3}])
def test_replicas_keep_their_numbers_and_ports_when_others_come_and_go(kept, shards):
    plan = planned(3, Counting(50), shards=shards)
    new = Counting(90)
    pinned = consensus.pinned(plan.workers, kept, new.port)
    assert len(pinned) == shards
    wide = planned(max(kept) + 1, Counting(70), shards=shards, peer_ports=pinned)
    workers = consensus.restricted(wide.workers, plan.workers, kept)
    assert consensus.numbers(workers) == sorted(kept)
    assert new.next == 90 + (shards if 3 in kept else 0)
    for worker in workers:
        assert worker.replicas == len(kept)
        there = {number for number, address in enumerate(worker.consensus.peers) if address}
        assert there == kept
        port = int(worker.consensus.peers[worker.replica_id].partition(":")[2])
        first = 50 + 3 * worker.shard_id + worker.replica_id
        assert port == (first if worker.replica_id < 3 else 90 + worker.shard_id)
        assert worker.consensus.share_port
    gateway = consensus.in_front(plan.gateway, wide.gateway, "x", {one.name for one in workers})
    assert [upstream.name for node in gateway.graph.nodes for upstream in node.upstreams] == [
        one.name for one in workers
    ]
    assert gateway.listeners == plan.gateway.listeners
    narrowed = consensus.narrowed(pinned, kept, shards=shards > 1)
    assert len(narrowed["1"] if shards > 1 else narrowed) == len(kept)
