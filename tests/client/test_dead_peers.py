"""Servers that are gone without a word, and connections that were idle then."""

import asyncio
import itertools
import json
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from jina import Client, Document
from jina.errors import DeadlineExceeded
from tests.nemesis.world import ISOLATED, can_isolate

ROOT = Path(__file__).parents[2]
BOUND = {"grpc": 15.0, "http": 40.0}
"""Seconds after which a call has failed whose server is gone."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not can_isolate(), reason="networks of a test's own need root, unshare and ip")
def test_a_machine_that_is_gone_is_noticed():
    """By calls that are sent afterwards, and by those that it had received."""
    command = [*ISOLATED, sys.executable, "-m", "tests.client.dead_peers"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 8, found
    for name, (error, seconds) in found.items():
        assert error.startswith("Unavailable: "), (name, error)
        assert seconds < BOUND[name.partition(" ")[0]], name


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(
    not can_isolate() or shutil.which("iptables") is None, reason="it needs root, unshare, ip and iptables"
)
def test_calls_are_made_elsewhere_when_the_machine_at_the_end_of_a_connection_is_silent():
    """Long before the connection is given up, with what waits for an answer on it."""
    command = [*ISOLATED, sys.executable, "-m", "tests.client.silent_peers"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["waits"]
    assert found["seconds"] < 5


class Deaf:
    """A server whose first connections answer one request each, when there are two of them, and then nothing."""

    def __init__(self, stack):
        self._listening = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self.port = self._listening.getsockname()[1]
        self._both, self._over = threading.Barrier(2), threading.Event()
        stack.callback(self._over.set)
        self._numbers = itertools.count()
        for _ in range(3):
            threading.Thread(target=self._serve).start()

    def _serve(self):
        with self._listening.accept()[0] as sock, sock.makefile("rb") as file:
            number, length = next(self._numbers), 0
            while (line := file.readline()).strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            file.read(length)
            if number < 2:
                self._both.wait(20)
            body = b'{"data": []}'
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            self._over.wait(60)


def test_idle_connections_are_not_used_when_another_one_got_no_answer_in_time():
    with ExitStack() as stack:
        address = f"http://127.0.0.1:{Deaf(stack).port}"
        with Client(host=address) as client:
            threads = [threading.Thread(target=client.post, args=("/a", Document(text="x"))) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            with pytest.raises(DeadlineExceeded):
                client.post("/a", Document(text="x"), timeout=0.3)
            client.post("/a", Document(text="x"), timeout=20)


def test_idle_connections_of_a_loop_are_not_used_when_another_one_got_no_answer_in_time():
    async def ask(client, seconds):
        await client.post("/a", Document(text="x"), timeout=seconds)

    async def main(port):
        async with Client(host=f"http://127.0.0.1:{port}", asyncio=True) as client:
            await asyncio.gather(ask(client, 20), ask(client, 20))
            with pytest.raises(DeadlineExceeded):
                await ask(client, 0.3)
            await ask(client, 20)

    with ExitStack() as stack:
        asyncio.run(main(Deaf(stack).port))
