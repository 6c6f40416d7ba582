"""A gateway that holds requests while a step has no pod, and tells KEDA how many there should be, over real gRPC."""

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from docarray import BaseDoc, DocList
from tests.gateway.api_server import endpoint, serving
from tests.gateway.gateways import on_a_loop, plan_of, request, texts
from tests.gateway.test_discovered import account, in_cluster, machines, pods, until  # noqa: F401 - a fixture

from jina import Executor, requests
from jina.codec import pb
from jina.errors import DeadlineExceeded, Overloaded
from jina.gateway.links import UpstreamConnector
from jina.gateway.service import GatewayService
from jina.plan.plans import AutoscalePlan, ListenerPlan
from jina.runtime.process import LinkInbox
from jina.server.server import serve

SCALER = "/externalscaler.ExternalScaler/"


class Keda:
    """A client that speaks the four calls as KEDA does, with classes made from the documented file alone."""

    def __init__(self, channel):
        self._channel = channel

    @staticmethod
    def reference(step):
        metadata = {"scalerAddress": "gateway:8080", "step": step} if step else {}
        return pb.message_class("externalscaler.ScaledObjectRef")(
            name="encoder", namespace="shop", scalerMetadata=metadata
        )

    def _unary(self, method, answer):
        return self._channel.unary_unary(
            SCALER + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.message_class(f"externalscaler.{answer}").FromString,
        )

    async def is_active(self, step="a"):
        return (await self._unary("IsActive", "IsActiveResponse")(self.reference(step))).result

    async def spec(self, step="a"):
        (found,) = (await self._unary("GetMetricSpec", "GetMetricSpecResponse")(self.reference(step))).metricSpecs
        return found.metricName, found.targetSize, found.targetSizeFloat

    async def metric(self, step="a"):
        asked = pb.message_class("externalscaler.GetMetricsRequest")(
            scaledObjectRef=self.reference(step), metricName=f"jina-replicas-{step}"
        )
        (found,) = (await self._unary("GetMetrics", "GetMetricsResponse")(asked)).metricValues
        assert found.metricName == f"jina-replicas-{step}"
        assert found.metricValueFloat == found.metricValue
        return found.metricValue

    def stream(self, step="a"):
        method = self._channel.unary_stream(
            f"{SCALER}StreamIsActive",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.message_class("externalscaler.IsActiveResponse").FromString,
        )
        return method(self.reference(step))


class Text(BaseDoc):
    text: str = ""


class Working(Executor):
    """Takes its time, one request after the other."""

    def __init__(self, host="", **kwargs):
        super().__init__(**kwargs)
        self.host = host
        self.go_on = asyncio.Event()

    @requests(on="/work")
    def work(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        time.sleep(0.1)
        for doc in docs:
            doc.text = self.host


@asynccontextmanager
async def scaled_gateway(*upstreams, **autoscale):
    """A gateway with one step that is scaled, its gRPC port, and a KEDA that asks there."""
    node = {"needs": ["gateway"], "external": True, "upstreams": list(upstreams)}
    plan = plan_of({"a": {**node, "autoscale": AutoscalePlan(**autoscale)}}, timeout_ready=15)
    service = GatewayService(plan, {})
    connector = UpstreamConnector(plan, LinkInbox(), lambda _: None)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(connector.close)
        await connector.connect(service)
        service.scaling.start()
        stack.callback(service.scaling.stop)
        server = serve([ListenerPlan(protocol="grpc", host="127.0.0.1", port=0)], service)
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.addresses[0].partition("://")[2]))
        yield service, Keda(channel)


@on_a_loop
async def test_from_zero_the_request_waits_and_keda_is_told_within_200_ms(monkeypatch, account):  # noqa: F811
    async with serving(token="secret") as server, machines("127.0.0.2") as made:
        await server.put("echo-1", ports=[made.port])  # the Service is there, and no pod
        in_cluster(monkeypatch, server, account)
        upstream = pods(made.port)
        async with scaled_gateway(upstream, min=0, max=3, idle=0.5) as (service, keda):
            assert service.up
            assert [route.executor for route in await service.ready()] == ["a"]
            stream = keda.stream()
            assert (await stream.read()).result  # until a pod has told its endpoints
            assert await keda.is_active()
            await server.put("echo-1", endpoint("127.0.0.2", "echo-1"), ports=[made.port])
            await until(lambda: service.endpoints, "endpoints")
            assert not (await asyncio.wait_for(stream.read(), 10)).result  # nothing to do
            assert (await keda.metric(), await keda.is_active()) == (0, False)
            await server.put("echo-1", ports=[made.port])
            await until(lambda: not service.steps["a"].upstreams, "end of the pod")

            asked = asyncio.create_task(service.call(request("/go", ["x"])))
            began = time.monotonic()
            assert (await asyncio.wait_for(stream.read(), 10)).result
            took = time.monotonic() - began
            assert (await keda.metric(), await keda.is_active()) == (1, True)
            assert service.scaling.loads["a"].waiting == 1
            await server.put("echo-1", endpoint("127.0.0.2", "echo-1"), ports=[made.port])
            assert texts(await asyncio.wait_for(asked, 10)) == ["127.0.0.2"]
            assert took < 0.2, took


