"""Parameters arrive equal, value and type, on every way to a handler and back."""

import asyncio

import pytest

from jina import Client, Document

PARAMETERS = {"k": 3, "big": 2**60 + 1, "n": None}
ARRIVED = repr(dict(sorted(PARAMETERS.items())))


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_sync_client(client, count):
    responses = client.post(
        "/parameters",
        [Document() for _ in range(count)],
        request_size=1,
        parameters=PARAMETERS,
        return_responses=True,
    )
    check(responses, count)


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_async_client(port, protocol, count):
    async def main():
        async with Client(host="127.0.0.1", port=port, protocol=protocol, asyncio=True) as client:
            documents = [Document() for _ in range(count)]
            call = client.post("/parameters", documents, request_size=1, parameters=PARAMETERS, return_responses=True)
            return [response async for response in call]

    check(asyncio.run(main()), count)


def check(responses, count):
    assert len(responses) == count
    for response in responses:
        assert response.docs[0].text == ARRIVED
        back = {name: value for name, value in response.parameters.items() if name != "__results__"}
        assert back == PARAMETERS
        assert {name: type(value) for name, value in back.items()} == {"k": int, "big": int, "n": type(None)}
