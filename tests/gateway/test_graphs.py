"""Random graphs: whatever the timing, each Executor that counts is visited once, and the reply is the same."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.gateways import plan_of, request, visited

from jina.codec import pb
from jina.codec.messages import Reply
from jina.codec.payloads import BytesPayload
from jina.gateway.service import GatewayService
from jina.net.service import EndpointInfo


class Tagging:
    """Sets the field of its name in each document after a few turns of the loop, and gives a result."""

    up = True

    def __init__(self, name, rng):
        self.name = f"{name}/rep-0"
        self._field = name
        self._rng = rng
        self.calls = 0

    async def describe(self):
        return {"/go": EndpointInfo("/go", "Doc", {}, "Doc", {})}

    async def call(self, request):
        self.calls += 1
        for _ in range(self._rng.randrange(5)):
            await asyncio.sleep(0)
        message = pb.DocListProto.FromString(request.payload.to_bytes())
        for doc in message.docs:
            doc.data[self._field].text = "seen"
        results = request.parameters.get("__results__", {})
        parameters = {**request.parameters, "__results__": {**results, self.name: {"calls": self.calls}}}
        return Reply(BytesPayload(message.SerializeToString()), parameters)


@st.composite
def graphs(draw):
    """Name -> needs and floating; every step needs some before it."""
    nodes = {}
    for number in range(draw(st.integers(1, 7))):
        before = ["gateway", *(name for name in nodes if not nodes[name]["floating"])]
        needs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True))
        floating = number > 0 and draw(st.integers(0, 4)) == 0
        nodes[f"n{number}"] = {"needs": needs, "floating": floating}
    return nodes


def above(nodes, ends):
    """All steps that the ends are made from."""
    found = set()
    waiting = list(ends)
    while waiting:
        name = waiting.pop()
        if name != "gateway" and name not in found:
            found.add(name)
            waiting += nodes[name]["needs"]
    return found


def walked(nodes, seed):
    """The fields of the documents, the parameters, and how often each was asked; with this timing."""

    async def main():
        rng = random.Random(seed)
        upstreams = {name: Tagging(name, rng) for name in nodes}
        service = GatewayService(plan_of(nodes), {name: [upstream] for name, upstream in upstreams.items()})
        await service.start()
        reply = await asyncio.wait_for(service.call(request("/go", ["x", "y"], parameters={"k": 1})), 10)
        assert await service.quiet(5)
        assert len(asyncio.all_tasks()) == 1
        assert not service._context.active
        awaited = {name for name in nodes if not nodes[name]["floating"]}
        assert awaited <= set(visited(reply)[1:]) <= set(nodes)
        message = pb.DocListProto.FromString(reply.payload.to_bytes())
        documents = [{name: node.text for name, node in sorted(doc.data.items())} for doc in message.docs]
        return documents, reply.parameters, {name: upstream.calls for name, upstream in upstreams.items()}

    return asyncio.run(main())


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(0, 2**16), st.integers(0, 2**16))
def test_the_reply_does_not_depend_on_the_timing(nodes, seed, other):
    documents, parameters, calls = walked(nodes, seed)
    assert calls == dict.fromkeys(nodes, 1)
    assert [doc["text"] for doc in documents] == ["x", "y"]
    ends = plan_of(nodes).graph.ends
    assert set(documents[0]) == {"id", "text"} | above(nodes, ends)
    awaited = {f"{name}/rep-0" for name in nodes if not nodes[name]["floating"]}
    assert set(parameters["__results__"]) == awaited
    assert parameters["k"] == 1
    assert walked(nodes, other) == (documents, parameters, calls)
