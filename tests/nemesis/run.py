"""One seeded run: `python -m tests.nemesis.run --seed 7 --seconds 20`; prints what it did and found, as JSON."""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

from jina import Deployment, Document
from jina.errors import JinaError
from tests.nemesis import checks, faults
from tests.nemesis.changes import MOST
from tests.nemesis.clients import Clients
from tests.nemesis.history import History
from tests.nemesis.running import AGENT
from tests.nemesis.world import ISOLATED, World, can_isolate

SHORT_LOG = {
    "heartbeat_timeout": 200,
    "election_timeout": 200,
    "leader_lease_timeout": 100,
    "snapshot_threshold": 150,
    "trailing_logs": 30,
}
INSIDE = "JINA_NEMESIS_INSIDE"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--agent", default=str(AGENT))
    parser.add_argument("--planted", default="", help="a mistake to make on purpose")
    parser.add_argument(
        "--kinds", default="", help="what goes wrong, such as kill-agents=3,snapshot=1; else everything"
    )
    parser.add_argument("--readers", type=int, default=5)
    parser.add_argument("--disk", type=int, default=96, help="megabytes that each log and its snapshots have")
    parser.add_argument("--large", type=float, default=0.02, help="how many of the writes are large, from 0 to 1")
    parser.add_argument("--repeated", type=float, default=0.1, help="how many of the writes come a second time")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds in which all is well again afterwards")
    parser.add_argument("--folder", default="", help="where the history goes; kept")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    sys.stderr.write(f"nemesis: --seed {seed}\n")
    if os.environ.get(INSIDE) is None and can_isolate():
        command = [*ISOLATED, sys.executable, "-m", "tests.nemesis.run", *sys.argv[1:], "--seed", str(seed)]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    folder = given.folder or tempfile.mkdtemp(prefix="nemesis-")
    try:
        found = Run(seed, given.seconds, folder, given).go()
    finally:
        if not given.folder:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(1 if found["wrong"] or found["late"] else 0)