@on_a_loop
async def test_a_gateway_that_starts_without_a_pod_answers_when_there_is_one(monkeypatch, account):  # noqa: F811
    async with serving(token="secret") as server, machines("127.0.0.2") as made:
        await server.put("echo-1", ports=[made.port])
        in_cluster(monkeypatch, server, account)
        upstream = pods(made.port)
        async with scaled_gateway(upstream, min=0, max=3, max_held=2) as (service, keda):
            assert service.up
            asked = [asyncio.create_task(service.call(request("/go", ["x"]))) for _ in range(2)]
            await until(lambda: service.scaling.loads["a"].waiting == 2, "two requests that wait")
            with pytest.raises(Overloaded, match=r"a has no replica, and 2 requests wait for one.*max_held"):
                await service.call(request("/go", ["x"]))
            assert await keda.is_active()
            await server.put("echo-1", endpoint("127.0.0.2", "echo-1"), ports=[made.port])
            for one in asked:
                assert texts(await asyncio.wait_for(one, 10)) == ["127.0.0.2"]


@on_a_loop
async def test_held_requests_keep_their_deadline(monkeypatch, account):  # noqa: F811
    async with serving(token="secret") as server, machines("127.0.0.2") as made:
        await server.put("echo-1", endpoint("127.0.0.2", "echo-1"), ports=[made.port])
        in_cluster(monkeypatch, server, account)
        upstream = pods(made.port)
        async with scaled_gateway(upstream, min=0, max=3) as (service, _):
            await server.put("echo-1", ports=[made.port])
            await until(lambda: not service.steps["a"].upstreams, "end of the pod")
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="while it waited for a replica of a"):
                await service.call(request("/go", ["x"], deadline=time.monotonic() + 0.2))
            assert time.monotonic() - began < 5


@pytest.mark.slow
@on_a_loop
async def test_keda_gets_as_many_as_the_load_needs(monkeypatch, account):  # noqa: F811
    """Ten times the load up and down: what a cluster would set follows within ten seconds each."""
    async with serving(token="secret") as server, machines() as made:
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            await made.start(host, Working)
        slices = [endpoint(host, host) for host in made.executors]
        await server.put("echo-1", slices[0], ports=[made.port])
        in_cluster(monkeypatch, server, account)
        upstream = pods(made.port)
        failures = []

        async def ask():
            try:
                await service.call(request("/work", ["x"]))
            except Exception as error:
                failures.append(error)

        async def load(rate):
            due = time.monotonic()
            while True:
                asked.add(asyncio.create_task(ask()))
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))

        async def cluster():
            """What the HorizontalPodAutoscaler does with the metric."""
            now = 1
            while True:
                wanted = min(max(await keda.metric(), 1), 3)
                if wanted != now:
                    now = wanted
                    await server.put("echo-1", *slices[:now], ports=[made.port])
                await asyncio.sleep(0.2)

        asked = set()
        async with scaled_gateway(upstream, min=1, max=3) as (service, keda):
            assert await keda.spec() == ("jina-replicas-a", 1, 1.0)
            scaling = asyncio.create_task(cluster())
            low = asyncio.create_task(load(2))
            await asyncio.sleep(2)
            low.cancel()
            assert await keda.metric() == 1
            high, began = asyncio.create_task(load(20)), time.monotonic()
            await until(lambda: len(service.steps["a"].upstreams) == 3, "three pods")
            up = time.monotonic() - began
            await until(lambda: service.scaling.loads["a"].wait <= 0.1, "short waits")
            high.cancel()
            low, began = asyncio.create_task(load(2)), time.monotonic()
            await until(lambda: len(service.steps["a"].upstreams) == 1, "one pod")
            down = time.monotonic() - began
            low.cancel()
            scaling.cancel()
            await asyncio.wait(asked)
        assert failures == []
        assert (up <= 10, down <= 10) == (True, True), (up, down)


@on_a_loop
async def test_what_keda_asks_of_no_scaled_step_is_refused(monkeypatch, account):  # noqa: F811
    async with serving(token="secret") as server, machines("127.0.0.2") as made:
        await server.put("echo-1", endpoint("127.0.0.2", "echo-1"), ports=[made.port])
        in_cluster(monkeypatch, server, account)
        upstream = pods(made.port)
        async with scaled_gateway(upstream, min=0, max=3) as (_, keda):
            assert await keda.is_active("") is True  # the only one
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await keda.is_active("other")
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert "metadata.step of the ScaledObject is 'other'" in caught.value.details()
            assert caught.value.details().endswith("steps with it: a")
