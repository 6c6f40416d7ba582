"""Load generators, run as a process of its own: `python -m bench.load` takes a JSON job a line from standard input.

A job says kind (`http`, `grpc`, `sse`), address, request and how to check an answer; the result is a line of JSON on
standard output: `{"seconds", "requests", "bad", "p50_ms", "p99_ms"}`. With `sse` also `delays_ms`: how long after the
time that stands in an event (as `"text":"<monotonic ns>"`) the event arrived. With `sizes` a number follows what is
expected in an answer, the size of the batch; then also `sizes`, those of all answers. `unique` is gRPC where each
request gets an id of its own in place of `0` * 32, for some `seconds`, and where calls may fail: `failed` tells how.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import json
import os
import re
import sys
import time


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection that sends the next request when an answer is complete and right."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.buffer = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        if not self.job.take():
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(self.job.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        mark = head.find(b"content-length:")
        if mark >= 0:
            length = int(head[mark + 15 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
        elif not self.buffer.endswith(b"\r\n0\r\n\r\n"):
            return
        body, self.buffer = self.buffer[end + 4 :], b""
        self.job.record(time.perf_counter() - self.started, head.startswith(b"http/1.1 200") and self.job.right(body))
        self._send()

    def connection_lost(self, error) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class Job:
    """What to send, how often, and what came of it."""

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        self.request = base64.b64decode(spec["request"])
        self.expected = base64.b64decode(spec["expected"])
        self.left = spec["requests"]
        self.until = time.perf_counter() + spec["seconds"] if "seconds" in spec else 0.0
        self.times: list[float] = []
        self.bad = 0
        self.delays: list[float] = []
        self.sizes: list[int] = []
        self.failed: collections.Counter[str] = collections.Counter()
        self.size = re.compile(re.escape(self.expected) + rb" (\d+)").search if spec.get("sizes") else None

    def take(self) -> bool:
        """True while requests, or time, are left."""
        if self.until:
            return time.perf_counter() < self.until
        self.left -= 1
        return self.left >= 0

    def right(self, body: bytes) -> bool:
        """True if the answer holds what it must."""
        if self.size is not None:
            found = self.size(body)
            if found is None:
                return False
            self.sizes.append(int(found[1]))
        return body.count(self.expected) >= self.spec.get("times", 1)

    def record(self, seconds: float, right: bool) -> None:
        """Note one answer."""
        self.times.append(seconds)
        self.bad += not right

    def result(self, seconds: float) -> dict:
        """The summary."""
        times = sorted(self.times)
        return {
            "seconds": seconds,
            "requests": len(times),
            "bad": self.bad + (0 if self.until else self.spec["requests"] - len(times)),
            "p50_ms": times[len(times) // 2] * 1000 if times else None,
            "p99_ms": times[int(len(times) * 0.99)] * 1000 if times else None,
            **({"failed": self.failed} if self.failed else {}),
            **({"delays_ms": self.delays} if self.delays else {}),
            **({"sizes": self.sizes} if self.sizes else {}),
        }


class EventConnection(HttpConnection):
    """The same for streams of events that say when they were made."""

    STAMP = re.compile(rb'"text": ?"(\d+)"')
    seen = 0

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        found = self.STAMP.findall(self.buffer + data)
        self.job.delays += [(now - int(one)) / 1e6 for one in found[self.seen :]]
        self.seen = len(found)
        super().data_received(data)
        if not self.buffer:
            self.seen = 0


async def http(job: Job, protocol: type[HttpConnection] = HttpConnection) -> None:
    """All connections at once."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: protocol(job), "127.0.0.1", job.spec["port"])
        for _ in range(job.spec["concurrency"])
    ]
    await asyncio.gather(*(connection.closed for _, connection in made))


async def sse(job: Job) -> None:
    """Streams of events, with the delay of each."""
    await http(job, EventConnection)


async def grpc(job: Job) -> None:
    """`concurrency` calls in flight over a few channels, bytes in and out."""
    from grpc import aio

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
               ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
    channels = [aio.insecure_channel(f"127.0.0.1:{job.spec['port']}", options) for _ in range(4)]
    calls = [channel.unary_unary(job.spec["method"]) for channel in channels]

    async def one(call) -> None:
        while job.take():
            started = time.perf_counter()
            answer = await call(job.request)
            job.record(time.perf_counter() - started, job.right(answer))

    await asyncio.gather(*(one(calls[i % len(calls)]) for i in range(job.spec["concurrency"])))
    for channel in channels:
        await channel.close()


async def unique(job: Job) -> None:
    """`concurrency` calls in flight, each on a channel of its own."""
    import grpc as grpcio
    from grpc import aio

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
               ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
    channels = [aio.insecure_channel(f"127.0.0.1:{job.spec['port']}", options) for _ in range(job.spec["concurrency"])]
    metadata = [tuple(pair) for pair in job.spec.get("metadata", ())]

    async def one(call) -> None:
        while job.take():
            request = job.request.replace(b"0" * 32, os.urandom(16).hex().encode(), 1)
            started = time.perf_counter()
            try:
                answer = await call(request, metadata=metadata, timeout=30)
            except grpcio.RpcError as error:
                job.failed[f"{error.code().name}: {error.details()}".partition("\n")[0][:120]] += 1
                job.bad += 1
                await asyncio.sleep(0.01)
                continue
            right = job.right(answer)
            job.record(time.perf_counter() - started, right)

    await asyncio.gather(*(one(channel.unary_unary(job.spec["method"])) for channel in channels))
    for channel in channels:
        await channel.close()


def main() -> None:
    """Run jobs until the input ends."""
    for line in sys.stdin:
        job = Job(json.loads(line))
        started = time.perf_counter()
        asyncio.run({"http": http, "sse": sse, "grpc": grpc, "unique": unique}[job.spec["kind"]](job))
        print(json.dumps(job.result(time.perf_counter() - started)), flush=True)


if __name__ == "__main__":
    main()
