"""A program with a network of its own: one connection of a client is cut off without a word, others are not.

unshare --net --mount --pid --fork --mount-proc --kill-child python -m tests.client.silent_peers
prints, as JSON, how many seconds a call took that was made two seconds after another one was sent on that connection,
and whether the other one still waits then.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from jina import Client, Document
from tests.cli import running

SOURCE = """
from jina import DocumentArray, Executor, requests

class Fast(Executor):
    @requests
    def fast(self, docs: DocumentArray, **kwargs): ...
"""


def cut_off(port: int) -> None:
    """Drop all packets of the connections that this process has to a port; new ones are not among them."""
    for one in psutil.Process().net_connections("tcp"):
        if one.raddr and one.raddr.port == port:
            for sides in (("--dport", "--sport"), ("--sport", "--dport")):
                words = [sides[0], str(port), sides[1], str(one.laddr.port), "-j", "DROP"]
                subprocess.run(["iptables", "-A", "INPUT", "-p", "tcp", *words], check=True, capture_output=True)


async def call(address: str, port: int) -> dict[str, object]:
    async def ask() -> None:
        async for _ in client.post("/", Document(text="x")):
            pass

    async with Client(host=address, asyncio=True) as client:
        await ask()
        cut_off(port)
        lost = asyncio.create_task(ask())
        await asyncio.wait([lost], timeout=2.0)
        began = time.monotonic()
        await ask()
        found = {"seconds": time.monotonic() - began, "waits": not lost.done()}
        lost.cancel()
        await asyncio.wait([lost])
        return found


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fast.py").write_text(SOURCE)
        with running.serving(
            "executor", "--uses", "Fast", "--py-modules", "fast.py", "--port", "8080", cwd=folder
        ) as server:
            server.address("grpc")
            print(json.dumps(asyncio.run(call("grpc://127.0.0.1:8080", 8080))), flush=True)  # noqa: T201
            server.process.kill()
            os._exit(0)  # the client says goodbye to nobody


if __name__ == "__main__":
    main()
