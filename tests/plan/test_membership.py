"""Plans of a stateful Deployment whose replicas come and go."""

import pytest

from jina.plan import membership
from jina.plan.deployment import plan_deployment
from jina.plan.plans import ExecutorPlan
from jina.spec import DeploymentSpec, parse


class Counting:
    """Gives ports from a number on."""

    def __init__(self, first):
        self.next = first

    def port(self):
        self.next += 1
        return self.next - 1


def planned(replicas, ports):
    spec = parse(
        DeploymentSpec, {"name": "x", "stateful": True, "replicas": replicas, "host": "127.0.0.1"}, "Deployment"
    )
    return plan_deployment(spec, ExecutorPlan(), ports, behind_gateway=True)


def test_ports_in_use_come_first():
    ports = membership.Ports([7, 8], Counting(100))
    assert [ports.port() for _ in range(4)] == [7, 8, 100, 101]


@pytest.mark.parametrize("kept", [{0, 2}, {1}, {0, 1, 2}])
def test_replicas_keep_their_numbers_and_ports_when_others_go(kept):
    plan = planned(3, Counting(50))
    left = membership.restricted(plan, kept)
    assert membership.numbers(left) == sorted(kept)
    assert [membership.peer_port(worker) for worker in left.workers] == [50 + number for number in sorted(kept)]
    assert [hop.name for node in left.gateway.graph.nodes for hop in node.hops] == [one.name for one in left.workers]
    assert left.gateway.faces == plan.gateway.faces
    for worker in left.workers:
        assert worker.replicas == len(kept)
        there = {number for number, address in enumerate(worker.consensus.peers) if address}
        assert there == kept
