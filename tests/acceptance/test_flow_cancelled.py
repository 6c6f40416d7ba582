"""Clients that leave, a thousand of them: nothing of their requests stays behind, and the Flow goes on."""

import asyncio
import http.client
import json

import grpc
import pytest
from websockets.sync.client import connect

from jina import Client, Flow
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import get, processes_of, results, until, until_same, used
from tests.acceptance.flow_services import First, Middle
from tests.acceptance.services import Token
from tests.acceptance.test_statuses import UNARY, message_of

AT_ONCE = 50
BODY = json.dumps({"data": [{"text": "t"}]})


@pytest.fixture(scope="module")
def pair():
    """Two steps on all protocols; the ports by protocol."""
    flow = Flow(protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True)
    with flow.add(name="first", uses=First).add(name="middle", uses=Middle) as running:
        ports = dict(zip(PROTOCOLS, (listener.port for listener in running.plan.gateway.listeners), strict=True))
        for protocol, port in ports.items():  # whatever is made once is made now
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                client.post("/wait", Token())
                next(client.stream_doc("/async-tokens", Token(), return_type=Token))
        results(running, "/state", parameters={"next": True})
        yield running, ports


def in_work(port):
    """Requests that the gateway works on, by its own count."""
    lines = get(port, "/metrics")[2].splitlines()
    name = 'jina_number_of_pending_requests{runtime_name="gateway/rep-0"}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def left(flow, pids):
    """What the gateway and the workers hold: descriptors, threads, tasks, generators."""
    counts = used(pids)
    for step, found in results(flow, "/left").items():
        counts |= {f"{step} {what}": count for what, count in found.items()}
    return counts


async def leave_stream(client):
    stream = client.stream_doc("/async-tokens", Token(text="t"), return_type=Token)
    assert (await anext(stream)).text
    await stream.aclose()


async def leave_request(client):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.post("/wait", Token(text="t"), parameters={"at": "middle"}, return_type=Token)


@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        ("grpc", 200),
        *(pytest.param(protocol, 1000, marks=pytest.mark.slow) for protocol in PROTOCOLS),
    ],
)
@pytest.mark.parametrize("leave", [leave_stream, leave_request])
def test_of_those_who_left_nothing_stays(pair, protocol, count, leave):
    flow, ports = pair
    pids = processes_of(flow)
    before = left(flow, pids)

    async def main():
        async with Client(host="127.0.0.1", port=ports[protocol], protocol=protocol, asyncio=True) as client:
            for _ in range(count // AT_ONCE):
                async with asyncio.timeout(60):
                    await asyncio.gather(*(leave(client) for _ in range(AT_ONCE)))

    results(flow, "/gate", parameters={"open": False})
    asyncio.run(main())
    until(lambda: in_work(ports["http"]) == 0)
    until_same(lambda: left(flow, pids), before)
    counted = results(flow, "/count")
    assert {found["inside"] for found in counted.values()} == {0}
    if leave is leave_request:
        assert counted["middle"]["begun"] == counted["middle"]["stopped"] > count / 2
    assert flow.post("/wait", Token(text="t"), return_type=Token).text == "tfm"


def close_events(ports):
    connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
    connection.request(
        "POST", "/async-tokens", BODY, {"accept": "text/event-stream", "content-type": "application/json"}
    )
    response = connection.getresponse()
    assert response.read(10)
    response.close()
    connection.close()


def close_post(ports):
    connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
    body = json.dumps({"data": [{"text": "t"}], "parameters": {"at": "middle"}})
    connection.request("POST", "/wait", body, {"content-type": "application/json"})
    connection.close()


def close_socket(ports):
    with connect(f"ws://127.0.0.1:{ports['websocket']}/async-tokens", proxy=None) as socket:
        socket.send(BODY)
        socket.recv(timeout=30)
        socket.socket.shutdown(2)


def cancel_call(ports):
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        call = channel.unary_unary(UNARY, lambda data: data, lambda data: data).future(message_of("/wait", []))
        call.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("leave", [close_events, close_post, close_socket, cancel_call])
def test_connections_that_break(pair, leave):
    """Without our client: each of fifty clients closes its connection in the middle."""
    flow, ports = pair
    pids = processes_of(flow)
    before = left(flow, pids)
    for _ in range(AT_ONCE):
        leave(ports)
    until(lambda: in_work(ports["http"]) == 0)
    until_same(lambda: left(flow, pids), before)
    assert flow.post("/wait", Token(text="t"), return_type=Token).text == "tfm"
