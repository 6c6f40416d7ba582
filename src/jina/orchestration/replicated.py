"""What can be asked of a stateful Deployment besides requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.errors import JinaError, UsageError
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from threading import Lock

    from jina.launch.agents import Agent
    from jina.launch.ports import PortReservations
    from jina.launch.running import Running
    from jina.orchestration.own_key import OwnKey
    from jina.orchestration.resolving import Resolved
    from jina.plan.plans import DeploymentPlan
    from jina.spec import DeploymentSpec


class Replicated:
    """Status, snapshots and the number of the replicas of a stateful Deployment."""

    _processes: list[Running]
    _changing: Lock
    _spec: DeploymentSpec
    _plan: DeploymentPlan
    _resolved: Resolved
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
        from jina.replication import asking

        return [
            {"shard": agent.plan.shard, "replica": agent.plan.replica, **asking.status(agent.plan.socket)}
            for agent in sorted(self._agents(), key=lambda agent: (agent.plan.shard, agent.plan.replica))
        ]

    def snapshot(self) -> None:
        """Have each replica write its state and shorten its log; raises where one cannot."""
        from jina.replication import asking

        for agent in self._agents():
            asking.administer(agent.plan.socket, "snapshot")

    def add_replica(self) -> int:
        """Start one more replica while requests go on, and return its number when it has a vote and serves.

        It has the lowest number that is free, and gets the state from the others. If it does not become ready, its
        error is raised and everything is as before.
        """
        with self._changing:
            return self._add_replica()

    def remove_replica(self, replica_id: int | None = None) -> int:
        """End a replica while requests go on, the one with the highest number unless one is named; gives its number.

        It finishes what it has in work and leaves the group; one that leads hands over first. Its folder is renamed to
        `rep-<n>.removed`. Refused where the others would be no majority that answers.
        """
        with self._changing:
            return self._remove_replica(replica_id)

    def _scale_group(self, replicas: int) -> None:
        """As many replicas, added or removed one by one; those that were added go again where one cannot be."""
        from jina.orchestration.changing import checked

        replicas = checked(self._spec, replicas)
        self._members()
        added: list[int] = []
        try:
            while len(self._plan.workers) < replicas:
                added.append(self._add_replica())
        except JinaError:
            for number in reversed(added):
                self._remove_replica(number)
            raise
        while len(self._plan.workers) > replicas:
            self._remove_replica(None)

    def _members(self) -> list[int]:
        """The numbers of the replicas; raises where they cannot change."""
        from jina.orchestration import membership
        from jina.plan.membership import numbers

        self._agents()
        membership.check(self._spec, self._plan, self._processes[0])
        return numbers(self._plan)

    def _add_replica(self) -> int:
        from jina.launch.running import processes_of
        from jina.orchestration import membership

        self._members()
        number = membership.lowest_free(self._plan)
        spec, plan = self._with_replicas({*self._members(), number})
        within = spec.ready_seconds if "timeout_ready" in spec.model_fields_set else None
        workers = [one for one in processes_of(self._own_key.admitted(plan)) if isinstance(one, WorkerPlan)]
        worker = next(one for one in workers if one.replica_id == number)
        membership.add(self._processes[0], worker, self._resolved.blob(), within)
        self._spec, self._plan = spec, plan
        return number

    def _remove_replica(self, replica_id: int | None) -> int:
        from jina.orchestration import membership

        members = self._members()
        number = max(members) if replica_id is None else replica_id
        if number not in members:
            raise UsageError(f"{self._spec.name} has no replica {number}; there are {', '.join(map(str, members))}")
        if len(members) == 1:
            raise UsageError(f"{self._spec.name}: the only replica of a group cannot be removed")
        spec, plan = self._with_replicas(set(members) - {number})
        worker = next(one for one in self._plan.workers if one.replica_id == number)
        membership.remove(self._processes[0], worker)
        self._spec, self._plan = spec, plan
        return number

    def _with_replicas(self, members: set[int]) -> tuple[DeploymentSpec, DeploymentPlan]:
        """Spec and plan with these replicas; those that run keep their ports."""
        from jina.launch.gpus import MachineGpus
        from jina.orchestration.changing import kept
        from jina.plan import membership
        from jina.plan.deployment import plan_deployment

        known = {worker.replica_id: membership.peer_port(worker) for worker in self._plan.workers}
        ports = [
            (known.get(number) or self._reservations.port()) if number in members else 1
            for number in range(max(members) + 1)
        ]
        wide = self._spec.model_copy(update={"replicas": len(ports), "peer_ports": None})
        assert self._plan.gateway is not None
        given = membership.Ports([*ports, *kept(self._plan.gateway.faces)], self._reservations)
        plan = plan_deployment(wide, self._resolved.plan, given, gpus=MachineGpus(), behind_gateway=True)
        peer_ports = [ports[number] for number in sorted(members)] if self._spec.peer_ports else None
        spec = self._spec.model_copy(update={"replicas": len(members), "peer_ports": peer_ports})
        return spec, membership.restricted(plan, members)

    def _agents(self) -> Sequence[Agent]:
        agents = [agent for running in self._processes for agent in running.agents.agents]
        if not agents:
            raise UsageError("the Deployment is not stateful, or does not run")
        return agents
