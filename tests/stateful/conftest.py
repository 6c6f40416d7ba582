"""Stateful Deployments as real processes; skipped where the consensus agent is not installed (`make agent`)."""

import contextlib
import importlib.util
import json
import os
import signal
import time
from collections import defaultdict

import pytest

from jina import Deployment, Document, DocumentArray
from jina.errors import JinaError

FAST = {"heartbeat_timeout": 200, "election_timeout": 200, "leader_lease_timeout": 100}
PATIENCE = 30.0


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("jina_raft") is None:
        for item in items:
            if "tests/stateful" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="the consensus agent is not built: make agent"))


class Group:
    """A running stateful Deployment, and what tests do to it."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.post = deployment.post

    def add(self, *texts, **options):
        return self.post("/add", DocumentArray([Document(text=text) for text in texts]), **options)

    def everywhere(self, endpoint, count=3, documents=None, **options):
        """What the replicas tell, by process; asks until `count` have answered."""
        found, deadline = {}, time.monotonic() + PATIENCE
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {len(found)} replicas answer"
            reply = json.loads(self.post(endpoint, documents or DocumentArray([Document()]), **options)[0].text)
            found[reply.pop("process", len(found))] = reply
        return list(found.values())

    def settled(self, endpoint, wanted, count=3):
        """Wait until all replicas tell `wanted`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            states = self.everywhere(endpoint, count)
            if all(one == wanted for one in states):
                return
            assert time.monotonic() < deadline, states

    def status(self):
        return self.deployment.consensus_status()

    def leader(self):
        """The number of the replica that leads."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for one in self.status():
                if one.get("role") == "Leader":
                    return one["replica"]
            assert time.monotonic() < deadline

    @property
    def agents(self):
        return self.deployment._processes[0].agents.agents

    @property
    def workers(self):
        return self.deployment._processes[0].workers

    def kill_agent(self, replica, number=signal.SIGKILL):
        if (pid := self.agents[replica].pid) == 0:
            raise ProcessLookupError("it is between two lives")
        os.kill(pid, number)

    def kill_worker(self, replica, number=signal.SIGKILL):
        os.kill(self.workers[replica].pid, number)


@contextlib.contextmanager
def group(uses, workspace, replicas=3, **options):
    options = {"raft_configuration": FAST, "host": "127.0.0.1", "quiet": True, **options}
    with Deployment(uses=uses, stateful=True, replicas=replicas, workspace=str(workspace), **options) as deployment:
        yield Group(deployment)


def check_history(attempts, lines, *, all_of_them=True):
    """That a ledger holds each acknowledged line once, and at the place that was answered, and no other line twice."""
    places = defaultdict(list)
    for place, line in enumerate(lines):
        places[line].append(place)
    assert all(len(found) == 1 for found in places.values()), "a line was applied twice"
    for line, place in attempts.items():
        if place is not None:
            assert places.get(line) == [place], f"{line}, answered at {place}, is at {places.get(line)}"
    if all_of_them:
        assert places.keys() <= attempts.keys(), "a line that was not written"


class Writer:
    """Writes lines of its own one after another, and keeps what was answered; None where nothing was."""

    def __init__(self, group, name):
        self.group, self.name = group, name
        self.attempts, self.errors, self.acknowledged = {}, [], []

    def write(self, number):
        line = f"{self.name}-{number}"
        self.attempts[line] = None
        try:
            self.attempts[line] = int(self.group.add(line)[0].text)
            self.acknowledged.append(time.monotonic())
        except JinaError as error:
            self.errors.append(error)

    @property
    def longest_gap(self):
        return max((b - a for a, b in zip(self.acknowledged, self.acknowledged[1:], strict=False)), default=0.0)
