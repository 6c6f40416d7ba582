"""Which replica gets a request, and what its silence or its end means."""

import asyncio
import time

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import gateway, request, texts
from tests.replication.virtual import VirtualLoop

from jina import Executor, requests
from jina.errors import DeadlineExceeded, Unavailable, ValidationFailed
from jina.net.service import UpstreamUnavailable
from jina.plan.plans import UpstreamPlan
from jina.routing.breaker import FAILURES


class Text(BaseDoc):
    text: str = ""


class Wide(BaseDoc):
    text: int = 0


class Echo(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0
        self.cancelled = 0

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        self.calls += 1
        if parameters.get("wait"):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    @requests(on="/safe", safe=True)
    async def safe(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        self.calls += 1

    @requests(on="/stream")
    async def stream(self, doc: Text, parameters: dict, **kwargs) -> Text:
        for number in range(3):
            if number and parameters.get("wait"):
                await asyncio.sleep(60)
            yield Text(text=f"{doc.text}{number}")


class Strict(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Wide], **kwargs) -> DocList[Wide]: ...


class Faulty:
    """An upstream that loses requests when told so: before they began, or after."""

    def __init__(self, upstream):
        self._upstream = upstream
        self.name = upstream.name
        self.down = False
        self.losing = None
        self.lost = 0
        self.silent = False

    @property
    def up(self):
        return not self.down

    def _fail(self):
        if self.losing in {"before", "after"}:
            self.lost += 1
            raise UpstreamUnavailable("the link is closed", started=self.losing == "after")

    async def describe(self):
        return await self._upstream.describe()

    async def call(self, request):
        self._fail()
        if self.silent:
            await asyncio.sleep(60)
        return await self._upstream.call(request)

    async def stream(self, request):
        self._fail()
        async for reply in self._upstream.stream(request):
            yield reply
            if self.losing == "between":
                raise UpstreamUnavailable("the link is closed")

    async def ready(self):
        self._fail()
        await self._upstream.ready()

    async def close(self):
        pass


REPLICAS = {"a": {"needs": ["gateway"], "upstreams": [UpstreamPlan(kind="link", name=f"a/rep-{n}") for n in range(3)]}}
THREE = {f"a/rep-{n}": Echo for n in range(3)}


def three(**fields):
    nodes = {"a": {**REPLICAS["a"], **fields}}
    return gateway(THREE, nodes, wrap=Faulty)


def calls_of(service):
    return [service.workers[f"a/rep-{n}"].executor.calls for n in range(3)]


def test_requests_in_flight_are_spread_evenly():
    async def main():
        async with three() as service:
            calls = [
                asyncio.create_task(service.call(request("/go", ["x"], parameters={"wait": True}))) for _ in range(30)
            ]
            while sum(calls_of(service)) < 30:
                await asyncio.sleep(0)
            assert calls_of(service) == [10, 10, 10]
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    asyncio.run(main())


def test_one_after_the_other_are_spread_by_chance():
    async def main():
        async with three() as service:
            for _ in range(60):
                await service.call(request("/go", ["x"]))
            assert min(calls_of(service)) > 5

    asyncio.run(main())


def test_a_request_that_was_not_begun_goes_to_another_replica():
    async def main():
        async with three() as service:
            first, second, _ = service.steps["a"].upstreams
            first.losing = second.losing = "before"
            for _ in range(20):
                assert texts(await service.call(request("/go", ["x"]))) == ["x"]
            assert calls_of(service) == [0, 0, 20]
            assert first.lost > 0
            assert second.lost > 0
            found = [reply async for reply in service.stream(request("/stream", ["x"]))]
            assert [text for reply in found for text in texts(reply)] == ["x0", "x1", "x2"]

    asyncio.run(main())


def test_a_request_that_may_have_run_is_not_sent_again():
    async def main():
        async with three() as service:
            for upstream in service.steps["a"].upstreams:
                upstream.losing = "after"
            with pytest.raises(Unavailable, match=r"^a: no worker answers; a/rep-\d: the link is closed") as caught:
                await service.call(request("/go", ["x"]))
            assert type(caught.value) is Unavailable
            assert caught.value.deployment == "a"
            assert sum(upstream.lost for upstream in service.steps["a"].upstreams) == 1

    asyncio.run(main())


def test_a_stream_that_has_begun_is_not_begun_again():
    async def main():
        async with three() as service:
            for upstream in service.steps["a"].upstreams:
                upstream.losing = "between"
            seen = []
            with pytest.raises(Unavailable, match="a/rep-"):
                async for reply in service.stream(request("/stream", ["x"])):
                    seen += texts(reply)
            assert seen[0] == "x0"
            assert len(set(seen)) == len(seen)

    asyncio.run(main())


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (2, 3), (-1, 4)])
def test_retries_are_counted(retries, attempts):
    async def main():
        async with three(retries=retries) as service:
            for upstream in service.steps["a"].upstreams:
                upstream.losing = "before"
            with pytest.raises(Unavailable):
                await service.call(request("/go", ["x"]))
            assert sum(upstream.lost for upstream in service.steps["a"].upstreams) == attempts

    asyncio.run(main())


