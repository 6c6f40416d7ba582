"""Clients of a Flow that ask for much over WebSocket and read nothing: what its processes hold is bounded, and given
back."""

import asyncio
import json
import time

import pytest

from jina import Document, DocumentArray, Executor, Flow, requests
from tests.processes import descendants
from tests.server.test_slow_clients import UPGRADE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS, REQUESTS = 16, 200
MOST_MB = 2500
"""Without bounds, answers of a megabyte to each request, in several forms in two processes: over 6000."""
LEFT_MB = 600
BACK_WITHIN = 60.0
READY_WITHIN = 5.0


class Much(Executor):
    @requests(on="/large")
    def large(self, docs: DocumentArray, **kwargs):
        return DocumentArray([Document(text="x" * 200_000) for _ in range(5)])

    @requests(on="/flood")
    async def flood(self, doc: Document, **kwargs):
        for _ in range(2000):
            yield Document(text="y" * 100_000)


def megabytes():
    """The memory of all processes below this one."""
    total = 0
    for process in descendants():
        try:
            with open(f"/proc/{process}/smaps_rollup", encoding="utf-8") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 1024


def frame(payload):
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


async def attack(port, path):
    """The most memory that was seen."""
    asked = frame(json.dumps({"data": [{"text": "a"}] if path == "/large" else {"text": "a"}}).encode())
    writers, most = [], 0
    for _ in range(CLIENTS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(UPGRADE.replace(b"GET / ", b"GET " + path.encode() + b" "))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(asked * REQUESTS)
        writers.append(writer)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        most = max(most, megabytes())
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < READY_WITHIN
        writer.close()
        await asyncio.sleep(0.1)
    for writer in writers:
        writer.transport.abort()
    return most


@pytest.mark.parametrize("path", ["/large", "/flood"])
def test_memory_is_bounded_and_given_back(path):
    with Flow(protocol="websocket", host="127.0.0.1", timeout_write=10, quiet=True).add(
        uses=Much, host="127.0.0.1", quiet=True
    ) as flow:
        assert asyncio.run(attack(flow.port, path)) < MOST_MB
        until = time.monotonic() + BACK_WITHIN
        while (left := megabytes()) > LEFT_MB:
            assert time.monotonic() < until, f"{left:.0f} MB are held after {BACK_WITHIN:g} s"
            time.sleep(0.5)
