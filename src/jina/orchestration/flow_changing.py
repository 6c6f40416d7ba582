"""Changes of a Flow that runs: replicas of its Deployments, another Executor in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from jina.errors import ConfigError, UsageError, nearest
from jina.orchestration import changing
from jina.orchestration.flow_state import FlowState
from jina.orchestration.resolving import Resolved, resolve, resolve_around
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from threading import Lock

    from jina.launch.agents import Agent
    from jina.launch.ports import PortReservations
    from jina.launch.running import Running
    from jina.orchestration.membership import Members, Planned
    from jina.plan.plans import FlowPlan
    from jina.spec import FlowSpec, StepSpec


class FlowChanging(FlowState):
    """What runs for a step becomes something else, while the others go on."""

    _changing: Lock
    _plan: FlowPlan | None
    _resolved: dict[str, Resolved]
    _gateway: Resolved | None
    _reservations: PortReservations
    _running_or_raise: Callable[[], Running]

    def scale(self, name: str, replicas: int) -> None:
        """Run so many replicas of a Deployment from now on; see `Deployment.scale`."""
        with self._changing:
            step = self._own_step(name)
            if step.stateful:
                self._members(step).scale(changing.checked(step, replicas))
            else:
                self._change(changing.scaled(step, replicas), renew=False)

    def roll_out(self, name: str, **options: Any) -> None:
        """Replace the replicas of a Deployment one by one; see `Deployment.roll_out`."""
        with self._changing:
            self._change(changing.changed(self._own_step(name), options), renew=True)

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
        from jina.orchestration.replicated import status_of

        return status_of(self._agents(self._own_step(name)))

    def snapshot(self, name: str) -> None:
        """Have each replica of a stateful Deployment write its state; see `Deployment.snapshot`."""
        from jina.orchestration.replicated import have_snapshots

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
        from jina.plan.membership import of_members, spread

        wide = spread(step, self._workers(step), members, self._reservations.port)
        plan = self._planned(wide, self._resolved, members)
        changed = of_members(step, wide, members)
        workers = next(one.workers for one in plan.deployments if one.name == step.name)

        def commit() -> None:
            self._spec, self._plan = self._spec_with(changed), plan

        return Planned(workers, commit)

    def _recall(self) -> None:
        from jina.orchestration.membership import at_start
        from jina.plan.membership import numbers, renumbered

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
        from jina.plan.flow import runs
        from jina.plan.membership import numbers, spread

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
        changing.change(self._running_or_raise(), [*old], [*new], blobs, renew=renew, within=within)
        self._spec, self._resolved, self._plan = self._spec_with(step), resolved, plan

    def _spec_with(self, step: StepSpec) -> FlowSpec:
        steps = tuple(step if one.name == step.name else one for one in self._spec.executors)
        return self._spec.model_copy(update={"executors": steps})

    def _planned(self, step: StepSpec, resolved: dict[str, Resolved], members: Collection[int]) -> FlowPlan:
        """The plan of what runs with another step; `members` are the replicas of one that is stateful."""
        from jina.launch.gpus import MachineGpus
        from jina.plan import membership
        from jina.plan.flow import plan_flow

        now = self.plan
        executors = {one: found.plan for one, found in resolved.items()}
        custom = self._gateway.plan if self._gateway else None
        # Only the changed step is taken from the new plan: others may ask for ports that they have already.
        free = membership.Ports([], self._reservations)
        plan = plan_flow(self._spec_with(step), executors, custom, free, MachineGpus())
        (new,) = (one for one in plan.deployments if one.name == step.name)
        if members:
            new = msgspec.structs.replace(new, workers=membership.restricted(new.workers, self._workers(step), members))
        names = {worker.name for worker in new.workers}
        return msgspec.structs.replace(
            now,
            deployments=[new if one.name == step.name else one for one in now.deployments],
            gateway=membership.in_front(now.gateway, plan.gateway, step.name, names),
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
