"""Writers and linearizable readers of a group in the cluster, and what their history says.

python -m tests.cluster.histories HOST FOLDER NAMESPACE    until its standard input ends, and an answer to each line;
                                                           the last one says what was found, as JSON
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from jina.controller.api import Api
from jina.controller.groups import groups
from tests.cluster.cluster import Cluster
from tests.nemesis import checks
from tests.nemesis.clients import Clients
from tests.nemesis.connection import Connection, Unanswered
from tests.nemesis.history import NEVER, History, Op

PORT = 8081
REPLICAS = 3
LAST = 60.0
"""Seconds in which every request is answered, and every replica found, once nothing is changed any more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("folder", type=Path)
    parser.add_argument("namespace")
    given = parser.parse_args()
    history = History()
    # What others have written before was written, whenever that was.
    before = max((one["lines"] for one in _states(given.host)), key=len)
    history.ops += [Op("before", "append", line, None, 0, NEVER) for line in before]
    load = {"askers": 0, "sessions": 0, "writers": 2, "readers": 2, "large": 0.0, "prefix": f"{time.time_ns()}-"}
    clients = Clients(PORT, list, history, time.time_ns(), host=given.host, last=LAST, **load)
    with Leaders(given.namespace) as leaders, clients:
        for _ in sys.stdin:
            sys.stdout.write(f"{clients.written} {clients.longest_gap}\n")
            sys.stdout.flush()
    states = _states(given.host)
    history.save(given.folder / "history.jsonl")
    longest = max((one["lines"] for one in states), key=len)
    wrong = [*clients.wrong, *checks.check_replicas(states), *checks.check_list(history.ops, longest)]
    found = {
        "wrong": [*wrong, *checks.check_registers(history.ops)],
        "operations": len(history.ops) - len(before),
        "led": leaders.found,
        "written": clients.written,
        "longest_gap": round(clients.longest_gap, 2),
        "errors": clients.errors,
    }
    sys.stdout.write(json.dumps(found) + "\n")


class Leaders:
    """Who led the only group of a namespace, as its agents tell it all the time."""

    def __init__(self, namespace: str) -> None:
        self.found: list[tuple[int, str]] = []
        """Term and id, in order."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(namespace,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self, namespace: str) -> None:
        api = Api(namespace)
        (group,) = groups(api)
        while not self._over.wait(0.1):
            with contextlib.suppress(Exception):  # what is asked is about to end, or to begin
                agents = group.observe().view.agents.values()
                led = {(agent.term, agent.id) for agent in agents if agent.leads}
                self.found = sorted({*self.found, *led})
        group.close()
        api.close()


def _states(host: str) -> list[dict[str, Any]]:
    """The state of each replica, all of which have applied all."""
    found: dict[int, dict[str, Any]] = {}
    connection, end, number = Connection(PORT, host), time.monotonic() + LAST, 0
    while len(found) < REPLICAS:
        assert time.monotonic() < end, f"only the replicas {sorted(found)} answer in the end"
        number += 1
        with contextlib.suppress(Unanswered):
            state = connection.ask("/all", "", f"all-{number}", "linearizable")
            found[state["replica"]] = state
    connection.close()
    return [found[replica] for replica in sorted(found)]


class Writing:
    """A history that is being made; `found` after its end is what is wrong with it, and more."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.found: dict[str, Any] = {}

    @property
    def changes(self) -> int:
        """How often another replica led than before."""
        return sum(one != other for (_, one), (_, other) in pairwise(self.found["led"]))

    def goes_on(self, limit: float) -> float:
        """Wait for the next acknowledged write; gives the longest pause so far, in seconds."""
        end = time.monotonic() + limit
        before, _ = self._told()
        while True:
            now, gap = self._told()
            if now > before:
                return gap
            assert time.monotonic() < end, f"no write was acknowledged within {limit:g} s"
            time.sleep(0.1)

    def _told(self) -> tuple[int, float]:
        """How many writes were acknowledged so far, and the longest pause between two of them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?\n")
        assert select.select([self._process.stdout], [], [], 60)[0], "the clients say nothing"
        written, gap = self._process.stdout.readline().split()
        return int(written), float(gap)


@contextlib.contextmanager
def written(cluster: Cluster, host: str, folder: Path, namespace: str) -> Iterator[Writing]:
    """Clients of the group in a namespace meanwhile; afterwards their history has to be right."""
    command = [*cluster.inside, sys.executable, "-m", "tests.cluster.histories", host, str(folder), namespace]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, bufsize=1,
            env=cluster.environment,
        )  # fmt: skip
        writing = Writing(process)
        try:
            writing.goes_on(60)
            yield writing
            output, _ = process.communicate(timeout=3 * LAST)
            said.seek(0)
            assert process.returncode == 0, said.read()[-3000:]
            writing.found = json.loads(output.splitlines()[-1])
        finally:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    main()