def test_replicas_that_are_down_get_nothing():
    async def main():
        async with three() as service:
            first, second, third = service.steps["a"].upstreams
            first.down = second.down = True
            assert service.up
            for _ in range(10):
                await service.call(request("/go", ["x"]))
            assert calls_of(service) == [0, 0, 10]
            third.down = True
            assert not service.up
            with pytest.raises(Unavailable, match="all 3 replicas of a are down") as caught:
                await service.call(request("/go", ["x"]))
            assert caught.value.deployment == "a"

    asyncio.run(main())


def test_dry_run_asks_all_replicas():
    async def main():
        async with three() as service:
            await service.ready()
            service.steps["a"].upstreams[1].losing = "before"
            with pytest.raises(Unavailable, match="a/rep-1"):
                await service.ready()

    asyncio.run(main())


@pytest.mark.parametrize("silent", [False, True])
def test_timeout_send_names_executor_address_and_option(silent):
    async def main():
        upstreams = [UpstreamPlan(kind="grpc", name="a/rep-0", address="127.0.0.1:1234")]
        nodes = {"a": {"needs": ["gateway"], "upstreams": upstreams, "timeout_send": 1}}
        async with gateway({"a": Echo}, nodes, wrap=Faulty) as service:
            service.steps["a"].upstreams[0].silent = silent
            with pytest.raises(DeadlineExceeded, match=r"^a: a/rep-0 \(127.0.0.1:1234\) .* 1 s of timeout_s") as caught:
                await service.call(request("/go", ["x"], parameters={"wait": True}))
            assert caught.value.deployment == "a"
            worker = service.workers["a"]
            assert await worker.dispatcher.quiet(20)
            assert worker.executor.cancelled == (0 if silent else 1)

    asyncio.run(main())


def test_timeout_send_holds_for_the_next_document_of_a_stream():
    async def main():
        nodes = {"a": {"needs": ["gateway"], "timeout_send": 1}}
        async with gateway({"a": Echo}, nodes) as service:
            seen = []
            with pytest.raises(DeadlineExceeded, match="timeout_send"):
                async for reply in service.stream(request("/stream", ["x"], parameters={"wait": True})):
                    seen += texts(reply)
            assert seen == ["x0"]
            assert await service.workers["a"].dispatcher.quiet(20)

    asyncio.run(main())


@pytest.mark.parametrize("silent", [False, True])
def test_the_deadline_of_the_client_ends_the_walk(silent):
    async def main():
        async with gateway({"a": Echo, "b": Echo}, wrap=Faulty) as service:
            service.steps["b"].upstreams[0].silent = silent
            asked = request("/go", ["x"], parameters={"b__wait": True}, deadline=time.monotonic() + 1)
            with pytest.raises(DeadlineExceeded, match=r"^b: .*b/rep-0 answered"):
                await service.call(asked)
            assert service.workers["a"].executor.calls == 1

    asyncio.run(main())


def test_an_error_of_a_request_keeps_its_class():
    async def main():
        async with gateway({"a": Strict}) as service:
            with pytest.raises(ValidationFailed) as caught:
                await service.call(request("/go", ["no number"]))
            assert caught.value.deployment == "a"
            assert caught.value.errors

    asyncio.run(main())


def losing(service, when):
    for upstream in service.steps["a"].upstreams:
        upstream.losing = when


def test_a_request_that_is_safe_to_repeat_goes_to_another_replica():
    async def main():
        async with three() as service:
            upstreams = service.steps["a"].upstreams
            for upstream in upstreams[:2]:
                upstream.losing = "after"
            for _ in range(20):
                upstreams[0].down, upstreams[1].down = (
                    upstreams[1].down,
                    not upstreams[1].down,
                )  # one of the two can be tried
                assert texts(await service.call(request("/safe", ["x"]))) == ["x"]
            assert upstreams[0].lost + upstreams[1].lost > 0
            assert calls_of(service)[2] == 20

    asyncio.run(main())


def test_a_request_that_is_not_safe_is_lost_with_its_replica():
    async def main():
        async with three() as service:
            losing(service, "after")
            with pytest.raises(Unavailable):
                await service.call(request("/go", ["x"]))
            assert sum(upstream.lost for upstream in service.steps["a"].upstreams) == 1

    asyncio.run(main())


