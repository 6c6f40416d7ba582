"""How many calls of a method run at once."""

import asyncio
import threading
import time

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import on_a_loop, request, workers
from tests.plan.flows import CountingPorts

from jina import Deployment, Executor, requests
from jina.config import DeploymentSpec, parse
from jina.errors import ConfigError, DeadlineExceeded, ExecutorDefinitionError, Overloaded
from jina.plan.deployment import plan_deployment
from jina.plan.plans import ExecutorPlan


class Text(BaseDoc):
    text: str = ""


class Crowded(Executor):
    """Each call waits until as many are inside as the test lets in; `most` is how many were there at once."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lock = threading.Lock()
        self.inside = {}
        self.most = {}
        self.open = threading.Event()
        self.async_open = asyncio.Event()

    def enter(self, path):
        with self.lock:
            self.inside[path] = self.inside.get(path, 0) + 1
            self.most[path] = max(self.most.get(path, 0), self.inside[path])

    def leave(self, path):
        with self.lock:
            self.inside[path] -= 1

    def stay(self, path):
        self.enter(path)
        self.open.wait(10)
        self.leave(path)

    async def stay_async(self, path):
        self.enter(path)
        try:
            await self.async_open.wait()
        finally:
            self.leave(path)

    @requests(on="/plain")
    def plain(self, **kwargs):
        self.stay("/plain")

    @requests(on="/other")
    def other(self, **kwargs):
        self.stay("/other")

    @requests(on=["/wide", "/wider"], concurrency=3)
    def wide(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        self.stay("/wide")

    @requests(on="/async")
    async def all_at_once(self, **kwargs):
        await self.stay_async("/async")

    @requests(on="/narrow", concurrency=2)
    async def narrow(self, **kwargs):
        await self.stay_async("/narrow")

    @requests(on="/letters", concurrency=2)
    async def letters(self, doc: Text, **kwargs) -> Text:
        await self.stay_async("/letters")
        yield doc


async def together(calls, concurrency=None):
    """The most calls that were inside at once, by method, of `path -> number of calls` at the same time."""
    options = {"concurrency": concurrency} if concurrency else {}
    async with workers({"x": Crowded}, x=options) as services:
        service = services["x"]
        executor = service.executor
        asked = [service.call(request(path, "a")) for path, count in calls.items() for _ in range(count)]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)
        await settled(executor)
        executor.open.set()
        executor.async_open.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
        return executor.most


async def settled(executor):
    """Wait until no further call comes in."""
    before, since = None, time.monotonic()
    async with asyncio.timeout(10):
        while time.monotonic() - since < 0.1:
            await asyncio.sleep(0.005)
            if before != (before := dict(executor.inside)):
                since = time.monotonic()


@pytest.mark.parametrize(
    ("calls", "concurrency", "most"),
    [
        # as in Jina 3: `def` methods take turns among all of the Executor, `async def` ones do not
        ({"/plain": 3}, None, {"/plain": 1}),
        ({"/async": 5}, None, {"/async": 5}),
        # what the class says
        ({"/wide": 3, "/wider": 2}, None, {"/wide": 3}),
        ({"/narrow": 5}, None, {"/narrow": 2}),
        # what the Deployment says counts more, by endpoint
        ({"/plain": 4}, {"/plain": 2}, {"/plain": 2}),
        ({"/wide": 5}, {"/wide": 1}, {"/wide": 1}),
        ({"/async": 5}, {"/async": 1}, {"/async": 1}),
        # `*` stands for endpoints without a number of their own
        ({"/plain": 5, "/other": 5}, {"*": 4}, {"/plain": 4, "/other": 4}),
        ({"/narrow": 5, "/async": 5}, {"*": 4}, {"/narrow": 2, "/async": 4}),
    ],
)
@on_a_loop
async def test_as_many_as_allowed_run_at_once(calls, concurrency, most):
    assert await together(calls, concurrency) == most


@on_a_loop
async def test_methods_in_the_common_lane_take_turns_with_each_other():
    async with workers({"x": Crowded}) as services:
        service = services["x"]
        tasks = [asyncio.create_task(service.call(request(path, "a"))) for path in ("/plain", "/other", "/wide")]
        await settled(service.executor)
        assert sorted(service.executor.inside.items()) in ([("/plain", 1), ("/wide", 1)], [("/other", 1), ("/wide", 1)])
        assert service._pools.waiting == 1
        service.executor.open.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)


@on_a_loop
async def test_those_that_wait_may_leave_or_be_too_late():
    async with workers({"x": Crowded}) as services:
        service = services["x"]
        inside = [asyncio.create_task(service.call(request("/narrow", "a"))) for _ in range(2)]
        await settled(service.executor)
        leaving = asyncio.create_task(service.call(request("/narrow", "a")))
        late = asyncio.create_task(service.call(request("/narrow", "a", deadline=time.monotonic() + 0.05)))
        staying = asyncio.create_task(service.call(request("/narrow", "a")))
        await asyncio.sleep(0)
        leaving.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(DeadlineExceeded):
                await late
        service.executor.async_open.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*inside, staying)
        assert service.executor.most == {"/narrow": 2}
        assert service.dispatcher.open == 0
        assert service._pools.waiting == 0


@on_a_loop
async def test_those_that_left_do_not_count_for_the_queue():
    async with workers({"x": Crowded}, x={"max_queue": 1}) as services:
        service = services["x"]
        inside = [asyncio.create_task(service.call(request("/narrow", "a"))) for _ in range(2)]
        await settled(service.executor)
        leaving = asyncio.create_task(service.call(request("/narrow", "a")))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="max_queue"):
            await service.call(request("/narrow", "a"))
        leaving.cancel()
        await asyncio.wait([leaving])
        staying = asyncio.create_task(service.call(request("/narrow", "a")))
        await asyncio.sleep(0)
        service.executor.async_open.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*inside, staying)


@on_a_loop
async def test_streams_count_too():
    async with workers({"x": Crowded}) as services:
        service = services["x"]

        async def stream():
            return [reply async for reply in service.stream(request("/letters", "a"))]

        tasks = [asyncio.create_task(stream()) for _ in range(5)]
        await settled(service.executor)
        assert service.executor.inside == {"/letters": 2}
        service.executor.async_open.set()
        async with asyncio.timeout(10):
            assert [len(replies) for replies in await asyncio.gather(*tasks)] == [1] * 5


def planned(**options):
    return plan_deployment(parse(DeploymentSpec, options), ExecutorPlan(), CountingPorts()).workers[0].concurrency


def test_the_option():
    assert planned() == {}
    assert planned(concurrency=3) == {"*": 3}
    assert planned(concurrency={"/a": 2, "*": "4"}) == {"/a": 2, "*": 4}
    assert planned(concurrency='{"/a": 2}') == {"/a": 2}


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", {"/a": 0}])
def test_what_is_no_number_of_calls(value):
    with pytest.raises(ConfigError, match="is not a number of calls, 1 or more"):
        planned(concurrency=value)


@pytest.mark.parametrize("value", [0, "2", True, 1.0])
def test_what_the_decorator_refuses(value):
    with pytest.raises(ExecutorDefinitionError, match="it is a whole number, 1 or more"):
        requests(on="/x", concurrency=value)(lambda self, **kwargs: None)


class Together(Executor):
    @requests(on="/meet")
    def meet(self, docs, **kwargs):
        """Returns only when two calls are inside."""
        self.barrier.wait(10)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.barrier = threading.Barrier(2)


def test_a_deployment_lets_calls_meet():
    with Deployment(uses=Together, concurrency={"/meet": 2}).in_process() as running:
        threads = [threading.Thread(target=running.post, args=("/meet",), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
