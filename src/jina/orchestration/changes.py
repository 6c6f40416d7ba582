"""Changes of what runs without a pause, and what can be asked of a stateful Deployment."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from jina.errors import ConfigError, NotSupportedError, UsageError, nearest
from jina.plan.plans import WorkerPlan
from jina.plan.processes import AROUND, owner

if TYPE_CHECKING:
    from threading import Lock

    from jina.config import DeploymentSpec
    from jina.orchestration.membership import Members, Planned
    from jina.orchestration.resolve import OwnKey, Resolved
    from jina.plan.plans import DeploymentPlan
    from jina.supervisor.agents import Agent
    from jina.supervisor.group import ProcessGroup
    from jina.supervisor.ports import PortReservations

if TYPE_CHECKING:
    from jina.config import DeploymentSpec
    from jina.orchestration.resolve import Resolved
    from jina.plan.plans import ListenerPlan, ProcessPlan
    from jina.supervisor.group import ProcessGroup

    S = TypeVar("S", bound=DeploymentSpec)
CHANGEABLE: Final = frozenset({
    "uses", "uses_before", "uses_after", "uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching",
    "py_modules", "extra_search_paths", "output_array_type", "exit_on_exceptions", "allow_concurrent", "env", "grace",
    "timeout_ready", "log_level", "log_format", "quiet_error", "restart_limit", "restart_backoff", "timeout_hang",
    "restart_hung",
})  # fmt: skip
"""Options of a Deployment that `roll_out` takes: those that its workers alone know."""


def scaled(spec: S, replicas: int) -> S:
    """The spec with so many replicas; raises `ConfigError` for a number that is none."""
    _check(spec)
    return with_options(spec, {"replicas": replicas})


def checked(spec: DeploymentSpec, replicas: int) -> int:
    """The number of replicas as the option is read; raises `ConfigError` for one that is none."""
    return int(with_options(spec, {"replicas": replicas}).replicas)


def changed(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options; raises `ConfigError` for one that cannot change while it runs."""
    _check(spec)
    from jina.config.base import canonical

    given = {canonical(name, type(spec).model_fields): value for name, value in options.items()}
    for name in given.keys() - CHANGEABLE:
        if name in type(spec).model_fields:
            raise ConfigError(f"{spec.name}: {name} cannot be changed while it runs")
        near = nearest(name, CHANGEABLE)
        hint = f", did you mean '{near}'?" if near else f"; there are {', '.join(sorted(CHANGEABLE))}"
        raise ConfigError(f"{spec.name}: {name!r} is no option that can be changed{hint}")
    for name in AROUND:
        if name in given and (given[name] is None) != (getattr(spec, name) is None):
            raise ConfigError(f"{spec.name}: {name} can be replaced, but neither added nor taken away while it runs")
    return with_options(spec, given)


def _check(spec: DeploymentSpec) -> None:
    if spec.external:
        raise ConfigError(f"{spec.name} is external: whoever started it can change it")
    if spec.raft_peers:
        raise NotSupportedError(
            f"{spec.name}: a replica that was started by itself is changed by starting it again",
            help="close it, and start it with the new options",
        )


