"""More and fewer replicas of a stateful Deployment while it runs, one after another."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jina.errors import ConfigError, JinaError, NotSupportedError, RuntimeFailToStart, Unavailable, UsageError
from jina.launch.rollout import Change
from jina.plan import membership
from jina.replication import asking

if TYPE_CHECKING:
    from jina.launch.agents import Agent
    from jina.launch.running import Running
    from jina.plan.plans import DeploymentPlan, WorkerPlan
    from jina.spec import DeploymentSpec

_PATIENCE = 60.0
"""Seconds that the group has to agree on a change."""
_LOOK = 0.02


def check(spec: DeploymentSpec, plan: DeploymentPlan, running: Running) -> None:
    """Raise where the number of replicas cannot change."""
    if spec.raft_peers:
        raise NotSupportedError(f"{spec.name}: replicas that are started one by one are changed by `jina raft`")
    if plan.gateway is None:
        raise NotSupportedError(
            f"{spec.name}: a stateful Deployment that was started with one replica has no gateway, which several need",
            help="start it again with replicas=3 and the same workspace: the new ones join",
        )
    if spec.shards > 1 or spec.uses_before or spec.uses_after:
        raise NotSupportedError(
            f"{spec.name}: the number of replicas of a stateful Deployment with shards, or with Executors around it, "
            "cannot be changed while it runs yet"
        )
    if not running.settled:
        raise ConfigError(f"{running.name} still starts: wait_start_success() waits until it can be changed")


def lowest_free(plan: DeploymentPlan) -> int:
    """The number of the next replica."""
    used = membership.numbers(plan)
    return next(number for number in itertools.count() if number not in used)


def add(running: Running, worker: WorkerPlan, blob: bytes, within: float | None) -> None:
    """Start a replica: it gets everything from the others, then a vote, and then requests.

    Raises why it does not become ready; everything is as before then.
    """
    from jina.launch.sharing import shared

    started = running.agents.add(worker)
    assert started.consensus is not None
    number = started.consensus.replica
    try:
        running.change([[Change("add", worker.name)]], {worker.name: (shared(started, running.ports), blob)}, within)
        _await_vote(agent_of(running, number))
    except BaseException:
        with contextlib.suppress(JinaError):
            _retire(running, worker.name)
        running.agents.remove(started.consensus.group, number)  # first, lest it join again
        with contextlib.suppress(JinaError):
            _leave(running, number)
        raise


def remove(running: Running, worker: WorkerPlan) -> None:
    """Take a replica out: of what the gateway sends requests to, of the group, and then of what runs."""
    number = worker.replica_id
    via = _another(running, number)
    _insist(lambda: _ask_whether(via, number), f"{worker.name} cannot be removed")
    _insist(lambda: _step_down(running, number), f"{worker.name} leads still")
    _retire(running, worker.name)
    _leave(running, number)
    running.agents.remove(agent_of(running, number).plan.group, number)


def _retire(running: Running, name: str) -> None:
    """Let a worker finish and end, if that was not done before."""
    if any(place.name == name for place in running.places):
        running.change([[Change("remove", name)]], {})


def agent_of(running: Running, number: int) -> Agent:
    """The agent of a replica."""
    return next(agent for agent in running.agents.agents if agent.plan.replica == number)


def _another(running: Running, number: int) -> Agent:
    """An agent that answers, of another replica."""
    others = [agent for agent in running.agents.agents if agent.plan.replica != number]
    if not others:
        raise UsageError(f"{running.name}: the only replica of a group cannot be removed")
    for agent in others:
        if "error" not in asking.status(agent.plan.socket):
            return agent
    return others[0]


def _member(via: Agent, number: int) -> str | None:
    """The id under which a replica is a member."""
    told = asking.status(via.plan.socket)
    if "error" in told:
        raise Unavailable(told["error"])
    return next((one for one in told["members"] if one.partition("-")[0] == str(number)), None)


def _ask_whether(via: Agent, number: int) -> None:
    """Raise where the others could not go on without a replica."""
    member = _member(via, number)
    if member is not None:
        _ask(via, "remove", id=member, **{"try": True})


def _step_down(running: Running, number: int) -> None:
    """Have another replica lead."""
    socket = agent_of(running, number).plan.socket
    if asking.status(socket).get("role") == "Leader":
        asking.administer(socket, "transfer")
        if asking.status(socket).get("role") == "Leader":
            raise Unavailable("it still leads")


def _leave(running: Running, number: int) -> None:
    """Have the group go on without a replica."""
    via = _another(running, number)

    def leave() -> None:
        member = _member(via, number)
        try:
            if member is not None:
                _ask(via, "remove", id=member)
        except UsageError as error:
            if "no member" not in error.message:  # the answer to an earlier try was lost, or this agent is behind
                raise

    _insist(leave, f"replica {number} is still a member")


def _ask(via: Agent, do: str, **options: object) -> None:
    asking.administer(via.plan.socket, do, **options)


def _insist(act: Callable[[], None], otherwise: str) -> None:
    """Act until it works: while the leadership changes, nobody can be asked."""
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
    while not asking.status(agent.plan.socket).get("voter"):
        if time.monotonic() > deadline:
            raise RuntimeFailToStart(f"{agent.plan.group}/rep-{agent.plan.replica} got no vote within {_PATIENCE:g} s")
        time.sleep(_LOOK)
