"""More and fewer replicas of a stateful Deployment, and another Executor, replica by replica, while it runs."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from jina.errors import ConfigError, JinaError, NotSupportedError, RuntimeFailToStart, Unavailable, UsageError
from jina.observe import logs
from jina.plan.consensus import numbers
from jina.plan.plans import ConsensusPlan, ProcessPlan, WorkerPlan
from jina.plan.processes import owner
from jina.replication.admin import administer, agent_status, folders_in, members_of
from jina.supervisor.agents import folder_of
from jina.supervisor.policies import Change, stages_between

if TYPE_CHECKING:
    from jina.config import DeploymentSpec
    from jina.supervisor.agents import Agent
    from jina.supervisor.group import ProcessGroup

_PATIENCE = 60.0
"""Seconds that the group has to agree on a change."""
_LOOK = 0.02


class Planned(NamedTuple):
    """The workers of a Deployment with other members, and what makes that the plan."""

    workers: Sequence[WorkerPlan]
    commit: Callable[[], None]


class Members:
    """The replicas of a stateful Deployment that runs; all its shards have the same.

    `workers` gives those that are planned now, `plan` those with other members; new ones get the pickle `blob`, and
    have to be ready `within` seconds, None for as long as they live. Raises where nothing can change.
    """

    def __init__(
        self,
        spec: DeploymentSpec,
        running: ProcessGroup,
        workers: Callable[[], Sequence[WorkerPlan]],
        plan: Callable[[Collection[int]], Planned],
        blob: bytes,
    ) -> None:
        if spec.raft_peers:
            raise NotSupportedError(
                f"{spec.name}: replicas that are started one by one are changed by `jina raft`",
                help="jina raft --help lists the commands, such as `jina raft remove`",
            )
        if not running.settled:
            raise ConfigError(f"{running.name} is still starting: call wait_start_success() before changing it")
        self._name = spec.name
        self._within = spec.ready_seconds_asked
        self._running = running
        self._workers = workers
        self._plan = plan
        self._blob = blob

    @property
    def numbers(self) -> list[int]:
        """Of the replicas of each shard."""
        return numbers(self._workers())

    def add(self) -> int:
        """One more in each shard; gives its number. Raises why it does not become ready; all is as before then."""
        members = self.numbers
        number = next(number for number in itertools.count() if number not in members)
        planned = self._plan({*members, number})
        added: list[WorkerPlan] = []
        try:
            for worker in _those(planned.workers, number):
                _add(self._running, worker, self._blob, self._within)
                added.append(worker)
        except JinaError:
            for worker in added:
                _remove(self._running, worker)
            raise
        planned.commit()
        return number

    def remove(self, number: int | None = None) -> int:
        """One less in each shard, the last one unless one is named; gives its number."""
        members = self.numbers
        number = max(members) if number is None else number
        if number not in members:
            raise UsageError(f"{self._name} has no replica {number}; there are {', '.join(map(str, members))}")
        if len(members) == 1:
            raise UsageError(f"{self._name}: the only replica of a group cannot be removed")
        planned = self._plan(set(members) - {number})
        here = {(one.plan.group, one.plan.replica) for one in self._running.agents.agents}
        candidates = [(worker, consensus_of(worker)) for worker in _those(self._workers(), number)]
        # A shard that it left already, before one failed in which it could not, is not asked again.
        leaving = [worker for worker, consensus in candidates if (consensus.group, consensus.replica) in here]
        for worker in leaving:
            _require_leave(self._running, worker)
        for worker in leaving:
            _remove(self._running, worker)
        planned.commit()
        return number

    def scale(self, replicas: int) -> None:
        """So many in each shard, added or removed one by one; those added go again where one cannot be."""
        added: list[int] = []
        try:
            while len(self.numbers) < replicas:
                added.append(self.add())
        except JinaError:
            for number in reversed(added):
                self.remove(number)
            raise
        while len(self.numbers) > replicas:
            self.remove()


def at_start(workers: Sequence[WorkerPlan]) -> list[int]:
    """The numbers of the replicas of a start of as many as are planned: the members, then the lowest that are free.

    A group from which some were removed has gaps. More members than are planned are the agents' to refuse.
    """
    planned = numbers(workers)
    members: set[int] = set()
    for root in sorted({os.path.dirname(folder_of(consensus_of(one))) for one in workers if one.consensus is not None}):
        folders = folders_in(root)
        if folders and folders.keys() != set(planned):
            members |= members_of(folders.values()) or folders.keys()
    if not members or len(members) > len(planned):
        return planned
    free = (number for number in itertools.count() if number not in members)
    return sorted(members.union(itertools.islice(free, len(planned) - len(members))))


def _those(workers: Sequence[WorkerPlan], number: int) -> list[WorkerPlan]:
    """The workers of a replica, one in each shard."""
    return [one for one in workers if one.consensus is not None and one.replica_id == number]


def consensus_of(worker: WorkerPlan) -> ConsensusPlan:
    """The group that a worker is in, and which member it is."""
    assert worker.consensus is not None
    return worker.consensus


def _add(running: ProcessGroup, worker: WorkerPlan, blob: bytes, within: float | None) -> None:
    """Start a replica: it gets everything from the others, then a vote, and then requests."""
    from jina.supervisor.ports import shared

    started = running.agents.add(worker)
    consensus = consensus_of(started)
    try:
        running.change([[Change("add", worker.name)]], {worker.name: (shared(started, running.ports), blob)}, within)
        _await_vote(agent_of(running, consensus))
    except BaseException:
        with contextlib.suppress(JinaError):
            retire(running, worker.name)
        running.agents.remove(consensus.group, consensus.replica)  # first, lest it join again
        with contextlib.suppress(JinaError):
            _leave(running, consensus)
        raise


def _remove(running: ProcessGroup, worker: WorkerPlan) -> None:
    """Take a replica out: of what the gateway sends requests to, of the group, and then of what runs."""
    consensus = consensus_of(worker)
    agent = agent_of(running, consensus)
    retry_until_done(lambda: step_down(agent), f"{worker.name} is still the leader")
    retire(running, worker.name)
    _leave(running, consensus)
    running.agents.remove(consensus.group, consensus.replica)


def retire(running: ProcessGroup, name: str) -> None:
    """Stop a worker within its grace time, unless it was stopped before."""
    if any(slot.name == name for slot in running.slots):
        running.change([[Change("remove", name)]], {})


def agent_of(running: ProcessGroup, consensus: ConsensusPlan) -> Agent:
    """The agent of a replica."""
    agents = running.agents.agents
    return next(one for one in agents if (one.plan.group, one.plan.replica) == (consensus.group, consensus.replica))


def others_of(running: ProcessGroup, consensus: ConsensusPlan) -> list[Agent]:
    """The agents of the other replicas of its group."""
    return [
        one
        for one in running.agents.agents
        if one.plan.group == consensus.group and one.plan.replica != consensus.replica
    ]


def _another(running: ProcessGroup, consensus: ConsensusPlan) -> Agent:
    """An agent that answers, of another replica."""
    others = others_of(running, consensus)
    if not others:
        raise UsageError(f"{running.name}: the only replica of a group cannot be removed")
    for agent in others:
        if "error" not in agent_status(agent.plan.socket):
            return agent
    return others[0]


def _require_leave(running: ProcessGroup, worker: WorkerPlan) -> None:
    """Raise where the others could not go on without a replica."""
    consensus = consensus_of(worker)
    via = _another(running, consensus)

    def ask() -> None:
        _ask_to_leave_out(via, consensus.replica, **{"try": True})

    retry_until_done(ask, f"{worker.name} cannot be removed")


def _ask_to_leave_out(via: Agent, number: int, **options: object) -> bool:
    """Ask the leader, which alone knows who is a member now; tells whether the replica was one."""
    try:
        administer(via.plan.socket, "remove", replica=number, **options)
    except UsageError as error:
        if "no member" not in error.message:
            raise
        return False
    return True


def step_down(agent: Agent) -> None:
    """Transfer the leadership to another replica."""
    socket = agent.plan.socket
    if agent_status(socket).get("role") == "Leader":
        administer(socket, "transfer")
        if agent_status(socket).get("role") == "Leader":
            raise Unavailable("it is still the leader")


def _leave(running: ProcessGroup, consensus: ConsensusPlan) -> None:
    """Remove a replica whose Executor has ended from the group; retried, since a refusal may be temporary."""
    via = _another(running, consensus)

    def leave() -> None:
        try:
            while _ask_to_leave_out(via, consensus.replica):  # under each id that it has had
                pass
        except UsageError as error:
            raise Unavailable(error.message) from None

    retry_until_done(leave, f"replica {consensus.replica} of {consensus.group} is still a member")


def retry_until_done(act: Callable[[], None], otherwise: str) -> None:
    """Retry until it works: while the leadership changes, no replica can answer."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"{otherwise}: {error.message}") from None
        time.sleep(_LOOK)


