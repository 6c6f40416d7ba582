"""What a user asks of one Deployment: an Executor, its faces, its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.spec.address import Target
from jina.spec.external import targets
from jina.spec.options import (
    ExecutorOptions,
    ExternalOptions,
    HopOptions,
    ProcessOptions,
    ScalingOptions,
    ServerOptions,
    StepOptions,
    UsesOptions,
)
from jina.spec.options_limits import AccessOptions, InflightOptions, QueueOptions
from jina.spec.options_platform import (
    ContainerOptions,
    InternalOptions,
    ProbeOptions,
    StatefulOptions,
    TelemetryOptions,
)

if TYPE_CHECKING:
    from jina.spec.gateway import GatewaySpec


class DeploymentSpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    ProbeOptions,
    StatefulOptions,
    StepOptions,
    ExternalOptions,
    HopOptions,
    ScalingOptions,
    QueueOptions,
    InflightOptions,
    AccessOptions,
    ServerOptions,
    ProcessOptions,
    ExecutorOptions,
    UsesOptions,
):
    """One Executor, served.

    `uses` may hold a class, which never is serialised; everything else is plain values. The properties give the
    options that may be one value or several in one shape.
    """

    @property
    def targets(self) -> list[Target]:
        """Where the replicas of an external Deployment are; else none."""
        return targets(self) if self.external else []

    @property
    def front(self) -> GatewaySpec:
        """The gateway that its replicas are behind where they are not part of a Flow: it has the faces."""
        from jina.spec.gateway import gateway_of

        return gateway_of(self)
