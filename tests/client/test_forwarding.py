"""Listeners over a service that forwards: documents pass as they came, unread."""

import asyncio
import json
import subprocess
import sys

import aiohttp
import grpc
import pytest
import websockets
from docarray import DocList

from jina.codec import parameters, pb, status
from jina.codec.payloads import DocsPayload
from jina.net.limits import Limits
from jina.server.http import DOCUMENTS
from tests.client.forwarding import Forwarder, no_document_read
from tests.server.sample_service import NOTES, Note, authority, run, served, url
from tests.server.test_grpc_calls import document_message, message_of

UNARY = "/jina.JinaSingleDataRequestRPC/process_single_data"
LIST = "/jina.JinaDataRequestRPC/process_data"
CALL = "/jina.JinaRPC/Call"
STREAM_DOC = "/jina.JinaSingleDocumentRequestRPC/stream_doc"


def doc_list(*texts):
    return DocsPayload(DocList[Note](Note(id=text, text=text) for text in texts), NOTES).to_bytes()


def over_grpc(monkeypatch, use, service, **options):
    """Bytes in, bytes out: the client parses nothing while documents must not be read."""

    async def main():
        async with (
            served(service, "grpc", **options) as server,
            grpc.aio.insecure_channel(authority(server)) as channel,
        ):
            with no_document_read(monkeypatch):
                return await use(channel)

    return run(main())


@pytest.mark.parametrize("size", [0, 10, 100, 40_000, 3_000_000])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_unary(monkeypatch, size, as_bytes):
    message = message_of("/echo", "a" * size, "b", params={"k": 2**60 + 1}) if size else message_of("/echo")
    documents = pb.DocListProto.FromString(message.data.docs.SerializeToString())
    if as_bytes:
        message.data.docs_bytes = message.data.docs.SerializeToString()
    service = Forwarder()

    async def use(channel):
        call = channel.unary_unary(UNARY)(message.SerializeToString())
        return await call

    answer = pb.DataRequestProto.FromString(over_grpc(monkeypatch, use, service))
    assert answer.data.docs == documents
    assert pb.DocListProto.FromString(service.requests[0].payload.to_bytes()) == documents
    assert (answer.header.request_id, answer.header.exec_endpoint) == ("r1", "/echo")
    assert [route.executor for route in answer.routes] == ["gateway", "first"]
    assert answer.routes[1].start_time.ToNanoseconds() == 1_250_000_000
    if size:
        assert parameters.read(answer) == {"k": 2**60 + 1}


@pytest.mark.parametrize(
    ("params", "routes"),
    [
        ({}, [("gateway", 0), ("second", 1)]),
        ({"routes": True}, [("gateway", 0), ("first", 0), ("second", 1), ("third", 0)]),
    ],
)
def test_a_failure_names_the_executor(monkeypatch, params, routes):
    async def use(channel):
        call = channel.unary_unary(UNARY)(message_of("/fail", "a", params=params).SerializeToString())
        return await call, dict([*await call.trailing_metadata()])

    data, trailing = over_grpc(monkeypatch, use, Forwarder())
    answer = pb.DataRequestProto.FromString(data)
    assert trailing["is-error"] == "true"
    assert [(route.executor, route.status.code) for route in answer.routes] == routes
    assert status.read_error(answer.header.status).executor == "Second"


@pytest.mark.parametrize("data", [b"\x22\x05abc", b"\x22", b"\xff", b"\x22\x02\x0a\x09", b"\x0b"])
def test_garbled_messages(monkeypatch, data):
    async def use(channel):
        for filler in (b"", b"\xda\x06\xa0\x9c\x01" + b" " * 20_000):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(UNARY)(filler + data)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    over_grpc(monkeypatch, use, Forwarder())


