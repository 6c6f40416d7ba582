"""What goes wrong in a run: chosen by a seed, done to real processes, networks and disks, and mended again."""

import contextlib
import itertools
import os
import signal
import threading
import time

from jina.errors import JinaError
from tests.nemesis.changes import Changes

PROCESSES = {
    "kill-agents": 4,
    "kill-workers": 1,
    "kill-both": 1,
    "everything-killed": 1,
    "stop-agents": 3,
    "stop-leader": 2,
    "stop-workers": 2,
    "stop-both": 2,
    "snapshot": 3,
    "membership": 5,
}
"""What can be done anywhere, and how often relative to the others."""
ISOLATED = {"halves": 4, "one-way": 4, "flapping": 2, "full-disk": 2, "slow-disk": 2, "slow-disks": 2, "clock": 1}
"""What needs networks and disks of their own."""


def some(rng, *, isolated):
    """What goes wrong in one run: half of all there is, so that runs differ more than if each had everything."""
    kinds = {**PROCESSES, **(ISOLATED if isolated else {})}
    chosen = rng.sample(sorted(kinds), len(kinds) // 2)
    return {kind: kinds[kind] for kind in chosen}


_REST = 15.0
_SOME = 20


class Nemesis:
    """Does harm to a running Deployment until it is told to mend everything."""

    def __init__(self, deployment, world, rng, kinds, written):
        self.deployment, self.world, self.rng, self.kinds = deployment, world, rng, kinds
        self.done, self.snapshots_refused = [], 0
        self._written = written  # () -> how many writes were acknowledged
        self._mending = []
        self._shooting = []
        self._began = time.monotonic()
        self.changes = Changes(self, deployment, rng, self._tell)

    def run(self, seconds):
        """Do one thing after another; some of it lasts while the next begins."""
        self._rest(_SOME)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
            self._do(kind)
            if kind == "everything-killed":
                self._rest(_SOME)  # nothing can be learned of a service that never gets up
            until = min(end, time.monotonic() + self.rng.uniform(0.1, 1.5))
            while time.monotonic() < until:
                self._mend_due()
                time.sleep(0.01)
        self.mend()

    def _rest(self, writes):
        """Wait until there are more writes, in so far as they come."""
        until, enough = time.monotonic() + _REST, self._written() + writes
        while time.monotonic() < until and self._written() < enough:
            self._mend_due()
            time.sleep(0.01)

    def mend(self):
        """Undo all that lasts."""
        for _, undo in self._mending:
            undo()
        self._mending.clear()
        for replica, agent in itertools.product(self.members, (True, False)):
            self._signal(self._pid(replica, agent=agent), signal.SIGCONT)
        for thread in self._shooting:
            thread.join()
        self.changes.finish()

    @property
    def members(self):
        """The numbers of the replicas that are there now."""
        return sorted(self._agents)

    @property
    def sockets(self):
        """Where their agents are asked."""
        return [agent.plan.socket for agent in self._agents.values()]

    @property
    def _agents(self):
        return {agent.plan.replica: agent for agent in list(self.deployment._processes[0].agents.agents)}

    def _tell(self, what):
        self.done.append(f"{time.monotonic() - self._began:.2f} {what}")

    def _mend_due(self):
        for one in [one for one in self._mending if one[0] <= time.monotonic()]:
            self._mending.remove(one)
            one[1]()

    def _later(self, seconds, undo):
        self._mending.append((time.monotonic() + seconds, undo))

    def _do(self, kind):
        name = kind.replace("-", "_")
        result = getattr(self, f"_{name}", None) or getattr(self, f"_{name.partition('_')[0]}")
        what = result(kind.partition("-")[2]) if result.__name__ in {"_kill", "_stop"} else result()
        self._tell(f"{kind} {what}")

    def _some(self):
        """One replica, two or all; often the leader is among them."""
        count = self.rng.choice([1, 1, 1, 1, 2, 2, 3])
        members = self.members
        chosen = self.rng.sample(members, min(count, len(members)))
        leader = self.leader()
        if leader is not None and leader not in chosen and self.rng.random() < 0.5:
            chosen[0] = leader
        return sorted(chosen)

    def leader(self):
        """Who leads, if anyone says so."""
        leading = [one for one in self.status(0.3) if one.get("role") == "Leader"]
        return max(leading, key=lambda one: one["term"])["replica"] if leading else None

    def status(self, seconds=5.0):
        """What each agent tells; nothing of those that do not answer in time."""
        import msgspec

        from jina.replication.admin import ask
        from jina.replication.agent_client import STATUS

        events = []
        for agent in self._agents.values():
            with contextlib.suppress(JinaError):
                events.append(msgspec.json.decode(ask(agent.plan.socket, STATUS, seconds=seconds)))
        return events

    # --- processes --------------------------------------------------------------------------------------------

    def _pid(self, replica, *, agent):
        """That of a process, 0 where it is between two lives, or its replica gone."""
        if agent:
            found = self._agents.get(replica)
        else:
            workers = self.deployment._processes[0].workers
            found = next((one for one in workers if one.plan.replica_id == replica), None)
        return (found and found.pid) or 0

    def _signal(self, pid, number):
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _kill(self, which):
        chosen = self._some()
        for replica, agent in itertools.product(chosen, _which(which)):
            self._signal(self._pid(replica, agent=agent), signal.SIGKILL)
        return chosen

    def _everything_killed(self):
        for replica, agent in itertools.product(self.members, (True, False)):
            self._signal(self._pid(replica, agent=agent), signal.SIGKILL)
        return ""

    def _stop(self, which):
        chosen, seconds = self._some(), self.rng.choice([0.1, 0.5, 1.0, 2.0, 3.0]) * self.rng.uniform(0.5, 1.5)
        self._stop_for([self._pid(replica, agent=agent) for replica in chosen for agent in _which(which)], seconds)
        return chosen, round(seconds, 2)

    def _stop_for(self, pids, seconds):
        for pid in pids:
            self._signal(pid, signal.SIGSTOP)
        self._later(seconds, lambda: [self._signal(pid, signal.SIGCONT) for pid in pids])

    def _stop_leader(self):
        """Its agent, for as long as others need to elect another; it wakes up and has missed that."""
        leader, seconds = self.leader(), self.rng.uniform(0.5, 1.2)
        if leader is not None:
            self._stop_for([self._pid(leader, agent=True)], seconds)
        return leader, round(seconds, 2)

    def _membership(self):
        return self.changes.begin()

    def _snapshot(self):
        def shoot():
            try:
                self.deployment.snapshot()
            except JinaError:
                self.snapshots_refused += 1  # by an agent that is down, or whose worker is

        self._shooting.append(threading.Thread(target=shoot))
        self._shooting[-1].start()
        return ""

    # --- networks ---------------------------------------------------------------------------------------------

    def _cut(self, pairs, seconds):
        for pair in pairs:
            self.world.cut(*pair)
        self._later(seconds, lambda: [self.world.mend(*pair) for pair in pairs])

    def _sides(self):
        everyone = self.members
        one = self.rng.sample(everyone, self.rng.randrange(1, len(everyone)))
        return one, [replica for replica in everyone if replica not in one]

    def _halves(self):
        one, other = self._sides()
        seconds = self.rng.uniform(0.5, 4.0)
        self._cut([*itertools.product(one, other), *itertools.product(other, one)], seconds)
        return one, other, round(seconds, 2)

    def _one_way(self):
        one, other = self._sides()
        seconds = self.rng.uniform(0.5, 4.0)
        self._cut(list(itertools.product(one, other)), seconds)
        return one, other, round(seconds, 2)

    def _flapping(self):
        one, other = self._sides()
        pairs, period = [*itertools.product(one, other), *itertools.product(other, one)], self.rng.uniform(0.1, 0.5)
        for turn in range(5):
            self._later(2 * turn * period, lambda: [self.world.cut(*pair) for pair in pairs])
            self._later((2 * turn + 1) * period, lambda: [self.world.mend(*pair) for pair in pairs])
        return one, other, round(period, 2)

    # --- disks and clocks -------------------------------------------------------------------------------------

    def _full_disk(self):
        replica, seconds = self.rng.choice(self.members), self.rng.uniform(0.5, 3.0)
        self.world.fill(replica)
        self._later(seconds, lambda: self.world.free(replica))
        return replica, round(seconds, 2)

    def _slow_disk(self):
        return self._slow([self.rng.choice(self.members)])

    def _slow_disks(self):
        return self._slow(self.members)

    def _slow(self, chosen):
        seconds, delay = self.rng.uniform(1.0, 4.0), self.rng.choice([20, 100, 400])
        for replica in chosen:
            self.world.slow(replica, delay)
        self._later(seconds, lambda: [self.world.slow(replica, 0) for replica in chosen])
        return list(chosen), delay, round(seconds, 2)

    def _clock(self):
        """An agent that is started again finds another clock, hours ahead or behind; the wall's cannot be had alone."""
        replica, seconds = self.rng.choice(self.members), self.rng.randrange(0, 100_000)
        self.world.shift(replica, seconds)
        self._signal(self._pid(replica, agent=True), signal.SIGKILL)
        return replica, seconds


def _which(what):
    return {"agents": (True,), "workers": (False,), "both": (True, False)}[what]
