"""What a user asks of one Deployment: an Executor, its faces, its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.spec.address import Target
from jina.spec.external import targets
from jina.spec.options import (
    ExecutorOptions,
    ExternalOptions,
    HopOptions,
    HttpOptions,
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
from jina.spec.types import GatewayClass

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
    HttpOptions,
    ServerOptions,
    ProcessOptions,
    ExecutorOptions,
    UsesOptions,
):
    """One Executor, served.

    `uses` may hold a class, which never is serialised; everything else is plain values. The properties give the
    options that may be one value or several in one shape.
    """

    gateway: GatewayClass | None = None
    """A gateway class of your own to put in front, with its own routes: the class, its import path, its YAML file, or a
    mapping of `uses`, `uses_with`, `uses_metas`, `py_modules` and `extra_search_paths`."""

    @property
    def targets(self) -> list[Target]:
        """Where the replicas of an external Deployment are; else none."""
        return targets(self) if self.external else []

    @property
    def front(self) -> GatewaySpec:
        """The gateway that its replicas are behind where they are not part of a Flow: it has the faces."""
        from jina.spec.gateway import GatewaySpec, gateway_of

        own = GatewaySpec.model_construct(set(self.gateway), **self.gateway) if self.gateway else None
        return gateway_of(self, own)
