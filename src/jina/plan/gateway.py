"""The plan of a gateway that runs alone, in front of Executors that run already; and of a head, for shards."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from jina.config.options import UpstreamOptions
from jina.config.parsing import parse
from jina.config.types import TARGETS, split_address
from jina.errors import ConfigError, nearest
from jina.plan import processes
from jina.plan.plans import ExecutorPlan, GatewayPlan, GraphPlan, NodePlan, UpstreamPlan
from jina.plan.processes import AFTER, BEFORE, listeners, monitored_gateway, node, polling
from jina.plan.topology import GATEWAY, Node, arranged

if TYPE_CHECKING:
    from jina.config.models import DeploymentSpec, GatewaySpec
    from jina.plan.plans import PortAllocator

START: Final = "start-gateway"
END: Final = "end-gateway"
_SCHEMES: Final = {"": False, "grpc": False, "grpcs": True}


def plan_gateway(spec: GatewaySpec, custom: ExecutorPlan | None, ports: PortAllocator) -> GatewayPlan:
    """What runs for `spec`, whose graph is in `graph_description` and the options beside it.

    Raises ConfigError for a wrong graph, and for Executors without addresses.
    """
    needs = _needs(spec.graph_description)
    _check_names(spec, needs)
    ends = [name for name, following in spec.graph_description.items() if END in following]
    nodes = [Node(name, "executor", tuple(before)) for name, before in needs.items()]
    topology = arranged(nodes, [GATEWAY if end == START else end for end in ends] or [GATEWAY])
    graph = GraphPlan(nodes=[_node(node, spec) for node in topology.nodes], ends=list(topology.ends))
    return monitored_gateway(processes.gateway(spec, listeners(spec, ports), graph, custom), spec, ports)


def _needs(description: Mapping[str, Any]) -> dict[str, list[str]]:
    """Executor -> those before it."""
    needs: dict[str, list[str]] = {name: [] for name in description if name != START}
    for name, following in description.items():
        if not isinstance(following, list):
            raise ConfigError(f"Gateway: graph_description.{name}: {following!r} is not a list of names")
        for after in following:
            if after != END:
                needs.setdefault(after, []).append(GATEWAY if name == START else name)
    return needs


def _check_names(spec: GatewaySpec, known: Collection[str]) -> None:
    for option in ("graph_conditions", *(name for name in type(spec).model_fields if name.startswith("deployments_"))):
        for name in getattr(spec, option):
            if name not in known:
                near = nearest(name, known)
                hint = f", did you mean '{near}'?" if near else ""
                raise ConfigError(f"Gateway: {option}: {name!r} is not in graph_description{hint}")
    for name in sorted(set(known) - set(spec.deployments_addresses)):
        raise ConfigError(f"Gateway: deployments_addresses: there is no address of {name!r}")


def _node(node: Node, spec: GatewaySpec) -> NodePlan:
    addresses = spec.deployments_addresses[node.name]
    addresses = [addresses] if isinstance(addresses, str) else addresses
    options = _calls(node.name, spec)
    return NodePlan(
        name=node.name,
        needs=list(node.needs),
        upstreams=[
            upstream(node.name, index, address, f"Gateway: deployments_addresses.{node.name}")
            for index, address in enumerate(addresses)
        ],
        when=spec.graph_conditions.get(node.name),
        floating=node.floating,
        no_reduce=node.name in spec.deployments_no_reduce,
        external=bool(addresses),  # a join runs no Executor
        timeout_send=options.send_seconds,
        retries=options.retries,
        compression=options.compression,
        grpc_metadata={key: str(value) for key, value in (spec.deployments_metadata.get(node.name) or {}).items()},
        grpc_channel_options=dict(options.grpc_channel_options or {}),
        resolve_interval=options.resolve_seconds,
        autoscale=processes.autoscale_plan(spec.deployments_autoscale[node.name])
        if node.name in spec.deployments_autoscale
        else None,
    )


def _calls(name: str, spec: GatewaySpec) -> UpstreamOptions:
    """How an Executor is called: as the gateway calls all of them, but for what is said of this one."""
    own = spec.deployments_options.get(name)
    if own is None:
        return spec
    where = f"Gateway: deployments_options.{name}:"
    if not isinstance(own, Mapping):
        raise ConfigError(f"{where} {own!r} is not a mapping of options")
    common = {option: getattr(spec, option) for option in UpstreamOptions.model_fields}
    return parse(UpstreamOptions, {**common, **own}, where.removesuffix(":"))


def upstream(name: str, index: int, address: str, where: str) -> UpstreamPlan:
    """The way to the replica `index` of what is called `name`; raises ConfigError, which `where` begins."""
    if address.startswith(("dns", "kubernetes")) and "://" in address:
        return _discovered(name, index, address, where)
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigError(f"{where}: {address!r} is not grpc://host:port")
    return UpstreamPlan(
        kind="grpc", name=f"{name}/rep-{index}", address=_reached(parts.netloc), tls=_SCHEMES[parts.scheme]
    )


def _discovered(name: str, index: int, address: str, where: str) -> UpstreamPlan:
    try:
        found = split_address(address, discovered=True)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}") from exc
    if found.port is None or not found.via:
        raise ConfigError(f"{where}: {address!r} has no port: write it as {address.rstrip('/')}:PORT")
    target = TARGETS[found.via]("grpc", found.host, found.port, tls=found.scheme == "grpcs")
    return UpstreamPlan(
        kind=found.via, name=f"{name}/rep-{index}", address=processes.address_of(target), tls=target.tls
    )


def _reached(netloc: str) -> str:
    everywhere = "0.0.0.0:"
    return "127.0.0.1:" + netloc.removeprefix(everywhere) if netloc.startswith(everywhere) else netloc


def plan_head(
    spec: DeploymentSpec, shards: Mapping[str, Any], around: Mapping[str, str], ports: PortAllocator
) -> GatewayPlan:
    """The gateway in front of the shards of `spec`.

    `shards` maps the number of a shard to the address of its replicas, or to a list of them; `around` has the
    addresses of `uses_before_address` and `uses_after_address`. Raises ConfigError for shards without an address.
    """
    upstreams: list[UpstreamPlan] = []
    for shard in range(spec.shards):
        addresses = shards.get(str(shard))
        if not addresses:
            raise ConfigError(f"connection_list: there is no address of shard {shard}; shards are {spec.shards}")
        for index, address in enumerate([addresses] if isinstance(addresses, str) else addresses):
            reached = upstream(f"{spec.name}/shard-{shard}", index, str(address), f"connection_list.{shard}")
            upstreams.append(replace(reached, shard=shard))
    for part in (BEFORE, AFTER):
        if address := around.get(f"{part}_address"):
            reached = upstream(f"{spec.name}/{part}", 0, address, f"{part}_address")
            upstreams.append(replace(reached, part=part))
    step = node(spec, ["gateway"])
    step = replace(step, upstreams=upstreams, when=None, external=True, polling=polling(spec))
    graph = GraphPlan(nodes=[step], ends=[spec.name])
    front = spec.front
    return monitored_gateway(processes.gateway(front, listeners(front, ports), graph), front, ports)
