"""The next step for a stateful group, in simulated clusters that lose pods and volumes; controllers die as well."""

from __future__ import annotations

import dataclasses
import time

import pytest
from tests.controller.simulated import TICK, Simulated

from jina.controller.decision import (
    Agent,
    Claim,
    Done,
    ListPeers,
    Pod,
    Remove,
    Renew,
    Replace,
    SetReplicas,
    Transfer,
    View,
    Wait,
    next_step,
)
from jina.controller.groups import after_a_round

QUIET = 2.0
"""Seconds after a fault in which a controller may not have seen it."""


class Violated(AssertionError):
    pass


class Actor:
    """A controller: it sees, decides, claims the step, and acts a moment later, if it is not killed meanwhile."""

    def __init__(self, world, deaths):
        self.world, self.deaths, self.pause, self.pending = world, deaths, 0.0, None
        self.steps = []

    def tick(self):
        world, rng = self.world, self.world.rng
        if rng.random() < self.deaths:  # killed: between any two things that it does
            self.pending, self.pause = None, rng.uniform(0, 5)
        if self.pending is not None:
            step, self.pending = self.pending, None
            self.act(step)
            if isinstance(step, Renew) and rng.random() < self.deaths * 5:
                return
            return
        self.pause -= TICK
        if self.pause > 0:
            return
        self.pause = rng.choice([0.25, 0.5, 1.0, 3.0])
        history = world.history
        version, view = history[-1 - rng.choice([0, 0, 0, 0, 1, 2, 4, 8]) % len(history)]
        step = next_step(view)
        assert step == next_step(view), "not a function of what was observed"
        self.last = step
        if isinstance(step, Wait | Done):
            return
        if version != world.version:
            return  # the API server refuses: the set has changed since
        world.version += 1
        self.pending = step

    def act(self, step):
        world = self.world
        self.steps.append(step)
        match step:
            case ListPeers(count):
                world.listed = count
            case SetReplicas(count):
                if count < world.replicas:
                    self.check_not_member(world.replicas - 1)
                    assert count == world.replicas - 1 or count >= world.replicas, "more than one pod at a time"
                world.replicas = count
            case Transfer(number, to):
                self.transfer(number, to)
            case Remove(member):
                self.remove(member)
            case Replace(number, uid, evict):
                self.replace(number, uid, evict, step.version)
            case Renew(number, claims, uid):
                self.renew(number, claims, uid)

    def quiet(self):
        return not self.world.faults or self.world.now - self.world.faults[-1] > QUIET

    def check_not_member(self, number):
        world = self.world
        names = [member for member in world.members if member.startswith(f"{number}-")]
        if names and self.quiet() and not world.asked:
            raise Violated(f"the pod of {names} is taken away while it is a member")

    def transfer(self, number, to):
        world = self.world
        if world.disks.get(number) is None or world.disks[number].id != world.leader:
            return
        if to in world.healthy():
            world._now_leads(world.disks[to].id, "transfer")

    def remove(self, member):
        """As the leader does it: it refuses where those that stay would be no majority that answers."""
        world = self.world
        if not world.leader or member == world.leader or member not in world.members:
            return
        stay = [number for number in world.up() if world.disks[number].id != member]
        if 2 * len(stay) <= world.voters() - world.members[member]:
            return
        number = int(member.partition("-")[0])
        if number < world.wanted and world.disks.get(number) and world.disks[number].id == member:
            raise Violated(f"{member}, whose disk is there, is removed")
        del world.members[member]

    def replace(self, number, uid, evict, version):
        world = self.world
        pod = world.pods.get(number)
        if pod is None or pod.uid != uid or pod.ends is not None:
            return
        if evict:
            ready = sum(world.serves(one) for one in world.pods)
            if ready - 1 < world.replicas - 1:
                return  # 429: the disruption budget
        elif str(pod.version) != version:
            return  # 409: it has changed since
        self.check_majority(number, "replaced")
        world.replaced.add(uid)
        world.end_pod(number)

    def renew(self, number, claims, uid):
        world = self.world
        disk, pod = world.disks.get(number), world.pods.get(number)
        if disk is None or disk.uid not in {one.uid for one in claims}:
            return
        if not disk.lost and disk.uid not in world.given_up:
            raise Violated(f"the volume of {number}, which is there, is deleted")
        self.check_majority(number, "renewed")
        disk.deleted = True
        if world.rng.random() < self.deaths * 10:
            return
        if pod is not None and pod.uid == uid:
            world.end_pod(number)

    def check_majority(self, number, what):
        world = self.world
        if world.voters() <= 2 or not world.agent_up(number) or not world.voter(number) or not self.quiet():
            return
        rest = [one for one in (world.healthy() if number in world.healthy() else world.up()) if one != number]
        if 2 * len(rest) <= world.voters():
            raise Violated(f"{number} is {what}, and only {rest} of {world.voters()} stay healthy")


