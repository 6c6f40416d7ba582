"""What can be asked of a Flow, and what can be changed before it is built."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jina.errors import FlowBuildLevelError
from jina.orchestration import board
from jina.orchestration.described import Described, one_or_list

if TYPE_CHECKING:
    from jina.plan.plans import DeploymentPlan, FlowPlan
    from jina.spec import FlowSpec, StepSpec


class FlowStep(Described):
    """One Deployment of a Flow, to be looked at."""

    def __init__(self, spec: StepSpec, plan: DeploymentPlan) -> None:
        self._spec = spec
        self._plan = plan

    def __repr__(self) -> str:
        return f"<FlowStep {self.name!r} of {self._spec.uses!r}>"


class FlowState:
    """The facts of a Flow. Those that the plan decides build it; setters take effect until then, in any order."""

    _spec: FlowSpec
    _workspace_id: str | None = None

    @property
    @abstractmethod
    def plan(self) -> FlowPlan:
        """The plan, made when it is first asked for."""

    @property
    @abstractmethod
    def _built(self) -> bool: ...

    @property
    @abstractmethod
    def _started(self) -> bool: ...

    @abstractmethod
    def _replace(self, spec: FlowSpec) -> None:
        """Become the Flow of another spec."""

    @property
    def name(self) -> str:
        """Name in logs, and of the file of `save_config`."""
        return self._spec.name

    @property
    def spec(self) -> FlowSpec:
        """The options, validated, with all steps."""
        return self._spec

    @property
    def ports(self) -> list[int]:
        """One port for each protocol; those that were not given are chosen when this is asked for."""
        return [face.port for face in self.plan.gateway.faces]

    @property
    def port(self) -> int | list[int]:
        """The gateway's port, or a list of them where there are several protocols."""
        return one_or_list(self.ports)

    @port.setter
    def port(self, value: int | Sequence[int]) -> None:
        self._configure("port", value)

    @property
    def protocols(self) -> list[str]:
        """The gateway's protocols in lower case."""
        return list(self._spec.front.protocols)

    @property
    def protocol(self) -> str | list[str]:
        """The gateway's protocol, or a list of them."""
        return one_or_list(self.protocols)

    @protocol.setter
    def protocol(self, value: str | Sequence[str]) -> None:
        self._configure("protocol", value)

    @property
    def host(self) -> str:
        """Where the gateway listens."""
        return self._spec.front.hosts[0]

    @host.setter
    def host(self, value: str) -> None:
        self._configure("host", value)

    @property
    def workspace(self) -> str | None:
        """Folder below which Executors keep their files; None for the default."""
        return self._spec.workspace

    @workspace.setter
    def workspace(self, value: str) -> None:
        self._set("workspace", value)

    @property
    def workspace_id(self) -> str:
        """Identifier of this Flow: the one given, else 32 random hexadecimal digits."""
        self._workspace_id = self._spec.workspace_id or self._workspace_id or os.urandom(16).hex()
        return self._workspace_id

    @workspace_id.setter
    def workspace_id(self, value: str) -> None:
        self._set("workspace_id", value)

    @property
    def env(self) -> dict[str, str] | None:
        """Variables that the environment of this program, and so of all processes, has while the Flow runs."""
        return self._spec.env

    @env.setter
    def env(self, value: Mapping[str, str]) -> None:
        self._set("env", value)

    @property
    def monitoring(self) -> bool:
        """Whether metrics have a port of their own."""
        return self._spec.front.monitoring

    @property
    def port_monitoring(self) -> Any:
        """The port of the gateway's metrics, as it was given."""
        return self._spec.front.port_monitoring

    @property
    def tls_enabled(self) -> bool:
        """Whether clients connect by TLS."""
        return bool(self._spec.tls or self._spec.front.ssl_certfile)

    @property
    def num_deployments(self) -> int:
        """Number of Deployments; once the Flow is built, its gateway counts too."""
        return len(self._present) + self._built

    @property
    def num_pods(self) -> int:
        """Number of processes; the gateway is one of them."""
        return sum(len(deployment.workers) for deployment in self.plan.deployments) + 1

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return board.network_host()

    def __getitem__(self, key: str | int) -> FlowStep:
        steps = self._present
        if isinstance(key, int):
            return self._step(steps[key])
        found = next((step for step in steps if step.name == key), None)
        if found is None:
            raise KeyError(key)
        return self._step(found)

    def __iter__(self) -> Iterator[tuple[str, FlowStep]]:
        return iter([(step.name, self._step(step)) for step in self._present])

    @property
    def _present(self) -> list[StepSpec]:
        """The steps that are part of the graph: inspections that `inspect` takes out are not."""
        left = {deployment.name for deployment in self.plan.deployments}
        return [step for step in self._spec.steps if step.name in left]

    def __eq__(self, other: object) -> bool:
        """Whether both have the same Deployments, with the same options."""
        if not isinstance(other, FlowState):
            return NotImplemented
        mine, theirs = ([_compared(step) for step in flow.spec.executors] for flow in (self, other))
        return mine == theirs

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        steps = ", ".join(step.name for step in self._spec.executors) or "no Executor"
        state = ", running" if self._started else ""
        return f"<{type(self).__name__} {self.name!r}: {steps}{state}>"

    def _step(self, spec: StepSpec) -> FlowStep:
        plans = {deployment.name: deployment for deployment in self.plan.deployments}
        return FlowStep(spec, plans[spec.name])

    def _configure(self, option: str, value: Any) -> None:
        """Set an option of the gateway."""
        from jina.spec.flow import set_at_gateway

        self._may_set(option)
        self._replace(set_at_gateway(self._spec, option, value))

    def _set(self, name: str, value: Any) -> None:
        """Set an option of the Flow."""
        from jina.spec import FlowSpec, parse

        self._may_set(name)
        valid = parse(FlowSpec, {name: value}, "Flow")
        self._replace(self._spec.model_copy(update={name: getattr(valid, name)}))

    def _may_set(self, name: str) -> None:
        if self._started:
            raise FlowBuildLevelError(f"{name} of the running Flow {self.name!r} cannot be changed")


def _compared(step: StepSpec) -> dict[str, Any]:
    """What makes two steps equal: a class is the same as its import path."""
    return {
        name: f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value
        for name, value in step.non_defaults().items()
    }
