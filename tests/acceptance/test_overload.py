"""Four times as many requests as can be served: the accepted ones are as quick as ever, the others hear it at once.

`JINA_OVERLOAD_SECONDS` is how long it lasts (3).
"""

import asyncio
import os
import time

import psutil
import pytest

from jina import Client, Deployment, Executor, Flow, requests
from jina.errors import Overloaded
from tests.acceptance.services import Token

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("JINA_OVERLOAD_SECONDS", "3"))
WORK = 0.3
"""Seconds; short pauses that come from other work of the machine are small against it."""
PLACES = 8
CAPACITY = PLACES / WORK
"""Requests per second."""


class Counter(Executor):
    """Works for a while on each request."""

    @requests(on="/work")
    async def work(self, docs, **kwargs):
        await asyncio.sleep(WORK)


def started(kind, protocol):
    options = {"protocol": protocol, "host": "127.0.0.1", "quiet": True}
    if kind == "worker":
        return Deployment(uses=Counter, max_inflight=PLACES, **options)
    return Flow(**options).config_gateway(max_inflight=PLACES).add(uses=Counter)


@pytest.mark.parametrize(("kind", "protocol"), [("worker", "http"), ("gateway", "grpc")])
def test_four_times_the_capacity(kind, protocol, record_testsuite_property):
    with started(kind, protocol) as running:
        processes = psutil.Process().children(recursive=True)
        calm, refused = asyncio.run(offered(running.port, protocol, CAPACITY / 4, 1.5))
        assert not refused
        asyncio.run(offered(running.port, protocol, 4 * CAPACITY, 0.5))
        before = memory(processes)
        accepted, refused = asyncio.run(offered(running.port, protocol, 4 * CAPACITY, SECONDS))
        after = memory(processes)
        late = asyncio.run(offered(running.port, protocol, CAPACITY / 4, 1))[1]
    result = (
        f"{len(accepted)} accepted, {len(refused)} refused; p99 {p99(calm):.3f} s, {p99(accepted):.3f} s in the rush"
    )
    record_testsuite_property("measured", result)
    assert p99(accepted) <= 2 * p99(calm), result
    assert len(accepted) >= 0.5 * CAPACITY * SECONDS, result
    assert len(refused) >= 0.5 * (4 - 1) * CAPACITY * SECONDS, result
    assert sorted(refused)[len(refused) // 2] < 0.075, result  # at once, not after waiting for a place
    assert not late  # it is over when it is over
    assert after - before < 8 * 2**20, f"{after - before} bytes more"


async def offered(port, protocol, rate, seconds):
    """Send at a rate, whatever comes back; the seconds of the answers, and of the refusals."""
    accepted, refused, hints = [], [], []
    async with Client(host="127.0.0.1", port=port, protocol=protocol, asyncio=True) as client:

        async def one():
            began = time.monotonic()
            try:
                async for _ in client.post("/work", Token(text="a")):
                    pass
            except Overloaded as error:
                refused.append(time.monotonic() - began)
                hints.append(error.retry_after)
            else:
                accepted.append(time.monotonic() - began)

        await one()  # connects
        accepted.clear()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                group.create_task(one())
    assert all(0 < hint <= 30 for hint in hints)
    return accepted, refused


def p99(times):
    return sorted(times)[int(0.99 * (len(times) - 1))]


def memory(processes):
    return sum(process.memory_info().rss for process in processes)
