"""Requests that become no events of ASGI on the way are answered as those that do; connections that wait for more."""

import asyncio
import gzip
import json
import re
import time

import pytest

from jina.plan.plans import HttpPlan
from tests.net.test_unread import until
from tests.server.sample_service import SampleService, run, served
from tests.server.test_slow_clients import connected, talked

ID = b"X-Request-Id: 0123456789abcdef\r\n"
JSON = b"Content-Type: application/json\r\n"
NOTE = b'{"data": [{"id": "1", "text": "a"}]}'
LARGE = json.dumps({"data": [{"id": "1", "text": "x" * 300_000}]}).encode()


MADE_UP = re.compile(rb"[0-9a-f]{32}")
"""Ids of documents that have none."""


def sent(line, *headers, body=None, version=b"1.1", close=True):
    length = [] if body is None else [b"Content-Length: %d\r\n" % len(body)]
    last = [b"Connection: close\r\n"] if close else []
    head = [line, b" HTTP/", version, b"\r\nHost: x\r\n", ID, *headers, *length, *last, b"\r\n"]
    return b"".join(head) + (body or b"")


CHUNKED = [
    sent(b"POST /upper", JSON, b"Transfer-Encoding: chunked\r\n"),
    b"%x\r\n%b\r\n" % (9, NOTE[:9]),
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(NOTE) - 9, NOTE[9:]),
]
PIPELINED = b"".join(sent(b"POST /upper", JSON, body=NOTE, close=False) for _ in range(3))
CASES = {
    "a call": [sent(b"POST /upper", JSON, body=NOTE)],
    "a body in pieces": [sent(b"POST /upper", JSON, body=NOTE)[:-20], NOTE[-20:]],
    "chunks": CHUNKED,
    "a large body": [sent(b"POST /echo", JSON, body=LARGE)],
    "several at once": [PIPELINED + sent(b"GET /livez")],
    "an old version": [sent(b"POST /upper", JSON, body=NOTE, version=b"1.0", close=False)],
    "compressed": [sent(b"POST /upper", JSON, b"Content-Encoding: gzip\r\n", body=gzip.compress(NOTE, mtime=0))],
    "asked to go on": [sent(b"POST /upper", JSON, b"Expect: 100-continue\r\n", body=NOTE)],
    "an absolute target": [sent(b"POST http://x/upper?parameters=%7B%22a%22%3A1%7D", JSON, body=NOTE)],
    "an escaped path": [sent(b"POST /up%70er", JSON, body=NOTE)],
    "a page": [sent(b"GET /livez")],
    "its head": [sent(b"HEAD /livez")],
    "the options": [sent(b"OPTIONS /upper", b"Access-Control-Request-Headers: x-one\r\n")],
    "a stream": [sent(b"GET /tokens?text=t&number=3")],
    "a stream of lines": [sent(b"GET /tokens?text=t&number=3", b"Accept: application/x-ndjson\r\n")],
    "a broken stream": [sent(b"GET /broken?text=t")],
    "no such path": [sent(b"POST /nowhere", JSON, body=NOTE)],
    "no such method": [sent(b"PATCH /upper", JSON, body=NOTE)],
    "a failure": [sent(b"POST /fail", JSON, body=NOTE)],
    "a problem": [sent(b"POST /busy", JSON, b"Accept: application/problem+json\r\n", body=NOTE)],
    "no JSON": [sent(b"POST /upper", JSON, body=b"{")],
    "too large": [sent(b"POST /upper", JSON, body=b"[" + b" " * 2_000_000 + b"]")],
    "no request": [b"nonsense\r\n\r\n"],
}


def through_asgi(app):
    def passed_on(inner):
        async def middleware(scope, receive, send):
            await inner(scope, receive, send)

        return middleware

    app.wrap(passed_on)


async def answered(chunks, *, customise=None, cors=False):
    limits = SampleService(), "http"
    async with served(*limits, timeout_read=20, http=HttpPlan(cors=cors), customise=customise) as server:
        heard, _ = await talked(server, chunks, pause=0.01)
    lines = MADE_UP.sub(b"made up", heard).split(b"\r\n")
    return [line for line in lines if not line.lower().startswith(b"date:")]


@pytest.mark.parametrize("cors", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_the_same_with_and_without_asgi(case, cors):
    async def main():
        plain = await answered(CASES[case], cors=cors)
        assert plain[0].startswith(b"HTTP/1.1 ")
        assert plain == await answered(CASES[case], customise=through_asgi, cors=cors)

    run(main())


async def idle(seconds):
    """Send nothing for so long: there is nothing else to wait for."""
    await asyncio.sleep(seconds)


async def one_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


def test_a_connection_is_closed_when_it_was_idle_for_long_since_its_last_answer():
    async def main():
        http = HttpPlan(uvicorn_kwargs={"timeout_keep_alive": 1})
        async with served(SampleService(), "http", http=http) as server:
            reader, writer = await connected(server)
            began = time.monotonic()
            last = began
            while last < began + 1.5:  # longer than it may be idle
                writer.write(sent(b"POST /upper", JSON, body=NOTE, close=False))
                await one_answer(reader)
                last = time.monotonic()
                await idle(0.2)
            assert await reader.read() == b""
            assert 0.9 < time.monotonic() - last < 20
            writer.close()

    run(main())


def test_a_connection_is_not_idle_while_an_answer_is_made():
    async def main():
        service = SampleService()
        http = HttpPlan(uvicorn_kwargs={"timeout_keep_alive": 1})
        async with served(service, "http", http=http) as server:
            reader, writer = await connected(server)
            writer.write(sent(b"POST /upper", JSON, body=NOTE, close=False))
            await one_answer(reader)
            writer.write(sent(b"POST /slow", JSON, body=NOTE, close=False))
            asyncio.get_running_loop().call_later(1.5, service.release.set)
            await one_answer(reader)
            writer.close()

    run(main())


def test_the_work_ends_as_soon_as_its_client_leaves():
    async def main():
        service = SampleService()
        async with served(service, "http") as server:
            _, writer = await connected(server)
            writer.write(sent(b"POST /slow", JSON, body=NOTE, close=False))
            await until(lambda: service.running, "the request is in work")
            writer.close()
            await asyncio.wait_for(service.cancelled.wait(), 20)
            assert service.running == 0

    run(main())
