"""The plan of a head: what shares the requests among shards that run elsewhere, as a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from jina.errors import ConfigError
from jina.plan import pieces, processes
from jina.plan.copies import AFTER, BEFORE, polling
from jina.plan.gateway import hop
from jina.plan.nodes import node
from jina.plan.plans import GatewayPlan, GraphPlan, HopPlan
from jina.plan.telemetry import monitored_gateway

if TYPE_CHECKING:
    from jina.plan.allocate import PortAllocator
    from jina.spec.deployment import DeploymentSpec


def plan_head(
    spec: DeploymentSpec, shards: Mapping[str, Any], around: Mapping[str, str], ports: PortAllocator
) -> GatewayPlan:
    """The gateway in front of the shards of `spec`.

    `shards` maps the number of a shard to the address of its replicas, or to a list of them; `around` has the
    addresses of `uses_before_address` and `uses_after_address`. Raises ConfigError for shards without an address.
    """
    hops: list[HopPlan] = []
    for shard in range(spec.shards):
        addresses = shards.get(str(shard))
        if not addresses:
            raise ConfigError(f"connection_list: there is no address of shard {shard}; shards are {spec.shards}")
        for index, address in enumerate([addresses] if isinstance(addresses, str) else addresses):
            reached = hop(f"{spec.name}/shard-{shard}", index, str(address), f"connection_list.{shard}")
            hops.append(msgspec.structs.replace(reached, shard=shard))
    for part in (BEFORE, AFTER):
        if address := around.get(f"{part}_address"):
            reached = hop(f"{spec.name}/{part}", 0, address, f"{part}_address")
            hops.append(msgspec.structs.replace(reached, part=part))
    step = node(spec, ["gateway"])
    step = msgspec.structs.replace(step, hops=hops, when=None, external=True, polling=polling(spec))
    graph = GraphPlan(nodes=[step], ends=[spec.name])
    front = spec.front
    return monitored_gateway(processes.gateway(front, pieces.faces(front, ports), graph), front, ports)
