"""A gateway looks into no document that it need not look into, and loads no library for it."""

import asyncio
import json
import subprocess
import sys

from tests.gateway.gateways import plan_of

from jina.codec.messages import Reply, Request
from jina.gateway.service import GatewayService
from jina.net.service import EndpointInfo


class Untouchable:
    """Documents that must not be read."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


class Canned:
    """An upstream that gives new documents for each request."""

    def __init__(self, name, *, yields=False):
        self.name = f"{name}/rep-0"
        self.up = True
        self.got = []
        self.gave = []
        self._info = EndpointInfo("/go", "Doc", {}, "Doc", {}, is_generator=yields)

    async def describe(self):
        return {"/go": self._info}

    async def call(self, request):
        self.got.append(request)
        self.gave.append(Untouchable())
        return Reply(self.gave[-1])

    async def stream(self, request):
        self.got.append(request)
        for _ in range(3):
            self.gave.append(Untouchable())
            yield Reply(self.gave[-1])


async def started(upstreams, nodes):
    service = GatewayService(plan_of(nodes), {name: [upstream] for name, upstream in upstreams.items()})
    await service.start()
    return service


CHAIN = {"a": ["gateway"], "b": ["a"]}


def test_documents_of_a_chain_are_handed_on_as_they_are():
    async def main():
        a, b = Canned("a"), Canned("b")
        service = await started({"a": a, "b": b}, CHAIN)
        payload = Untouchable()
        request = Request("/go", payload, {"k": 1}, "r", "", {"h": "v"}, None, json_reply=True)
        reply = await service.call(request)
        assert a.got[0].payload is payload
        assert request.payload is not payload  # dropped as soon as it was sent on
        assert b.got[0].payload is a.gave[0]
        assert reply.payload is b.gave[0]
        # Only the last one is asked for JSON.
        assert [upstream.got[0].json_reply for upstream in (a, b)] == [False, True]
        assert all(
            (one.request_id, one.parameters, one.headers) == ("r", {"k": 1}, {"h": "v"}) for one in (*a.got, *b.got)
        )

    asyncio.run(main())


def test_documents_of_branches_that_do_not_meet_are_handed_on_as_they_are():
    async def main():
        upstreams = {name: Canned(name) for name in "abc"}
        service = await started(upstreams, {"a": ["gateway"], "b": {"needs": ["a"], "floating": True}, "c": ["a"]})
        reply = await service.call(Request("/go", Untouchable()))
        assert await service.quiet(5)
        assert upstreams["b"].got[0].payload is upstreams["a"].gave[0]
        assert upstreams["c"].got[0].payload is upstreams["a"].gave[0]
        assert reply.payload is upstreams["c"].gave[0]

    asyncio.run(main())


def test_documents_of_a_generator_are_handed_on_as_they_are():
    async def main():
        a, b = Canned("a"), Canned("b", yields=True)
        service = await started({"a": a, "b": b}, CHAIN)
        replies = [reply.payload async for reply in service.stream(Request("/go", Untouchable(), json_reply=True))]
        assert b.got[0].payload is a.gave[0]
        assert b.got[0].json_reply
        assert replies == b.gave

    asyncio.run(main())


_SCRIPT = """
import asyncio, json, sys
from jina.plan.plans import ListenerPlan, GatewayPlan, GraphPlan, UpstreamPlan, NodePlan
import jina.gateway.process, jina.ipc.client
from jina.gateway.service import GatewayService
from jina.server.server import serve
from jina.net.service import EndpointInfo
from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload

class Echo:
    up = True
    def __init__(self, name, yields):
        self.name = name
        self.info = EndpointInfo("/go", "Doc", {}, "Doc", {}, is_generator=yields)
    async def describe(self):
        return {"/go": self.info}
    async def call(self, request):
        return Reply(BytesPayload(request.payload.to_bytes()))
    async def stream(self, request):
        for _ in range(3):
            yield Reply(BytesPayload(request.payload.to_bytes()))

async def main():
    needs = {"g": ["gateway"], "a": ["g"], "b": ["g"], "c": ["a", "b"]}
    when = {"text": {"$eq": "x"}}
    nodes = [
        NodePlan(name=name, needs=need, upstreams=[UpstreamPlan(kind="link", name=name)], when=when if name == "a" else
        None) for name, need in needs.items()
    ]
    listener = ListenerPlan(protocol="http", host="127.0.0.1", port=0)
    plan = GatewayPlan(listeners=[listener], graph=GraphPlan(nodes=nodes, ends=["c"]))
    service = GatewayService(plan, {name: [Echo(name, name == "g")] for name in needs})
    await service.start()
    server = serve(plan.listeners, service)
    await server.start()
    documents = JsonPayload(b'[{"text": "x", "tags": {"n": 1}}, {"text": "y", "numbers": [1.5, 2]}]')
    reply = await service.call(Request("/go", documents, json_reply=True))
    assert [doc["text"] for doc in json.loads(reply.payload.to_json())] == ["x", "y"], reply.payload.to_json()
    got = [reply.payload.to_json() async for reply in service.stream(Request("/go", documents, json_reply=True))]
    assert len(got) == 6, got
    await server.stop(1)

asyncio.run(main())
heavy = ("docarray", "numpy", "pydantic", "pydantic_core", "grpc", "jina.executor", "jina.codec.codec", "rich", "yaml")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def test_merging_and_filtering_load_no_document_class():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