def with_options(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options, checked as always."""
    from jina.config import parse

    valid: Any = parse(type(spec), dict(options), spec.name)
    return spec.model_copy(update={name: getattr(valid, name) for name in options})


def reloaded(specs: Iterable[DeploymentSpec], found: Mapping[str, Resolved]) -> dict[str, set[str]]:
    """By name: those that follow changes of their files, with the YAML file of the Executor, if it has one.

    Raises `ConfigError` for a class that has no file of its own to be imported from again.
    """
    followed = [spec for spec in specs if spec.reload and spec.name in found]
    for spec in followed:
        cls = found[spec.name].by_value
        if cls is not None:
            raise ConfigError(
                f"{spec.name}: reload: {cls.__name__} is defined in the program itself, which cannot be loaded again",
                help="move the class to a module of its own, or give the path of its file as py_modules",
            )
    return {spec.name: set(_yaml_of(spec)) for spec in followed}


def _yaml_of(spec: DeploymentSpec) -> list[str]:
    if not isinstance(spec.uses, str) or not spec.uses.endswith((".yml", ".yaml")):
        return []
    folders = ["", *spec.extra_search_paths, *filter(None, [spec.folder])]
    paths = [os.path.abspath(os.path.join(folder, spec.uses)) for folder in folders]
    return [path for path in paths if os.path.isfile(path)][:1]


def kept(listeners: list[ListenerPlan]) -> list[int]:
    """The ports that were chosen for these listeners."""
    return [listener.port for listener in listeners if listener.share_port]


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
    from jina.supervisor.policies import stages_between
    from jina.supervisor.ports import shared

    if not running.settled:
        raise ConfigError(f"{running.name} still starts: wait_start_success() waits until it can be changed")
    if any(isinstance(plan, WorkerPlan) and plan.consensus for plan in old):
        from jina.orchestration.membership import roll_out

        roll_out(running, [plan for plan in new if isinstance(plan, WorkerPlan)], blobs, within)
        return
    held = running.ports
    plans = {plan.name: (shared(plan, held), blobs.get(_executor_of(plan), b"")) for plan in new}
    running.change(stages_between(old, new, renew=renew), plans, within)


def _executor_of(plan: ProcessPlan) -> str:
    """The name by which the pickle of a process is found."""
    return owner(getattr(plan, "deployment", "gateway"), getattr(plan, "part", ""))


T = TypeVar("T")


class Replicated:
    """Status, snapshots and the number of the replicas of a stateful Deployment."""

    _processes: list[ProcessGroup]
    _changing: Lock
    _spec: DeploymentSpec
    _plan: DeploymentPlan
    _resolved: Resolved
    _around: Mapping[str, Resolved]
    _reservations: PortReservations
    _own_key: OwnKey

    def consensus_status(self) -> list[dict[str, Any]]:
        """What the consensus agent of each replica tells, in the order of shards and replicas.

        `shard` and `replica` say whose it is, `role` and `term`, `leader` and `members` by id, `first` and `last` entry
        of the log, how far it is `committed` and `applied` here, the entry of the newest `snapshot`, its
        `snapshot_bytes` and `snapshot_time`, `log_bytes` on the disk, the agent's `pid`, how many `elections` it saw,
        whether the Executor is `serving`. The leader tells by replica how many entries the other members do not have
        (`lag`; None: silent). `error` alone where an agent does not answer.
        """
        return status_of(self._agents())

    def snapshot(self) -> None:
        """Write a snapshot of each replica, which shortens its log; raises where one cannot."""
        have_snapshots(self._agents())

    def add_replica(self) -> int:
        """Start one more replica while requests go on, and return its number when it has a vote and serves.

        It has the lowest number that is free, the same in each shard, and gets the state from the others. If it does
        not become ready, its error is raised and everything is as before.
        """
        with self._changing:
            return self._change_members(lambda members: members.add(), several=True)

    def remove_replica(self, replica_id: int | None = None) -> int:
        """End a replica while requests go on, the one with the highest number unless one is named; gives its number.

        It finishes what it has in work and leaves the group; one that leads hands over first. Its folder is renamed to
        `rep-<n>.removed`. With shards, one of each goes. Refused where the others would be no majority that answers.
        """
        with self._changing:
            return self._members().remove(replica_id)

    def _scale_group(self, replicas: int) -> None:
        """As many replicas, added or removed one by one; those that were added go again where one cannot be."""
        wanted = checked(self._spec, replicas)
        self._change_members(lambda members: members.scale(wanted), several=wanted > 1)

    def _change_members(self, change: Callable[[Members], T], *, several: bool) -> T:
        """Change the members; where there will be several, a gateway has to be in front of them first."""
        members = self._members()
        if several and self._plan.gateway is None:
            return self._serve_peers(lambda: change(members))
        return change(members)

    def _serve_peers(self, grow: Callable[[], T]) -> T:
        """Put a gateway in front of the only replica, and have it serve no port of its own once there are others."""
        from jina.orchestration.membership import roll_out
        from jina.plan.consensus import numbers
        from jina.supervisor.policies import Change
        from jina.supervisor.ports import shared

        running, before = self._processes[0], self._plan
        plan, _ = self._plan_of_group(self._spec, self._resolved, self._around, numbers(before.workers), behind=True)
        gateway = self._own_key.admitted(plan).gateway
        assert gateway is not None
        running.change([[Change("add", gateway.name)]], {gateway.name: (shared(gateway, running.ports), b"")})
        self._plan = plan
        try:
            grown = grow()
            first = [worker for worker in self._plan.workers if worker.name == before.workers[0].name]
            roll_out(running, first, {self._spec.name: self._resolved.blob()}, None, alone=False)
        except BaseException:
            if len(self._plan.workers) == 1:
                self._plan = before
                running.change([[Change("remove", gateway.name)]], {})
            raise
        return grown

    def _members(self) -> Members:
        """Raises where they cannot change."""
        from jina.orchestration.membership import Members

        self._agents()
        blob = self._resolved.blob()
        return Members(self._spec, self._processes[0], lambda: self._plan.workers, self._with_members, blob)

    def _with_members(self, members: Collection[int]) -> Planned:
        from jina.orchestration.membership import Planned
        from jina.plan.consensus import of_members
        from jina.supervisor.group import processes_of

        plan, wide = self._plan_of_group(self._spec, self._resolved, self._around, members)
        spec = of_members(self._spec, wide, members)

        def commit() -> None:
            self._spec, self._plan = spec, plan

        admitted = processes_of(self._own_key.admitted(plan))
        return Planned([one for one in admitted if isinstance(one, WorkerPlan)], commit)

    def _plan_of_group(
        self,
        spec: DeploymentSpec,
        resolved: Resolved,
        around: Mapping[str, Resolved],
        members: Collection[int],
        *,
        behind: bool = False,
    ) -> tuple[DeploymentPlan, DeploymentSpec]:
        """The plan with these members, and the spec that it is of; the gateway and what runs keep their ports.

        `behind` puts a gateway in front of one that has none.
        """
        from jina.plan.consensus import Ports, in_front, restricted, spread
        from jina.plan.deployment import plan_deployment
        from jina.supervisor.gpus import MachineGpus

        now = self._plan
        listeners = now.workers[0].listeners if now.gateway is None else now.gateway.listeners
        wide = spread(spec, now.workers, members, self._reservations.port)
        free = Ports(kept(listeners), self._reservations)
        others = {name: one.plan for name, one in around.items()}
        behind = behind or now.gateway is not None
        plan = plan_deployment(wide, resolved.plan, free, others, MachineGpus(), behind_gateway=behind)
        workers = restricted(plan.workers, now.workers, members)
        gateway = plan.gateway
        if gateway is not None:
            gateway = in_front(now.gateway or gateway, gateway, spec.name, {worker.name for worker in workers})
        return msgspec.structs.replace(now, workers=workers, gateway=gateway), wide

    def _recall(self) -> None:
        from jina.orchestration.membership import at_start
        from jina.plan.consensus import numbers, renumbered

        if not self._spec.stateful or self._spec.raft_peers or self._spec.external:
            return
        members = at_start(self._plan.workers)
        if members != numbers(self._plan.workers):
            self._plan = msgspec.structs.replace(
                self._plan, workers=renumbered(self._spec, self._plan.workers, members)
            )
            self._with_members(members).commit()

    def _agents(self) -> Sequence[Agent]:
        agents = [agent for running in self._processes for agent in running.agents.agents]
        if not agents:
            raise UsageError("the Deployment is not stateful, or does not run")
        return agents


def status_of(agents: Sequence[Agent]) -> list[dict[str, Any]]:
    """See `Replicated.consensus_status`."""
    from jina.replication.admin import agent_status

    return [
        {"shard": agent.plan.shard, "replica": agent.plan.replica, **agent_status(agent.plan.socket)}
        for agent in sorted(agents, key=lambda agent: (agent.plan.shard, agent.plan.replica))
    ]


def have_snapshots(agents: Sequence[Agent]) -> None:
    """See `Replicated.snapshot`."""
    from jina.replication.admin import administer

    for agent in agents:
        administer(agent.plan.socket, "snapshot")
