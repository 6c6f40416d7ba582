"""One seeded run of session reads: `python -m tests.nemesis.session_reads --seed 7 --reads 50000`.

Two shards of three replicas, whose processes are killed and stopped meanwhile; clients of each kind write to any shard
and read from any. A read that says less of a shard than the same client was told before is stale.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from jina import Client, Deployment, Document
from jina.errors import JinaError
from tests.nemesis.connection import Connection, Unanswered
from tests.nemesis.run import SHORT_LOG
from tests.nemesis.shards import ShardState, read

JINA_3 = Path(__file__).parents[2] / ".cache/env-jina3/bin/python"
SESSION = {"jina-consistency": "session"}
READS_PER_WRITE = 4
# It sends headers over HTTP, and does not show those of an answer: the index comes from the caller.
PROGRAM = """
import json, sys
from docarray import DocList
from docarray.documents import TextDoc
from jina import Client
client = Client(host="127.0.0.1", port=int(sys.argv[1]), protocol="http")
for line in sys.stdin:
    try:
        found = client.post("/read", TextDoc(), headers=json.loads(line), return_type=DocList[TextDoc], timeout=10)
        print(found[0].text, flush=True)
    except Exception as error:
        print("!" + repr(error).replace("\\n", " ")[:200], flush=True)
"""


class Plain:
    """HTTP as the documentation says: the index of the newest answer is sent back."""

    remembers_reads = True

    def __init__(self, ports):
        self._connection, self._index = Connection(ports["http"]), ""

    def write(self, text, name):
        return self._ask("/append", text, name, {"jina-index": self._index} if self._index else {})

    def read(self, name):
        return self._ask("/read", "", name, {"jina-index": self._index} if self._index else {})

    def _ask(self, endpoint, text, name, headers):
        found = self._connection.ask(endpoint, text, name, "session", headers)
        self._index = self._connection.beside["jina-index"]
        return found["shard"], found["count"]

    def close(self):
        self._connection.close()


class Ours:
    """A client of jina, which remembers by itself."""

    remembers_reads = True

    def __init__(self, ports, protocol):
        self._client = Client(host="127.0.0.1", port=ports[protocol], protocol=protocol)

    def write(self, text, name):
        return read(self._client.post("/append", Document(text=text), timeout=10)[0].text)

    def read(self, name):
        return read(self._client.post("/read", Document(), headers=SESSION, timeout=10)[0].text)

    def close(self):
        self._client.close()


class Jina3(Plain):
    """Writes as `Plain`, and reads by the client of PyPI's Jina 3.34, which is told the index."""

    remembers_reads = False  # it does not show the index of what it read

    def __init__(self, ports):
        super().__init__(ports)
        command = [JINA_3, "-c", PROGRAM, str(ports["http"])]
        self._program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip

    def read(self, name):
        headers = {**SESSION, **({"jina-index": self._index} if self._index else {})}
        self._program.stdin.write(json.dumps(headers) + "\n")
        self._program.stdin.flush()
        line = self._program.stdout.readline()
        if not line.startswith("{"):
            raise Unanswered(line.strip())
        return read(line)

    def close(self):
        super().close()
        self._program.stdin.close()
        self._program.wait()


class Run:
    """The clients of a Deployment, and what is done to it, until there were so many reads."""

    def __init__(self, deployment, seed, reads, *, jina3):
        self._deployment, self._seed, self._reads = deployment, seed, reads
        ports = dict(zip(deployment.protocol, deployment.port, strict=True))
        makers = [lambda: Plain(ports)] * 4
        makers += [lambda protocol=protocol: Ours(ports, protocol) for protocol in ("grpc", "http", "websocket") * 2]
        makers += [lambda: Jina3(ports)] * (2 if jina3 else 0)
        self._threads = [threading.Thread(target=self._work, args=pair) for pair in enumerate(makers)]
        self._lock, self._enough = threading.Lock(), threading.Event()
        self.counts, self.errors, self.stale, self.faults = Counter(), Counter(), [], []

    def go(self, seconds):
        """Return when there were enough reads, or after that many seconds."""
        for thread in self._threads:
            thread.start()
        rng, end = random.Random(self._seed), time.monotonic() + seconds
        while not self._enough.is_set() and time.monotonic() < end:
            undo = self._harm(rng)
            self._enough.wait(rng.uniform(0.3, 1.5))
            undo()
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _harm(self, rng):
        """Something to one replica of a shard: what it was, and what ends it."""
        shard, replica = rng.randrange(2), rng.randrange(3)
        agents = [one for one in self._deployment._processes[0].agents.agents if one.plan.shard == shard]
        workers = [one for one in self._deployment._processes[0].workers if one.plan.shard_id == shard]
        kind = rng.choice(["kill-agent", "kill-worker", "stop-agent", "stop-agent", "stop-worker", "snapshot"])
        self.faults.append(f"{kind} {shard}/{replica}")
        if kind == "snapshot":
            with contextlib.suppress(JinaError):
                self._deployment.snapshot()
            return lambda: None
        found = agents[replica] if kind.endswith("agent") else workers[replica]
        pid = found.pid
        _signal(pid, signal.SIGKILL if kind.startswith("kill") else signal.SIGSTOP)
        return lambda: _signal(pid, signal.SIGCONT)

    def _work(self, number, make):
        client = make()
        kind = type(client).__name__
        rng, seen, at = random.Random(f"{self._seed} {number}"), {}, 0
        while not self._enough.is_set():
            at += 1
            name = f"{self._seed}-{number}-{at}"
            is_read = rng.randrange(READS_PER_WRITE + 1) > 0
            try:
                shard, count = client.read(name) if is_read else client.write(name, name)
            except (JinaError, Unanswered) as error:
                with self._lock:
                    self.errors[f"{kind}: {error!r}"[:100]] += 1
                continue
            self._note(kind, is_read, shard, count, seen.get(shard, 0), name)
            if client.remembers_reads or not is_read:
                seen[shard] = max(count, seen.get(shard, 0))
        client.close()

    def _note(self, kind, is_read, shard, count, known, name):
        with self._lock:
            self.counts[f"{'reads' if is_read else 'writes'} {kind}"] += 1
            if count < known:
                self.stale.append(f"{kind} {name} was told {count} lines of shard {shard}, and {known} before")
            reads = sum(number for what, number in self.counts.items() if what.startswith("reads"))
            if reads >= self._reads:
                self._enough.set()


def _signal(pid, number):
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reads", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most")
    parser.add_argument("--planted", default="", help="a mistake to make on purpose")
    given = parser.parse_args()
    os.environ["JINA_NEMESIS_PLANTED"] = given.planted
    folder = tempfile.mkdtemp(prefix="session-reads-")
    try:
        with Deployment(
            uses=ShardState, name="nemesis", stateful=True, shards=2, replicas=3, workspace=folder, host="127.0.0.1",
            protocol=["grpc", "http", "websocket"], polling="ANY", quiet=True, restart_limit=-1, restart_backoff=100,
            raft_configuration=SHORT_LOG,
        ) as deployment:  # fmt: skip
            run = Run(deployment, given.seed, given.reads, jina3=JINA_3.exists())
            run.go(given.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {"counts": run.counts, "faults": len(run.faults), "stale": len(run.stale), "first": run.stale[:5]}
    sys.stdout.write(json.dumps({**found, "errors": run.errors.most_common(5)}) + "\n")


if __name__ == "__main__":
    main()
