"""Deployments as steps of a gateway's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jina.plan.copies import copies, polling
from jina.plan.plans import HopPlan, HopTlsPlan, NodePlan

if TYPE_CHECKING:
    from jina.spec.address import Target
    from jina.spec.deployment import DeploymentSpec

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


def node(spec: DeploymentSpec, needs: Sequence[str], *, floating: bool = False) -> NodePlan:
    """The step that runs `spec`."""
    return NodePlan(
        name=spec.name,
        needs=list(needs),
        hops=hops(spec),
        shards=spec.shards,
        polling=polling(spec),
        when=None if spec.when is None else dict(spec.when),
        floating=floating,
        no_reduce=spec.no_reduce,
        external=spec.external,
        repeatable=spec.stateful,
        timeout_send=spec.send_seconds,
        retries=spec.retries,
        compression=spec.compression,
        grpc_metadata=dict(spec.grpc_metadata or {}),
        grpc_channel_options=dict(spec.grpc_channel_options or {}),
        tls=_tls(spec) if spec.external else HopTlsPlan(),
    )


def _tls(spec: DeploymentSpec) -> HopTlsPlan:
    return HopTlsPlan(ca_file=spec.ssl_ca_certs, certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile)


def hops(spec: DeploymentSpec) -> list[HopPlan]:
    """The ways to the workers: addresses of those that run already, local links to those that are started."""
    if spec.external:
        return [
            HopPlan(kind="grpc", name=f"{spec.name}/rep-{index}", address=address_of(target), tls=target.tls)
            for index, target in enumerate(spec.targets)
        ]
    return [HopPlan(kind="link", name=copy.name, shard=copy.shard, part=copy.part) for copy in copies(spec)]


def address_of(target: Target) -> str:
    """`host:port` to connect to; what listens everywhere is reached on this machine."""
    host = _EVERYWHERE.get(target.host, target.host)
    return f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"
