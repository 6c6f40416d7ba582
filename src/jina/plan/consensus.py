"""The groups of agents of a stateful Deployment: members, addresses, options; and changes of the members."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec.structs import replace

from jina.config.rules import agent_options
from jina.config.types import split_address
from jina.errors import ConfigError
from jina.plan.plans import ConsensusPlan, GatewayPlan, NodePlan, ProcessPlan, WorkerPlan
from jina.plan.processes import copies, tls

if TYPE_CHECKING:
    from jina.config.models import DeploymentSpec
    from jina.plan.plans import PortAllocator

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


def replicated(spec: DeploymentSpec, workers: list[WorkerPlan], ports: PortAllocator) -> list[WorkerPlan]:
    """The workers, each with its place in the group of its shard; as they are unless the Deployment is stateful.

    What is around the shards keeps no state, and is in no group.
    """
    if not spec.stateful:
        return workers
    groups: dict[int, list[WorkerPlan]] = {}
    for worker in workers:
        if not worker.part:
            groups.setdefault(worker.shard_id, []).append(worker)
    placed = [one for shard, members in groups.items() for one in _group(spec, shard, members, ports)]
    return [*placed, *(worker for worker in workers if worker.part)]


def even_groups(processes: Iterable[ProcessPlan]) -> Iterator[str]:
    """What is to be said of groups of an even number, which lose no more replicas than those of one less."""
    members = (one.consensus for one in processes if isinstance(one, WorkerPlan))
    groups = {one.group: len(one.peers) for one in members if one is not None}
    for name, count in groups.items():
        if count % 2 == 0:
            lost = (count - 1) // 2 or "none"
            yield f"{name} has {count} replicas, of which {lost} can be lost, no more than of {count - 1}"


def _group(spec: DeploymentSpec, shard: int, members: Sequence[WorkerPlan], ports: PortAllocator) -> list[WorkerPlan]:
    if not spec.workspace:
        raise ConfigError(
            f"{spec.name} is stateful, but has no workspace",
            help="workspace is the folder that the log and the snapshots of its replicas are kept in",
        )
    place = f"{spec.name}/{shard}" if spec.shards > 1 else spec.name
    root = f"{spec.workspace}/raft/{place}"
    given = _given_ports(spec, shard)
    common = ConsensusPlan(
        group=place,
        shard=shard,
        peers=list(spec.raft_peers or ()) or _peers_here(spec, given or [ports.port() for _ in members]),
        options=agent_options(spec.raft_configuration or {}),
        consistency=spec.consistency,
        tls=tls(spec),
        key_file=spec.raft_key_file or "",
        share_port=not given and not spec.raft_peers,
    )
    if spec.raft_peers:
        common = replace(
            common, listen=_listen(spec), alone=True, nonce=hashlib.sha256(repr(common.peers).encode()).hexdigest()
        )
    return [
        replace(
            worker,
            consensus=replace(common, replica=worker.replica_id, directory=f"{root}/rep-{worker.replica_id}"),
        )
        for worker in members
    ]


def _peers_here(spec: DeploymentSpec, ports: Sequence[int]) -> list[str]:
    host = _EVERYWHERE.get(spec.hosts[0], spec.hosts[0])
    return [_joined(host, port) for port in ports]


def _listen(spec: DeploymentSpec) -> str:
    """Where the agent listens: on its own address among the peers, or on the host that was asked for."""
    assert spec.raft_peers
    own = split_address(spec.raft_peers[spec.replica_id])
    assert own.port is not None
    asked = "host" in spec.model_fields_set or spec.hosts[0] not in _EVERYWHERE
    return _joined(spec.hosts[0] if asked else own.host, own.port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _given_ports(spec: DeploymentSpec, shard: int) -> list[int]:
    given = spec.peer_ports
    if isinstance(given, Mapping):
        given = given.get(str(shard), [])
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


Spec = TypeVar("Spec", bound="DeploymentSpec")
NOBODY = 1
"""Stands for the port of a replica that is not there."""


class Ports:
    """Gives the ports that are in use, in the order in which a plan asks for them; then such that are free."""

    def __init__(self, used: Iterable[int], free: PortAllocator) -> None:
        self._used = iter(used)
        self._free = free

    def port(self) -> int:
        """See `jina.plan.plans.PortAllocator`."""
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
        consensus = replace(consensus, replica=number, peers=peers)
        return replace(worker, name=names[worker.shard_id, number], replica_id=number, consensus=consensus)

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
    # The address of a replica that is not a member is empty.
    peers = [address if number in members else "" for number, address in enumerate(consensus.peers)]
    consensus = replace(consensus, peers=peers, share_port=share_port)
    return replace(worker, replicas=len(members), consensus=consensus)


def in_front(running: GatewayPlan, planned: GatewayPlan, deployment: str, names: Collection[str]) -> GatewayPlan:
    """The gateway that runs, with the planned upstreams of one Deployment, those of these names."""
    (new,) = (one for one in planned.graph.nodes if one.name == deployment)
    new = replace(new, upstreams=[upstream for upstream in new.upstreams if upstream.name in names])
    nodes: list[NodePlan] = [new if one.name == deployment else one for one in running.graph.nodes]
    return replace(running, graph=replace(running.graph, nodes=nodes))