def test_too_large(monkeypatch):
    async def use(channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(UNARY)(message_of("/echo", "a" * 60_000).SerializeToString())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "max_message_size" in caught.value.details()

    over_grpc(monkeypatch, use, Forwarder(), limits=Limits(50_000))


@pytest.mark.parametrize("forwards", [True, False])
def test_a_list_of_requests_keeps_its_branches(monkeypatch, forwards):
    service = Forwarder()
    service.forwards = forwards
    message = pb.DataRequestListProto()
    for executor, text in (("left", "a"), ("right", "b")):
        one = message_of("/echo", text)
        for name in ("gateway", executor):
            one.routes.add().executor = name
        message.requests.append(one)

    async def main():
        async with served(service, "grpc") as server, grpc.aio.insecure_channel(authority(server)) as channel:
            data = message.SerializeToString()
            if not forwards:
                return await channel.unary_unary(LIST)(data)
            with no_document_read(monkeypatch):
                return await channel.unary_unary(LIST)(data)

    answer = pb.DataRequestProto.FromString(run(main()))
    assert [doc.data["text"].text for doc in answer.data.docs.docs] == ["a", "b"]
    branches = service.requests[0].branches
    assert [(name, [doc.text for doc in payload.decode(NOTES)]) for name, payload in branches] == [
        ("left", ["a"]),
        ("right", ["b"]),
    ]


def test_call(monkeypatch):
    async def use(channel):
        async def requests():
            for number in range(5):
                yield message_of("/echo", f"t{number}", request_id=str(number)).SerializeToString()
            yield message_of("/fail", "x", request_id="bad").SerializeToString()

        return [answer async for answer in channel.stream_stream(CALL)(requests())]

    answers = [pb.DataRequestProto.FromString(data) for data in over_grpc(monkeypatch, use, Forwarder())]
    texts = {one.header.request_id: [doc.data["text"].text for doc in one.data.docs.docs] for one in answers}
    assert texts == {**{str(number): [f"t{number}"] for number in range(5)}, "bad": []}


@pytest.mark.parametrize("size", [3, 100_000])
def test_stream_doc(monkeypatch, size):
    message = document_message("/each", "x" * size)

    async def use(channel):
        return [data async for data in channel.unary_stream(STREAM_DOC)(message.SerializeToString())]

    answers = [pb.SingleDocumentRequestProto.FromString(data) for data in over_grpc(monkeypatch, use, Forwarder())]
    assert [answer.document for answer in answers] == [message.document] * 2
    assert {answer.header.request_id for answer in answers} == {"s1"}


def over_http(monkeypatch, use, service, *protocols):
    async def main():
        async with served(service, *(protocols or ("http",))) as server, aiohttp.ClientSession() as session:
            with no_document_read(monkeypatch):
                return await use(session, server)

    return run(main())


SPACED = '[ {"id":"a" , "text" : "\\u00e9\\n"},\n {"id":"b","big":1234567890123456789012} ]'


@pytest.mark.parametrize("path", ["/echo", "/post"])
def test_http_json_passes_as_it_is(monkeypatch, path):
    service = Forwarder(as_json=True)

    async def use(session, server):
        body = '{"parameters": {"k": 1}, "execEndpoint": "/echo", "targetExecutor": "f.*", "data": ' + SPACED + "}"
        async with session.post(url(server, path), data=body) as answer:
            return await answer.text()

    text = over_http(monkeypatch, use, service)
    assert SPACED in text
    assert json.loads(text)["parameters"] == {"k": 1}
    request = service.requests[0]
    assert (request.endpoint, request.target_executor, request.json_reply) == ("/echo", "f.*", True)


def test_http_single_document_and_bare_list(monkeypatch):
    async def use(session, server):
        texts = []
        for body in ('{"data": {"id": "a"}}', '{"id": "a"}', '[{"id": "a"}]'):
            async with session.post(url(server, "/echo"), data=body) as answer:
                texts.append((await answer.json())["data"])
        return texts

    assert over_http(monkeypatch, use, Forwarder(as_json=True)) == [[{"id": "a"}]] * 3


def test_http_binary_passes_as_it_is(monkeypatch):
    documents = doc_list("a", "b")

    async def use(session, server):
        headers = {"content-type": DOCUMENTS, "accept": DOCUMENTS}
        async with session.post(url(server, "/echo"), data=documents, headers=headers) as answer:
            return await answer.read()

    assert over_http(monkeypatch, use, Forwarder()) == documents


def test_http_protobuf_reply_becomes_json():
    async def main():
        async with served(Forwarder(), "http") as server, aiohttp.ClientSession() as session:
            headers = {"content-type": DOCUMENTS}
            async with session.post(url(server, "/echo"), data=doc_list("a"), headers=headers) as answer:
                return await answer.json()

    assert run(main())["data"] == [{"id": "a", "number": 0, "text": "a"}]


def test_http_stream_passes_documents_on(monkeypatch):
    async def use(session, server):
        body = '{"data": [{"id":  "a"}, {"id": "b",\n "text": "\\n"}]}'
        async with session.post(url(server, "/each"), data=body) as answer:
            return await answer.text()

    text = over_http(monkeypatch, use, Forwarder(as_json=True))
    items = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert items == [{"id": "a"}, {"id": "b", "text": "\n"}]


def test_websocket(monkeypatch):
    async def use(session, server):
        answers = []
        async with websockets.connect(server.addresses[0]) as socket:
            await socket.send(json.dumps({"execEndpoint": "/echo", "data": [{"id": "a"}]}))
            answers.append(json.loads(await socket.recv())["data"])
            await socket.send(json.dumps({"execEndpoint": "/each", "data": [{"id": "a"}, {"id": "b"}]}))
            answers += [json.loads(await socket.recv())["data"] for _ in range(2)]
            await socket.recv()
            sent = message_of("/each", "x")
            await socket.send(sent.SerializeToString())
            answers += [await socket.recv() for _ in range(2)]
            await socket.recv()
            await socket.send(b"\x22\x05abc")
            answers.append(await socket.recv())
        return answers, sent

    (one, two, three, four, five, failed), sent = over_http(monkeypatch, use, Forwarder(as_json=True), "websocket")
    assert (one, two, three) == ([{"id": "a"}], [{"id": "a"}], [{"id": "b"}])
    for data in (four, five):
        message = pb.DataRequestProto.FromString(data)
        assert message.data.docs == sent.data.docs
        assert message.header.more
    assert pb.DataRequestProto.FromString(failed).header.status.error == "BadRequest"


def test_prefetch_bounds_the_work_of_one_stream():
    class Slow(Forwarder):
        """Answers once as many requests are in work as may be."""

        def __init__(self, expected):
            super().__init__()
            self.expected = expected
            self.most = self.running = 0
            self.full = asyncio.Event()

        async def call(self, request):
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == self.expected:
                await asyncio.sleep(0.02)
                self.full.set()
            await self.full.wait()
            self.running -= 1
            return await super().call(request)

    async def main(prefetch, headers, expected):
        async def requests():
            for number in range(20):
                yield message_of("/echo", str(number)).SerializeToString()

        service = Slow(expected)
        grpc_face = served(service, "grpc", limits=Limits(window=prefetch))
        async with grpc_face as server, grpc.aio.insecure_channel(authority(server)) as channel:
            assert len([one async for one in channel.stream_stream(CALL)(requests(), metadata=headers)]) == 20
        return service.most

    for prefetch, headers, most in (
        (2, (), 2),
        (2, (("__prefetch__", "5"),), 2),
        (5, (("__prefetch__", "2"),), 2),
        (0, (), 20),
    ):
        assert run(main(prefetch, headers, most)) == most


FOREIGN = """
import asyncio, json, sys

import aiohttp
import grpc

from jina.plan.plans import ListenerPlan
from jina.client.grpc import GrpcUpstream
from jina.ipc.client import LinkUpstream
from jina.server.server import serve
from jina.net.service import EndpointInfo
from jina.codec import pb
from jina.codec.messages import Reply


class Forwarder:
    forwards = up = started = True
    name = "gateway"
    endpoints = {"/echo": EndpointInfo("/echo", "Any", {}, "Any", {})}

    def freed(self):
        return None

    async def call(self, request):
        return Reply(request.payload)


async def main():
    server = serve([ListenerPlan(protocol=one, host="127.0.0.1", port=0) for one in ("grpc", "http")], Forwarder())
    await server.start()
    over_grpc, over_http = server.addresses
    message = pb.EnvelopeProto(data=b"\\n\\x00")
    message.header.exec_endpoint = "/echo"
    async with grpc.aio.insecure_channel(over_grpc.partition("//")[2]) as channel:
        await channel.unary_unary("/jina.JinaSingleDataRequestRPC/process_single_data")(message.SerializeToString())
    async with aiohttp.ClientSession() as session, session.post(over_http + "/echo", json={"data": [{"a": 1}]}) as got:
        assert (await got.json())["data"] == [{"a": 1}]
    await server.stop(1)


asyncio.run(main())
print(json.dumps([name for name in ("docarray", "numpy", "pydantic", "fastapi", "starlette") if name in sys.modules]))
"""


@pytest.mark.slow
def test_a_process_that_forwards_loads_no_document_classes():
    ran = subprocess.run([sys.executable, "-c", FOREIGN], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == []
