"""Changes of a Deployment while it runs, without a pause: its Executor, its options, the number of its replicas.

Imported when something is changed, not before: it needs the rooms that run processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from jina.config import parse
from jina.config.base import canonical
from jina.errors import ConfigError, NotSupportedError, UsageError, nearest
from jina.orchestration.membership import Members, Planned, at_start, roll_out
from jina.orchestration.resolve import (
    DeploymentState,
    FlowState,
    OwnKey,
    Resolved,
    blobs_of,
    plan_of_deployment,
    plan_of_flow,
    resolved_all,
)
from jina.plan.consensus import Ports, in_front, numbers, of_members, renumbered, restricted, spread
from jina.plan.flow import runs
from jina.plan.plans import DeploymentPlan, FlowPlan, ProcessPlan, WorkerPlan
from jina.plan.processes import AROUND, owner
from jina.replication.admin import administer, agent_status
from jina.supervisor.agents import Agent
from jina.supervisor.group import ProcessGroup, processes_of
from jina.supervisor.policies import Change, stages_between
from jina.supervisor.ports import PortReservations, listeners_of, shared

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec, StepSpec

    S = TypeVar("S", bound=DeploymentSpec)
T = TypeVar("T")
CHANGEABLE: Final = frozenset({
    "uses", "uses_before", "uses_after", "uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching",
    "py_modules", "extra_search_paths", "output_array_type", "exit_on_exceptions", "allow_concurrent", "env", "grace",
    "timeout_ready", "log_level", "log_format", "quiet_error", "restart_limit", "restart_backoff", "timeout_hang",
    "restart_hung",
})  # fmt: skip
"""Options of a Deployment that `roll_out` takes: those that its workers alone know."""


@dataclass
class Changes(ABC):
    """Changes of one Deployment that runs, alone or as a step of a Flow: one at a time, each made from the last.

    A change is planned, then the processes are changed, then what was planned is kept. `running` gives the processes
    or raises.
    """

    running: Callable[[], ProcessGroup]
    changing: Lock
    ports: PortReservations

    # --- what runs, and what another spec makes of it -----------------------------------------------------

    @property
    @abstractmethod
    def _spec(self) -> DeploymentSpec:
        """The options now, without those of a Flow."""

    @property
    @abstractmethod
    def _workers(self) -> list[WorkerPlan]:
        """The workers now."""

    @abstractmethod
    def _agents(self) -> Sequence[Agent]:
        """The consensus agents; raises `UsageError` where there are none."""

    @abstractmethod
    def _whole(self, spec: DeploymentSpec) -> DeploymentSpec:
        """A spec with the options that come from the Flow; raises `ConfigError` where nothing runs for it."""

    @abstractmethod
    def _resolve(self, spec: DeploymentSpec) -> dict[str, Resolved]:
        """The Executors of a whole spec."""

    @abstractmethod
    def _planned(self, spec: DeploymentSpec, members: Collection[int], found: Mapping[str, Resolved]) -> Any:
        """The plan of a spec on the ports that are in use; `members` are the replicas where it is stateful.

        `found` are Executors that replace those that run.
        """

    @abstractmethod
    def _without_workers(self, plan: Any) -> Any:
        """The plan with a gateway that has no worker behind it here."""

    @abstractmethod
    def _processes(self, plan: Any = None) -> list[ProcessPlan]:
        """The processes of a plan that a change is about; those that run without a plan."""

    @abstractmethod
    def _keep(self, spec: DeploymentSpec, plan: Any, found: Mapping[str, Resolved]) -> None:
        """From now on, this is what runs."""

    @abstractmethod
    def _put(self, workers: list[WorkerPlan]) -> None:
        """Plan other workers before the start."""

    @abstractmethod
    def _blobs(self, found: Mapping[str, Resolved]) -> dict[str, bytes]:
        """The pickles of these Executors, and of those that run."""

    # --- changes ------------------------------------------------------------------------------------------

    def scale(self, replicas: int) -> None:
        """See `Deployment.scale`."""
        with self.changing:
            if self._spec.autoscale is not None:
                raise ConfigError(
                    f"{self._spec.name}: autoscale decides how many replicas there are",
                    help="start it with other bounds, autoscale={'min': ..., 'max': ...}, or without autoscale",
                )
            if not self._spec.stateful:
                return self._change(scaled(self._spec, replicas), renew=False)
            wanted = int(with_options(self._spec, {"replicas": replicas}).replicas)
            return self._change_members(lambda members: members.scale(wanted), several=wanted > 1)

    def autoscale(self, replicas: int) -> None:
        """Run so many replicas, perhaps none, without another spec than one replica has."""
        with self.changing:
            spec = self._spec.model_copy(update={"replicas": max(replicas, 1)})
            self._change(spec, renew=False, empty=not replicas)

    def roll_out(self, options: Mapping[str, Any]) -> None:
        """See `Deployment.roll_out`."""
        with self.changing:
            self._refuse_images()
            self._change(changed(self._spec, options), renew=True)

    def add_replica(self) -> int:
        """See `Deployment.add_replica`."""
        with self.changing:
            return self._change_members(Members.add, several=True)

    def remove_replica(self, replica_id: int | None = None) -> int:
        """See `Deployment.remove_replica`."""
        with self.changing:
            return self._members().remove(replica_id)

    def consensus_status(self) -> list[dict[str, Any]]:
        """See `Deployment.consensus_status`."""
        return [
            {"shard": agent.plan.shard, "replica": agent.plan.replica, **agent_status(agent.plan.socket)}
            for agent in sorted(self._agents(), key=lambda agent: (agent.plan.shard, agent.plan.replica))
        ]

    def snapshot(self) -> None:
        """See `Deployment.snapshot`."""
        for agent in self._agents():
            administer(agent.plan.socket, "snapshot")

    def recall(self) -> None:
        """Plan the replicas that are on the disk, where those are others than a first start has."""
        members = at_start(self._workers)
        if members != numbers(self._workers):
            self._put(renumbered(self._spec, self._workers, members))
            self._with_members(members).commit()

    def _refuse_images(self) -> None:
        if any(worker.consensus is not None and worker.executor.container is not None for worker in self._workers):
            raise NotSupportedError(
                f"{self._spec.name}: the replicas of a stateful image are not changed while they run",
                help="close it, and start it with the new options; its replicas keep their state",
            )

    def _change(self, spec: DeploymentSpec, *, renew: bool, empty: bool = False) -> None:
        """Run what a spec says; with `empty` the gateway alone."""
        running, whole, members = self.running(), self._whole(spec), numbers(self._workers)
        found, before, old = self._resolve(whole), self.ports.held, self._processes()
        wide = spread(spec, self._workers, members, self.ports.port) if members else spec
        try:
            plan = self._planned(wide, members, found)
            plan = self._without_workers(plan) if empty else plan
            new = self._processes(plan)
            change(running, old, new, self._blobs(found), renew=renew, within=whole.ready_seconds_asked)
            self._keep(spec, plan, found)
        finally:
            if not members:
                chosen = (self.ports.held - before) | (self.ports.held & _chosen_for_metrics(old))
                self.ports.give_back(chosen - _ports_of(self._processes()))

    def _members(self) -> Members:
        """The replicas of a stateful one; raises where they cannot change."""
        self._refuse_images()
        self._agents()
        blob = self._blobs({})[self._spec.name]
        return Members(self._spec, self.running(), lambda: self._workers, self._with_members, blob)

    def _change_members(self, change: Callable[[Members], T], *, several: bool) -> T:
        """Change the replicas of a stateful one; `several` says whether there will be more than one."""
        del several
        return change(self._members())

    def _with_members(self, members: Collection[int]) -> Planned:
        spec = self._spec
        wide = spread(spec, self._workers, members, self.ports.port)
        plan = self._planned(wide, members, {})
        workers = [one for one in self._processes(plan) if isinstance(one, WorkerPlan)]
        return Planned(workers, lambda: self._keep(of_members(spec, wide, members), plan, {}))


@dataclass
class DeploymentChanges(Changes):
    """Of a Deployment that stands alone: its gateway comes and goes with its replicas."""

    state: DeploymentState
    own_key: OwnKey

    @property
    def _spec(self) -> DeploymentSpec:
        return self.state.spec

    @property
    def _workers(self) -> list[WorkerPlan]:
        return self.state.plan.workers

    def _agents(self) -> Sequence[Agent]:
        if any(worker.consensus is not None for worker in self._workers) and (agents := self.running().agents.agents):
            return agents
        raise UsageError("the Deployment is not stateful, or does not run")

    def _whole(self, spec: DeploymentSpec) -> DeploymentSpec:
        return spec

    def _resolve(self, spec: DeploymentSpec) -> dict[str, Resolved]:
        return resolved_all(spec)

    def _planned(
        self,
        spec: DeploymentSpec,
        members: Collection[int],
        found: Mapping[str, Resolved],
        *,
        behind: bool = False,
    ) -> DeploymentPlan:
        """`behind` puts a gateway in front of one that has none."""
        now, executors = self.state.plan, found or self.state.executors
        behind = behind or now.gateway is not None
        front: list[ProcessPlan] = [now.gateway] if now.gateway is not None else [*now.workers]
        served = [*now.listeners, *(one.monitoring for one in front if one.monitoring is not None)]
        used = [listener.port for listener in served if listener.share_port]
        plan = plan_of_deployment(spec, executors, Ports(used, self.ports), behind=behind)
        if not members:
            return plan
        workers, gateway = restricted(plan.workers, now.workers, members), plan.gateway
        if gateway is not None:
            gateway = in_front(now.gateway or gateway, gateway, spec.name, {worker.name for worker in workers})
        return replace(now, workers=workers, gateway=gateway)

    def _without_workers(self, plan: DeploymentPlan) -> DeploymentPlan:
        return replace(plan, workers=[])

    def _processes(self, plan: DeploymentPlan | None = None) -> list[ProcessPlan]:
        return processes_of(self.own_key.admitted(plan or self.state.plan))

    def _keep(self, spec: DeploymentSpec, plan: DeploymentPlan, found: Mapping[str, Resolved]) -> None:
        self.state.spec, self.state.plan, self.state.executors = spec, plan, found or self.state.executors

    def _put(self, workers: list[WorkerPlan]) -> None:
        self.state.plan = replace(self.state.plan, workers=workers)

    def _blobs(self, found: Mapping[str, Resolved]) -> dict[str, bytes]:
        return blobs_of(found or self.state.executors)

    def _change_members(self, change: Callable[[Members], T], *, several: bool) -> T:
        """A gateway in front of the only replica first, which serves no port of its own from then on."""
        members, before = self._members(), self.state.plan
        if not several or before.gateway is not None:
            return change(members)
        running = self.running()
        wide = spread(self._spec, before.workers, members.numbers, self.ports.port)
        plan = self._planned(wide, members.numbers, {}, behind=True)
        gateway = self.own_key.admitted(plan).gateway
        assert gateway is not None
        running.change([[Change("add", gateway.name)]], {gateway.name: (shared(gateway, running.ports), b"")})
        self.state.plan = plan
        try:
            made = change(members)
            first = [worker for worker in self._workers if worker.name == before.workers[0].name]
            roll_out(running, first, self._blobs({}), None, alone=False)
        except BaseException:
            if len(self._workers) == 1:
                self.state.plan = before
                running.change([[Change("remove", gateway.name)]], {})
            raise
        return made


@dataclass
class StepChanges(Changes):
    """Of a step of a Flow: the other steps go on, and the gateway of the Flow learns of the step's workers."""

    state: FlowState
    name: str

    @property
    def _spec(self) -> StepSpec:
        steps = {step.name: step for step in self.state.spec.executors}
        if self.name not in steps:
            near = nearest(str(self.name), steps)
            raise UsageError(
                f"Flow: there is no step {self.name!r}" + (f", did you mean {near!r}?" if near else ""),
                help=f"steps: {', '.join(steps)}",
            )
        return steps[self.name]

    @property
    def _workers(self) -> list[WorkerPlan]:
        return self._workers_of(self._plan)

    @property
    def _plan(self) -> FlowPlan:
        assert self.state.plan is not None
        return self.state.plan

    def _workers_of(self, plan: FlowPlan) -> list[WorkerPlan]:
        return next(one.workers for one in plan.deployments if one.name == self.name)

    def _agents(self) -> Sequence[Agent]:
        running, name = self.running(), self._spec.name
        groups = {worker.consensus.group for worker in self._workers if worker.consensus is not None}
        if not groups:
            raise UsageError(f"Flow: {name} is not stateful")
        return [agent for agent in running.agents.agents if agent.plan.group in groups]

    def _whole(self, spec: DeploymentSpec) -> StepSpec:
        whole = next(one for one in self._flow_with(spec).steps if one.name == self.name)
        if not runs(whole):
            raise ConfigError(f"Flow: {self.name}: no Executor runs for it here")
        return whole

    def _flow_with(self, spec: DeploymentSpec) -> FlowSpec:
        flow = self.state.spec
        return flow.model_copy(
            update={"executors": tuple(spec if one.name == self.name else one for one in flow.executors)}
        )

    def _resolve(self, spec: DeploymentSpec) -> dict[str, Resolved]:
        return resolved_all(spec, "Flow: ")

    def _planned(self, spec: DeploymentSpec, members: Collection[int], found: Mapping[str, Resolved]) -> FlowPlan:
        """The other steps stay as they are: a new plan might give them ports that are in use."""
        now, state = self._plan, self.state
        plan = plan_of_flow(self._flow_with(spec), {**state.executors, **found}, state.gateway, Ports([], self.ports))
        workers = self._workers_of(plan)
        if members:
            workers = restricted(workers, self._workers, members)
        else:
            ports = {worker.name: worker.monitoring for worker in self._workers}
            workers = [replace(one, monitoring=ports.get(one.name, one.monitoring)) for one in workers]
        gateway = in_front(now.gateway, plan.gateway, self.name, {worker.name for worker in workers})
        return replace(_with_workers(now, self.name, workers), gateway=gateway)

    def _without_workers(self, plan: FlowPlan) -> FlowPlan:
        return _with_workers(plan, self.name, [])

    def _processes(self, plan: FlowPlan | None = None) -> list[ProcessPlan]:
        return [*self._workers_of(plan or self._plan)]

    def _keep(self, spec: DeploymentSpec, plan: FlowPlan, found: Mapping[str, Resolved]) -> None:
        state = self.state
        state.spec, state.plan, state.executors = self._flow_with(spec), plan, {**state.executors, **found}

    def _put(self, workers: list[WorkerPlan]) -> None:
        self.state.plan = _with_workers(self._plan, self.name, workers)

    def _blobs(self, found: Mapping[str, Resolved]) -> dict[str, bytes]:
        return blobs_of(found or {self.name: self.state.executors[self.name]}, "Flow: ")


