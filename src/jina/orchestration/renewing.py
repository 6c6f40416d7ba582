"""Another Executor in the place of that of a stateful Deployment, replica by replica, while requests go on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from jina.errors import ConfigError, JinaError, Unavailable
from jina.launch.rollout import Change, stages_between
from jina.observe import logs
from jina.orchestration import membership
from jina.plan.copies import owner
from jina.plan.plans import ProcessPlan, WorkerPlan
from jina.replication import asking

_TRIES = 5

if TYPE_CHECKING:
    from jina.launch.running import Running

    Run = tuple[ProcessPlan, bytes]
    """What a process is told, and the pickle of its Executor."""


def roll_out(
    running: Running,
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
    from jina.launch.sharing import shared

    if not running.settled:
        raise ConfigError(f"{running.name} still starts: wait_start_success() waits until it can be changed")
    before: dict[str, Run] = {place.name: (place.plan, place.process.blob) for place in running.places}
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
    return msgspec.structs.replace(
        new,
        consensus=was.consensus,
        faces=was.faces if alone else new.faces,
        monitoring=was.monitoring,
        probes=was.probes,
        access=was.access if alone else new.access,
    )


def _prepare(running: Running, plan: ProcessPlan) -> None:
    """Have a snapshot taken, so that little has to be applied by the new Executor, and another replica lead."""
    assert isinstance(plan, WorkerPlan)
    place = membership.place_of(plan)
    agent = membership.agent_of(running, place)
    with contextlib.suppress(JinaError):  # an Executor without `snapshot`: the log has everything
        asking.administer(agent.plan.socket, "snapshot")
    if membership.others_of(running, place):
        membership.insist(lambda: membership.step_down(agent), f"{plan.name} leads still")


def _undo(running: Running, done: Sequence[str], before: Mapping[str, Run]) -> None:
    """Have the old ones back; one of them may be killed as it starts, too."""
    for name in reversed(done):
        for _ in range(_TRIES):
            try:
                running.change([[Change("renew", name)]], {name: before[name]})
                break
            except Unavailable:
                return  # the service ends
            except JinaError as error:
                logs.get_logger(running.name).error("%s is not yet what it was: %s", name, error.message)


def _await_service(running: Running, name: str) -> None:
    """Wait until a replica serves again, as long as that may take."""

    def look() -> None:
        if not any(place.name == name and place.process.ready for place in running.places):
            raise Unavailable("it does not serve yet")

    membership.insist(look, f"{name} is not what it was")
