"""Requests through a graph of real workers: order, parameters, errors."""

import asyncio

import aiohttp
import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import gateway, http_face, request, texts, visited

from jina import Executor, requests
from jina.errors import EndpointNotFound, ExecutorError, Overloaded, Unavailable
from jina.plan.plans import HttpPlan
from jina.server.server import serve


class Text(BaseDoc):
    text: str = ""


class Append(Executor):
    """Appends its letter."""

    letter = "?"

    @requests(on="/add")
    async def add(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text += self.letter

    @requests(on="/fail")
    async def fail(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        if self.letter == "b":
            raise ValueError(f"no {docs[0].text}")

    @requests(on="/dict")
    async def results(self, docs: DocList[Text], parameters: dict, **kwargs) -> dict:
        return {"saw": parameters.get("k"), "count": len(docs)}


class A(Append):
    letter = "a"


class B(Append):
    letter = "b"

    @requests(on="/only")
    async def only(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text += "!"


class C(Append):
    letter = "c"


def test_a_chain_visits_each_executor_in_order():
    async def main():
        async with gateway({"a": A, "b": B, "c": C}) as service:
            reply = await service.call(request("/add", ["x", "y"]))
            assert texts(reply) == ["xabc", "yabc"]
            assert visited(reply) == ["gateway", "a", "b", "c"]
            assert all(route.end_time >= route.start_time > 0 for route in reply.routes)

    asyncio.run(main())


def test_an_executor_that_does_not_know_the_endpoint_passes_documents_on():
    async def main():
        async with gateway({"a": A, "b": B, "c": C}) as service:
            reply = await service.call(request("/only", ["x"]))
            assert texts(reply) == ["x!"]
            assert visited(reply) == ["gateway", "b"]

    asyncio.run(main())


def test_an_endpoint_that_nobody_knows_is_not_found():
    async def main():
        async with gateway({"a": A, "b": B}) as service:
            with pytest.raises(EndpointNotFound, match="did you mean /only") as caught:
                await service.call(request("/onyl"))
            assert "/add" in caught.value.help

    asyncio.run(main())


def test_an_error_names_the_deployment_and_ends_the_walk():
    async def main():
        async with gateway({"a": A, "b": B, "c": C}) as service:
            with pytest.raises(ExecutorError, match="no x") as caught:
                await service.call(request("/fail", ["x"]))
            assert (caught.value.name, caught.value.executor, caught.value.deployment) == ("ValueError", "B", "b")
            assert any("in fail" in line for line in caught.value.stacks)
            assert service.workers["c"].counts.endpoint("/fail").seconds.count == 0

    asyncio.run(main())


def test_dictionaries_of_all_executors_are_collected():
    async def main():
        async with gateway({"a": A, "b": B}) as service:
            reply = await service.call(request("/dict", ["x"], parameters={"k": 1, "b__k": 2}))
            assert reply.parameters["__results__"] == {
                "a/rep-0": {"saw": 1, "count": 1},
                "b/rep-0": {"saw": 2, "count": 1},
            }
            assert reply.parameters["k"] == 1

    asyncio.run(main())


def test_http_in_front_of_a_chain():
    async def main():
        async with gateway({"a": A, "b": B}) as service:
            server = serve([http_face()], service, http=HttpPlan())
            await server.start()
            try:
                async with aiohttp.ClientSession(server.addresses[0]) as session:
                    async with session.post("/add", json={"data": [{"id": "1", "text": "x"}]}) as answer:
                        assert (answer.status, (await answer.json())["data"]) == (200, [{"id": "1", "text": "xab"}])
                    async with session.post("/fail", json={"data": [{"text": "x"}]}) as answer:
                        assert answer.status == 500
            finally:
                await server.stop(1)

    asyncio.run(main())


def test_metrics_count_requests_and_what_is_sent_to_each_deployment():
    async def main():
        async with gateway({"a": A, "b": B}) as service:
            await service.call(request("/add", ["x"]))
            with pytest.raises(ExecutorError):
                await service.call(request("/fail", ["x"]))
            text = (await service.metrics()).decode()
            assert 'jina_successful_requests_total{runtime_name="gateway/rep-0"} 1.0' in text
            assert 'jina_failed_requests_total{runtime_name="gateway/rep-0"} 1.0' in text
            assert 'jina_sending_request_seconds_count{deployment="a",runtime_name="gateway/rep-0"} 2.0' in text
            assert 'jina_sending_request_seconds_count{deployment="b",runtime_name="gateway/rep-0"} 1.0' in text
            assert 'jina_sent_request_bytes_count{deployment="b",runtime_name="gateway/rep-0"} 2.0' in text
            assert 'jina_number_of_pending_requests{runtime_name="gateway/rep-0"} 0.0' in text

    asyncio.run(main())


def test_over_its_limit_it_refuses_rather_than_to_grow():
    async def main():
        async with gateway({"a": A}, max_inflight=2) as service:
            calls = [asyncio.create_task(service.call(request("/add", ["x"]))) for _ in range(3)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(answer).__name__ for answer in answers] == ["Reply", "Reply", "Overloaded"]
            assert texts(await service.call(request("/add", ["x"]))) == ["xa"]

    asyncio.run(main())


def test_what_a_worker_refuses_comes_back_as_that():
    async def main():
        async with gateway({"a": A, "b": B}, worker={"b": {"max_inflight": 1}}) as service:
            calls = [asyncio.create_task(service.call(request("/add", ["x"]))) for _ in range(3)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, Overloaded)]
            assert refused
            assert {answer.deployment for answer in refused} == {"b"}
            assert all(0 < answer.retry_after <= 30 for answer in refused)
            assert texts(await service.call(request("/add", ["x"]))) == ["xab"]  # no replica is left out for it

    asyncio.run(main())


def test_it_is_not_ready_before_it_has_started_nor_when_it_stops():
    async def main():
        async with gateway({"a": A}) as service:
            assert service.up
            service.state = "draining"
            assert not service.up
            assert service.started
            with pytest.raises(Unavailable, match="draining"):
                await service.ready()

    asyncio.run(main())
