"""A program with a network of its own: a server on a machine that loses its power, and clients that called it.

unshare --net --mount --pid --fork --mount-proc --kill-child python -m tests.client.dead_peers
prints, as JSON, what calls raised and how many seconds after the machine was gone: of each protocol, in blocking code
and on a loop, of a call that was `sent` afterwards, and of one that the machine had `received`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from jina import Client, Document
from jina.errors import JinaError
from tests.cli import running

HERE, THERE = "10.99.0.1", "10.99.0.2"
GRPC, HTTP = 8080, 8081
LIMIT = 100.0
"""Seconds after which a call was not ended."""
SOURCE = """
import time
from pathlib import Path
from jina import DocumentArray, Executor, requests

class Slow(Executor):
    @requests(on='/fast')
    def fast(self, docs: DocumentArray, **kwargs): ...

    @requests(on='/slow')
    def slow(self, docs: DocumentArray, **kwargs):
        Path(docs[0].text).touch()
        time.sleep(600)
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Machine:
    """A network at the other end of a cable."""

    def __init__(self) -> None:
        run("ip", "link", "set", "lo", "up")
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert self._holder.poll() is None
        self.inside = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]
        run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        run("ip", "address", "add", f"{HERE}/24", "dev", "cable")
        run("ip", "link", "set", "cable", "up")
        for words in (("address", "add", f"{THERE}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
            run(*self.inside, "ip", *words)

    def cut_power(self) -> None:
        """Nothing of it is heard any more, and nobody says so."""
        run(*self.inside, "ip", "link", "set", "eth0", "down")
        # A packet for an address whose hardware is not known any more would be an error here.
        run("ip", "neighbour", "replace", THERE, "lladdr", "02:00:00:00:00:00", "dev", "cable", "nud", "permanent")


class Server(running.Service):
    """`jina executor` on the machine."""

    def __init__(self, machine: Machine, folder: Path, source: str = SOURCE) -> None:
        (folder / "slow.py").write_text(source)
        options = ["--uses", "Slow", "--py-modules", "slow.py", "--host", THERE, "--allow-concurrent"]
        ports = ["--protocol", "grpc", "http", "--port", str(GRPC), str(HTTP)]
        program, running.JINA = running.JINA, machine.inside[0]
        super().__init__([*machine.inside[1:], program, "executor", *options, *ports], folder)
        running.JINA = program


class Call(threading.Thread):
    """One call, in a thread of its own."""

    def __init__(self, folder: Path, protocol: str, kind: str, when: str) -> None:
        super().__init__(name=f"{protocol} {kind} {when}", daemon=True)
        self.note = folder / self.name
        self._address = f"{protocol}://{THERE}:{GRPC if protocol == 'grpc' else HTTP}"
        self._on_loop = kind == "loop"
        self._received = when == "received"
        self.connected, self.go = threading.Event(), threading.Event()
        self.error, self.ended = "", 0.0

    def run(self) -> None:
        """Ask once before, and then as it is to be seen."""
        try:
            asyncio.run(self._on_a_loop()) if self._on_loop else self._blocking()
        except JinaError as error:
            self.error = f"{type(error).__name__}: {error.message}"
        self.ended = time.monotonic()

    def _blocking(self) -> None:
        with Client(host=self._address) as client:
            client.post("/fast", Document(text="x"))
            self.connected.set()
            self.go.wait()
            client.post("/slow" if self._received else "/fast", Document(text=self.note.name))

    async def _on_a_loop(self) -> None:
        async with Client(host=self._address, asyncio=True) as client:
            async for _ in client.post("/fast", Document(text="x")):
                pass
            self.connected.set()
            await asyncio.to_thread(self.go.wait)
            async for _ in client.post("/slow" if self._received else "/fast", Document(text=self.note.name)):
                pass


def main() -> None:
    machine = Machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(machine, folder)
        server.address("grpc")
        kinds = [(protocol, kind) for protocol in ("grpc", "http") for kind in ("blocking", "loop")]
        calls = [Call(folder, *kind, when) for kind in kinds for when in ("sent", "received")]
        for call in calls:
            call.start()
        for call in calls:
            assert call.connected.wait(30), (call.name, call.error)
        for call in calls:
            if call.name.endswith("received"):
                call.go.set()
        end = time.monotonic() + 30
        while not all(call.note.exists() for call in calls if call.name.endswith("received")):
            assert time.monotonic() < end
        machine.cut_power()
        cut = time.monotonic()
        for call in calls:
            call.go.set()
        for call in calls:
            call.join(max(0.0, cut + LIMIT - time.monotonic()))
        found = {call.name: (call.error, round(call.ended - cut, 1)) for call in calls if not call.is_alive()}
        print(json.dumps(found), flush=True)  # noqa: T201
        server.process.kill()
        os._exit(0)  # calls that are not ended keep nobody


if __name__ == "__main__":
    main()
