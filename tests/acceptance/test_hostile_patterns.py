"""What a client sends as a pattern cannot stop a gateway: it is matched in bounded time, or refused."""

import http.client
import json
import time

import pytest

from jina import Client, Document, Executor, Flow, requests
from jina.errors import BadClient

HOSTILE = [r"(((\w?){9}){9}){9}X", "(a*)*X", "(?:(?:x?){30}x{30}){9}", "(" * 900, "(?=a)", "a\\1" * 300, "[" * 900]


class PatternMark(Executor):
    @requests(on="/mark")
    def mark(self, docs, **kwargs):
        for doc in docs:
            doc.text += "m"


@pytest.fixture(scope="module")
def flow():
    flow = Flow(protocol=["grpc", "http", "websocket"])
    for number in range(5):
        flow = flow.add(uses=PatternMark, name=f"step_with_a_long_name_{number}")
    with flow:
        yield flow


@pytest.mark.parametrize("pattern", HOSTILE)
def test_over_http(flow, pattern):
    connection = http.client.HTTPConnection("127.0.0.1", flow.port[1], timeout=20)
    body = json.dumps({"data": [{"text": ""}], "targetExecutor": pattern})
    began = time.monotonic()
    connection.request("POST", "/mark", body, {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status in {400, 404}, answer
    assert len(answer) < 4000
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    assert (response.status, bool(response.read())) == (200, True)
    assert time.monotonic() - began < 10, "seconds; `re` would need hours"
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "websocket"])
def test_over_other_protocols(flow, protocol):
    port = flow.port[0] if protocol == "grpc" else flow.port[2]
    client = Client(port=port, protocol=protocol)
    for pattern in HOSTILE[:3]:
        with pytest.raises(BadClient, match="target_executor"):
            client.post("/mark", Document(text=""), target_executor=pattern, timeout=20)
    assert client.post("/mark", Document(text=""), target_executor="step_with.*_[13]$").texts == ["mm"]
