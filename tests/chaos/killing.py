"""A service of which one process is killed when another one, or the same, has reached a phase.

Arguments: kind of service, `NAME:PHASE` of the event, name of the victim, number of the signal, folder. The event comes
from what the supervisor sees, in its own thread, so that the signal comes at that moment and not some time later. Lines
on standard output: `killed <pid>`, `serving` once a request was answered, `ended`.
"""

import os
import socket
import sys
import threading
from pathlib import Path

import psutil

from jina import Deployment, Document, Flow
from jina.errors import JinaError
from jina.supervisor import agents
from jina.supervisor.process import ChildProcess
from tests.acceptance.flow_asking import until
from tests.chaos.services import Counting, Marking

LOCAL = {"host": "127.0.0.1", "quiet": True, "restart_backoff": 0.1, "timeout_ready": 120_000}
MAIN = "main"


def made(kind, folder):
    if kind == "alone":
        return Deployment(uses=Marking, port_probes=free_port(), **LOCAL)
    if kind == "replicas":
        return Deployment(uses=Marking, replicas=2, **LOCAL)
    if kind == "reloading":
        return Deployment(uses=Marking, reload=True, **LOCAL)
    if kind == "around":
        return Deployment(uses=Marking, shards=2, polling="ALL", uses_before=Marking, uses_after=Marking, **LOCAL)
    if kind == "flow":
        return Flow(**LOCAL).add(uses=Marking, name="one").add(uses=Marking, name="two")
    assert kind == "stateful"
    return Deployment(uses=Counting, stateful=True, replicas=3, workspace=folder, **LOCAL)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Killer:
    """Kills once, when the event comes."""

    def __init__(self, event, victim, number):
        self._event, self._victim, self._number = event, victim, number
        self._lock = threading.Lock()
        self._pids = {MAIN: os.getpid()}
        self.done = threading.Event()

    def saw(self, name, phase, pid):
        """A process has reached a phase; a worker may be named by its kind, as each of them may be the first."""
        with self._lock:
            for each in {name, kind_of(name)}:
                self._pids.setdefault(each, pid)
            if self.done.is_set() or self._event not in {f"{name}:{phase}", f"{kind_of(name)}:{phase}"}:
                return
            victim = pid if self._victim == self._event.partition(":")[0] else self._pids.get(self._victim)
            if victim is None:
                return
            self.done.set()
            report(f"killed {victim}")
            os.kill(victim, self._number)
            if hold := os.environ.get("JINA_KILL_HOLD"):
                Path(hold).touch()


def kind_of(name):
    return name if name in {"forkserver", "gateway", "agent", "prober"} else "worker"


def watch(killer):
    """Let it see what the supervisor sees."""
    spawn, on_phase, terminate = ChildProcess.spawn, ChildProcess._on_phase, ChildProcess.terminate
    run_once, is_ready = agents.Agent._run_once, agents.Agent._is_ready

    def spawning(self, *arguments):
        spawn(self, *arguments)
        killer.saw(self.plan.name, "spawned", self.pid)

    def phase(self, report):
        on_phase(self, report)
        killer.saw(self.plan.name, self.phase, self.pid)

    def ending(self, signum):
        terminate(self, signum)
        if self.running:
            killer.saw(self.plan.name, "told to end", self.pid)

    def running_once(self, **arguments):
        threading.Thread(target=seen_agent, args=(self, killer), daemon=True).start()
        return run_once(self, **arguments)

    def listening(self):
        is_ready(self)
        killer.saw("agent", "ready", self.pid)

    ChildProcess.spawn, ChildProcess._on_phase, ChildProcess.terminate = spawning, phase, ending
    agents.Agent._run_once, agents.Agent._is_ready = running_once, listening


def seen_agent(agent, killer):
    until(lambda: agent.pid)
    killer.saw("agent", "spawned", agent.pid)


def watch_probers(killer):
    """They are children of the worker, of which the supervisor knows nothing."""
    while not killer.done.wait(0.005):
        for child in psutil.Process().children(recursive=True):
            try:
                if any(part.endswith("prober.py") for part in child.cmdline()):
                    killer.saw("prober", "spawned", child.pid)
            except psutil.Error:
                continue


def main(kind, event, victim, number, folder):
    if event == "worker:init":
        os.environ["JINA_KILL_HOLD"] = f"{folder}-killed"
    killer = Killer(event, victim, int(number))
    watch(killer)
    if "prober" in {victim, event.partition(":")[0]}:
        threading.Thread(target=watch_probers, args=(killer,), daemon=True).start()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    service = made(kind, folder)
    with service:
        until(lambda: answers(service), 120)
        if event.endswith(":serving"):
            for process in service._processes[0].processes:
                killer.saw(process.plan.name, "serving", process.pid)
            for agent in service._processes[0].agents.agents:
                killer.saw("agent", "serving", agent.pid)
        if killer.done.is_set():
            until(lambda: service.is_ready and answers(service), 120)
        report("serving")
        service.block(stop)
    report("ended")


def report(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def answers(service):
    try:
        return service.post("/mark", Document(text="x"), timeout=5).texts[0].startswith("xm")
    except JinaError:
        return False


if __name__ == "__main__":
    Path(sys.argv[5]).mkdir(exist_ok=True)
    main(*sys.argv[1:])
