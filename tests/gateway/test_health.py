"""What a gateway knows of its workers without asking them at the time."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateways import gateway, request

from jina import DocumentArray, Executor, requests
from jina.errors import Unavailable
from jina.gateway import replicas
from jina.gateway.replicas import LIMIT, HealthChecker, ProbeState


class Watched(Executor):
    @requests(on="/x")
    async def x(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text += "x"


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["ask", "good", "bad", "more", "look"])), max_size=40))
def test_a_worker_answers_until_a_bad_answer_or_a_silence(events):
    """Beside a model that remembers everything."""
    probe, now, open_since, failed = ProbeState(), 0.0, None, False
    received = seen = 0
    for after, event in events:
        now += after
        silent = open_since is not None and now - open_since > LIMIT
        assert probe.answers(now) is not (failed or silent)
        if event == "more":
            received += 1
        elif event == "look":
            probe.look(now, received)
            if open_since is not None and received != seen:
                open_since = now
            seen = received
        elif event == "ask":
            assert probe.ask(now) is (open_since is None)
            open_since = now if open_since is None else open_since
        elif open_since is not None:
            failed, open_since = event == "bad", None
            probe.answered("why" if failed else "")
    assert probe.answers(now + LIMIT + 0.001) is not (failed or open_since is not None)


class Silent:
    """An upstream whose worker stopped to answer, or says that it is not well."""

    def __init__(self, upstream):
        self._upstream = upstream
        self.mood = "well"

    def __getattr__(self, name):
        return getattr(self._upstream, name)

    async def ready(self):
        if self.mood == "silent":
            await asyncio.Event().wait()
        if self.mood == "ill":
            raise Unavailable("not well")

    async def metrics(self, *, openmetrics):
        if self.mood == "silent":
            await asyncio.Event().wait()
        return await self._upstream.metrics(openmetrics=openmetrics)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def test_ready_follows_the_workers_and_one_replica_suffices(monkeypatch):
    monkeypatch.setattr(replicas, "INTERVAL", 0.005)
    monkeypatch.setattr(replicas, "LIMIT", 0.5)
    made = []

    def wrap(upstream):
        made.append(Silent(upstream))
        return made[-1]

    async def main():
        nodes = {"a": {"needs": ["gateway"], "upstreams": _upstreams("a/rep-0", "a/rep-1")}, "b": ["a"]}
        executors = {"a/rep-0": Watched, "a/rep-1": Watched, "b/rep-0": Watched}
        async with gateway(executors, nodes, wrap=wrap) as service:
            service.health.start()
            try:
                assert service.up
                made[0].mood = "silent"
                await until(lambda: not service.checks["a/rep-0"])
                assert service.up
                assert service.checks["a"]
                made[1].mood = "ill"
                await until(lambda: not service.up)
                assert not service.checks["a"]
                assert service.checks["b"]
                made[1].mood = "well"
                await until(lambda: service.up)
                text = (await service.metrics()).decode()
                assert 'jina_replica_up{deployment="a",replica="a/rep-0",runtime_name="gateway/rep-0"} 0.0' in text
                assert 'jina_replica_up{deployment="a",replica="a/rep-1",runtime_name="gateway/rep-0"} 1.0' in text
                assert 'jina_ready{runtime_name="a/rep-1"} 1.0' in text
                assert 'runtime_name="a/rep-0"' not in text.replace('replica="a/rep-0"', "")
            finally:
                service.health.stop()

    asyncio.run(main())


def test_a_worker_without_metrics_holds_up_a_scrape_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(replicas, "_SCRAPE", 0.5)
    made = []

    def wrap(upstream):
        made.append(Silent(upstream))
        return made[-1]

    async def main():
        async with gateway({"a": Watched, "b": Watched}, wrap=wrap) as service:
            await service.call(request("/x", ["t"]))
            made[0].mood = "silent"
            began = time.monotonic()
            text = (await service.metrics(openmetrics=False)).decode()
            assert time.monotonic() - began < 5
            assert (
                'jina_document_processed_total{executor="Watched",executor_endpoint="/x",runtime_name="b/rep-0"} 1.0'
                in text
            )
            assert 'runtime_name="a/rep-0"}' not in text.replace('replica="a/rep-0"', "")
            assert "# EOF" not in text

    asyncio.run(main())


def _upstreams(*names):
    from jina.plan.plans import UpstreamPlan

    return [UpstreamPlan(kind="link", name=name) for name in names]


@pytest.mark.parametrize("openmetrics", [True, False])
def test_metrics_cross_a_link(openmetrics):
    import socket

    from tests.gateway.gateways import workers

    from jina.ipc.client import LinkUpstream
    from jina.ipc.server import LinkServer

    async def main():
        async with workers({"a": Watched}) as services:
            ours, theirs = socket.socketpair()
            server = LinkServer(theirs, services["a/rep-0" if "a/rep-0" in services else "a"], 1_000_000)
            await server.start()
            upstream = LinkUpstream("a/rep-0", ours, 1_000_000)
            try:
                async with asyncio.timeout(10):
                    text = (await upstream.metrics(openmetrics=openmetrics)).decode()
                assert 'jina_ready{runtime_name="a/rep-0"} 1.0' in text
                assert text.endswith("# EOF\n") is openmetrics
            finally:
                await upstream.close()
                await server.stop(1)

    asyncio.run(main())


class Busy:
    """A worker that has so much to send that it does not get to the question."""

    name, up = "a/rep-0", True

    def __init__(self):
        self.looked_at, self.sends = 0, True
        self._received = 0

    @property
    def received(self):
        self.looked_at += 1
        self._received += self.sends
        return self._received

    async def ready(self):
        await asyncio.Event().wait()


class Part:
    """What the checker reads of the replicas of a Deployment."""

    serves_none = False

    def __init__(self, upstream):
        self.plan = GraphlessPlan(_upstreams(upstream.name))
        self.upstreams = [upstream]


class GraphlessPlan:
    def __init__(self, upstreams):
        self.upstreams = upstreams


def test_a_worker_that_goes_on_sending_answers_is_not_silent(monkeypatch):
    """The question waits behind requests that are read only when there is room for their answers."""
    monkeypatch.setattr(replicas, "INTERVAL", 0.001)
    now = [0.0]

    async def main():
        worker = Busy()
        part = Part(worker)
        health = HealthChecker({"a": [part]}, lambda: now[0])
        health.start()
        try:
            for _ in range(20):
                await looked_at_again(worker)
                now[0] += LIMIT / 2
                assert health.serves([part])
            worker.sends = False
            await looked_at_again(worker)
            now[0] += LIMIT * 1.1
            assert not health.serves([part])
        finally:
            health.stop()

    async def looked_at_again(worker):
        before = worker.looked_at
        await until(lambda: worker.looked_at > before + 1)

    asyncio.run(main())