def _await_vote(agent: Agent) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not agent_status(agent.plan.socket).get("voter"):
        if time.monotonic() > deadline:
            raise RuntimeFailToStart(f"{agent.plan.group}/rep-{agent.plan.replica} has no vote after {_PATIENCE:g} s")
        time.sleep(_LOOK)


_TRIES = 5
if TYPE_CHECKING:
    from jina.supervisor.group import ProcessGroup

    Run = tuple[ProcessPlan, bytes]
    """What a process is told, and the pickle of its Executor."""


def roll_out(
    running: ProcessGroup,
    workers: Sequence[WorkerPlan],
    blobs: Mapping[str, bytes],
    within: float | None,
    *,
    alone: bool = True,
) -> None:
    """Replace the workers one by one; their agents, logs and ports stay, the last if they stand `alone`.

    Each replica takes a snapshot, hands over if it leads, finishes what it has in work and ends; the new one gets the
    state from its agent, and is ready before the next one's turn comes. One that is alone in its group answers nothing
    meanwhile. If one does not become ready within so many seconds, its error is raised, and those that were replaced
    are again what they were.
    """
    from jina.supervisor.ports import shared

    if not running.settled:
        raise ConfigError(f"{running.name} is still starting: call wait_start_success() before changing it")
    before: dict[str, Run] = {slot.name: (slot.plan, slot.process.blob) for slot in running.slots}
    after: dict[str, Run] = {}
    for worker in workers:
        was = before[worker.name][0]
        assert isinstance(was, WorkerPlan)
        plan = shared(_in_place_of(was, worker, alone=alone), running.ports)
        after[worker.name] = plan, blobs.get(owner(worker.deployment, worker.part), b"")
    groups = [worker.name for worker in workers if worker.consensus is not None]
    others = [after[worker.name][0] for worker in workers if worker.consensus is None]
    done: list[str] = []
    try:
        for name in groups:
            _prepare(running, after[name][0])
            try:
                running.change([[Change("renew", name)]], after, within)
            except JinaError as error:
                if not isinstance(error, Unavailable):  # the service ends
                    _await_service(running, name)
                raise
            done.append(name)
        running.change(stages_between([before[one.name][0] for one in others], others, renew=True), after, within)
    except JinaError:
        _undo(running, done, before)
        raise


