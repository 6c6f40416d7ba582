"""The plan of a stateful Deployment whose number of replicas changes while it runs (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import msgspec

from jina.plan.plans import ConsensusPlan, DeploymentPlan, GatewayPlan, NodePlan, WorkerPlan

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator


class Ports:
    """Gives the ports that are in use, in the order in which a plan asks for them; then such that are free."""

    def __init__(self, used: Iterable[int], free: PortAllocator) -> None:
        self._used = iter(used)
        self._free = free

    def port(self) -> int:
        """See `jina.plan.allocate.PortAllocator`."""
        port = next(self._used, None)
        return self._free.port() if port is None else port


def numbers(plan: DeploymentPlan) -> list[int]:
    """The replicas that a plan has, which need not follow one after another."""
    return sorted({worker.replica_id for worker in plan.workers})


def peer_port(worker: WorkerPlan) -> int:
    """The port of a replica's agent."""
    assert worker.consensus is not None
    return int(worker.consensus.peers[worker.consensus.replica].rpartition(":")[2])


def restricted(plan: DeploymentPlan, kept: Collection[int]) -> DeploymentPlan:
    """The plan without the replicas that are not `kept`; the numbers of the others stay as they are."""
    workers = [_worker(worker, kept) for worker in plan.workers if worker.replica_id in kept]
    names = {worker.name for worker in workers}
    assert plan.gateway is not None
    return msgspec.structs.replace(plan, workers=workers, gateway=_gateway(plan.gateway, names))


def _worker(worker: WorkerPlan, kept: Collection[int]) -> WorkerPlan:
    assert worker.consensus is not None
    return msgspec.structs.replace(worker, replicas=len(kept), consensus=known(worker.consensus, kept))


def known(consensus: ConsensusPlan, kept: Collection[int]) -> ConsensusPlan:
    """The part of one replica in a group of others: an address that nobody has is empty."""
    peers = [address if number in kept else "" for number, address in enumerate(consensus.peers)]
    return msgspec.structs.replace(consensus, peers=peers)


def _gateway(gateway: GatewayPlan, names: Collection[str]) -> GatewayPlan:
    nodes = [_node(node, names) for node in gateway.graph.nodes]
    return msgspec.structs.replace(gateway, graph=msgspec.structs.replace(gateway.graph, nodes=nodes))


def _node(node: NodePlan, names: Collection[str]) -> NodePlan:
    return msgspec.structs.replace(node, hops=[hop for hop in node.hops if hop.name in names])
