"""Documents reach the client as they are made, and a client that leaves ends the making.

Errors in the middle, silence, deadlines and other frames: `tests/server`, `tests/client/test_streams.py`.
"""

import asyncio
import contextlib
import http.client
import json
import time

import pytest

from jina import Client
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.services import Token

PROMPTLY = 3
"""Seconds within which a generator is closed after its client left."""


@contextlib.contextmanager
def with_sync_client(ports, protocol, endpoint):
    with Client(host="127.0.0.1", port=ports[protocol], protocol=protocol) as client:
        stream = client.stream_doc(endpoint, Token(text="t"), return_type=Token)
        try:
            yield lambda: next(stream).text
        finally:
            stream.close()


@contextlib.contextmanager
def with_async_client(ports, protocol, endpoint):
    with asyncio.Runner() as runner:
        client = Client(host="127.0.0.1", port=ports[protocol], protocol=protocol, asyncio=True)
        stream = client.stream_doc(endpoint, Token(text="t"), return_type=Token)

        async def read():
            return (await anext(stream)).text

        async def leave():
            await stream.aclose()
            await client.close()

        try:
            yield lambda: runner.run(read())
        finally:
            runner.run(leave())


@contextlib.contextmanager
def with_events(ports, method, endpoint):
    """Server-sent events, read without a client library."""
    connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
    headers = {"accept": "text/event-stream", "content-type": "application/json"}
    if method == "GET":
        connection.request("GET", f"{endpoint}?text=t", headers=headers)
    else:
        connection.request("POST", endpoint, json.dumps({"data": [{"text": "t"}]}), headers)
    response = connection.getresponse()
    assert (response.status, response.headers.get_content_type()) == (200, "text/event-stream")

    def read():
        while not (line := response.readline()).startswith(b"data: "):
            assert line, "the stream ended"
        return json.loads(line.removeprefix(b"data: "))["text"]

    try:
        yield read
    finally:
        response.close()
        connection.close()


WAYS = {
    **{f"{protocol}, sync client": (with_sync_client, protocol) for protocol in PROTOCOLS},
    **{f"{protocol}, async client": (with_async_client, protocol) for protocol in PROTOCOLS},
    "events by GET": (with_events, "GET"),
    "events by POST": (with_events, "POST"),
}


@pytest.fixture(params=WAYS)
def reading(request, desk):
    """A context manager that gives a function to read the next text of a stream."""
    way, how = WAYS[request.param]
    return lambda endpoint: way(dict(zip(PROTOCOLS, desk.ports, strict=True)), how, endpoint)


@pytest.mark.parametrize("endpoint", ["/sync-tokens", "/async-tokens"])
def test_a_stream(reading, endpoint, state):
    """The first document is here before the second is made; leaving closes the generator at once."""
    took = []
    for _ in range(3):  # the machine may be busy: one prompt end shows that it is not waited for anything
        state(forget=True)
        with reading(endpoint) as read:
            assert read() == "t1"
            assert state()["produced"] == 1
            state(next=True)
            assert [read(), read()] == ["t2", "t3"]
            assert not state()["closed"]
            left = time.monotonic()
        state("/closed")
        took.append(time.monotonic() - left)
        if took[-1] < PROMPTLY:
            return
    pytest.fail(f"closed only after {took} s")