class Run:
    """A Deployment with its clients and its nemesis."""

    def __init__(self, seed, seconds, folder, given):
        self.seed, self.seconds, self.folder = seed, seconds, folder
        self.planted, self.settle = given.planted, given.settle
        self.load = {
            "readers": given.readers,
            "large": given.large,
            "repeated": given.repeated,
            "last": given.settle / 2,
        }
        isolated = os.environ.get(INSIDE) is not None
        self.world = World(folder, given.agent, given.planted, isolated=isolated, disk=given.disk)
        self.rng = random.Random(seed)
        self.kinds = _kinds(given.kinds) or faults.some(self.rng, isolated=isolated)
        self.history = History()
        self.wrong, self.late = [], []  # what must never be, and what took too long

    def go(self):
        """What was found."""
        os.environ.update({"JINA_NEMESIS_PLANTED": self.planted, "JINA_NEMESIS_FOLDER": str(self.folder)})
        self.world.build(MOST)
        from tests.nemesis.state import NemesisState

        began = time.monotonic()
        states, nemesis, clients = [], None, None
        try:
            with Deployment(
                uses=NemesisState, name="nemesis", stateful=True, replicas=3, workspace=str(self.world.workspace),
                host="127.0.0.1", protocol="http", quiet=True, restart_limit=-1, restart_backoff=100,
                raft_configuration=SHORT_LOG,
            ) as deployment:  # fmt: skip
                nemesis = faults.Nemesis(deployment, self.world, self.rng, self.kinds, lambda: clients.written)
                clients = Clients(deployment.port, lambda: nemesis.sockets, self.history, self.seed, **self.load)
                with clients:
                    nemesis.run(self.seconds)
                    self._settle(nemesis)
                states = self._states(deployment, nemesis.members)
        except JinaError as error:
            self.late.append(f"the Deployment: {error!r}")
        except Exception:  # one of the nemesis: the history is checked all the same
            self.late.append(traceback.format_exc()[-2000:])
        finally:
            self.world.close()
        self.history.save(os.path.join(self.folder, "history.jsonl"))
        self.wrong += self._check(states) + (clients.wrong if clients else [])
        self.wrong += nemesis.changes.mistakes if nemesis else []
        return self._report(nemesis, clients, states, time.monotonic() - began)

    def _settle(self, nemesis):
        """Wait until all replicas serve, and agree on how far they are."""
        deadline = time.monotonic() + self.settle
        while time.monotonic() < deadline:
            statuses = nemesis.status()
            if any(one["diverged"] for one in statuses):
                self.wrong.append(f"diverged: {[(one['replica'], one['diverged']) for one in statuses]}")
                return
            if self._settled(statuses, nemesis.members):
                return
            time.sleep(0.1)
        brief = [
            {name: one[name] for name in ("replica", "role", "term", "serving", "applied", "committed", "members")}
            for one in statuses
        ]
        self.late.append(f"not all replicas serve {self.settle:.0f} s after the last fault: {brief}")

    def _settled(self, result, members):
        """Whether the group is of these replicas alone, and all of them serve."""
        leading = [one for one in result if one["role"] == "Leader"]
        if len(leading) != 1 or sorted(one["replica"] for one in result if one["serving"]) != members:
            return False
        votes = sorted((int(member.partition("-")[0]), vote) for member, vote in leading[0]["members"].items())
        return votes == [(number, "Voter") for number in members]

    def _states(self, deployment, members):
        """The state of each replica, all of them having applied all."""
        found, deadline = {}, time.monotonic() + self.settle / 2
        while not found.keys() >= set(members):
            if time.monotonic() > deadline:
                self.late.append(f"of the replicas {members} only {sorted(found)} answer in the end")
                _show(deployment)
                break
            try:
                headers = {"jina-consistency": "linearizable"}
                reply_headers = json.loads(deployment.post("/all", Document(), headers=headers, timeout=5)[0].text)
                found[reply_headers["replica"]] = reply_headers
            except JinaError as error:
                sys.stderr.write(f"nemesis: at the end: {error}\n")
        if found.keys() - set(members):
            self.wrong.append(f"there are the replicas {members}, but {sorted(found)} answer")
        return [found[replica] for replica in sorted(found)]

    def _check(self, states):
        if not states:
            return []
        ops = self.history.ops
        longest = max((one["lines"] for one in states), key=len)
        return checks.check_replicas(states) + checks.check_list(ops, longest) + checks.check_registers(ops)

    def _report(self, nemesis, clients, states, seconds):
        return {
            "seed": self.seed,
            "planted": self.planted,
            "kinds": list(self.kinds),
            "wrong": self.wrong[:20],
            "count": len(self.wrong),
            "late": self.late,
            "seconds": round(seconds, 1),
            "operations": len(self.history.ops),
            "acknowledged": sum(op.returned != float("inf") for op in self.history.ops),
            "writes_unanswered": sum(
                op.returned == float("inf") and op.kind in {"append", "set", "swap"} for op in self.history.ops
            ),
            "lines": len(states[0]["lines"]) if states else 0,
            "longest_gap": round(clients.longest_gap, 2) if clients else None,
            "faults": nemesis.done if nemesis else [],
            "errors": clients.errors if clients else {},
        }


def _show(deployment):
    """Where the workers are, and what the agents say, on the standard error."""
    for worker in deployment._processes[0].workers:
        sys.stderr.write(f"nemesis: {worker.name} is process {worker.pid}, {worker.phase}\n")
        _ask(worker.pid, signal.SIGUSR2)
    for one in deployment.consensus_status():
        sys.stderr.write(f"nemesis: {one}\n")
    for agent in deployment._processes[0].agents.agents:
        sys.stderr.write(f"nemesis: the agent of replica {agent.plan.replica} is process {agent.pid}\n")
        _ask(agent.pid, signal.SIGQUIT)  # a Go program shows its goroutines


def _ask(pid, number):
    """Make a process print its stacks, if it runs: number 0 would mean the whole process group, this run too."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        time.sleep(0.5)  # one after the other


def _kinds(result):
    return {name: int(weight or 1) for name, _, weight in (part.partition("=") for part in result.split(",") if part)}


if __name__ == "__main__":
    main()
