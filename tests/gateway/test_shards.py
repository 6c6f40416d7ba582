"""Shards as a gateway sees them: failures, cancelling, streams."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import gateway, on_a_loop, request, texts

from jina import Executor, requests, write
from jina.codec import pb
from jina.codec.payloads import JsonPayload
from jina.errors import ExecutorError, Unavailable
from jina.gateway.shards import all_or_first, interleaved
from jina.net.service import UpstreamUnavailable
from jina.plan.plans import UpstreamPlan


class Text(BaseDoc):
    text: str = ""


class ShardOfText(Executor):
    def __init__(self, number=0, **kwargs):
        super().__init__(**kwargs)
        self.number = number
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.lacked = False
        self.cancelled = 0
        self.closed = 0

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        self.began.set()
        if self.number in parameters.get("fail", ()):
            raise ValueError(f"no {self.number}")
        if self.number in parameters.get("wait", ()):
            try:
                async with asyncio.timeout(60):
                    await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return DocList[Text]([Text(text=f"{doc.text}{self.number}") for doc in docs])

    @write
    @requests(on="/put")
    async def put(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text += str(self.number)
        return docs

    @write
    @requests(on="/change")
    async def change(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        return await self.look(docs, parameters)

    @requests(on="/look")
    async def look(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        lacks = parameters.get("lacks", {}).get(str(self.number))
        if lacks is not None:
            self.lacked = True
            raise {"key": KeyError, "index": IndexError, "value": ValueError}[lacks]("x")
        return await self.go(docs, parameters)

    @requests(on="/stream")
    async def stream(self, doc: Text, parameters: dict, **kwargs) -> Text:
        try:
            for step in range(4):
                if self.number in parameters.get("wait", ()):
                    await asyncio.sleep(60)
                yield Text(text=f"{self.number}{step}")
                await asyncio.sleep(0)
        finally:
            self.closed += 1


@asynccontextmanager
async def shards(count=3, **options):
    """A gateway in front of shards; `service.executors` are their Executors."""
    names = [f"x/shard-{n}/rep-0" for n in range(count)]
    upstreams = [UpstreamPlan(kind="link", name=name, shard=n) for n, name in enumerate(names)]
    node = {"needs": ["gateway"], "upstreams": upstreams, "shards": count, "polling": {"*": "ALL"}, **options}
    executors = {name: ShardOfText(n) for n, name in enumerate(names)}
    async with gateway(executors, {"x": node}) as service:
        service.executors = list(executors.values())
        yield service


@on_a_loop
async def test_all_answer():
    async with shards() as service:
        assert texts(await service.call(request("/go", "ab"))) == ["a0", "b0", "a1", "b1", "a2", "b2"]


@on_a_loop
async def test_json_that_has_no_ids_is_merged_by_those_that_it_gets():
    async with shards() as service:
        asked = request("/go")
        asked.payload = JsonPayload(b'[{"text": "a"}]')
        reply = await service.call(asked)
        ids = [doc.data["id"].text for doc in pb.DocListProto.FromString(reply.payload.to_bytes()).docs]
        assert len(set(ids)) == 3
        assert all(ids)


@on_a_loop
async def test_one_that_fails_cancels_the_others_and_is_named():
    async with shards() as service:
        with pytest.raises(ExecutorError, match="no 1") as caught:
            await service.call(request("/go", "a", parameters={"fail": [1], "wait": [0, 2]}))
        assert "raised in shard 1" in caught.value.help
        assert caught.value.deployment == "x"
        for other in (service.executors[0], service.executors[2]):
            async with asyncio.timeout(5):
                while other.cancelled < 1 and other.began.is_set():
                    await asyncio.sleep(0.01)


async def lacking(service, lacks, endpoint="/change", **parameters):
    return await service.call(request(endpoint, "a", parameters={"lacks": lacks, **parameters}))


@on_a_loop
async def test_a_write_to_all_is_done_by_those_that_have_what_it_names(caplog):
    async with shards() as service:
        with caplog.at_level("WARNING", "jina"):
            reply = await lacking(service, {"0": "key", "2": "index"})
        assert texts(reply) == ["a1"]
        assert reply.headers == {"jina-missed": "x/shard-0, x/shard-2"}
        assert "x/shard-0 has not what /change asks for: KeyError('x')" in caplog.text
        assert "x/shard-2 has not what /change asks for: IndexError('x')" in caplog.text
        assert (await lacking(service, {})).headers is None


@on_a_loop
async def test_a_write_to_all_fails_where_no_shard_has_what_it_names():
    async with shards() as service:
        with pytest.raises(ExecutorError, match="x") as caught:
            await lacking(service, {"0": "index", "1": "key", "2": "key"})
        assert "raised in shard 0" in caught.value.help


@pytest.mark.parametrize(("endpoint", "lacks"), [("/look", {"0": "key"}), ("/change", {"0": "key", "1": "value"})])
@on_a_loop
async def test_reads_and_other_failures_of_one_shard_fail_the_request(endpoint, lacks):
    async with shards() as service:
        with pytest.raises(ExecutorError):
            await lacking(service, lacks, endpoint)


@on_a_loop
async def test_a_shard_that_has_it_is_not_cancelled_by_one_that_lacks_it():
    async with shards(2) as service:
        task = asyncio.create_task(lacking(service, {"0": "key"}, wait=[1]))
        async with asyncio.timeout(5):
            await service.executors[1].began.wait()
            while not service.executors[0].lacked:
                await asyncio.sleep(0.01)
        for _ in range(20):  # the turns of the loop that the failure takes to be seen
            await asyncio.sleep(0)
        assert not task.done()
        assert service.executors[1].cancelled == 0
        service.executors[1].go_on.set()
        async with asyncio.timeout(5):
            assert texts(await task) == ["a1"]


@on_a_loop
async def test_without_reduction_the_documents_of_those_that_have_it_come():
    async with shards(no_reduce=True) as service:
        assert texts(await lacking(service, {"1": "key"})) == ["a0", "a2"]


@on_a_loop
async def test_a_client_that_leaves_cancels_all():
    async with shards() as service:
        task = asyncio.create_task(service.call(request("/go", "a", parameters={"wait": [0, 1, 2]})))
        async with asyncio.timeout(5):
            await asyncio.gather(*(executor.began.wait() for executor in service.executors))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while [executor.cancelled for executor in service.executors] != [1, 1, 1]:
                await asyncio.sleep(0.01)


@on_a_loop
async def test_a_shard_that_is_down_is_named_and_the_gateway_is_not_ready():
    async with shards() as service:
        assert service.up
        service.workers["x/shard-1/rep-0"].state = "stopped"
        assert not service.up
        with pytest.raises(Unavailable, match=r"x: shard 1: x/shard-1 is down \(x/shard-1/rep-0\)") as caught:
            await service.call(request("/go", "a"))
        assert caught.value.deployment == "x"


@on_a_loop
async def test_any_leaves_out_a_shard_that_is_down():
    async with shards(polling={"*": "ANY"}) as service:
        service.workers["x/shard-1/rep-0"].state = "stopped"
        found = [texts(await service.call(request("/go", "a")))[0] for _ in range(4)]
        assert set(found) == {"a0", "a2"}


@on_a_loop
async def test_a_write_of_a_stateful_step_that_comes_again_goes_to_the_same_shard():
    async with shards(polling={"*": "ANY"}, repeatable=True) as service:
        taken = [
            [texts(await service.call(request("/put", "a", request_id=name)))[0] for _ in range(4)]
            for name in map(str, range(20))
        ]
        assert all(len(set(places)) == 1 for places in taken)
        assert {places[0] for places in taken} == {"a0", "a1", "a2"}
        read = [texts(await service.call(request("/go", "a", request_id="same")))[0] for _ in range(3)]
        assert sorted(read) == ["a0", "a1", "a2"]


@on_a_loop
async def test_documents_without_ids_get_the_same_ones_when_a_stateful_step_is_asked_again():
    async def ids(service, name):
        asked = request("/put", request_id=name)
        asked.payload = JsonPayload(b'[{"text": "a"}, {"text": "b"}]')
        reply = await service.call(asked)
        return [doc.data["id"].text for doc in pb.DocListProto.FromString(reply.payload.to_bytes()).docs]

    async with shards(repeatable=True) as service:
        first, again, other = [await ids(service, name) for name in ("one", "one", "two")]
        assert first == again
        assert len({*first, *other}) == 4
    async with shards() as service:
        assert await ids(service, "one") != await ids(service, "one")


@on_a_loop
async def test_a_restarted_worker_takes_the_place_of_the_old_one():
    async with shards() as service:
        step = service.steps["x"]
        (old,) = [upstream for upstream in step.upstreams if upstream.name == "x/shard-2/rep-0"]
        assert step.put(old) is old
        assert len(step.upstreams) == 3


@on_a_loop
async def test_a_lost_shard_says_which():
    class Lost:
        def __init__(self, upstream):
            self.name, self.up, self._upstream = upstream.name, True, upstream

        async def describe(self):
            return await self._upstream.describe()

        async def call(self, request):
            if "shard-2" in self.name:
                raise UpstreamUnavailable("the connection broke")
            return await self._upstream.call(request)

    upstreams = [UpstreamPlan(kind="link", name=f"x/shard-{n}/rep-0", shard=n) for n in range(3)]
    node = {"needs": ["gateway"], "upstreams": upstreams, "shards": 3, "polling": {"*": "ALL"}}
    executors = {upstream.name: ShardOfText(upstream.shard) for upstream in upstreams}
    async with gateway(executors, {"x": node}, wrap=Lost) as service:
        with pytest.raises(Unavailable, match="x/shard-2/rep-0: the connection broke"):
            await service.call(request("/go", "a"))


async def streamed(service, **options):
    async with aclosing(service.stream(request("/stream", "a", **options))) as replies:
        return [text async for reply in replies for text in texts(reply)]


@on_a_loop
async def test_streams_are_interleaved_each_in_its_order():
    async with shards() as service:
        found = await streamed(service)
        assert len(found) == 12
        for number in "012":
            assert [text[1] for text in found if text[0] == number] == list("0123")


@on_a_loop
async def test_a_silent_shard_does_not_hold_the_others_and_closing_closes_all():
    async with shards() as service:
        seen = []
        async with aclosing(service.stream(request("/stream", "a", parameters={"wait": [1]}))) as replies:
            async with asyncio.timeout(5):
                async for reply in replies:
                    seen += texts(reply)
                    if len(seen) == 8:
                        break
        assert {text[0] for text in seen} == {"0", "2"}
        async with asyncio.timeout(5):
            while [executor.closed for executor in service.executors] != [1, 1, 1]:
                await asyncio.sleep(0.01)


@on_a_loop
async def test_any_streams_from_one():
    async with shards(polling={"*": "ANY"}) as service:
        found = await streamed(service)
        assert len(found) == 4
        assert len({text[0] for text in found}) == 1


@on_a_loop
async def test_interleaving_holds_at_most_one_item_of_each():
    made = []

    async def numbers(start):
        for number in range(start, start + 100):
            made.append(number)
            yield number

    async with aclosing(interleaved([numbers(0), numbers(1000)])) as items:
        taken = [await anext(items) for _ in range(4)]
    assert len(taken) == 4
    assert len(made) <= 8


@on_a_loop
async def test_the_first_failure_counts_and_all_tasks_end():
    ended = []

    async def work(name, seconds, error=None):
        try:
            await asyncio.sleep(seconds)
            if error:
                raise error
            return name
        finally:
            ended.append(name)

    assert await all_or_first([work("a", 0.01), work("b", 0)]) == ["a", "b"]
    with pytest.raises(KeyError):
        await all_or_first([work("c", 60), work("d", 0, KeyError())])
    assert sorted(ended) == ["a", "b", "c", "d"]
