"""Streams of documents over HTTP."""

import asyncio
import json

import aiohttp
import pytest

from jina.server.http import AsgiExchange, Terms
from jina.server.http_calls import Events, Lines, send_stream
from tests.server.sample_service import SampleService, run, served, url


def events_of(text):
    frames = []
    for frame in text.split("\r\n\r\n"):
        lines = dict(line.split(": ", 1) for line in frame.split("\r\n") if line and not line.startswith(":"))
        if lines:
            frames.append((lines["event"], json.loads(lines["data"]) if "data" in lines else None))
    return frames


def streamed(method, path, **request):
    async def main():
        service = SampleService()
        async with (
            served(service, "http") as server,
            aiohttp.ClientSession() as session,
            session.request(method, url(server, path), **request) as answer,
        ):
            return answer.status, answer.headers, await answer.text(), service

    return run(main())


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("GET", "/tokens?text=t&number=3", {}),
        ("GET", "/tokens", {"json": {"text": "t", "number": 3}}),
        ("POST", "/tokens", {"json": {"data": [{"text": "t", "number": 3}]}}),
        ("POST", "/tokens", {"json": {"data": {"text": "t", "number": 3}}}),
        ("POST", "/tokens", {"json": {"text": "t", "number": 3}}),
    ],
)
def test_events(method, path, request_):
    status, headers, text, service = streamed(method, path, **request_)
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert text.startswith('event: update\r\ndata: {"id"')
    assert text.endswith("event: end\r\n\r\n")
    frames = events_of(text)
    assert [data and data["text"] for _, data in frames] == ["t0", "t1", "t2", None]
    assert service.closed.is_set()


def test_parameters_of_a_stream():
    _, _, _, service = streamed("GET", '/tokens?text=t&parameters={"k":1}')
    assert service.requests[0].parameters == {"k": 1}
    _, _, _, service = streamed("POST", "/tokens", json={"data": {"text": "t"}, "parameters": {"k": 2}})
    assert service.requests[0].parameters == {"k": 2}


def test_lines():
    status, headers, text, _ = streamed("GET", "/tokens?text=t&number=3", headers={"accept": "application/x-ndjson"})
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert [json.loads(line)["text"] for line in text.splitlines()] == ["t0", "t1", "t2"]


def test_failure_in_the_middle():
    status, _, text, _ = streamed("GET", "/broken?text=t")
    [first, last] = events_of(text)
    assert (status, first[0], last[0]) == (200, "update", "error")
    assert (last[1]["code"], last[1]["detail"]) == ("ExecutorError", "ValueError('mid')")
    _, _, text, _ = streamed("GET", "/broken?text=t", headers={"accept": "application/x-ndjson"})
    assert json.loads(text.splitlines()[-1])["error"]["code"] == "ExecutorError"


@pytest.mark.parametrize(
    ("path", "status", "where"),
    [
        ("/tokens?number=many", 422, "number"),
        ("/tokens?txt=a", 422, "txt"),
        ("/nothing?text=a", 404, None),
        ("/deserted?text=a", 500, None),
    ],
)
def test_failure_before_the_first_document(path, status, where):
    got, headers, text, _ = streamed("GET", path)
    assert (got, headers["content-type"]) == (status, "application/json")
    if where:
        [error] = json.loads(text)["errors"]
        assert error["loc"] == ["query", where]


def test_first_document_leaves_before_the_second_is_made():
    async def main():
        service = SampleService()
        async with served(service, "http") as server, aiohttp.ClientSession() as session:
            async with session.get(url(server, "/forever?text=t")) as answer:
                first = await answer.content.readuntil(b"\r\n\r\n")
                assert b"t0" in first
                assert service.produced < 3
                answer.close()
            await asyncio.wait_for(service.closed.wait(), 20)

    run(main())


def test_client_that_leaves_a_silent_stream():
    async def main():
        service = SampleService()
        async with served(service, "http") as server, aiohttp.ClientSession() as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.get(url(server, "/late?text=t"), timeout=aiohttp.ClientTimeout(total=1))
            await asyncio.wait_for(service.closed.wait(), 20)

    run(main())


def test_deadline_ends_a_stream():
    async def main():
        service = SampleService()
        async with (
            served(service, "http") as server,
            aiohttp.ClientSession() as session,
            session.get(url(server, "/forever?text=t"), headers={"x-request-timeout": "0.1"}) as answer,
        ):
            frames = events_of(await answer.text())
        assert frames[-1][0] == "error"
        assert frames[-1][1]["code"] == "DeadlineExceeded"
        assert service.closed.is_set()

    run(main())


def exchange_into(sent):
    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b""}
    return AsgiExchange(scope, receive, send, Terms(1000))


def test_pings_fill_silence():
    async def main():
        sent = []
        release = asyncio.Event()

        async def replies():
            await release.wait()
            return
            yield

        sending = asyncio.create_task(send_stream(exchange_into(sent), Events(), replies(), ping_interval=0.01))
        while len(sent) < 4:
            await asyncio.sleep(0.005)
        release.set()
        await sending
        assert sent[0]["type"] == "http.response.start"
        assert {message["body"] for message in sent[1:]} == {b": ping\r\n\r\n"}

    run(main())


def test_documents_of_one_reply_leave_in_one_piece():
    async def main():
        for framing, count in ((Events(), b"event: update"), (Lines(), b"\n")):
            sent = []
            service = SampleService()

            async def replies(service=service):
                yield service._tokens(["a", "b", "c"])

            await send_stream(exchange_into(sent), framing, replies())
            [_, body] = sent
            assert body["body"].count(count) == 3
            assert body["more_body"] is True

    run(main())
