"""Clients of a Deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.orchestration import board

if TYPE_CHECKING:
    from jina.plan.plans import FacePlan
    from jina.spec import DeploymentSpec


def new_client(spec: DeploymentSpec, faces: Sequence[FacePlan], **options: Any) -> Any:
    """A client of the first face, or of the address of an external Deployment."""
    from jina.client import Client

    if spec.grpc_channel_options:
        options["grpc_channel_options"] = spec.grpc_channel_options
    options |= {"proxy": spec.proxy, "max_message_size": spec.max_message_size}
    if not faces:
        return Client(**_external(spec), **options)
    face = faces[0]
    where: dict[str, Any] = {"host": board.reachable(face.host), "port": face.port}
    return Client(**where, protocol=face.protocol, tls=face.tls is not None, **options)


def _external(spec: DeploymentSpec) -> dict[str, Any]:
    address: dict[str, Any] = {"host": spec.hosts[0]}
    if "://" not in spec.hosts[0]:
        address |= {"protocol": spec.protocols[0], "tls": spec.tls}
    if spec.ports:
        address["port"] = spec.ports[0]
    return address
