"""What is wrong with a request, told in each protocol's own way, and raised by our client as the same class.

Keys and rates (401, 403, 429): `test_access.py`. The details of each protocol: `tests/server`.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from docarray import BaseDoc
from websockets.sync.client import connect

from jina import Client, Deployment, Document
from jina.codec import pb
from jina.errors import (
    DeadlineExceeded,
    EndpointNotFound,
    ExecutorError,
    Overloaded,
    TooLarge,
    Unavailable,
    ValidationFailed,
)
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.services import Desk, Item

LARGE = "x" * 300_000
LIMIT = 6
"""Requests that the desk works on at the same time; one more is refused."""

UNARY = "/jina.JinaSingleDataRequestRPC/process_single_data"


# --- without our client: (status, name of the class, text) for one request ---------------------------------


def over_http(port, endpoint, body, *, timeout=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"content-type": "application/json"} | ({"x-request-timeout": str(timeout)} if timeout else {})
        connection.request("POST", endpoint, body, headers)
        response = connection.getresponse()
        content = json.loads(response.read())
        return response.status, content["code"], json.dumps(content)
    finally:
        connection.close()


def over_websocket(port, endpoint, body, *, timeout=None):
    headers = {"x-request-timeout": str(timeout)} if timeout else {}
    with connect(f"ws://127.0.0.1:{port}{endpoint}", proxy=None, additional_headers=headers) as socket:
        socket.send(body)
        content = json.loads(socket.recv(timeout=30))
        return content["status"], content["code"], json.dumps(content)


def over_grpc(port, endpoint, body, *, timeout=None):
    """The JSON body as the same documents in protobuf; bytes go as they are."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(UNARY, lambda data: data, pb.DataRequestProto.FromString)
        data = body if isinstance(body, bytes) else message_of(endpoint, json.loads(body)["data"])
        try:
            reply = call(data, timeout=timeout or 30)
        except grpc.RpcError as error:
            return error.code().name, None, error.details()
        return "OK", reply.header.status.error, reply.header.status.description


def message_of(endpoint, documents):
    message = pb.DataRequestProto()
    message.header.request_id = "1"
    message.header.exec_endpoint = endpoint
    for fields in documents:
        doc = message.data.docs.docs.add()
        for name, value in fields.items():
            if isinstance(value, str):
                doc.data[name].text = value
            else:
                doc.data[name].integer = value
    return message.SerializeToString()


RAW = {"grpc": over_grpc, "http": over_http, "websocket": over_websocket}

ONE = '{"data": [{"text": "a", "number": 1}]}'

TABLE = {
    "unknown endpoint": ("/type", ONE, 404, "NOT_FOUND", "EndpointNotFound", "/typed"),
    "unparsable body": ("/typed", '{"data": [', 400, "INVALID_ARGUMENT", "BadRequest", ""),
    "wrong type": (
        "/typed",
        '{"data": [{"text": "a", "number": "many"}]}',
        422,
        "INVALID_ARGUMENT",
        "ValidationFailed",
        "number",
    ),
    "missing field": ("/typed", '{"data": [{"text": "a"}]}', 422, "INVALID_ARGUMENT", "ValidationFailed", "number"),
    "too large": (
        "/typed",
        json.dumps({"data": [{"text": LARGE, "number": 1}]}),
        413,
        "RESOURCE_EXHAUSTED",
        "TooLarge",
        "max_message_size",
    ),
}


OWN_WAYS = {("websocket", "unknown endpoint"), ("websocket", "too large")}
"""Refused at the handshake, and by closing: `test_websocket_frames_that_cannot_be_answered_in_kind`."""


@pytest.mark.parametrize(
    ("protocol", "case"), [pair for pair in itertools.product(PROTOCOLS, TABLE) if pair not in OWN_WAYS]
)
def test_raw(protocol, port, case):
    endpoint, body, status, code, name, text = TABLE[case]
    if protocol == "grpc" and case == "unparsable body":
        body = b"\xff\xff\xff"
    found = RAW[protocol](port, endpoint, body)
    assert found[0] == (code if protocol == "grpc" else status)
    assert protocol == "grpc" or found[1] == name
    assert text in found[2]


def test_websocket_frames_that_cannot_be_answered_in_kind(desk):
    port = desk.ports[PROTOCOLS.index("websocket")]
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        socket.send('{"execEndpoint": "/type", "data": []}')
        content = json.loads(socket.recv(timeout=30))
        assert (content["status"], content["code"]) == (404, "EndpointNotFound")
        assert "/typed" in content["detail"]
        socket.send(TABLE["too large"][1])
        with pytest.raises(Exception, match="1009"):
            socket.recv(timeout=30)


def test_raw_exception_of_a_handler(protocol, port):
    found = RAW[protocol](port, "/fail", ONE)
    assert found[0] == ("OK" if protocol == "grpc" else 500)
    assert found[1] == "ExecutorError"
    assert "LookupError('no such thing', 7)" in found[2]


def test_raw_deadline(protocol, port, state):
    """Of a WebSocket the handshake tells the time that each frame gets."""
    began = time.monotonic()
    found = RAW[protocol](port, "/hold", '{"data": []}', timeout=0.2)
    assert found[0] == ("DEADLINE_EXCEEDED" if protocol == "grpc" else 504)
    assert time.monotonic() - began < 10
    until(lambda: state()["holding"] == 0)


# --- with our client ---------------------------------------------------------------------------------------


class Wrong(BaseDoc):
    text: str = "a"
    number: str


