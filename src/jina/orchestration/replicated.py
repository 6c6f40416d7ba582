"""What can be asked of a stateful Deployment besides requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.errors import UsageError

if TYPE_CHECKING:
    from jina.launch.agents import Agent
    from jina.launch.running import Running


class Replicated:
    """Status and snapshots of the replicas of a stateful Deployment."""

    _processes: list[Running]

    def consensus_status(self) -> list[dict[str, Any]]:
        """What the consensus agent of each replica tells, in the order of the replicas.

        `role` and `term`, `leader` and `members` by id, `first` and `last` entry of the log, how far it is
        `committed` and `applied` here, the entry of the newest `snapshot`, whether the Executor is `serving`; or
        `error` where an agent does not answer.
        """
        from jina.replication import asking

        return [{"replica": agent.plan.replica, **asking.status(agent.plan.socket)} for agent in self._agents()]

    def snapshot(self) -> None:
        """Have each replica write its state and shorten its log; raises where one cannot."""
        from jina.replication import asking

        for agent in self._agents():
            asking.administer(agent.plan.socket, "snapshot")

    def _agents(self) -> Sequence[Agent]:
        agents = [agent for running in self._processes for agent in running.agents.agents]
        if not agents:
            raise UsageError("the Deployment is not stateful, or does not run")
        return agents