def test_a_request_that_kills_replicas_does_not_get_all_of_them():
    async def main():
        async with three() as service:
            losing(service, "after")
            with pytest.raises(Unavailable):
                await service.call(request("/safe", ["x"]))
            assert sum(upstream.lost for upstream in service.steps["a"].upstreams) == 2

    asyncio.run(main())


def test_a_replica_that_was_removed_is_idle_when_its_last_request_has_ended():
    async def main():
        async with three() as service:
            step = service.steps["a"]
            calls = [
                asyncio.create_task(service.call(request("/go", ["x"], parameters={"wait": True}))) for _ in range(3)
            ]
            while calls_of(service) != [1, 1, 1]:
                await asyncio.sleep(0)
            removed = step.remove("a/rep-1")
            assert not step.is_idle("a/rep-1")
            removed.name = "a/other"  # another one does not take the place where a request is in flight
            step.put(removed)
            await service.call(request("/safe", ["x"]))
            assert not step.is_idle("a/rep-1")
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            assert step.is_idle("a/rep-1")
            assert step.is_idle("a/never")
            step.remove("a/other")
            assert step.is_idle("a/other")

    asyncio.run(main())


def test_replicas_come_and_go_while_requests_are_in_flight():
    async def main():
        async with three() as service:
            step = service.steps["a"]
            upstreams = list(step.upstreams)
            calls = [
                asyncio.create_task(service.call(request("/go", ["x"], parameters={"wait": True}))) for _ in range(3)
            ]
            while calls_of(service) != [1, 1, 1]:
                await asyncio.sleep(0)
            assert step.remove("a/rep-1") is upstreams[1]
            assert step.remove("a/rep-1") is None
            for _ in range(20):
                await service.call(request("/safe", ["x"]))
            assert calls_of(service)[1] == 1
            await service.ready()  # the one that left is not asked
            assert step.put(upstreams[1]) is None
            for _ in range(20):
                await service.call(request("/safe", ["x"]))
            assert calls_of(service)[1] > 1
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            assert step._balance.in_flight == [0, 0, 0]
            for name in ("a/rep-0", "a/rep-1", "a/rep-2"):
                step.remove(name)
            with pytest.raises(Unavailable):
                await service.call(request("/go", ["x"]))
            with pytest.raises(Unavailable, match="no worker is connected yet"):
                await service.ready()

    asyncio.run(main())


@pytest.fixture
def virtual(monkeypatch):
    """Runs a coroutine in virtual time: however slow the machine is, nothing is late, or asked before its time."""
    loop = VirtualLoop()

    def run(work):
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", loop.time)
            return loop.run(work)

    return run


def test_a_replica_that_keeps_losing_requests_is_left_out_and_asked(virtual):
    async def main():
        async with three() as service:
            first, second, third = service.steps["a"].upstreams
            second.down = True
            first.losing = "after"
            outcomes = [await outcome(service) for _ in range(60)]
            assert outcomes.count("lost") == first.lost == FAILURES  # then it got nothing more
            later(service, 1.5)
            while first.lost == FAILURES:  # until it is asked
                assert await outcome(service) == "answered"
            assert [await outcome(service) for _ in range(40)] == ["answered"] * 40
            first.losing = None
            later(service, 3.0)
            while calls_of(service)[0] == 0:
                assert await outcome(service) == "answered"
            third.down = True
            assert await outcome(service) == "answered"

    virtual(main())


def later(service, seconds):
    """Let so much time pass for what decides when replicas are asked."""
    for state in service.steps["a"]._breaker._states:
        if state.ask_at is not None:
            state.ask_at -= seconds


def test_a_silent_replica_is_left_out(virtual):
    async def main():
        async with three(timeout_send=0.02) as service:
            first, second, _ = service.steps["a"].upstreams
            second.down = True
            first.silent = True
            assert [await outcome(service) for _ in range(80)].count("late") == FAILURES

    virtual(main())


def test_where_all_are_left_out_all_are_tried():
    async def main():
        async with three() as service:
            for upstream in service.steps["a"].upstreams:
                upstream.losing = "after"
            assert [await outcome(service) for _ in range(40)] == ["lost"] * 40
            for upstream in service.steps["a"].upstreams:
                upstream.losing = None
            assert [await outcome(service) for _ in range(40)] == ["answered"] * 40

    asyncio.run(main())


async def outcome(service):
    try:
        await service.call(request("/go", ["x"]))
    except Unavailable:
        return "lost"
    except DeadlineExceeded:
        return "late"
    return "answered"
