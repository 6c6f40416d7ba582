"""A cluster with one stateful group, in virtual time: what Kubernetes and agents do, as far as steps depend on it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from jina.controller.decision import Agent, Claim, Pod, View

TICK = 0.25
ELECTION = 1.5
JOIN = 1.0
LAG = 0.5
"""Seconds after which the version of the set shows that a pod has changed."""


@dataclass
class Disk:
    uid: str
    id: str = ""
    last: int = 0
    members: dict = field(default_factory=dict)
    lost: bool = False
    deleted: bool = False


@dataclass
class Body:
    """A pod."""

    uid: str
    revision: int
    began: float
    start: float
    ends: float | None = None
    loads: float = 3.0
    version: int = 0
    voted: bool = False
    """One that has had a vote in its life, and was removed, does not ask to be taken in."""


class Simulated:
    """The truth; `view` is what a controller sees of it, now or a moment ago."""

    def __init__(self, seed: int, replicas: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.wanted = replicas
        self.replicas = replicas
        self.listed = replicas
        self.revision = 1
        self.bad = set()
        """Revisions whose containers do not start, or are never ready."""
        self.version = 0
        self.count = 0
        self.pods: dict[int, Body] = {}
        self.disks: dict[int, Disk] = {}
        self.members: dict[str, bool] = {}
        self.leader = ""
        self.term = 0
        self.commit = 0
        self.leaderless = 0.0
        self.elections = []
        """When, and why, another one led."""
        self.faults = deque(maxlen=20)
        """When something was done to the cluster from outside."""
        self.asked: dict[int, float] = {}
        self.seen: dict[int, tuple] = {}
        self.bumps: list[float] = []
        self.history: deque = deque(maxlen=24)
        self.replaced: set[str] = set()
        self.acknowledged = 0
        self.given_up: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.now=} {self.wanted=} {self.replicas=} {self.members=} {self.leader=} {self.pods=} {self.disks=}"

    def new(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"

    # --- what there is ------------------------------------------------------------------------------------------

    def running(self, number: int) -> bool:
        pod, disk = self.pods.get(number), self.disks.get(number)
        if pod is None or disk is None or disk.lost or self.now < pod.start:
            return False
        return pod.revision not in self.bad or pod.revision % 2 == 0

    def agent_up(self, number: int) -> bool:
        pod = self.pods.get(number)
        return self.running(number) and (pod.ends is None or self.now < pod.ends) and self.now >= pod.start + 0.5

    def serves(self, number: int) -> bool:
        pod = self.pods.get(number)
        if not self.agent_up(number) or pod.ends is not None or pod.revision in self.bad:
            return False
        disk = self.disks[number]
        return self.now >= pod.start + pod.loads and bool(disk.id in self.members) and disk.last + 8 >= self.commit

    def voter(self, number: int) -> bool:
        return self.members.get(self.disks[number].id, False) if number in self.disks else False

    def up(self) -> list[int]:
        return [number for number in self.pods if self.agent_up(number) and self.voter(number)]

    def healthy(self) -> list[int]:
        return [number for number in self.pods if self.serves(number) and self.voter(number)]

    def voters(self) -> int:
        return sum(self.members.values())

    def has_majority(self) -> bool:
        return 2 * len(self.up()) > self.voters()

    # --- time ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.now += TICK
        self._set_controller()
        self._form()
        self._lead()
        self._replicate()
        self._admit()
        self._note()
        self.history.append(self._view())

    def _set_controller(self) -> None:
        for number, pod in list(self.pods.items()):
            if pod.ends is not None and self.now >= pod.ends:
                del self.pods[number]
                if number >= self.replicas:
                    self.disks.pop(number, None)  # whenScaled: Delete
        for number, disk in list(self.disks.items()):
            if disk.deleted and number not in self.pods:
                del self.disks[number]
        for number in range(self.replicas):
            if number not in self.pods and self.rng.random() < 0.5:
                self.disks.setdefault(number, Disk(self.new("claim-")))
                if not self.disks[number].deleted:
                    start = self.now + self.rng.uniform(0.5, 4)
                    self.pods[number] = Body(
                        self.new("pod-"), self.revision, self.now, start, None, self.rng.uniform(1, 8)
                    )
        for number, pod in self.pods.items():
            if number >= self.replicas and pod.ends is None:
                pod.ends = self.now + self.rng.uniform(0.5, 3)
        for number in list(self.disks):
            if self.agent_up(number) and not self.disks[number].id:
                self.disks[number].id = f"{number}-{self.new('')}"

    def _form(self) -> None:
        planned = range(self.replicas)
        if not self.members and all(self.agent_up(number) for number in planned):
            self.members = {self.disks[number].id: True for number in planned}

    def _lead(self) -> None:
        leads = [number for number in self.up() if self.disks[number].id == self.leader]
        if leads and self.has_majority():
            self.leaderless = 0.0
            return
        self.leader = ""
        if not self.has_majority() or not self.members:
            return
        self.leaderless += TICK
        if self.leaderless >= ELECTION:
            best = max(self.up(), key=lambda number: (self.serves(number), self.disks[number].last))
            best = (
                best
                if self.disks[best].last >= self.acknowledged
                else max(self.up(), key=lambda one: self.disks[one].last)
            )
            assert self.disks[best].last >= self.acknowledged, "an acknowledged entry is lost"
            self._now_leads(self.disks[best].id, "election")

    def _now_leads(self, member: str, why: str) -> None:
        self.leader, self.term, self.leaderless = member, self.term + 1, 0.0
        self.elections.append((self.now, why))

    def _replicate(self) -> None:
        if not self.leader:
            return
        self.commit += self.rng.randrange(40)
        stored = []
        for number, disk in self.disks.items():
            if disk.id in self.members and self.agent_up(number):
                disk.last = self.commit if disk.id == self.leader else min(self.commit, disk.last + 400)
                disk.members = dict(self.members)
                if self.members[disk.id]:
                    stored.append(disk.last)
        stored.sort(reverse=True)
        self.acknowledged = max(
            self.acknowledged, stored[self.voters() // 2] if len(stored) > self.voters() // 2 else 0
        )

    def _admit(self) -> None:
        """A blank or removed disk asks to be taken in; in the place of the one that had its number."""
        for number, disk in self.disks.items():
            if self.agent_up(number) and self.members.get(disk.id):
                self.pods[number].voted = True
            if not self.leader or not self.agent_up(number) or self.pods[number].voted:
                self.asked.pop(number, None)
                continue
            since = self.asked.setdefault(number, self.now)
            if self.now - since < JOIN:
                continue
            self.members.setdefault(disk.id, False)
            if disk.last + 64 >= self.commit and self.serves(number):
                for member in [one for one in self.members if one.startswith(f"{number}-") and one != disk.id]:
                    if member != self.leader:
                        del self.members[member]
                self.members[disk.id] = True

    def _note(self) -> None:
        """The version of the set follows what its pods do, a moment later."""
        seen = {number: (pod.uid, self.serves(number), pod.ends is None) for number, pod in self.pods.items()}
        for number, pod in self.pods.items():
            if self.seen.get(number) != seen[number]:
                pod.version += 1
        if seen != self.seen:
            self.seen = seen
            self.bumps.append(self.now + LAG)
        while self.bumps and self.bumps[0] <= self.now:
            self.bumps.pop(0)
            self.version += 1

    # --- what is seen, and done ---------------------------------------------------------------------------------

    def _view(self) -> tuple[int, View]:
        pods, agents, claims = {}, {}, {}
        for number, pod in self.pods.items():
            running = self.running(number)
            pods[number] = Pod(
                pod.uid, str(pod.revision), self.serves(number), running, pod.ends is not None, "", str(pod.version)
            )
            if self.agent_up(number) and self.rng.random() > 0.01:
                disk = self.disks[number]
                follows = disk.id in self.members
                agents[number] = Agent(
                    id=disk.id, term=self.term if follows else 0, leads=disk.id == self.leader,
                    leader=self.leader if follows else "", serving=self.serves(number), last=disk.last,
                    applied=disk.last, committed=self.commit, members=dict(disk.members),
                    removed=pod.voted and not follows,
                )  # fmt: skip
        for number, disk in self.disks.items():
            claims[number] = (Claim(f"claim-{number}", disk.uid, disk.lost),)
        view = View(
            name="x", wanted=self.wanted, replicas=self.replicas, revision=str(self.revision), listed=self.listed,
            pods=pods, claims=claims, agents=agents, given_up=self.given_up,
        )  # fmt: skip
        return self.version, view

    def end_pod(self, number: int, seconds: float = 1.0) -> None:
        pod = self.pods.get(number)
        if pod is not None and pod.ends is None:
            pod.ends = self.now + (seconds if self.agent_up(number) else TICK)
            # An agent that is told to stop hands the leadership over.
            others = [one for one in self.healthy() if one != number]
            if self.leader and self.disks[number].id == self.leader and others and seconds:
                self._now_leads(self.disks[others[0]].id, "end")