def settle(world, actors, seconds, done=None):
    end = world.now + seconds
    while world.now < end:
        world.tick()
        for actor in actors:
            actor.tick()
        if done is not None and done():
            return True
    return done is None


def is_done(world):
    wanted = set(range(world.wanted))
    return (
        world.replicas == world.wanted == len(world.pods) == len(world.members) == world.listed
        and set(world.healthy()) == wanted
        and all(pod.revision == world.revision and pod.ends is None for pod in world.pods.values())
    )


def disturb(world, rng):
    """Something from outside; never so much that a majority of the volumes is gone."""
    what = rng.choice(["pod", "crash", "volume", "roll", "scale", "nothing", "bad"])
    number = rng.randrange(world.replicas)
    if what in {"pod", "crash"}:
        world.faults.append(world.now)
        world.end_pod(number, 1.0 if what == "pod" else 0.0)
    elif what == "volume" and set(range(world.replicas)) == set(world.healthy()) and world.replicas > 2:
        world.faults.append(world.now)
        world.disks[number].lost = True
        world.end_pod(number, 0.0)
    elif what == "roll":
        world.revision += 1
        world.version += 1
    elif what == "bad":
        world.revision += 1
        world.bad.add(world.revision)
        world.version += 1
    elif what == "scale":
        world.wanted = rng.choice([1, 3, 3, 4, 5])
        world.version += 1


def lives(seed):
    """One cluster: a group forms, is disturbed, and is left in peace then."""
    world = Simulated(seed, 3 if seed % 5 else 5)
    actors = [Actor(world, deaths=0.05 if seed % 3 else 0.0) for _ in range(1 + (seed % 4 == 0))]
    assert settle(world, [], 60, lambda: world.leader and is_done(world)), "the group never formed"
    for _ in range(world.rng.randrange(1, 6)):
        disturb(world, world.rng)
        settle(world, actors, world.rng.choice([0.5, 3, 20]))
    if world.revision in world.bad:
        world.revision += 1
        world.version += 1
    if not settle(world, actors, 900, lambda: is_done(world)):
        raise Violated(f"it never came to rest: {[str(actor.last) for actor in actors]}, {world}")
    settle(world, actors, 5)
    assert isinstance(next_step(world.history[-1][1]), Done | Wait)


