"""Deployments as steps of a gateway's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.plan.plans import HopPlan, NodePlan

if TYPE_CHECKING:
    from jina.spec.address import Target
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.options import HopOptions

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


def node(
    spec: DeploymentSpec, needs: Sequence[str], *, floating: bool = False, gateway: HopOptions | None = None
) -> NodePlan:
    """The step that runs `spec`; options of hops that it leaves open are those of its `gateway`."""
    return NodePlan(
        name=spec.name,
        needs=list(needs),
        hops=hops(spec),
        when=None if spec.when is None else dict(spec.when),
        floating=floating,
        no_reduce=spec.no_reduce,
        external=spec.external,
        timeout_send=_chosen(spec, gateway, "timeout_send").send_seconds,
        retries=_chosen(spec, gateway, "retries").retries,
        compression=_chosen(spec, gateway, "compression").compression,
        grpc_metadata=dict(spec.grpc_metadata or {}),
        grpc_channel_options=_channel_options(spec, gateway),
    )


def hops(spec: DeploymentSpec) -> list[HopPlan]:
    """The ways to the replicas: addresses of those that run already, local links to those that are started."""
    if spec.external:
        return [
            HopPlan(kind="grpc", name=f"{spec.name}/rep-{index}", address=address_of(target), tls=target.tls)
            for index, target in enumerate(spec.targets)
        ]
    return [HopPlan(kind="link", name=f"{spec.name}/rep-{replica}") for replica in range(spec.replicas)]


def address_of(target: Target) -> str:
    """`host:port` to connect to; what listens everywhere is reached on this machine."""
    host = _EVERYWHERE.get(target.host, target.host)
    return f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"


def _chosen(spec: DeploymentSpec, gateway: HopOptions | None, option: str) -> HopOptions:
    given = gateway is not None and option in gateway.model_fields_set
    return gateway if gateway is not None and given and option not in spec.model_fields_set else spec


def _channel_options(spec: DeploymentSpec, gateway: HopOptions | None) -> dict[str, Any]:
    shared = gateway.grpc_channel_options if gateway is not None else None
    return {**(shared or {}), **(spec.grpc_channel_options or {})}
