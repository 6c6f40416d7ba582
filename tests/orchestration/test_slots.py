"""Continuous batching as clients see it: protocols, Deployments, Flows, replicas, clients that leave, and the stop."""

import asyncio
import threading
import time

import httpx
import pytest
from slot_steps import Stepping, Text

from jina import Client, Deployment, Flow
from jina.errors import ExecutorError

LOCAL = {"host": "127.0.0.1", "quiet": True}
PROTOCOLS = ["grpc", "http", "websocket"]


def words(*names, times=2000):
    return [f"{name} " * times for name in names]


def served(kind, **options):
    if kind == "deployment":
        return Deployment(uses=Stepping, protocol=PROTOCOLS, **options, **LOCAL)
    return Flow(protocol=PROTOCOLS, **LOCAL).add(uses=Stepping, **options)


def port_of(service, protocol):
    return service.port[PROTOCOLS.index(protocol)]


@pytest.fixture(scope="module", params=["deployment", "flow"])
def service(request):
    with served(request.param) as service:
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_streams_of_several_clients_share_steps(service, protocol):
    async def main():
        async with Client(port=port_of(service, protocol), protocol=protocol, asyncio=True) as client:

            async def read(text):
                return [doc async for doc in client.stream_doc("/words", Text(text=text), return_type=Text)]

            return await asyncio.gather(*map(read, words("a", "b", "c")))

    found = asyncio.run(main())
    assert ["".join(doc.text for doc in docs) for docs in found] == ["a" * 2000, "b" * 2000, "c" * 2000]
    assert max(doc.together for docs in found for doc in docs) > 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_fails_fails_alone_after_what_it_emitted(service, protocol):
    got = []
    client = Client(port=port_of(service, protocol), protocol=protocol)
    with client, pytest.raises(ExecutorError, match="a broken word"):
        for doc in client.stream_doc("/words", Text(text="one two broken"), return_type=Text):
            got.append(doc.text)
    assert got == ["one", "two"]


@pytest.mark.parametrize(("media", "mark"), [("text/event-stream", "event: end"), ("application/x-ndjson", None)])
def test_over_http_as_events_and_as_lines(service, media, mark):
    url = f"http://127.0.0.1:{port_of(service, 'http')}/words"
    answer = httpx.get(url, params={"text": "one two"}, headers={"accept": media}, timeout=20)
    assert answer.headers["content-type"].startswith(media)
    lines = [line for line in answer.text.splitlines() if '"text"' in line]
    assert [line.partition('"text":"')[2].partition('"')[0] for line in lines] == ["one", "two"]
    assert mark is None or mark in answer.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_leaves_frees_its_slot(service, protocol):
    name = f"leaves-{protocol}"

    async def main():
        async with Client(port=port_of(service, protocol), protocol=protocol, asyncio=True) as client:
            text = Text(text=name)
            stream = client.stream_doc("/words", text, parameters={"times": 10_000_000}, return_type=Text)
            async for _ in stream:
                break
            await stream.aclose()
            limit = time.monotonic() + 20
            left = []
            while name not in left:
                assert time.monotonic() < limit, "the slot of a client that left is not free"
                answer = await _results(client)
                left = next(iter(answer.values()))["left"]

    asyncio.run(main())


async def _results(client):
    return (await anext(client.post("/left", Text(), return_responses=True))).parameters["__results__"]


@pytest.mark.slow
def test_replicas_have_slots_of_their_own():
    with served("flow", replicas=2) as flow:

        async def main():
            async with Client(port=port_of(flow, "grpc"), asyncio=True) as client:

                async def read(text):
                    return {doc.pid async for doc in client.stream_doc("/words", Text(text=text), return_type=Text)}

                return await asyncio.gather(*map(read, words(*"abcdefgh")))

        pids = asyncio.run(main())
        assert all(len(found) == 1 for found in pids)
        assert len(set.union(*pids)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deployment", "flow"])
def test_streams_finish_when_the_service_is_told_to_stop(kind):
    service, got, begun = served(kind), [], threading.Event()

    def read():
        with Client(port=port_of(service, "grpc")) as client:
            for doc in client.stream_doc("/words", Text(text=words("x", times=20_000)[0]), return_type=Text):
                got.append(doc.text)
                begun.set()

    reader = threading.Thread(target=read)
    with service:
        reader.start()
        assert begun.wait(20)
    reader.join(20)
    assert len(got) == 20_000
