"""What a group costs that has nothing to do, and what it takes for itself before it does anything."""

import contextlib
import os
import socket
import time

import pytest

from jina.errors import PortAlreadyUsed
from tests.stateful.conftest import group
from tests.stateful.users import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MOST = 450
"""Wake-ups a second of the agents and workers of three replicas; about 250 are measured on a quiet machine, and 2,200
before heartbeats were sent at once."""
SECONDS = 10.0


def wakeups(pids):
    """How often the threads of processes have waited so far."""
    found = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            # A thread that has ended meanwhile waits no more.
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
                found += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return found


def test_three_idle_replicas_sleep(tmp_path):
    """Voluntary switches, which other work on the machine does not add to; elections would, and are none here."""
    with group(Ledger, tmp_path, raft_configuration=None) as running:
        running.add("one")
        running.settled("/list", running.everywhere("/list", headers={"jina-consistency": "linearizable"})[0])
        pids = [*(agent.pid for agent in running.agents), *(worker.pid for worker in running.workers)]
        for _ in range(3):  # one without an election
            term, before, began = running.status()[0]["term"], wakeups(pids), time.monotonic()
            time.sleep(SECONDS)  # what is measured
            rate = (wakeups(pids) - before) / (time.monotonic() - began)
            if running.status()[0]["term"] == term:
                break
        assert rate < MOST


def in_a_row(count):
    """Ports that follow one another, among those that the system gives connections."""
    while True:
        held = []
        try:
            for number in range(count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", held[0].getsockname()[1] + number if number else 0))
            return [one.getsockname()[1] for one in held]
        except OSError:
            pass
        finally:
            for one in held:
                one.close()


def test_ports_in_a_row_that_connections_use_are_held_from_the_beginning(tmp_path):
    """Each port is taken before anything connects, so that no connection of ours gets it."""
    ports = in_a_row(3)
    with group(Ledger, tmp_path, peer_ports=ports) as running:
        assert set(ports) <= running.deployment._reservations._held.keys()
        statuses = {one["replica"]: one["peers"][str(one["replica"])] for one in running.status()}
        assert statuses == {number: f"127.0.0.1:{port}" for number, port in enumerate(ports)}
    for port in ports:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))


def test_a_peer_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, me = taken.getsockname()[1], os.getpid()
        with (
            pytest.raises(
                PortAlreadyUsed,
                match=rf"(?s)127.0.0.1:{port} is taken: process {me} .* below those that the system gives",
            ),
            group(Ledger, tmp_path, replicas=1, peer_ports=[port]),
        ):
            pass
