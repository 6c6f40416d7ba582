"""The next step for one stateful group: a function of what was observed, without clocks, sockets or memory.

It may be called again after every step, by several processes at a time, with observations that are a moment old: what a
step is about is named by identities that never come back (uid of a pod or claim, id of a member), so that a step that
comes too late does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

CLOSE: Final = 64
"""Entries that a member may lack and still count as caught up; the agents give a new member its vote at as many."""

_FEW: Final = 2
"""Voters of a group that cannot do without any of them."""


@dataclass(frozen=True)
class Pod:
    """One pod of the StatefulSet, as Kubernetes describes it."""

    uid: str
    revision: str
    ready: bool = False
    running: bool = True
    """Whether its container was started; where it was not, the pod takes no part in anything."""
    terminating: bool = False
    reason: str = ""
    """Why it does not run or is not ready, in the words of Kubernetes."""
    version: str = ""
    """Changes with all that is known of it."""


@dataclass(frozen=True)
class Claim:
    """A volume of a pod."""

    name: str
    uid: str
    lost: bool = False
    """Whether what it was bound to does not exist any more."""


@dataclass(frozen=True)
class Agent:
    """What the agent in a pod says of itself and of its group."""

    id: str
    term: int = 0
    leads: bool = False
    leader: str = ""
    serving: bool = False
    last: int = 0
    applied: int = 0
    committed: int = 0
    members: Mapping[str, bool] = field(default_factory=dict)
    """The ids that it knows as members, and whether each has a vote."""
    removed: bool = False
    """Whether it was taken out of the group: it asks to be taken in again when it is started again."""
    error: str = ""
    """Why the log cannot be written, or why the replica was taken out."""


@dataclass(frozen=True)
class View:
    """All that was observed of a group; pods, claims and agents by the number of the replica."""

    name: str
    wanted: int
    replicas: int
    """What the StatefulSet asks for."""
    revision: str
    """That of pods that are made now."""
    settled: bool = True
    """Whether Kubernetes has taken note of the last change of the StatefulSet."""
    listed: int | None = None
    """How many replicas a pod that starts is told of; None where that is not kept in a ConfigMap."""
    pods: Mapping[int, Pod] = field(default_factory=dict)
    claims: Mapping[int, tuple[Claim, ...]] = field(default_factory=dict)
    agents: Mapping[int, Agent] = field(default_factory=dict)
    given_up: frozenset[str] = frozenset()
    """Uids of claims that a person says are lost, whatever Kubernetes knows."""

    @cached_property
    def leader(self) -> Agent | None:
        """The one that a majority of the voters that it knows of follows."""
        claims_it = [agent for agent in self.agents.values() if agent.leads]
        found = max(claims_it, key=lambda agent: agent.term, default=None)
        if found is None:
            return None
        voters = _voters(found)
        follow = sum(
            agent.id in voters and agent.term == found.term and agent.leader == found.id
            for agent in self.agents.values()
        )
        return found if 2 * follow > len(voters) else None

    def name_of(self, number: int) -> str:
        """The pod of a replica."""
        return f"{self.name}-{number}"

    def trouble(self, number: int) -> str:
        """Why a replica is not a voter that has all of the log and answers; empty where it is."""
        pod, agent, leader = self.pods.get(number), self.agents.get(number), self.leader
        name = self.name_of(number)
        if pod is None:
            return f"{name} does not exist"
        if pod.terminating:
            return f"{name} ends"
        if not pod.running:
            return f"{name} does not run{_because(pod.reason)}"
        if agent is None:
            return f"the agent of {name} does not answer"
        if leader is None:
            return "no leader is known to a majority"
        return self._behind(name, pod, agent, leader)

    def holds(self, number: int) -> bool:
        """Whether a replica has a vote, follows the leader and has its log, whatever its Executor does."""
        pod, agent, leader = self.pods.get(number), self.agents.get(number), self.leader
        if pod is None or pod.terminating or agent is None or leader is None or not leader.members.get(agent.id):
            return False
        return agent.term == leader.term and agent.leader == leader.id and agent.last + CLOSE >= leader.committed

    @property
    def behind(self) -> list[int]:
        """The replicas that follow the leader and lack more than a few of the entries that it had committed."""
        leader = self.leader
        if leader is None:
            return []
        follow = (number for number, agent in self.agents.items() if agent.leader == leader.id)
        return [number for number in follow if _lacks(self.agents[number], leader) > CLOSE]

    def later(self, agents: Mapping[int, Agent | None]) -> View:
        """With what some agents said a moment later, None for no answer: what they should have is what it was before.

        Where writes come without a pause, a member lacks some of them whenever it is asked.
        """
        assert self.leader is not None
        committed = self.leader.committed
        newer = {number: agent and replace(agent, committed=committed) for number, agent in agents.items()}
        return replace(
            self, agents={number: agent for number, agent in {**self.agents, **newer}.items() if agent is not None}
        )

    @staticmethod
    def _behind(name: str, pod: Pod, agent: Agent, leader: Agent) -> str:
        if not leader.members.get(agent.id):
            return f"{name} has no vote yet"
        if agent.leader != leader.id or agent.term != leader.term:
            return f"{name} does not follow the leader yet"
        if agent.error:
            return f"{name}: {agent.error}"
        if not agent.serving or not pod.ready:
            return f"{name} is not ready{_because(pod.reason)}"
        lacks = _lacks(agent, leader)
        return f"{name} lacks {lacks} entries of the log" if lacks > CLOSE else ""


def _lacks(agent: Agent, leader: Agent) -> int:
    """Entries that were committed and that it has not, or has not applied."""
    return leader.committed - min(agent.last, agent.applied)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


# --- steps --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wait:
    """Nothing can be done now."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Done:
    """It is as wanted."""

    def __str__(self) -> str:
        return "all members are up to date"


