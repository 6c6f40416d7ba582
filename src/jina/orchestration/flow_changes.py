"""What can be asked of a Flow, and changed before and while it runs."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from jina.errors import ConfigError, FlowBuildLevelError, UsageError, nearest
from jina.orchestration import changes
from jina.orchestration.deployment import ServiceProperties, one_or_list
from jina.orchestration.display import network_host
from jina.orchestration.resolve import Resolved, resolve, resolve_around
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from threading import Lock

    from jina.config import FlowSpec, StepSpec
    from jina.orchestration.membership import Members, Planned
    from jina.plan.plans import DeploymentPlan, FlowPlan
    from jina.supervisor.agents import Agent
    from jina.supervisor.group import ProcessGroup
    from jina.supervisor.ports import PortReservations


class FlowStep(ServiceProperties):
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
        return [listener.port for listener in self.plan.gateway.listeners]

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
        return network_host()

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
        from jina.config.changes import set_at_gateway

        self._may_set(option)
        self._replace(set_at_gateway(self._spec, option, value))

    def _set(self, name: str, value: Any) -> None:
        """Set an option of the Flow."""
        from jina.config import FlowSpec, parse

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


class FlowChanging(FlowState):
    """What runs for a step becomes something else, while the others go on."""

    _changing: Lock
    _plan: FlowPlan | None
    _resolved: dict[str, Resolved]
    _gateway: Resolved | None
    _reservations: PortReservations
    _running_or_raise: Callable[[], ProcessGroup]

    def scale(self, name: str, replicas: int) -> None:
        """Run so many replicas of a Deployment from now on; see `Deployment.scale`."""
        with self._changing:
            step = self._own_step(name)
            if step.stateful:
                self._members(step).scale(changes.checked(step, replicas))
            else:
                self._change(changes.scaled(step, replicas), renew=False)

    def roll_out(self, name: str, **options: Any) -> None:
        """Replace the replicas of a Deployment one by one; see `Deployment.roll_out`."""
        with self._changing:
            self._change(changes.changed(self._own_step(name), options), renew=True)

    def add_replica(self, name: str) -> int:
        """Start one more replica of a stateful Deployment; see `Deployment.add_replica`."""
        with self._changing:
            return self._members(self._own_step(name)).add()

    def remove_replica(self, name: str, replica_id: int | None = None) -> int:
        """End a replica of a stateful Deployment; see `Deployment.remove_replica`."""
        with self._changing:
            return self._members(self._own_step(name)).remove(replica_id)

    def consensus_status(self, name: str) -> list[dict[str, Any]]:
        """What the consensus agents of a stateful Deployment tell; see `Deployment.consensus_status`."""
        from jina.orchestration.changes import status_of

        return status_of(self._agents(self._own_step(name)))

    def snapshot(self, name: str) -> None:
        """Write a snapshot of each replica of a stateful Deployment; see `Deployment.snapshot`."""
        from jina.orchestration.changes import have_snapshots

        have_snapshots(self._agents(self._own_step(name)))

    def _own_step(self, name: str) -> StepSpec:
        """A step as it was added; raises `UsageError` where there is none of that name."""
        self._running_or_raise()
        steps = {step.name: step for step in self._spec.executors}
        if name not in steps:
            near = nearest(str(name), steps)
            raise UsageError(
                f"Flow: there is no step {name!r}" + (f", did you mean {near!r}?" if near else ""),
                help=f"steps: {', '.join(steps)}",
            )
        return steps[name]

    def _agents(self, step: StepSpec) -> Sequence[Agent]:
        groups = {worker.consensus.group for worker in self._workers(step) if worker.consensus is not None}
        if not groups:
            raise UsageError(f"Flow: {step.name} is not stateful")
        return [agent for agent in self._running_or_raise().agents.agents if agent.plan.group in groups]

    def _workers(self, step: StepSpec) -> list[WorkerPlan]:
        return next(one.workers for one in self.plan.deployments if one.name == step.name)

    def _members(self, step: StepSpec) -> Members:
        from jina.orchestration.membership import Members

        self._agents(step)
        blob = blob_of(step.name, self._resolved[step.name])
        running = self._running_or_raise()

        def with_members(members: Collection[int]) -> Planned:
            return self._with_members(self._own_step(step.name), members)

        return Members(step, running, lambda: self._workers(step), with_members, blob)

    def _with_members(self, step: StepSpec, members: Collection[int]) -> Planned:
        from jina.orchestration.membership import Planned
        from jina.plan.consensus import of_members, spread

        wide = spread(step, self._workers(step), members, self._reservations.port)
        plan = self._planned(wide, self._resolved, members)
        changed = of_members(step, wide, members)
        workers = next(one.workers for one in plan.deployments if one.name == step.name)

        def commit() -> None:
            self._spec, self._plan = self._spec_with(changed), plan

        return Planned(workers, commit)

    def _recall(self) -> None:
        from jina.orchestration.membership import at_start
        from jina.plan.consensus import numbers, renumbered

        for step in self._spec.executors:
            if not step.stateful or step.raft_peers or step.external:
                continue
            workers = self._workers(step)
            members = at_start(workers)
            if members != numbers(workers):
                self._put(step.name, renumbered(step, workers, members))
                self._with_members(step, members).commit()

    def _put(self, name: str, workers: Sequence[WorkerPlan]) -> None:
        plan = self.plan
        deployments = [
            msgspec.structs.replace(one, workers=list(workers)) if one.name == name else one for one in plan.deployments
        ]
        self._plan = msgspec.structs.replace(plan, deployments=deployments)

    def _change(self, step: StepSpec, *, renew: bool) -> None:
        from jina.plan.consensus import numbers, spread
        from jina.plan.flow import runs

        whole = next(one for one in self._spec_with(step).steps if one.name == step.name)
        if not runs(whole):
            raise ConfigError(f"Flow: {step.name}: no Executor runs for it here")
        found = dict(resolved_step(whole))
        blobs = {one: blob_of(one, its) for one, its in found.items()}
        old, planned = self._workers(step), step
        members = numbers(old)
        if members:
            planned = spread(step, old, members, self._reservations.port)
        resolved = self._resolved | found
        plan = self._planned(planned, resolved, members)
        new = next(one.workers for one in plan.deployments if one.name == step.name)
        within = whole.ready_seconds if "timeout_ready" in whole.model_fields_set else None
        changes.change(self._running_or_raise(), [*old], [*new], blobs, renew=renew, within=within)
        self._spec, self._resolved, self._plan = self._spec_with(step), resolved, plan

    def _spec_with(self, step: StepSpec) -> FlowSpec:
        steps = tuple(step if one.name == step.name else one for one in self._spec.executors)
        return self._spec.model_copy(update={"executors": steps})

    def _planned(self, step: StepSpec, resolved: dict[str, Resolved], members: Collection[int]) -> FlowPlan:
        """The plan of what runs with another step; `members` are the replicas of one that is stateful."""
        from jina.plan.consensus import Ports, in_front, restricted
        from jina.plan.flow import plan_flow
        from jina.supervisor.gpus import MachineGpus

        now = self.plan
        executors = {one: found.plan for one, found in resolved.items()}
        custom = self._gateway.plan if self._gateway else None
        # Only the changed step is taken from the new plan: others may ask for ports that they have already.
        free = Ports([], self._reservations)
        plan = plan_flow(self._spec_with(step), executors, custom, free, MachineGpus())
        (new,) = (one for one in plan.deployments if one.name == step.name)
        if members:
            new = msgspec.structs.replace(new, workers=restricted(new.workers, self._workers(step), members))
        names = {worker.name for worker in new.workers}
        return msgspec.structs.replace(
            now,
            deployments=[new if one.name == step.name else one for one in now.deployments],
            gateway=in_front(now.gateway, plan.gateway, step.name, names),
        )


def resolved_step(step: StepSpec) -> list[tuple[str, Resolved]]:
    """The Executors of a step by `plan.copies.owner`."""
    with naming(step.name):
        return [(step.name, resolve(step)), *resolve_around(step).items()]


def blob_of(name: str, resolved: Resolved) -> bytes:
    """The pickle of an Executor of a step."""
    with naming(name):
        return resolved.blob()


@contextmanager
def naming(step: str) -> Iterator[None]:
    """Say at which step an error was found."""
    try:
        yield
    except ConfigError as error:
        error.message = f"Flow: {step}: {error.message}"
        error.args = (error.message,)
        raise
