"""What a local link costs: gateway's and worker's end together, beside a bare echo over the same kind of socket.

`python -m bench.link` runs it alone; `python -m bench.link <what> <fd>` is the process at the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop

from bench.procs import ROOT
from bench.report import Check, Section, table
from bench.stats import interval, ratio
from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import BytesPayload
from jina.ipc.client import LinkUpstream
from jina.ipc.server import LinkServer
from jina.net.service import EndpointInfo

LIMIT = 64 * 1024 * 1024
SIZES = ((40, 32, 10_000), (40, 1, 2_000), (300_000, 4, 400), (16 * 1024 * 1024, 1, 8))
"""Bytes, requests in flight, requests a round."""
BOUNDS = {(40, 32): 40.0}
"""Microseconds of CPU at most, by bytes and requests in flight."""
STREAMED = 20_000
"""Replies of a stream a round."""

Call = Callable[[bytes], Awaitable[int]]


class Echo:
    """A worker that gives back the bytes, or as many replies as it is asked for."""

    name, forwards, up, started = "echo", False, True, True

    def __init__(self) -> None:
        self.endpoints: dict[str, EndpointInfo] = {}
        self.checks: dict[str, bool] = {}

    async def call(self, request: Request) -> Reply:
        """The same documents."""
        return Reply(request.payload)

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The documents again and again, eight at a time without a pause."""
        for number in range(request.parameters["count"]):
            yield Reply(request.payload)
            if number % 8 == 0:
                await asyncio.sleep(0)

    def freed(self) -> None:
        """Nothing is kept."""

    def flush(self, *, on: bool = True) -> None:
        """Nothing waits."""

    async def describe(self) -> dict[str, EndpointInfo]:
        """None."""
        return self.endpoints

    async def ready(self) -> list[Route]:
        """Fine."""
        return []

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """None."""
        return b""

    async def close(self) -> None:
        """Nothing is held."""


class BareEcho(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BareClient(asyncio.Protocol):
    """Counts what comes back: as many bytes as a request has are an answer."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[int]] = []
        self.received = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        while self.waiting and self.received >= self.size:
            self.received -= self.size
            self.waiting.pop(0).set_result(self.size)

    def call(self, data: bytes) -> Awaitable[int]:
        """Send and wait for as many bytes."""
        self.size = len(data)
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.transport.write(data)
        return future


async def serve(what: str, sock: socket.socket) -> None:
    """The other end of a link, or of the bare socket, until the first one leaves."""
    if what == "link":
        server = LinkServer(sock, Echo(), LIMIT)
        await server.start()
        await server.lost()
        return
    gone = asyncio.get_running_loop().create_future()
    echo = BareEcho()
    echo.connection_lost = lambda _: gone.set_result(None)
    sock.setblocking(False)  # noqa: FBT003
    await asyncio.get_running_loop().create_unix_connection(lambda: echo, sock=sock)
    await gone


class Peer:
    """One kind of connection with the process at its other end."""

    def __init__(self, name: str, call: Call, process: subprocess.Popen, upstream: LinkUpstream | None = None) -> None:
        self.name = name
        self.call = call
        self.upstream = upstream
        self._process = process

    def cpu_ns(self) -> int:
        """Nanoseconds that this process and the peer ran."""
        total = time.process_time_ns()
        for task in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # the thread has ended
                total += int(task.read_text().split()[0])
        return total

    async def round(self, size: int, in_flight: int, requests: int) -> float:
        """Microseconds of CPU per request."""
        data, left = os.urandom(size), requests

        async def one() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                if await self.call(data) != size:
                    raise RuntimeError(f"link: {self.name} gave a wrong answer")

        before = self.cpu_ns()
        await asyncio.gather(*(one() for _ in range(in_flight)))
        return (self.cpu_ns() - before) / 1000 / requests

    async def stream(self) -> float:
        """Microseconds of CPU per reply of a stream."""
        assert self.upstream is not None
        before, count = self.cpu_ns(), 0
        request = Request("/stream", BytesPayload(b"x" * 40), {"count": STREAMED})
        async for _ in self.upstream.stream(request):
            count += 1
        if count != STREAMED:
            raise RuntimeError("link: a stream lost replies")
        return (self.cpu_ns() - before) / 1000 / count


@asynccontextmanager
async def peer(what: str) -> AsyncIterator[Peer]:
    """A started peer."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "bench.link", what, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
    try:
        if what == "link":
            upstream = LinkUpstream("echo", ours, LIMIT)

            async def call(data: bytes) -> int:
                return len(
                    (await upstream.call(Request("/echo", BytesPayload(data), request_id="0" * 32))).payload.data
                )

            yield Peer(what, call, process, upstream)
            await upstream.close()
        else:
            ours.setblocking(False)  # noqa: FBT003
            transport, client = await asyncio.get_running_loop().create_unix_connection(BareClient, sock=ours)
            yield Peer(what, client.call, process)
            transport.close()
    finally:
        process.kill()
        process.wait(10)


async def measure(rounds: int) -> dict[str, list[float]]:
    """The figures of each arm and load, in turns."""
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer(what)) for what in ("link", "bare")]
        for turn in range(rounds + 1):
            for one in peers if turn % 2 else peers[::-1]:
                for size, in_flight, requests in SIZES:
                    figure = await one.round(size, in_flight, requests)
                    found.setdefault(f"{one.name} {size} {in_flight}", []).append(figure)
            found.setdefault("stream", []).append(await peers[0].stream())
    return {name: figures[1:] for name, figures in found.items()}


def link(rounds: int) -> Section:
    """CPU of both ends for each request."""
    found = uvloop.run(measure(rounds))
    rows, checks, bars = [], [], {}
    for size, in_flight, requests in SIZES:
        ours, bare = found[f"link {size} {in_flight}"], found[f"bare {size} {in_flight}"]
        what = f"{size} bytes, {in_flight} in flight"
        rows.append([what, interval(ours).median, interval(bare).median, requests * rounds])
        checks.append(Check(f"{what} (us)", interval(ours), BOUNDS.get((size, in_flight))))
        checks.append(Check(f"{what}, link / bare", ratio(ours, bare)))
        bars[what] = rows[-1][1]
    streamed = interval(found["stream"])
    rows.append(["a reply of a stream", streamed.median, "-", STREAMED * rounds])
    checks.append(Check("a reply of a stream (us)", streamed))
    head = ["request", "link (us)", "bare echo (us)", "requests"]
    note = "CPU of both ends together, echo of raw bytes, one connection, uvloop."
    return Section("Local link, for each request", head, rows, checks, note, "us of CPU", bars, found)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        uvloop.run(serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2]))))
    else:
        section = link(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
        print(f"### {section.title}\n\n{section.note}\n\n{table(section)}")
