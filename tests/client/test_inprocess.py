"""Clients of a service in this very process."""

from __future__ import annotations

import asyncio

import pytest
from docarray import BaseDoc, DocList

from jina import Executor, requests
from jina.client.local import AsyncInProcessClient, InProcessClient
from jina.errors import BadRequest, DeadlineExceeded, EndpointNotFound, ExecutorError, ValidationFailed
from jina.plan.plans import DeploymentPlan, ExecutorPlan, WorkerPlan
from jina.supervisor.in_process import InProcess


class Note(BaseDoc):
    text: str = ""


class Work(Executor):
    closed = 0

    @requests(on="/upper")
    def upper(self, docs: DocList[Note], parameters, **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text = doc.text.upper() + str(parameters.get("big", ""))

    @requests(on="/fail")
    def fail(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        raise ValueError("no good")

    @requests(on="/long")
    async def long(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        await asyncio.sleep(30)

    @requests(on="/many")
    async def many(self, doc: Note, **kwargs) -> Note:
        try:
            for i in range(10_000):
                yield Note(text=f"{doc.text}{i}")
        finally:
            type(self).closed += 1


@pytest.fixture
def running():
    worker = WorkerPlan(name="work/rep-0", deployment="work", executor=ExecutorPlan(), listeners=[])
    running = InProcess(DeploymentPlan(name="work", workers=[worker]), {"work/rep-0": Work})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(running):
    return InProcessClient(running.service, running.loop)


def notes(*texts):
    return DocList[Note]([Note(text=text) for text in texts])


def test_documents_go_and_come_as_copies(client):
    sent = notes("a", "b")
    got = client.post("/upper", sent, return_type=DocList[Note], parameters={"big": 2**60 + 1})
    assert [doc.text for doc in got] == [f"A{2**60 + 1}", f"B{2**60 + 1}"]
    assert [doc.text for doc in sent] == ["a", "b"]
    assert [doc.id for doc in got] == [doc.id for doc in sent]


def test_many_requests_keep_their_order(client):
    texts = [str(i) for i in range(250)]
    got = client.post("/upper", notes(*texts), request_size=1, results_in_order=True, return_type=DocList[Note])
    assert [doc.text for doc in got] == texts


@pytest.mark.parametrize(
    ("on", "error"), [("/fail", ExecutorError), ("/uper", EndpointNotFound), ("/long", DeadlineExceeded)]
)
def test_failures_are_those_of_a_server(client, on, error):
    with pytest.raises(error):
        client.post(on, notes("a"), timeout=0.05 if on == "/long" else None)


def test_a_wrong_type_is_refused(client):
    class Other(BaseDoc):
        text: list[int] = [1]

    with pytest.raises(ValidationFailed):
        client.post("/upper", DocList[Other]([Other()]))


def test_streams_end_where_the_caller_leaves(client):
    found = []
    for doc in client.stream_doc("/many", Note(text="t"), return_type=Note):
        found.append(doc.text)
        if len(found) == 3:
            break
    assert found == ["t0", "t1", "t2"]
    assert client.is_flow_ready()
    assert Work.closed == 1


def test_what_does_not_yield_is_not_streamed(client):
    with pytest.raises(BadRequest):
        list(client.stream_doc("/upper", Note(text="t")))


def test_coroutines_of_any_loop(running):
    async def ask():
        async with AsyncInProcessClient(running.service, running.loop) as client:
            posted = client.post("/upper", notes("a"), return_type=DocList[Note])
            texts = [doc.text async for docs in posted for doc in docs]
            streamed = client.stream_doc("/many", Note(text="t"), return_type=Note)
            texts.append((await anext(streamed)).text)
            await streamed.aclose()
            return texts

    assert asyncio.run(ask()) == ["A", "t0"]


def test_an_executor_that_fails_to_start_says_why():
    from jina.errors import RuntimeFailToStart

    def fail():
        raise ValueError("no model")

    worker = WorkerPlan(name="work/rep-0", deployment="work", executor=ExecutorPlan(), listeners=[])
    with pytest.raises(RuntimeFailToStart, match="no model"):
        InProcess(DeploymentPlan(name="work", workers=[worker]), {"work/rep-0": fail}).start()