@pytest.mark.parametrize("block", [*range(2), *(pytest.param(block, marks=pytest.mark.slow) for block in range(2, 20))])
def test_simulated_clusters_come_to_what_is_wanted(block):
    """1,200 of them, with faults and changes of what is wanted, then rest."""
    for seed in range(block * 60, block * 60 + 60):
        try:
            lives(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_a_roll_changes_the_leader_once(seed):
    """And no more than one voter is away at a time."""
    world = Simulated(seed, 3 if seed % 2 else 5)
    actors = [Actor(world, deaths=0.1) for _ in range(1 + seed % 2)]
    assert settle(world, [], 60, lambda: world.leader and is_done(world))
    before = len(world.elections)
    world.revision += 1
    world.version += 1
    least = world.replicas

    def rolled():
        nonlocal least
        least = min(least, len(world.up()))
        return is_done(world)

    assert settle(world, actors, 900, rolled)
    assert [why for _, why in world.elections[before:]] == ["transfer"]
    assert least >= world.replicas - 1


# --- single decisions ---------------------------------------------------------------------------------------------


def group(count=3, leader=0, wanted=None, old=(), **changes):
    """A healthy one; `old` are pods of an earlier template."""
    members = {f"{number}-a": True for number in range(count)}
    pods = {
        number: Pod(f"pod-{number}", "1" if number in old else "2", ready=True, version="7") for number in range(count)
    }
    agents = {
        number: Agent(
            f"{number}-a",
            term=4,
            leads=number == leader,
            leader=f"{leader}-a",
            serving=True,
            last=100,
            applied=100,
            committed=100,
            members=members,
        )
        for number in range(count)
    }
    claims = {number: (Claim(f"volume-{number}", f"claim-{number}"),) for number in range(count)}
    given = {"wanted": wanted or count, "replicas": count, "revision": "2", "listed": count, "pods": pods,
             "claims": claims, "agents": agents, **changes}  # fmt: skip
    return View(name="kv", **given)


def without(view, number, **changes):
    """The same, without a pod and its agent."""
    rest = {
        name: {one: item for one, item in getattr(view, name).items() if one != number} for name in ("pods", "agents")
    }
    return replaced(view, **rest, **changes)


def replaced(view, **changes):
    names = ("name", "wanted", "replicas", "revision", "settled", "listed", "pods", "claims", "agents", "given_up")
    return View(**{**{name: getattr(view, name) for name in names}, **changes})


def test_a_healthy_group_is_left_alone():
    assert next_step(group()) == Done()


def test_a_missing_pod_is_waited_for():
    step = next_step(without(group(), 1))
    assert step == Wait("kv-1 does not exist")


def test_followers_are_rolled_before_the_leader():
    assert next_step(group(leader=2, old=(0, 1, 2))) == Replace(1, "pod-1", evict=True)
    assert next_step(group(leader=2, old=(2,))) == Transfer(2, 0)
    assert next_step(group(leader=0, old=(2,))) == Replace(2, "pod-2", evict=True)


def test_one_alone_is_rolled_with_a_pause():
    assert next_step(group(1, old=(0,))) == Replace(0, "pod-0", evict=True)


def test_the_ill_are_rolled_first_and_without_a_budget():
    view = group(leader=2, old=(0, 1, 2))
    view.pods[0] = Pod("pod-0", "1", ready=False, version="9")
    assert next_step(view) == Replace(0, "pod-0", evict=False, version="9")


def test_one_that_is_ill_with_the_new_template_stops_the_roll():
    view = group(leader=2, old=(0, 2))
    view.pods[1] = Pod("pod-1", "2", ready=False, reason="ImagePullBackOff")
    assert next_step(view) == Wait("kv-1 is not ready: ImagePullBackOff")


def test_growing_lists_the_peers_first():
    assert next_step(group(wanted=5)) == ListPeers(5)
    assert next_step(group(wanted=5, listed=5)) == SetReplicas(4)


def test_shrinking_hands_over_removes_verifies_and_then_lowers():
    view = group(5, leader=4, wanted=3)
    assert next_step(view) == Transfer(4, 0)
    view = group(5, leader=0, wanted=3)
    assert next_step(view) == Remove("4-a")
    fewer = {f"{number}-a": True for number in range(4)}
    agents = {number: Agent(**{**one.__dict__, "members": fewer}) for number, one in view.agents.items() if number < 4}
    stale = {number: Agent(**{**one.__dict__, "members": view.agents[0].members}) for number, one in agents.items()}
    view = replaced(group(5, wanted=4), agents={**stale, 0: agents[0]})
    assert next_step(view) == Wait("not a majority knows yet that kv-4 is no member")
    assert next_step(replaced(view, agents=agents)) == SetReplicas(4)


def test_a_pod_that_was_taken_away_is_waited_for():
    assert next_step(replaced(group(4), agents=group().agents, replicas=3, wanted=3, listed=3)) == Wait("kv-3 ends")


def test_a_volume_that_is_gone_is_renewed_where_a_majority_can_spare_it():
    gone = (Claim("volume-1", "claim-1", lost=True),)
    view = without(group(), 1)
    view.claims[1] = gone
    assert next_step(view) == Renew(1, gone, "")
    two = without(view, 2)
    assert next_step(two) == Wait("the volume of kv-1 is gone, and the others are no majority")


def test_a_controller_that_is_cut_off_does_nothing():
    assert next_step(group(old=(0, 1, 2), agents={})) == Wait(
        "no leader that a majority follows: the agent of kv-0 does not answer; the agent of kv-1 does not answer; "
        "the agent of kv-2 does not answer"
    )


def test_pods_that_never_ran_are_replaced_without_any_leader():
    view = group(old=(0, 1, 2), agents={})
    view.pods[1] = Pod("pod-1", "1", running=False, version="3")
    assert next_step(view) == Replace(1, "pod-1", evict=False, version="3")


def test_what_kubernetes_has_not_seen_is_waited_for():
    assert next_step(group(wanted=5, settled=False)) == Wait("Kubernetes has not taken note of the last change yet")


class Written:
    """A group in whose log entries come all the time; the first replica applies them so many seconds later."""

    def __init__(self, lag):
        self._lag, self._began, self._view = lag, time.monotonic(), group(leader=2, old=(1, 2))

    def view(self):
        return replaced(self._view, agents={number: self._agent(number) for number in range(3)})

    def ask(self, numbers):
        return {number: self._agent(number) for number in numbers}

    def _agent(self, number):
        entries = 100 + int(2000 * (time.monotonic() - self._began + 10))
        applied = entries - int(2000 * self._lag) if number == 0 else entries
        return dataclasses.replace(self._view.agents[number], last=applied, applied=applied, committed=entries)


def test_a_roll_goes_on_while_entries_come_without_a_pause():
    """One that applies them soon after they were committed has caught up, though it lacks some at each moment."""
    written = Written(lag=0.2)
    view = written.view()
    assert isinstance(next_step(view), Wait)
    assert next_step(after_a_round(view, written.ask)) == Replace(1, "pod-1", evict=True)


def test_a_roll_waits_for_one_that_falls_back():
    written = Written(lag=5.0)
    step = next_step(after_a_round(written.view(), written.ask))
    assert isinstance(step, Wait)
    assert "kv-0 lacks" in step.reason


def test_one_that_does_not_answer_again_does_not_answer():
    view = Written(lag=0.2).view()
    assert next_step(after_a_round(view, dict.fromkeys)) == Wait("the agent of kv-0 does not answer")
