"""Clients of a Deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.orchestration import board

if TYPE_CHECKING:
    from jina.plan.plans import FacePlan
    from jina.spec import DeploymentSpec


def new_client(spec: DeploymentSpec, faces: Sequence[FacePlan], **options: Any) -> Any:
    """A client of the first face; further options are those of `jina.Client`."""
    from jina.client import Client

    if spec.grpc_channel_options:
        options["grpc_channel_options"] = spec.grpc_channel_options
    face = faces[0]
    options |= {"host": board.reachable(face.host), "port": face.port, "tls": face.tls is not None}
    return Client(protocol=face.protocol, proxy=spec.proxy, max_message_size=spec.max_message_size, **options)
