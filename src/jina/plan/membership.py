"""The plan of a stateful Deployment whose number of replicas changes while it runs (pure)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from jina.plan.copies import copies
from jina.plan.plans import ConsensusPlan, GatewayPlan, NodePlan, WorkerPlan

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.deployment import DeploymentSpec

Spec = TypeVar("Spec", bound="DeploymentSpec")

NOBODY = 1
"""Stands for the port of a replica that is not there."""


class Ports:
    """Gives the ports that are in use, in the order in which a plan asks for them; then such that are free."""

    def __init__(self, used: Iterable[int], free: PortAllocator) -> None:
        self._used = iter(used)
        self._free = free

    def port(self) -> int:
        """See `jina.plan.allocate.PortAllocator`."""
        port = next(self._used, None)
        return self._free.port() if port is None else port


def numbers(workers: Iterable[WorkerPlan]) -> list[int]:
    """The replicas of each group, which need not follow one after another."""
    return sorted({worker.replica_id for worker in workers if worker.consensus is not None})


def renumbered(spec: DeploymentSpec, workers: Iterable[WorkerPlan], members: Collection[int]) -> list[WorkerPlan]:
    """The workers that are planned for a start, the first one as the lowest of these members, and so on."""
    places = sorted(members)
    wide = spec.model_copy(update={"replicas": places[-1] + 1})
    names = {(copy.shard, copy.replica): copy.name for copy in copies(wide) if not copy.part}

    def moved(worker: WorkerPlan, consensus: ConsensusPlan) -> WorkerPlan:
        number = places[worker.replica_id]
        peers = [""] * (places[-1] + 1)
        for place, address in zip(places, consensus.peers, strict=True):
            peers[place] = address
        consensus = msgspec.structs.replace(consensus, replica=number, peers=peers)
        return msgspec.structs.replace(
            worker, name=names[worker.shard_id, number], replica_id=number, consensus=consensus
        )

    return [worker if worker.consensus is None else moved(worker, worker.consensus) for worker in workers]


def pinned(workers: Iterable[WorkerPlan], members: Collection[int], new: Callable[[], int]) -> dict[str, list[int]]:
    """The option `peer_ports` with which the agents of these members keep their ports, and others get new ones."""
    known = {(one.shard_id, one.replica_id): _peer_port(one.consensus) for one in workers if one.consensus is not None}
    return {
        str(shard): [
            (known.get((shard, number)) or new()) if number in members else NOBODY for number in range(max(members) + 1)
        ]
        for shard in sorted({shard for shard, _ in known})
    }


def spread(spec: Spec, workers: Iterable[WorkerPlan], members: Collection[int], new: Callable[[], int]) -> Spec:
    """The spec by which these members are planned under their numbers; agents that run keep their ports."""
    ports = pinned(workers, members, new)
    return spec.model_copy(update={"replicas": max(members) + 1, "peer_ports": ports})


def of_members(spec: Spec, wide: Spec, members: Collection[int]) -> Spec:
    """The spec as a user would write it for these members; `wide` is what `spread` made of it."""
    ports = cast("dict[str, list[int]]", wide.peer_ports)
    given = narrowed(ports, members, shards=spec.shards > 1) if spec.peer_ports else None
    return spec.model_copy(update={"replicas": len(members), "peer_ports": given})


def narrowed(pinned_ports: dict[str, list[int]], members: Collection[int], *, shards: bool) -> object:
    """The option `peer_ports` for these members alone, as a user would write it."""
    ports = {shard: [given[number] for number in sorted(members)] for shard, given in pinned_ports.items()}
    return ports if shards else ports["0"]


def _peer_port(consensus: ConsensusPlan) -> int:
    return int(consensus.peers[consensus.replica].rpartition(":")[2])


def restricted(
    planned: Sequence[WorkerPlan], running: Sequence[WorkerPlan], members: Collection[int]
) -> list[WorkerPlan]:
    """Those of the planned workers that are of these members, or around the shards; numbers stay as they are.

    The ports of new ones are reserved here, and shared therefore; those of others are as they were.
    """
    shared = {one.name: one.consensus.share_port for one in running if one.consensus is not None}
    return [
        _member(one, one.consensus, members, share_port=shared.get(one.name, True)) if one.consensus else one
        for one in planned
        if one.consensus is None or one.replica_id in members
    ]


def _member(worker: WorkerPlan, consensus: ConsensusPlan, members: Collection[int], *, share_port: bool) -> WorkerPlan:
    # An address that nobody has is empty.
    peers = [address if number in members else "" for number, address in enumerate(consensus.peers)]
    consensus = msgspec.structs.replace(consensus, peers=peers, share_port=share_port)
    return msgspec.structs.replace(worker, replicas=len(members), consensus=consensus)


def in_front(running: GatewayPlan, planned: GatewayPlan, deployment: str, names: Collection[str]) -> GatewayPlan:
    """The gateway that runs, with the planned hops of one Deployment, those of these names."""
    (new,) = (one for one in planned.graph.nodes if one.name == deployment)
    new = msgspec.structs.replace(new, hops=[hop for hop in new.hops if hop.name in names])
    nodes: list[NodePlan] = [new if one.name == deployment else one for one in running.graph.nodes]
    return msgspec.structs.replace(running, graph=msgspec.structs.replace(running.graph, nodes=nodes))
