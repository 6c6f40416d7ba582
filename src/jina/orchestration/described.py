"""What can be asked of a Deployment before and while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jina.orchestration import board

if TYPE_CHECKING:
    from jina.plan.plans import DeploymentPlan, FacePlan
    from jina.spec import DeploymentSpec

T = TypeVar("T")


class Described:
    """The facts of a spec and its plan."""

    _spec: DeploymentSpec
    _plan: DeploymentPlan

    @property
    def name(self) -> str:
        """Name in logs and process names."""
        return self._spec.name

    @property
    def ports(self) -> list[int]:
        """One port for each protocol; those that were not given are chosen at construction."""
        return self._spec.ports if self.external else [face.port for face in self._faces]

    @property
    def port(self) -> int | list[int]:
        """The port, or a list of them where there are several protocols."""
        return one_or_list(self.ports)

    @property
    def protocols(self) -> list[str]:
        """The protocols in lower case."""
        return list(self._spec.protocols)

    @property
    def protocol(self) -> str | list[str]:
        """The protocol, or a list of them."""
        return one_or_list(self.protocols)

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.hosts[0]

    @property
    def hosts(self) -> list[str]:
        """Where it listens, as a list of one."""
        return list(self._spec.hosts)

    @property
    def workspace(self) -> str | None:
        """Folder below which the Executor keeps its files; None for the default."""
        return self._spec.workspace

    @property
    def external(self) -> bool:
        """Whether it runs elsewhere and is only connected to."""
        return self._spec.external

    @property
    def tls_enabled(self) -> bool:
        """Whether clients connect by TLS."""
        return bool(self._spec.tls or self._spec.ssl_certfile)

    @property
    def grpc_metadata(self) -> dict[str, str] | None:
        """GRPC metadata sent with every hop to it."""
        return self._spec.grpc_metadata

    @property
    def num_pods(self) -> int:
        """Number of processes."""
        return len(self._plan.workers) + (self._plan.gateway is not None)

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return board.network_host()

    @property
    def spec(self) -> DeploymentSpec:
        """The options, validated."""
        return self._spec

    @property
    def _faces(self) -> list[FacePlan]:
        if self._plan.gateway is not None:
            return self._plan.gateway.faces
        return self._plan.workers[0].faces if self._plan.workers else []


def one_or_list(values: list[T]) -> T | list[T]:
    """The value where there is one, the list otherwise."""
    return values[0] if len(values) == 1 else values