def _in_place_of(was: WorkerPlan, new: WorkerPlan, *, alone: bool) -> WorkerPlan:
    """The new worker, on the ports and with the agent of the old one."""
    return replace(
        new,
        consensus=was.consensus,
        listeners=was.listeners if alone else new.listeners,
        monitoring=was.monitoring,
        probes=was.probes,
        access=was.access if alone else new.access,
    )


def _prepare(running: ProcessGroup, plan: ProcessPlan) -> None:
    """Take a snapshot, so that the new Executor has little to apply, and transfer the leadership."""
    assert isinstance(plan, WorkerPlan)
    consensus = consensus_of(plan)
    agent = agent_of(running, consensus)
    with contextlib.suppress(JinaError):  # an Executor without `snapshot`: the log has everything
        administer(agent.plan.socket, "snapshot")
    if others_of(running, consensus):
        retry_until_done(lambda: step_down(agent), f"{plan.name} is still the leader")


def _undo(running: ProcessGroup, done: Sequence[str], before: Mapping[str, Run]) -> None:
    """Restore the old ones; one of them may be killed as it starts, too."""
    for name in reversed(done):
        for _ in range(_TRIES):
            try:
                running.change([[Change("renew", name)]], {name: before[name]})
                break
            except Unavailable:
                return  # the service ends
            except JinaError as error:
                logs.get_logger(running.name).error("%s could not be restored yet: %s", name, error.message)


def _await_service(running: ProcessGroup, name: str) -> None:
    """Wait until a replica serves again, as long as that may take."""

    def look() -> None:
        if not any(slot.name == name and slot.process.ready for slot in running.slots):
            raise Unavailable("it does not serve yet")

    retry_until_done(look, f"{name} does not serve again")