@dataclass(frozen=True)
class ListPeers:
    """Tell pods that start later of so many replicas."""

    count: int

    def __str__(self) -> str:
        return f"list {self.count} replicas for pods that start"


@dataclass(frozen=True)
class SetReplicas:
    """Change the number of pods, by one."""

    count: int

    def __str__(self) -> str:
        return f"set replicas to {self.count}"


@dataclass(frozen=True)
class Transfer:
    """Hand the leadership to another replica."""

    leader: int
    """Who leads now."""
    to: int

    def __str__(self) -> str:
        return f"hand the leadership from replica {self.leader} to replica {self.to}"


@dataclass(frozen=True)
class Remove:
    """Take a member out of the group."""

    id: str

    def __str__(self) -> str:
        return f"remove the member {self.id}"


@dataclass(frozen=True)
class Replace:
    """End a pod, so that another one is made in its place."""

    number: int
    uid: str
    evict: bool
    """Whether to ask the disruption budget: for a pod that is healthy."""
    version: str = ""
    """Where it is ill: as it was when that was seen."""

    def __str__(self) -> str:
        return f"replace the pod of replica {self.number}" + ("" if self.evict else ", which is ill")


@dataclass(frozen=True)
class Renew:
    """Give a replica an empty volume: it comes back as a new member, and takes the vote of the one before."""

    number: int
    claims: tuple[Claim, ...]
    uid: str
    """Of its pod; empty where there is none."""

    def __str__(self) -> str:
        return f"give replica {self.number} an empty volume, since {', '.join(one.name for one in self.claims)} is gone"


Step = Wait | Done | ListPeers | SetReplicas | Transfer | Remove | Replace | Renew


# --- the decision -------------------------------------------------------------------------------------------------


def next_step(view: View) -> Step:
    """What to do now to come nearer to what is wanted.

    No step of ours takes a voter from a group that has no majority of healthy ones without it (but in a group of one or
    two, which has a pause). A pod that is missing is waited for. The leadership is handed over once in a roll.
    """
    if not view.settled:
        return Wait("Kubernetes has not taken note of the last change yet")
    for rule in (_heal, _shrink, _grow, _roll):
        step = rule(view)
        if step is not None:
            return step
    leaving = [view.name_of(number) for number in view.pods if number >= view.replicas]
    return Wait(f"{leaving[0]} ends") if leaving else Done()


def _heal(view: View) -> Step | None:
    """Volumes that are gone; then pods that are ill and of an earlier template."""
    stuck = ""
    for number in range(view.replicas):
        gone = tuple(one for one in view.claims.get(number, ()) if one.lost or one.uid in view.given_up)
        if not gone or not view.trouble(number):
            continue
        if _can_spare(view, number):
            pod = view.pods.get(number)
            return Renew(number, gone, pod.uid if pod else "")
        stuck = stuck or f"the volume of {view.name_of(number)} is gone, and the others are no majority"
    for number, pod in sorted(view.pods.items()):
        if number < view.replicas and not pod.terminating and _is_to_be_replaced(view, number, pod):
            return Replace(number, pod.uid, evict=False, version=pod.version)
    if not stuck and view.leader is None:
        stuck = _why_no_leader(view)
    return Wait(stuck) if stuck else None