def _with_workers(plan: FlowPlan, name: str, workers: list[WorkerPlan]) -> FlowPlan:
    """The plan with other workers of one Deployment."""
    deployments = [replace(one, workers=workers) if one.name == name else one for one in plan.deployments]
    return replace(plan, deployments=deployments)


def scaled(spec: S, replicas: int) -> S:
    """The spec with so many replicas; raises `ConfigError` for a wrong number."""
    _check(spec)
    return with_options(spec, {"replicas": replicas})


def changed(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options; raises `ConfigError` for one that cannot change while it runs."""
    _check(spec)
    given = {canonical(name, type(spec).model_fields): value for name, value in options.items()}
    for name in given.keys() - CHANGEABLE:
        if name in type(spec).model_fields:
            raise ConfigError(f"{spec.name}: {name} cannot be changed while it runs")
        near = nearest(name, CHANGEABLE)
        hint = f", did you mean '{near}'?" if near else f"; there are {', '.join(sorted(CHANGEABLE))}"
        raise ConfigError(f"{spec.name}: {name!r} is not an option that can be changed{hint}")
    for name in AROUND:
        if name in given and (given[name] is None) != (getattr(spec, name) is None):
            raise ConfigError(f"{spec.name}: {name} can be replaced, but neither added nor removed while it runs")
    return with_options(spec, given)


def _check(spec: DeploymentSpec) -> None:
    if spec.external:
        raise ConfigError(f"{spec.name} is external: change it in the program that started it")
    if spec.raft_peers:
        raise NotSupportedError(
            f"{spec.name}: a replica that was started by itself is changed by starting it again",
            help="close it, and start it with the new options",
        )


def with_options(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options, checked as always."""
    valid: Any = parse(type(spec), dict(options), spec.name)
    return spec.model_copy(update={name: getattr(valid, name) for name in options})


def change(
    running: ProcessGroup,
    old: list[ProcessPlan],
    new: list[ProcessPlan],
    blobs: Mapping[str, bytes],
    *,
    renew: bool,
    within: float | None,
) -> None:
    """Change the processes and wait for it; raises what `ProcessGroup.change` raises."""
    if not running.settled:
        raise ConfigError(f"{running.name} is still starting: call wait_start_success() before changing it")
    if any(isinstance(plan, WorkerPlan) and plan.consensus for plan in old):
        roll_out(running, [plan for plan in new if isinstance(plan, WorkerPlan)], blobs, within)
        return
    held = running.ports
    plans = {plan.name: (shared(plan, held), blobs.get(_executor_of(plan), b"")) for plan in new}
    running.change(stages_between(old, new, renew=renew), plans, within)


def _ports_of(plans: Collection[ProcessPlan]) -> set[int]:
    """The ports that these processes serve, and those of their metrics."""
    served = [[*listeners_of(plan), *([plan.monitoring] if plan.monitoring else [])] for plan in plans]
    return {listener.port for listeners in served for listener in listeners}


def _chosen_for_metrics(plans: Collection[ProcessPlan]) -> set[int]:
    """The ports of metrics that the user did not give."""
    return {plan.monitoring.port for plan in plans if plan.monitoring is not None and plan.monitoring.share_port}


def _executor_of(plan: ProcessPlan) -> str:
    """The name by which the pickle of a process is found."""
    return owner(getattr(plan, "deployment", "gateway"), getattr(plan, "part", ""))
