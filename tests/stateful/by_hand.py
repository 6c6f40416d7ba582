"""Replicas that are started one by one, each by a command of its own, as on hosts of their own."""

import contextlib
import json
import shutil
import socket
import time
from pathlib import Path

from jina import Client, Document, DocumentArray
from tests.cli.running import Service
from tests.stateful import users
from tests.stateful.conftest import PATIENCE

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
FAST = '{"heartbeat_timeout": 200, "election_timeout": 200, "leader_lease_timeout": 100}'
FRESH = {"headers": {"jina-consistency": "linearizable"}}

LONG = 3 * PATIENCE
"""Seconds that a program has to start in: several do so at the same time."""


def free_port():
    """A port that is free on each of the hosts."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for host in HOSTS:
                taken = stack.enter_context(socket.socket())
                taken.bind((host, port))
                port = taken.getsockname()[1]
            return port


class Replicas:
    """Three replicas, each with a host, a folder and an own command."""

    def __init__(self, folder, *words, command="executor"):
        self.folder, self.command, self.words = Path(folder), command, words
        shutil.copy(users.__file__, self.folder / "ledgers.py")
        self.port, self.peer_port = free_port(), free_port()
        self.services = {}
        self.key_file = self.folder / "group.key"
        self.key_file.write_text("k" * 64)

    @property
    def peers(self):
        return [f"{host}:{self.peer_port}" for host in HOSTS]

    def start(self, replica, *own):
        """Start a replica, with options of its own; returns at once."""
        uses = ["--uses", "FolderLedger", "--py-modules", "ledgers.py", "--workspace", f"files-{replica}"]
        place = ["--host", HOSTS[replica], "--port", str(self.port), "--raft-configuration", FAST]
        group = ["--stateful", "--replicas", "3", "--replica-id", str(replica), "--raft-peers", ",".join(self.peers)]
        if "--ssl-certfile" not in (*self.words, *own):
            group += ["--raft-key-file", str(self.key_file)]
        words = [self.command, *uses, *place, *group, *self.words, *own]
        self.services[replica] = Service(words, self.folder)

    def await_ready(self, *replicas):
        deadline = time.monotonic() + LONG
        for replica in replicas:
            service = self.services[replica]
            while "is ready" not in service.output:
                assert service.process.poll() is None, service.output
                assert time.monotonic() < deadline, f"{replica} is not ready: {service.output}"
                time.sleep(0.02)

    def kill(self, replica):
        self.services[replica].end(9)

    def end(self):
        for service in self.services.values():
            if service.process.poll() is None:
                service.process.terminate()
        for service in self.services.values():
            with contextlib.suppress(Exception):
                service.process.wait(PATIENCE)
            if service.process.poll() is None:
                service.process.kill()
            service.end()

    def listens(self, replica, host=None):
        """Whether the agent of a replica takes connections."""
        with socket.socket() as sock:
            return sock.connect_ex((host or HOSTS[replica], self.peer_port)) == 0

    def await_agent(self, replica):
        deadline = time.monotonic() + LONG
        while not self.listens(replica):
            assert time.monotonic() < deadline, self.services[replica].output
            time.sleep(0.02)

    def lines(self, replica):
        """What a replica answers to a linearizable read."""
        with Client(host=HOSTS[replica], port=self.port) as client:
            return json.loads(client.post("/list", Document(), **FRESH)[0].text)["lines"]


@contextlib.contextmanager
def replicas(folder, *words, **options):
    """Three of them, of which none is started yet."""
    made = Replicas(folder, *words, **options)
    try:
        yield made
    finally:
        made.end()


def add(client, *texts):
    return client.post("/add", DocumentArray([Document(text=text) for text in texts]))