def _is_to_be_replaced(view: View, number: int, pod: Pod) -> bool:
    """Whether a pod is ill, and another one in its place may be well."""
    if not view.trouble(number):
        return False
    if not pod.running:
        # A container that was not started has no part in any majority.
        without_volume = bool(view.claims) and number not in view.claims
        return pod.revision != view.revision or without_volume
    agent = view.agents.get(number)
    if agent is not None and agent.removed and number < view.wanted:
        return True
    few = view.leader is not None and len(_voters(view.leader)) <= _FEW
    return pod.revision != view.revision and not pod.ready and (few or _can_spare(view, number))


def _why_no_leader(view: View) -> str:
    troubles = [view.trouble(number) for number in range(view.replicas)]
    return f"no leader that a majority follows: {'; '.join(dict.fromkeys(troubles))}"


def _can_spare(view: View, number: int) -> bool:
    """Whether a majority of the voters has the log without a replica."""
    if view.leader is None:
        return False
    rest = [other for other in view.agents if other != number and view.holds(other)]
    return 2 * len(rest) > len(_voters(view.leader))


def _shrink(view: View) -> Step | None:
    """Members first, from the highest number down, then the pods of those that are members no more."""
    leader = view.leader
    assert leader is not None
    surplus = sorted((_number(member), member) for member in leader.members if _is_surplus(view, member))
    staying = [number for number in sorted(view.agents) if number < view.wanted and not view.trouble(number)]
    if surplus:
        number, member = surplus[-1]
        if member == leader.id:
            if not staying:
                return Wait(f"{view.name_of(number)} leads, and none of those that stay can take over")
            return Transfer(number, min(staying, key=lambda one: view.pods[one].revision != view.revision))
        return _removal(view, leader, member)
    top = view.replicas - 1
    if top < view.wanted:
        return None
    voters = _voters(leader)
    lack_it = sum(
        agent.id in voters and all(_number(member) < top for member in agent.members) for agent in view.agents.values()
    )
    if 2 * lack_it <= len(voters):
        return Wait(f"not a majority knows yet that {view.name_of(top)} is no member")
    return SetReplicas(top)


def _is_surplus(view: View, member: str) -> bool:
    """Whether a member has too high a number, or a healthy one with another disk has its number."""
    number = _number(member)
    return number >= view.wanted or (
        number in view.agents and view.agents[number].id != member and not view.trouble(number)
    )


def _removal(view: View, leader: Agent, member: str) -> Step:
    voters = _voters(leader) - {member}
    holding = [number for number, one in view.agents.items() if one.id in voters and view.holds(number)]
    if leader.members[member] and 2 * len(holding) <= len(voters):
        return Wait(f"of the {len(voters)} voters that stay without {member} only {len(holding)} have the log")
    return Remove(member)


def _grow(view: View) -> Step | None:
    """A pod more when all others are healthy; its agent asks to be taken in, and gets a vote when it has caught up."""
    if view.listed is not None and view.listed < view.wanted:
        return ListPeers(view.wanted)
    waits = next(filter(None, map(view.trouble, range(min(view.replicas, view.wanted)))), "")
    if waits:
        return Wait(waits)
    if view.replicas < view.wanted:
        return SetReplicas(view.replicas + 1)
    if view.listed is not None and view.listed != view.wanted:
        return ListPeers(view.wanted)
    return None


def _roll(view: View) -> Step | None:
    """Followers first, one at a time; the leader after it has handed over to one that is up to date."""
    leader = view.leader
    assert leader is not None
    old = [number for number in sorted(view.pods) if view.pods[number].revision != view.revision]
    if not old:
        return None
    followers = [number for number in old if view.agents[number].id != leader.id]
    if followers:
        number = followers[-1]
    elif view.replicas == 1:
        number = old[0]
    else:
        number = old[0]
        return Transfer(number, next(other for other in range(view.replicas) if other != number))
    return Replace(number, view.pods[number].uid, evict=True)


def _voters(agent: Agent) -> frozenset[str]:
    return frozenset(member for member, votes in agent.members.items() if votes)


def _number(member: str) -> int:
    """The number of the replica that an id belongs to."""
    return int(member.partition("-")[0])
