"""Branches that part and meet again: merged, or handed on apart; floating ones; conditions."""

import asyncio
import time

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import gateway, request, texts, visited, workers

from jina import Executor, requests
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.errors import ExecutorError


class Text(BaseDoc):
    text: str = ""
    left: str = ""
    right: str = ""


class Left(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.left = f"l{doc.text}"


class Right(Executor):
    @requests(on="/go")
    def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.right = f"r{doc.text}"


class Say(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = f"{doc.left}+{doc.right}"


class Apart(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], docs_matrix, docs_map, **kwargs) -> DocList[Text]:
        if docs_matrix is not None:
            assert [doc.left + doc.right for doc in docs] == [doc.left + doc.right for m in docs_matrix for doc in m]
        matrix = "none" if docs_matrix is None else "|".join(",".join(d.left + d.right for d in m) for m in docs_matrix)
        names = "none" if docs_map is None else ",".join(docs_map)
        return DocList[Text]([Text(id=doc.id, text=f"{matrix} {names}") for doc in docs])


DIAMOND = {"left": ["gateway"], "right": ["gateway"], "say": ["left", "right"]}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_join_merges_what_each_branch_has_set(as_json):
    async def main():
        async with gateway({"left": Left, "right": Right, "say": Say}, DIAMOND) as service:
            if as_json:
                asked = Request("/go", JsonPayload(b'[{"text": "x"}, {"text": "y"}]'), json_reply=True)
            else:
                asked = request("/go", ["x", "y"])
            reply = await service.call(asked)
            assert texts(reply) == ["lx+rx", "ly+ry"]
            assert visited(reply)[0] == "gateway"
            assert sorted(visited(reply)[1:3]) == ["left", "right"]
            assert visited(reply)[3:] == ["say"]

    asyncio.run(main())


def test_branches_are_handed_on_apart_in_the_order_of_needs():
    async def main():
        nodes = {**DIAMOND, "say": {"needs": ["right", "left"], "no_reduce": True}}
        executors = {"left": Left, "right": Right, "say": Apart}
        async with gateway(executors, nodes, worker={"say": {"no_reduce": True}}) as service:
            reply = await service.call(request("/go", ["x"]))
            assert texts(reply) == ["rx|lx right,left"] * 2

    asyncio.run(main())


def test_a_worker_that_merges_gets_one_list_even_if_branches_come():
    async def main():
        async with workers({"say": Apart}) as services:
            left, right = request("/go", ["x"]).payload, request("/go", ["x", "y"]).payload
            asked = Request("/go", left, branches=[("a", left), ("b", right)])
            reply = await services["say"].call(asked)
            assert texts(reply) == ["none none", "none none"]

    asyncio.run(main())


def test_an_executor_that_does_not_know_the_endpoint_still_merges():
    async def main():
        nodes = {"left": ["gateway"], "right": ["gateway"], "join": ["left", "right"]}
        async with gateway({"left": Left, "right": Right, "join": Executor}, nodes) as service:
            reply = await service.call(Request("/go", JsonPayload(b'[{"id": "1", "text": "x"}]'), json_reply=True))
            assert reply.payload.to_json().startswith(b'[{"id":"1"')
            assert b'"left":"lx"' in reply.payload.to_json()
            assert b'"right":"rx"' in reply.payload.to_json()

    asyncio.run(main())


class Named(Executor):
    """Counts, and may be told to fail or to wait."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate = asyncio.Event()
        self.seen = []
        self.cancelled = 0

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters, **kwargs) -> DocList[Text]:
        self.seen.append([doc.text for doc in docs])
        if parameters.get("wait"):
            try:
                await asyncio.wait_for(self.gate.wait(), 10)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if parameters.get("fail"):
            raise ValueError("as asked")
        for doc in docs:
            doc.text += "!"


def test_floating_steps_do_not_delay_the_answer_and_are_drained():
    async def main():
        nodes = {"a": ["gateway"], "side": {"needs": ["a"], "floating": True}, "b": ["a"]}
        async with gateway({"a": Named, "side": Named, "b": Named}, nodes) as service:
            side = service.workers["side"].executor
            reply = await asyncio.wait_for(service.call(request("/go", ["x"], parameters={"side__wait": True})), 5)
            assert texts(reply) == ["x!!"]
            assert not await service.quiet(0) or side.seen == [["x!"]]

    asyncio.run(main())


def test_floating_steps_finish_within_the_grace():
    async def main():
        nodes = {"a": ["gateway"], "side": {"needs": ["gateway"], "floating": True}}
        async with gateway({"a": Named, "side": Named}, nodes) as service:
            side = service.workers["side"].executor
            for _ in range(20):
                await service.call(request("/go", ["x"], parameters={"side__wait": True}))
            side.gate.set()
            assert await service.quiet(5)
            assert side.seen == [["x"]] * 20

    asyncio.run(main())


def test_a_floating_step_that_fails_harms_nobody():
    async def main():
        nodes = {"a": ["gateway"], "side": {"needs": ["gateway"], "floating": True}}
        async with gateway({"a": Named, "side": Named}, nodes) as service:
            reply = await service.call(request("/go", ["x"], parameters={"side__fail": True}))
            assert texts(reply) == ["x!"]
            assert await service.quiet(5)

    asyncio.run(main())


def test_when_one_branch_fails_the_others_are_cancelled():
    async def main():
        nodes = {"a": ["gateway"], "b": ["gateway"], "c": ["a", "b"]}
        async with gateway({"a": Named, "b": Named, "c": Named}, nodes) as service:
            asked = request("/go", ["x"], parameters={"a__wait": True, "b__fail": True}, request_id="r1")
            with pytest.raises(ExecutorError, match="as asked") as caught:
                await asyncio.wait_for(service.call(asked), 5)
            assert caught.value.deployment == "b"
            assert [route.executor for route in caught.value.routes] == ["gateway", "a", "b"]
            assert "raised in b, request r1" in caught.value.help
            assert await service.workers["a"].dispatcher.quiet(5)
            assert service.workers["a"].executor.cancelled == 1
            assert service.workers["c"].executor.seen == []

    asyncio.run(main())


def test_a_client_that_leaves_cancels_all_branches():
    async def main():
        nodes = {"a": ["gateway"], "b": ["gateway"], "c": ["a", "b"]}
        async with gateway({"a": Named, "b": Named, "c": Named}, nodes) as service:
            calls = [
                asyncio.create_task(service.call(request("/go", ["x"], parameters={"wait": True}))) for _ in range(100)
            ]
            executors = [service.workers[name].executor for name in "ab"]
            while min(len(one.seen) for one in executors) < 100:
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            for name in "ab":
                assert await service.workers[name].dispatcher.quiet(5)
            assert [one.cancelled for one in executors] == [100, 100]
            assert not service._context.active
            assert service._admission.open == 0

    asyncio.run(main())


def test_documents_that_a_condition_leaves_out_go_on_in_their_place():
    async def main():
        nodes = {"a": {"needs": ["gateway"], "when": {"text": {"$eq": "y"}}}, "b": ["a"]}
        async with gateway({"a": Named, "b": Named}, nodes) as service:
            reply = await service.call(request("/go", ["x", "y", "z"]))
            assert texts(reply) == ["x!", "y!!", "z!"]
            assert service.workers["a"].executor.seen == [["y"]]

    asyncio.run(main())


class Dictionary(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Text], **kwargs) -> dict:
        return {"count": len(docs)}


def test_dictionaries_of_all_branches_are_collected():
    async def main():
        nodes = {"a": ["gateway"], "b": ["gateway"], "side": ["gateway"], "c": ["a", "b"]}
        executors = dict.fromkeys(("a", "b", "side", "c"), Dictionary)
        async with gateway(executors, nodes, ends=["c"]) as service:
            reply = await service.call(request("/go", ["x"], parameters={"k": 1}))
            assert reply.parameters["k"] == 1
            assert set(reply.parameters["__results__"]) == {"a/rep-0", "b/rep-0", "c/rep-0", "side/rep-0"}

    asyncio.run(main())


def test_target_executor_chooses_by_regular_expression():
    async def main():
        nodes = {"ab": ["gateway"], "b": ["ab"], "a": ["b"]}
        async with gateway(dict.fromkeys(nodes, Named), nodes) as service:
            reply = await service.call(request("/go", ["x"], target_executor="a"))
            assert (texts(reply), visited(reply)) == (["x!!"], ["gateway", "ab", "a"])

    asyncio.run(main())


def test_garbled_documents_are_refused_where_they_are_merged():
    from jina.errors import BadRequest, JinaError

    async def main():
        async with gateway({"left": Left, "right": Right, "say": Say}, DIAMOND) as service:
            with pytest.raises(JinaError) as caught:
                await service.call(Request("/go", BytesPayload(b"\xff\xff")))
            assert isinstance(caught.value, BadRequest)

    asyncio.run(main())


def test_a_join_without_an_executor_merges_on_the_way():
    async def main():
        nodes = {"left": ["gateway"], "right": ["gateway"], "join": {"needs": ["left", "right"], "upstreams": []}}
        async with gateway({"left": Left, "right": Right, "say": Say}, {**nodes, "say": ["join"]}) as service:
            assert service.up
            await service.ready()
            reply = await service.call(request("/go", ["x"]))
            assert texts(reply) == ["lx+rx"]
            assert "join" not in visited(reply)

    asyncio.run(main())


def test_the_deadline_of_a_client_is_not_that_of_a_floating_step():
    async def main():
        nodes = {"a": ["gateway"], "side": {"needs": ["gateway"], "floating": True}}
        async with gateway({"a": Named, "side": Named}, nodes) as service:
            side = service.workers["side"].executor
            deadline = time.monotonic() + 1.5
            await service.call(request("/go", ["x"], parameters={"side__wait": True}, deadline=deadline))
            await asyncio.sleep(max(0.0, deadline - time.monotonic()) + 0.05)
            side.gate.set()
            assert await service.quiet(5)
            assert (side.seen, side.cancelled) == ([["x"]], 0)

    asyncio.run(main())
