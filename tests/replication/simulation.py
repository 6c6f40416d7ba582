"""Runs of a simulated group: real replicas, agents and clients of the simulation, in virtual time, decided by a plan.

The same plan does the same, to the last step; what is wrong ends the run at once with the promise that was not kept.
"""

import asyncio
import contextlib
import logging
import random
import tempfile
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import patch

from jina.ipc import protocol
from jina.replication import log_entries, replica, snapshots

from .model import require
from .simulated_agents import Agent
from .simulated_clients import KINDS
from .simulated_group import Group
from .simulated_workers import Place
from .virtual import VirtualLoop

FAULTS = (
    "kill",
    "agent",
    "silence",
    "cut",
    "flapping",
    "no leader",
    "cut off",
    "snapshot",
    "overtaken",
    "reset",
    "removed",
)
_SECONDS = 20.0
"""In which all is answered once nothing goes wrong any more."""


@dataclass(frozen=True)
class Fault:
    """Something that is done to a replica at a time, for so long."""

    kind: str
    at: float
    replica: int = 0
    seconds: float = 1.0


@dataclass(frozen=True)
class Plan:
    """All that a run depends on.

    `trouble` is the part of proposals, reads, snapshots and restores that go wrong, `sessions` how many are kept.
    """

    seed: int
    replicas: int = 3
    clients: tuple = ("plain", "session", "gathering", "reader")
    each: int = 6
    trouble: float = 0.1
    sessions: int = 100
    faults: tuple = ()


def plan_of(seed, kinds=(), **fixed):
    """One that is drawn by a number, but for what is given. Each has few kinds of faults, as one may hide others."""
    chance = random.Random(seed)
    size, end = chance.randint(1, 5), chance.choice((0.5, 5.0))
    kinds = kinds or chance.sample(FAULTS, chance.randint(1, 4))

    def fault():
        seconds = chance.choice((0.05, 0.3, 1.0, 3.0))
        return Fault(chance.choice(kinds), chance.uniform(0.0, end), chance.randrange(size), seconds)

    drawn = {
        "replicas": size,
        "clients": tuple(chance.choice(sorted(KINDS)) for _ in range(chance.randint(1, 7))),
        "each": chance.randint(1, 12),
        "trouble": chance.choice((0.0, 0.1, 0.4)),
        "sessions": chance.choice((1, 2, 100)),
        "faults": tuple(fault() for _ in range(chance.randint(0, 14))),
    }
    return Plan(seed, **drawn | fixed)


def simulate(plan):
    """What happened, step by step; raises for what must not happen."""
    loop = VirtualLoop()
    with tempfile.TemporaryDirectory() as folder, _virtual(loop, plan.seed):
        return loop.run(_run(plan, folder))


@contextlib.contextmanager
def _virtual(loop, seed):
    """The code under test has the loop's time, and moments that the seed decides; no disk is waited for."""
    clock, chance = SimpleNamespace(monotonic=loop.time), random.Random(seed)

    def clock_and_seed():
        return loop.time() + chance.uniform(-5, 5), chance.getrandbits(63)  # clocks of replicas differ

    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.ExitStack() as stack:
            for module in (protocol, replica):
                stack.enter_context(patch.object(module, "time", clock))
            stack.enter_context(patch.object(log_entries, "new_clock_and_seed", clock_and_seed))
            stack.enter_context(patch.object(snapshots, "sync", lambda path: None))
            yield
    finally:
        logging.disable(disabled)


async def _run(plan, folder):
    loop = asyncio.get_running_loop()
    group = Group(loop, random.Random(plan.seed), folder, plan.trouble, plan.sessions)
    group.agents += [Agent(group, number) for number in range(plan.replicas)]
    group.append(None)
    places = [Place(group, agent) for agent in group.agents]
    lives = [asyncio.create_task(place.live()) for place in places]
    clients = [KINDS[kind](f"{kind}{number}", group, places, plan.each) for number, kind in enumerate(plan.clients)]
    work = [asyncio.create_task(client.run()) for client in clients]
    for fault in sorted(plan.faults, key=lambda one: one.at):
        await asyncio.sleep(max(0.0, 1000 + fault.at - loop.time()))
        harm(group, places, fault)
    await asyncio.sleep(max((1000 + one.at + one.seconds - loop.time() for one in plan.faults), default=0.0))
    group.trouble = 0.0
    group.note("all is well")
    done, late = await asyncio.wait(work, timeout=_SECONDS)
    waiting = [client.name for client, task in zip(clients, work, strict=True) if not task.done()]
    require(not late, "somebody waits for ever:", waiting)
    for task in done:
        task.result()
    await _settled(group, places)
    for task in lives:
        task.cancel()
    await asyncio.wait(lives)
    return group.trace


def harm(group, places, fault):
    """Do what a fault says."""
    place = places[fault.replica % len(places)]
    agent = place.agent
    group.note("fault", fault.kind, agent.number, fault.seconds)
    match fault.kind:
        case "kill":
            place.kill()
        case "agent":
            agent.die(fault.seconds)
        case "silence":
            agent.silent = group.loop.time() + fault.seconds
        case "cut":
            agent.break_off()
        case "no leader":
            group.elect(fault.seconds)
        case "cut off":
            agent.cut_off = group.loop.time() + fault.seconds
        case "snapshot":
            agent.want_snapshot()
        case "flapping":
            for _ in range(10):
                group.loop.call_later(group.chance.uniform(0, fault.seconds), agent.break_off)
        case "overtaken":
            agent.cut_off = group.loop.time() + fault.seconds
            for other in group.agents:
                other.later(fault.seconds / 2, other.want_snapshot)
            agent.later(fault.seconds, agent.install)
        case "reset":
            agent.reset("somebody asked for it")
        case "removed":
            agent.tell_removed(removed=True)
            agent.later(fault.seconds, agent.tell_removed)


async def _settled(group, places):
    """All replicas have applied all, and wait for nothing."""
    deadline = group.loop.time() + _SECONDS
    while busy := [why for place in places if (why := _waits_for(place, len(group.log)))]:
        require(group.loop.time() < deadline, "replicas wait for ever:", busy)
        await asyncio.sleep(0.1)
    for place in places:
        group.model.holds(place.machine.lines, len(group.log))


def _waits_for(place, last):
    if place.replica is None or place.replica._applied_index.applied < last:
        return "entries"
    inside = place.replica
    return (inside._writes._open and "writes") or (inside._applied_index._waiting and "reads") or inside._link._proposed
