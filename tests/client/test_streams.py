"""`stream_doc` on every protocol, sync and async."""

import asyncio

import pytest

from jina import Client
from jina.errors import BadServer, EndpointNotFound, ExecutorError, JinaError
from tests.client.note_server import Note


def test_documents_and_parameters(client):
    stream = client.stream_doc("/tokens", Note(text="t", number=3), parameters={"suffix": "!"}, return_type=Note)
    assert [doc.text for doc in stream] == ["t0!", "t1!", "t2!"]


def test_schemaless_by_default(client):
    [doc] = client.stream_doc("/tokens", inputs=Note(text="t", number=1))
    assert doc.text == "t0"


def test_empty(client):
    assert list(client.stream_doc("/tokens", Note(number=0))) == []


def test_leaving_closes_the_generator_of_the_executor(server, client):
    server.service.closed.clear()
    stream = client.stream_doc("/forever", Note(), return_type=Note)
    assert [next(stream).text for _ in range(3)] == ["0", "1", "2"]
    stream.close()
    assert server.service.closed.wait(10)
    assert client.post("/echo", Note(text="x"))[0].text == "x"


def test_failure_in_the_middle(client):
    seen = []
    with pytest.raises(ExecutorError, match="mid"):
        seen.extend(client.stream_doc("/broken", Note(text="t", number=2), return_type=Note))
    stream = client.stream_doc("/broken", Note(text="t", number=2), return_type=Note)
    assert next(stream).text == "t0"
    assert next(stream).text == "t1"
    with pytest.raises(BadServer, match="mid"):
        next(stream)


def test_unknown_endpoint(client):
    with pytest.raises(EndpointNotFound):
        list(client.stream_doc("/nope", Note()))


def test_no_generator(client):
    with pytest.raises(JinaError):
        list(client.stream_doc("/echo", Note(text="x"), timeout=5))


def test_post_to_a_generator_is_refused(client):
    with pytest.raises(JinaError, match="stream"):
        client.post("/tokens", Note(number=3), timeout=5)
    assert client.post("/echo", Note(text="x"))[0].text == "x"


def test_async(server, protocol):
    async def main():
        async with Client(host=server.url(protocol), asyncio=True) as client:
            stream = client.stream_doc("/tokens", Note(text="t", number=3), {"suffix": "?"}, return_type=Note)
            assert [doc.text async for doc in stream] == ["t0?", "t1?", "t2?"]
            server.service.closed.clear()
            stream = client.stream_doc("/forever", Note(), return_type=Note)
            assert (await anext(stream)).text == "0"
            await stream.aclose()
            assert await asyncio.to_thread(server.service.closed.wait, 10)
            with pytest.raises(ExecutorError, match="mid"):
                async for _ in client.stream_doc("/broken", Note(text="t", number=2)):
                    pass
            with pytest.raises(EndpointNotFound):
                async for _ in client.stream_doc("/nope", Note()):
                    pass

    asyncio.run(main())
