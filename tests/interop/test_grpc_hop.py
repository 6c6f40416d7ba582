"""Workers and gateways of Jina 3 as our gateways reach them."""

import time

import numpy as np
import pytest
from docarray import DocList

from jina.client.grpc import GrpcUpstream
from jina.codec.codec import codec_for
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, DocsPayload, JsonPayload
from jina.errors import DeadlineExceeded, ExecutorError, JinaError
from jina.plan.plans import NodePlan, UpstreamPlan
from tests.interop.executors import Note, Rich
from tests.server.sample_service import run

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

PEERS = ("ours.grpc", "theirs.grpc", "theirs.flow-grpc")


@pytest.fixture(params=PEERS)
def ask(request, servers):
    """Called with a coroutine function that takes an upstream."""
    address = servers[request.param].removeprefix("grpc://")

    def asked(use, **node):
        async def main():
            plan = UpstreamPlan(kind="grpc", name="far/rep-0", address=address)
            upstream = GrpcUpstream(plan, NodePlan(name="far", needs=["gateway"], upstreams=[plan], **node), 2**26)
            try:
                return await use(upstream)
            finally:
                await upstream.close()

        return run(main(), timeout=30)

    asked.peer = request.param
    return asked


def notes(*texts):
    return BytesPayload(DocsPayload(DocList[Note](Note(text=text) for text in texts), codec_for(Note)).to_bytes())


def texts_of(payload):
    return [doc.text for doc in payload.decode(codec_for(Note))]


def test_discovery(ask):
    async def use(upstream):
        assert upstream.up
        return await upstream.describe()

    described = ask(use)
    if ask.peer == "theirs.flow-grpc":  # it fails over the nested documents of its Executor
        assert list(described) == ["/default"]
        return
    assert {"/echo", "/in_place", "/stream", "/model"} <= described.keys()
    assert "_jina_dry_run_" not in described
    echo, model, stream = described["/echo"], described["/model"], described["/stream"]
    assert {"text", "count", "vector", "parts"} <= echo.input_schema["properties"].keys()
    assert "Part" in echo.input_schema["$defs"]
    assert echo.flat_fields["count"] == "integer"
    assert "limit" in model.parameters_schema["properties"]
    assert stream.is_generator
    assert stream.is_single


def test_documents_and_parameters(ask):
    async def use(upstream):
        vector = np.arange(5, dtype=np.float32)
        rich = DocList[Rich]([Rich(text="a", count=3, vector=vector, tags={"k": 1.0}, blob=b"\x00\xff")])
        sent = DocsPayload(rich, codec_for(Rich))
        reply = await upstream.call(Request("/change", BytesPayload(sent.to_bytes()), request_id="r"))
        [doc] = reply.payload.decode(codec_for(Rich))
        assert (doc.text, doc.count, doc.tags) == ("~A", 4, {"k": 1.0, "seen": True})
        np.testing.assert_array_equal(doc.vector, vector * 2)
        reply = await upstream.call(Request("/model", notes("x"), {"limit": 4, "factor": 2.5}, request_id="r"))
        assert texts_of(reply.payload) == ["10"]
        reply = await upstream.call(Request("/results", notes("x"), request_id="r"))
        assert "__results__" in reply.parameters

    ask(use)


def test_json_in(ask):
    async def use(upstream):
        raw = JsonPayload(b'{"text": "a", "count": 3, "vector": [1.5, 2], "part": {"name": "n"}, "flag": true}')
        reply = await upstream.call(Request("/change", raw, request_id="r", json_reply=True))
        [doc] = reply.payload.decode(codec_for(Rich))
        assert (doc.text, doc.count, doc.flag, doc.part.name) == ("~A", 4, True, "n")
        np.testing.assert_array_equal(doc.vector, [3.0, 4.0])

    ask(use)


def test_branches(ask):
    async def use(upstream):
        branches = [("left", notes("a")), ("right", notes("b"))]
        reply = await upstream.call(Request("/in_place", notes("a"), request_id="r", branches=branches))
        assert sorted(texts_of(reply.payload)) == ["a!", "b!"]

    ask(use)


def test_stream(ask):
    async def use(upstream):
        request = Request("/stream", notes("t"), request_id="r")
        assert [texts_of(reply.payload) async for reply in upstream.stream(request)] == [["t 0"], ["t 1"], ["t 2"]]
        broken = upstream.stream(Request("/stream_fail", notes("t"), request_id="r"))
        assert texts_of((await anext(broken)).payload) == ["first"]
        if ask.peer == "theirs.flow-grpc":  # it starts over several times, and ends as if all had been well
            assert [texts_of(reply.payload) async for reply in broken] == [["first"]] * 3
            return
        with pytest.raises(JinaError):
            await anext(broken)

    ask(use)


def test_errors(ask):
    async def use(upstream):
        with pytest.raises(ExecutorError) as caught:
            await upstream.call(Request("/fail", notes("a"), request_id="r"))
        assert caught.value.name == "ValueError"
        assert caught.value.exception_args == ["no good", "7"]
        with pytest.raises(DeadlineExceeded, match="far/rep-0"):
            await upstream.call(Request("/slow", notes("-50"), request_id="r", deadline=time.monotonic() + 0.2))
        with pytest.raises(JinaError):
            await upstream.call(Request("/model", notes("x"), {"limit": "no"}, request_id="r"))

    ask(use)


def test_compression_and_metadata(ask):
    async def use(upstream):
        reply = await upstream.call(Request("/in_place", notes("a" * 10_000), request_id="r"))
        assert texts_of(reply.payload) == ["a" * 10_000 + "!"]

    ask(use, compression="Gzip", grpc_metadata={"token": "t"})


def test_large(ask):
    async def use(upstream):
        reply = await upstream.call(Request("/in_place", notes("a" * 2**24), request_id="r"))
        assert len(texts_of(reply.payload)[0]) == 2**24 + 1

    ask(use)


def test_ready(ask):
    async def use(upstream):
        await upstream.ready()

    ask(use)
