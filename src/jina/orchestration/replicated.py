"""What can be asked of a stateful Deployment besides requests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from jina.errors import UsageError
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from threading import Lock

    from jina.launch.agents import Agent
    from jina.launch.ports import PortReservations
    from jina.launch.running import Running
    from jina.orchestration.membership import Members, Planned
    from jina.orchestration.own_key import OwnKey
    from jina.orchestration.resolving import Resolved
    from jina.plan.plans import DeploymentPlan
    from jina.spec import DeploymentSpec

T = TypeVar("T")


class Replicated:
    """Status, snapshots and the number of the replicas of a stateful Deployment."""

    _processes: list[Running]
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
        """Have each replica write its state and shorten its log; raises where one cannot."""
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
        from jina.orchestration.changing import checked

        wanted = checked(self._spec, replicas)
        self._change_members(lambda members: members.scale(wanted), several=wanted > 1)

    def _change_members(self, change: Callable[[Members], T], *, several: bool) -> T:
        """Change the members; where there will be several, a gateway has to be in front of them first."""
        members = self._members()
        if several and self._plan.gateway is None:
            return self._come_out_of_solitude(lambda: change(members))
        return change(members)

    def _come_out_of_solitude(self, grow: Callable[[], T]) -> T:
        """Put a gateway in front of the only replica, and have it serve no port of its own once there are others."""
        from jina.launch.rollout import Change
        from jina.launch.sharing import shared
        from jina.orchestration import renewing
        from jina.plan.membership import numbers

        running, before = self._processes[0], self._plan
        plan, _ = self._plan_of_group(self._spec, self._resolved, self._around, numbers(before.workers), behind=True)
        gateway = self._own_key.admitted(plan).gateway
        assert gateway is not None
        running.change([[Change("add", gateway.name)]], {gateway.name: (shared(gateway, running.ports), b"")})
        self._plan = plan
        try:
            grown = grow()
            first = [worker for worker in self._plan.workers if worker.name == before.workers[0].name]
            renewing.roll_out(running, first, {self._spec.name: self._resolved.blob()}, None, alone=False)
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
        from jina.launch.running import processes_of
        from jina.orchestration.membership import Planned
        from jina.plan.membership import of_members

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
        from jina.launch.gpus import MachineGpus
        from jina.orchestration.changing import kept
        from jina.plan import membership
        from jina.plan.deployment import plan_deployment

        now = self._plan
        faces = now.workers[0].faces if now.gateway is None else now.gateway.faces
        wide = membership.spread(spec, now.workers, members, self._reservations.port)
        free = membership.Ports(kept(faces), self._reservations)
        others = {name: one.plan for name, one in around.items()}
        behind = behind or now.gateway is not None
        plan = plan_deployment(wide, resolved.plan, free, others, MachineGpus(), behind_gateway=behind)
        workers = membership.restricted(plan.workers, now.workers, members)
        gateway = plan.gateway
        if gateway is not None:
            gateway = membership.in_front(
                now.gateway or gateway, gateway, spec.name, {worker.name for worker in workers}
            )
        return msgspec.structs.replace(now, workers=workers, gateway=gateway), wide

    def _recall(self) -> None:
        from jina.orchestration.membership import at_start
        from jina.plan.membership import numbers, renumbered

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
    from jina.replication import asking

    return [
        {"shard": agent.plan.shard, "replica": agent.plan.replica, **asking.status(agent.plan.socket)}
        for agent in sorted(agents, key=lambda agent: (agent.plan.shard, agent.plan.replica))
    ]


def have_snapshots(agents: Sequence[Agent]) -> None:
    """See `Replicated.snapshot`."""
    from jina.replication import asking

    for agent in agents:
        asking.administer(agent.plan.socket, "snapshot")
