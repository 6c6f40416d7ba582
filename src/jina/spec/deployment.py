"""What a user asks of one Deployment: an Executor, its faces, its copies."""

from __future__ import annotations

from typing import cast

from jina.spec.address import Protocol
from jina.spec.options import (
    ContainerOptions,
    ExecutorOptions,
    InternalOptions,
    ProcessOptions,
    ScalingOptions,
    ServerOptions,
    StatefulOptions,
    TelemetryOptions,
    as_list,
)


class DeploymentSpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    StatefulOptions,
    ScalingOptions,
    ServerOptions,
    ProcessOptions,
    ExecutorOptions,
):
    """One Executor, served.

    `uses` may hold a class, which never is serialised; everything else is plain values. The properties give the
    options that may be one value or several in one shape.
    """

    @property
    def ports(self) -> list[int]:
        """The ports that the user gave."""
        return as_list(self.port)

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols, in lower case."""
        return as_list(self.protocol)

    @property
    def hosts(self) -> list[str]:
        """The hosts; one unless external."""
        return as_list(self.host)

    @property
    def ready_seconds(self) -> float | None:
        """`timeout_ready` in seconds; None waits for ever."""
        milliseconds = cast("float", self.timeout_ready)
        return None if milliseconds == -1 else milliseconds / 1000

    @property
    def grace_seconds(self) -> float:
        """`grace` in seconds."""
        return float(cast("float", self.grace))