@pytest.mark.parametrize(
    ("endpoint", "inputs", "kind", "text"),
    [
        ("/type", Item(text="a", number=1), EndpointNotFound, "(?=.*did you mean '/typed')(?=.*/parameters)"),
        ("/typed", Wrong(number="many"), ValidationFailed, "number"),
        ("/typed", Document(text="a"), ValidationFailed, "number"),
        ("/typed", Item(text=LARGE, number=1), TooLarge, "max_message_size"),
        ("/fail", Item(text="a", number=1), ExecutorError, "no such thing"),
    ],
    ids=["unknown endpoint", "wrong type", "missing field", "too large", "exception of a handler"],
)
@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_client(client, endpoint, inputs, kind, text, count):
    with pytest.raises(kind, match=f"(?s){text}"):
        client.post(endpoint, [inputs] * count, request_size=1)


@pytest.mark.slow
def test_client_deadline(client, state):
    before = state()["cancelled"]
    with pytest.raises(DeadlineExceeded):
        client.post("/hold", timeout=2)
    until(lambda: state()["holding"] == 0)
    assert state()["cancelled"] > before  # its caller has left, so it is cancelled


def test_client_that_leaves(protocol, port, desk, state):
    """The handler is cancelled, and the server counts a cancelled request."""
    before = state()["cancelled"], cancelled_in_metrics(desk)
    with leaving(protocol, port):
        until(lambda: state()["holding"] == 1)
    until(lambda: state()["cancelled"] == before[0] + 1)
    until(lambda: cancelled_in_metrics(desk) == before[1] + 1)


@contextlib.contextmanager
def leaving(protocol, port):
    """A request in flight whose client is gone at the end of the block."""
    if protocol == "http":
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/hold", '{"data": []}', {"content-type": "application/json"})
        yield
        connection.close()
    elif protocol == "websocket":
        with connect(f"ws://127.0.0.1:{port}/hold", proxy=None) as socket:
            socket.send('{"data": []}')
            yield
    else:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(UNARY, lambda data: data, lambda data: data).future(message_of("/hold", []))
            yield
            call.cancel()
            with pytest.raises(grpc.FutureCancelledError):
                call.result()


def cancelled_in_metrics(desk):
    connection = http.client.HTTPConnection("127.0.0.1", desk.ports[PROTOCOLS.index("http")])
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if "Cancelled" in line and "/hold" in line)


def test_full_queue(protocol, port, client, desk, state):
    """More than the server takes on: refused at once, with a hint when to come back."""
    with holding(desk, client, state):
        with pytest.raises(Overloaded) as caught:
            client.post("/typed", Item(text="a", number=1))
        assert caught.value.retry_after > 0
        found = RAW[protocol](port, "/typed", ONE)
        assert found[0] == ("RESOURCE_EXHAUSTED" if protocol == "grpc" else 429)
    assert client.post("/typed", Item(text="a", number=1)).text == ["a"]


@contextlib.contextmanager
def holding(desk, client, state):
    """As many requests in work as the server takes on; cancelled at the end."""
    message = message_of("/hold", [])
    with grpc.insecure_channel(f"127.0.0.1:{desk.ports[0]}") as channel:
        hold = channel.unary_unary(UNARY, lambda data: data, lambda data: data).future
        held = [hold(message) for _ in range(LIMIT - 1)]
        until(lambda: state()["holding"] == LIMIT - 1)  # the last place is the one that `/state` takes
        held.append(hold(message))

        def full():
            if held[-1].done():  # a probe was in its place
                held[-1] = hold(message)
            return refused(client)

        until(full)
        yield
        for one in held:
            one.cancel()

    def empty():
        try:
            return state()["holding"] == 0
        except Overloaded:  # the cancellations have not arrived yet
            return False

    until(empty)


def refused(client):
    try:
        client.post("/typed", Item(text="a", number=1))
    except Overloaded:
        return True
    return False


def test_not_ready(desk, client, protocol, port, state):
    assert client.is_flow_ready()
    state(well=False)
    try:
        until(lambda: not client.is_flow_ready())
        assert readyz(desk) == 503
        if protocol == "grpc":
            assert health(port) == 2  # NOT_SERVING
    finally:
        state(well=True)
    until(lambda: client.is_flow_ready() and readyz(desk) == 200)


def readyz(desk):
    connection = http.client.HTTPConnection("127.0.0.1", desk.ports[PROTOCOLS.index("http")])
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()


def health(port):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status


@pytest.mark.slow
def test_worker_down():
    """Requests in flight and later ones."""
    with Deployment(uses=Desk, protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True, restart_limit=0) as served:
        pid = served._processes[0].workers[0].pid
        clients = [
            Client(host="127.0.0.1", port=port, protocol=protocol)
            for protocol, port in zip(PROTOCOLS, served.ports, strict=True)
        ]
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(clients)) as pool:
            for client in clients:
                stack.enter_context(client)
            flying = [pool.submit(client.post, "/hold", timeout=30) for client in clients]
            until(lambda: _held(served) == len(clients))
            os.kill(pid, signal.SIGKILL)
            for one in flying:
                with pytest.raises(Unavailable):
                    one.result(30)
            for client in clients:
                with pytest.raises(Unavailable):
                    client.post("/typed", Item(text="a", number=1), timeout=30)


def _held(served):
    (response,) = served.post("/state", return_responses=True)
    (found,) = response.parameters["__results__"].values()
    return found["holding"]


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)
