"""Links of a gateway while it starts and afterwards: workers die and come again in every order, and it serves.

The events are those that the supervisor makes: a link that comes, a worker that dies (its end closes), a worker that
serves the link only later, and one that is taken out. Real sockets, frames and services; one loop.
"""

import asyncio
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.gateways import plan_of, request, texts, workers

from jina import Executor, requests
from jina.gateway.links import UpstreamConnector
from jina.gateway.service import GatewayService
from jina.ipc.server import LinkServer
from jina.plan.plans import UpstreamPlan
from jina.runtime.process import LinkInbox

EXAMPLES = int(os.environ.get("JINA_LINK_EXAMPLES", "400"))
"""Of the long test."""
NAMES = ("a/rep-0", "b/rep-0", "b/rep-1")
EVENTS = st.tuples(st.sampled_from(NAMES), st.sampled_from(["link", "link slowly", "die", "serve"]), st.integers(0, 6))


class LinkMark(Executor):
    @requests(on="/mark")
    async def mark(self, docs, **kwargs):
        for doc in docs:
            doc.text += "m"


class Worker:
    """One worker as the supervisor sees it: each link replaces the one before, which closes."""

    def __init__(self, name, service, source):
        self.name = name
        self._service = service
        self._source = source
        self._ends = []
        self._servers = []
        self._waiting = None

    async def link(self, *, slowly):
        await self.die()
        ours, theirs = socket.socketpair()
        self._source.add(self.name, theirs)
        self._waiting = ours
        if not slowly:
            await self.serve()

    async def serve(self):
        if self._waiting is not None:
            server = LinkServer(self._waiting, self._service, 1 << 20)
            self._waiting = None
            self._servers.append(server)
            await server.start()

    async def die(self):
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
        for server in self._servers:
            await server.stop(0)
        self._servers.clear()

    @property
    def alive(self):
        return bool(self._servers)


def gateway_plan():
    upstreams = [UpstreamPlan(kind="link", name=name) for name in NAMES if name.startswith("b")]
    return plan_of({"a": ["gateway"], "b": {"needs": ["a"], "upstreams": upstreams}})


async def play(before, during):
    """Play events before the gateway connects and while it does; in the end every worker is there."""
    source = LinkInbox()
    async with workers(dict.fromkeys(NAMES, LinkMark)) as services:
        those = {name: Worker(name, services[name], source) for name in NAMES}
        for name, event, _ in before:
            await happen(those[name], event)
        plan = gateway_plan()
        upstreams = UpstreamConnector(plan, source, lambda _: None)
        service = GatewayService(plan, {})
        connecting = asyncio.create_task(upstreams.connect(service))
        try:
            for name, event, turns in during:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await happen(those[name], event)
            for worker in those.values():
                await worker.serve()
                if not worker.alive:
                    await worker.link(slowly=False)
            async with asyncio.timeout(20):
                await connecting
                while not all(upstream.up for step in service.steps.values() for upstream in step.upstreams):
                    await asyncio.sleep(0.001)  # a deadline is around it
            for _ in range(4):
                assert texts(await service.call(request("/mark", ["x"]))) == ["xmm"]
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await upstreams.close()
            for worker in those.values():
                await worker.die()
            source.close()


async def happen(worker, event):
    if event.startswith("link"):
        await worker.link(slowly=event == "link slowly")
    elif event == "serve":
        await worker.serve()
    else:
        await worker.die()


def test_a_worker_that_dies_while_it_is_asked_and_comes_again():
    """Its second link comes before the first one is given up."""
    during = [("a/rep-0", "link slowly", 3), ("a/rep-0", "link", 6)]
    asyncio.run(play([(name, "link", 0) for name in NAMES[1:]], during))


def test_a_worker_that_dies_when_it_was_met():
    during = [("a/rep-0", "link", 3), ("a/rep-0", "die", 6), ("a/rep-0", "link", 0)]
    asyncio.run(play([], during))


@pytest.mark.slow
@given(st.lists(EVENTS, max_size=6), st.lists(EVENTS, max_size=12))
@settings(max_examples=60)
def test_in_every_order(before, during):
    asyncio.run(play(before, during))


@pytest.mark.slow
@given(st.lists(EVENTS, max_size=10), st.lists(EVENTS, max_size=30))
@settings(max_examples=EXAMPLES)
def test_in_every_order_at_length(before, during):
    asyncio.run(play(before, during))


def test_a_worker_that_is_taken_out_is_not_awaited():
    async def main():
        source = LinkInbox()
        async with workers(dict.fromkeys(NAMES, LinkMark)) as services:
            those = {name: Worker(name, services[name], source) for name in NAMES[:2]}
            plan = gateway_plan()
            upstreams = UpstreamConnector(plan, source, lambda _: None)
            service = GatewayService(plan, {})
            connecting = asyncio.create_task(upstreams.connect(service))
            for worker in those.values():
                await worker.link(slowly=False)
            source.add(NAMES[2], None)
            try:
                async with asyncio.timeout(20):
                    await connecting
                assert texts(await service.call(request("/mark", ["x"]))) == ["xmm"]
            finally:
                await upstreams.close()
                for worker in those.values():
                    await worker.die()

    asyncio.run(main())
