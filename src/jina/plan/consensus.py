"""The groups of agents of a stateful Deployment: who is in which, at which address, with which folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from jina.errors import ConfigError
from jina.plan.pieces import tls
from jina.plan.plans import ConsensusPlan, ProcessPlan, WorkerPlan
from jina.spec.address import split_address
from jina.spec.consensus import agent_options

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.deployment import DeploymentSpec

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
        common = msgspec.structs.replace(
            common, listen=_listen(spec), alone=True, nonce=hashlib.sha256(repr(common.peers).encode()).hexdigest()
        )
    return [
        msgspec.structs.replace(
            worker,
            consensus=msgspec.structs.replace(
                common, replica=worker.replica_id, directory=f"{root}/rep-{worker.replica_id}"
            ),
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
