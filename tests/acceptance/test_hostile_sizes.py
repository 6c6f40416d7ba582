"""Requests of many small parts: refused on every protocol before they cost memory, while others are served."""

import http.client
import json
import time
from pathlib import Path

import grpc
import pytest
from websockets.sync.client import connect

from jina import Client, Deployment, Document, DocumentArray, Executor, Flow, requests
from jina.codec import pb
from jina.errors import BadRequest, TooLarge
from tests.acceptance.test_statuses import UNARY

MANY = 1_000_000
MEMORY = 64 << 20
"""Bytes by which a process may grow for a refused request of 3 MB."""


class Count(Executor):
    @requests(on="/count")
    async def count(self, docs: DocumentArray, parameters, **kwargs):
        return DocumentArray([Document(text=str(len(docs)))])


@pytest.fixture(scope="module", params=["worker", pytest.param("gateway", marks=pytest.mark.slow)])
def served(request):
    options = {"protocol": ["grpc", "http", "websocket"], "host": "127.0.0.1", "quiet": True}
    made = Deployment(uses=Count, **options) if request.param == "worker" else Flow(**options).add(uses=Count)
    with made as running:
        yield running


def over_http(port, body, endpoint="/count"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=50)
    connection.request("POST", endpoint, body, {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, answer


def memory(served):
    """Bytes that the front process has had at most."""
    pid = served._processes[0].processes[-1].pid
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_million_empty_documents_over_http(served):
    assert over_http(served.port[1], b"[{}]")[0] == 200
    before = memory(served)
    status, answer = over_http(served.port[1], b"[" + b"{}," * MANY + b"{}]")
    assert (status, json.loads(answer)["code"]) == (413, "TooLarge")
    assert b"max_documents" in answer
    assert memory(served) - before < MEMORY


def test_a_million_empty_documents_over_grpc(served):
    message = pb.DataRequestProto()
    message.header.exec_endpoint = "/count"
    head = message.SerializeToString()
    documents = b"\n\x00" * MANY
    content = b"\n" + varint(len(documents)) + documents
    before = memory(served)
    with grpc.insecure_channel(f"127.0.0.1:{served.port[0]}") as channel:
        call = channel.unary_unary(UNARY)
        with pytest.raises(grpc.RpcError) as caught:
            call(head + b"\x22" + varint(len(content)) + content, timeout=50)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_documents" in caught.value.details()
    assert memory(served) - before < MEMORY


def test_a_million_empty_documents_over_a_websocket(served):
    with connect(f"ws://127.0.0.1:{served.port[2]}/count", proxy=None, max_size=None) as socket:
        socket.send("[" + "{}," * MANY + "{}]")
        assert json.loads(socket.recv(timeout=50))["status"] == 413
        socket.send("[{}]")
        assert json.loads(socket.recv(timeout=50))["data"]


def varint(number):
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@pytest.mark.parametrize("protocol", ["grpc", "http", "websocket"])
@pytest.mark.parametrize("where", ["parameters", "tags"])
@pytest.mark.parametrize("kind", ["dict", "list", "both"])
def test_nested_values(served, protocol, where, kind):
    """700 levels are refused as a fault of the client, 20 are not; each answer is short."""
    port = dict(zip(["grpc", "http", "websocket"], served.port, strict=True))[protocol]

    def nested(depth):
        value = 1
        for level in range(depth):
            value = {"a": value} if kind == "dict" or (kind == "both" and level % 2) else [value]
        return {"v": value}

    def post(depth):
        given = {"parameters": nested(depth)} if where == "parameters" else {}
        doc = Document(text="x", tags=nested(depth)) if where == "tags" else Document(text="x")
        with Client(port=port, protocol=protocol) as client:
            return client.post("/count", doc, timeout=30, **given)

    assert post(20).texts == ["1"]
    with pytest.raises((BadRequest, ValueError)) as caught:
        post(700)
    assert len(str(caught.value)) < 2000


def many_parameters(form, count):
    """`count` values, the dicts and lists that are not empty not among them."""
    if form == "keys":
        return {f"k{number}": number for number in range(count)}
    if form == "list":
        return {"v": list(range(count - 1))}
    return {"v": [{"a": None, "b": "x,{["}] * ((count - 1) // 3)}


@pytest.mark.parametrize("protocol", ["grpc", "http", "websocket"])
@pytest.mark.parametrize("form", ["keys", "list", "nested"])
def test_many_parameters(served, protocol, form):
    port = dict(zip(["grpc", "http", "websocket"], served.port, strict=True))[protocol]
    with Client(port=port, protocol=protocol) as client:
        assert client.post("/count", Document(), parameters=many_parameters(form, 10_000), timeout=30).texts == ["1"]
        with pytest.raises(TooLarge) as caught:
            client.post("/count", Document(), parameters=many_parameters(form, 10_004), timeout=30)
    assert "max_parameters" in str(caught.value)


@pytest.mark.parametrize("form", ["keys", "list", "nested"])
def test_many_parameters_of_a_jina3_client(served, form):
    """Such a client sends a Struct alone; the last of its fields is the one too many."""
    answers = []
    with grpc.insecure_channel(f"127.0.0.1:{served.port[0]}") as channel:
        for count in (10_000, 10_004):
            message = pb.DataRequestProto()
            message.header.exec_endpoint = "/count"
            message.data.docs.docs.add()
            message.parameters.update(many_parameters(form, count))
            try:
                answers.append(channel.unary_unary(UNARY)(message.SerializeToString(), timeout=50))
            except grpc.RpcError as error:
                answers.append(error)
    assert isinstance(answers[0], bytes)
    assert answers[1].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_parameters" in answers[1].details()


@pytest.mark.parametrize("depth", [101, 200, 700, 900, 5000, 100_000])
@pytest.mark.parametrize("form", ["parameters", "document", "unclosed"])
def test_nested_json(served, depth, form):
    deep = b'{"a":' * depth + (b"" if form == "unclosed" else b"1" + b"}" * depth)
    body = b'{"data": [{}], "parameters": %b}' % deep if form == "parameters" else b'[{"tags": %b}]' % deep
    began = time.monotonic()
    status, answer = over_http(served.port[1], body)
    assert status in {400, 422}, answer[:500]
    assert len(answer) < 4000
    status, _ = over_http(served.port[1], b"[{}]")
    assert status == 200
    assert time.monotonic() - began < 20, "seconds"


@pytest.mark.slow
def test_the_limits_are_options():
    options = {"protocol": "http", "host": "127.0.0.1", "quiet": True, "max_documents": 3, "max_depth": 2}
    with Deployment(uses=Count, **options) as running, Client(port=running.port, protocol="http") as client:
        assert client.post("/count", DocumentArray.empty(3), request_size=0).texts == ["3"]
        with pytest.raises(TooLarge, match="more than 3 documents"):
            client.post("/count", DocumentArray.empty(4), request_size=0)
        assert client.post("/count", Document(), parameters={"a": {"b": 1}}).texts == ["1"]
        with pytest.raises(BadRequest, match="more than 2 arrays and objects"):
            client.post("/count", Document(), parameters={"a": {"b": [1]}})


@pytest.mark.slow
def test_a_length_without_end_is_refused():
    """A varint of a megabyte would take quadratic time (https://protobuf.dev/programming-guides/encoding#varints)."""
    from jina.codec.raw_fields import split_request

    began = time.process_time()
    with pytest.raises(BadRequest):
        split_request(b"\xff" * (1 << 20))
    assert time.process_time() - began < 5
