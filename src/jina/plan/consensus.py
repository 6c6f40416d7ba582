"""The groups of agents of a stateful Deployment: who is in which, at which address, with which folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from jina.plan.plans import ConsensusPlan, WorkerPlan
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


def _group(spec: DeploymentSpec, shard: int, members: Sequence[WorkerPlan], ports: PortAllocator) -> list[WorkerPlan]:
    given = _given_ports(spec, shard)
    chosen = given or [ports.port() for _ in members]
    host = _EVERYWHERE.get(spec.hosts[0], spec.hosts[0])
    host = f"[{host}]" if ":" in host else host
    place = f"{spec.name}/{shard}" if spec.shards > 1 else spec.name
    root = f"{spec.workspace or '~/.cache/jina'}/raft/{place}"
    return [
        msgspec.structs.replace(
            worker,
            consensus=ConsensusPlan(
                group=place,
                shard=shard,
                replica=number,
                peers=[f"{host}:{port}" for port in chosen],
                directory=f"{root}/rep-{number}",
                options=agent_options(spec.raft_configuration or {}),
                consistency=spec.consistency,
                share_port=not given,
            ),
        )
        for number, worker in enumerate(members)
    ]


def _given_ports(spec: DeploymentSpec, shard: int) -> list[int]:
    given = spec.peer_ports
    if isinstance(given, Mapping):
        given = given.get(str(shard), [])
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]
