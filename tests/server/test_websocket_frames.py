"""WebSocket frames on a real port."""

import asyncio
import contextlib
import json

import aiohttp
import pytest
from docarray import DocList
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from jina.codec import parameters, pb, status
from jina.codec.payloads import DocsPayload
from jina.errors import ExecutorError
from jina.net.limits import Limits
from tests.server.sample_service import NOTES, Note, SampleService, run, served, url
from tests.server.test_grpc_calls import message_of, texts_of


def connected(use, *, protocols=("json",), path="/", headers=None, service=None, listener="websocket", **options):
    async def main():
        sample = service or SampleService()
        async with served(sample, listener, **options) as server, aiohttp.ClientSession() as session:
            target = url(server, path).replace("http://", "ws://")
            async with session.ws_connect(target, protocols=protocols, headers=headers or {}) as socket:
                return await use(socket, sample)

    return run(main())


def request_text(endpoint, *docs, request_id="r1", **more):
    return json.dumps({"data": list(docs), "execEndpoint": endpoint, "header": {"request_id": request_id}, **more})


async def frames_until_close(socket):
    frames = []
    async for message in socket:
        frames.append(message.data)
    return frames


@pytest.mark.parametrize("listener", ["websocket", "http"])
def test_json_request(listener):
    async def use(socket, service):
        assert socket.protocol == "json"
        await socket.send_str(request_text("/upper", {"id": "1", "text": "a"}, parameters={"k": 2**60 + 1}))
        answer = json.loads(await socket.receive_str())
        assert answer["data"][0]["text"] == "A"
        assert answer["parameters"] == {"k": 2**60 + 1}
        assert answer["header"]["request_id"] == "r1"
        assert service.requests[0].headers["x-trace"] == "t"
        await socket.send_str("{}")
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000

    connected(use, headers={"x-trace": "t"}, listener=listener)


def test_a_list_below_docs_is_the_documents():
    async def use(socket, _service):
        await socket.send_str('{"data": {"docs": [{"text": "a"}, {"text": "b"}]}, "execEndpoint": "/upper"}')
        answer = json.loads(await socket.receive_str())
        assert [doc["text"] for doc in answer["data"]] == ["A", "B"]

    connected(use)


def test_json_is_the_default():
    async def use(socket, _service):
        assert socket.protocol is None
        await socket.send_str(request_text("/upper", {"text": "a"}))
        assert json.loads(await socket.receive_str())["data"][0]["text"] == "A"

    connected(use, protocols=())


def test_bytes_request():
    async def use(socket, service):
        assert socket.protocol == "bytes"
        await socket.send_bytes(message_of("/upper", "a", params={"k": 3}).SerializeToString())
        answer = pb.DataRequestProto.FromString(await socket.receive_bytes())
        assert texts_of(answer) == ["A"]
        assert (answer.header.request_id, answer.routes[0].executor) == ("r1", "sample/rep-0")
        assert parameters.read(answer) == {"k": 3}
        service.release.set()
        await socket.send_bytes(message_of("/slow", "b").SerializeToString())
        await socket.send_bytes(b"\x00")
        assert [texts_of(pb.DataRequestProto.FromString(frame)) for frame in await frames_until_close(socket)] == [
            ["b"]
        ]
        assert socket.close_code == 1000

    connected(use, protocols=("bytes",))


def test_json_errors_keep_the_socket_open():
    async def use(socket, _service):
        expected = {
            request_text("/nothing", request_id="1"): ("EndpointNotFound", 404),
            request_text("/fail", request_id="2"): ("ExecutorError", 500),
            request_text("/upper", {"number": "many"}, request_id="3"): ("ValidationFailed", 422),
            request_text("/explode", request_id="4"): ("InternalError", 500),
            request_text("/desert", request_id="5"): ("InternalError", 500),
            request_text("/deserted", {"text": "t"}, request_id="6"): ("InternalError", 500),
            "{not json": ("BadRequest", 400),
            '{"data": []}': ("BadRequest", 400),
        }
        for text, (code, number) in expected.items():
            await socket.send_str(text)
            answer = json.loads(await socket.receive_str())
            assert (answer["code"], answer["status"]) == (code, number)
            if '"header"' in text:
                assert answer["header"]["request_id"] == json.loads(text)["header"]["request_id"]
        await socket.send_str(request_text("/upper", {"text": "still"}))
        assert json.loads(await socket.receive_str())["data"][0]["text"] == "STILL"

    connected(use)


def test_bytes_errors_keep_the_socket_open():
    async def use(socket, _service):
        for frame, name in (
            (message_of("/nothing").SerializeToString(), "EndpointNotFound"),
            (message_of("/fail").SerializeToString(), "ExecutorError"),
            (b"\xff\xff garbage", "BadRequest"),
        ):
            await socket.send_bytes(frame)
            answer = pb.DataRequestProto.FromString(await socket.receive_bytes())
            assert type(status.read_error(answer.header.status)).__name__ == name
        await socket.send_bytes(message_of("/upper", "still").SerializeToString())
        assert texts_of(pb.DataRequestProto.FromString(await socket.receive_bytes())) == ["STILL"]

    connected(use, protocols=("bytes",))


def test_streams_in_json():
    async def use(socket, service):
        await socket.send_str(request_text("/tokens", {"text": "t", "number": 3}))
        frames = [json.loads(await socket.receive_str()) for _ in range(4)]
        assert [[doc["text"] for doc in frame["data"]] for frame in frames] == [["t0"], ["t1"], ["t2"], []]
        assert {frame["header"]["request_id"] for frame in frames} == {"r1"}
        assert [frame["header"].get("more", False) for frame in frames] == [True, True, True, False]
        assert service.closed.is_set()
        await socket.send_str(request_text("/broken", {"text": "t"}))
        assert json.loads(await socket.receive_str())["data"][0]["text"] == "t0"
        assert json.loads(await socket.receive_str())["code"] == "ExecutorError"

    connected(use)


def test_streams_in_bytes():
    async def use(socket, _service):
        message = message_of("/tokens")
        DocsPayload(DocList[Note]([Note(text="t", number=3)]), NOTES).write_proto(message.data.docs)
        await socket.send_bytes(message.SerializeToString())
        frames = [pb.DataRequestProto.FromString(await socket.receive_bytes()) for _ in range(4)]
        assert [texts_of(frame) for frame in frames] == [["t0"], ["t1"], ["t2"], []]
        assert [frame.header.more for frame in frames] == [True, True, True, False]
        await socket.send_bytes(message_of("/broken", "t").SerializeToString())
        await socket.receive_bytes()
        failed = pb.DataRequestProto.FromString(await socket.receive_bytes())
        assert isinstance(status.read_error(failed.header.status), ExecutorError)

    connected(use, protocols=("bytes",))


def test_answers_come_as_they_are_ready_or_in_order():
    async def use(socket, service, expected):
        await socket.send_str(request_text("/slow", {"text": "wait"}, request_id="1"))
        await socket.send_str(request_text("/slow", {"text": "quick"}, request_id="2"))
        while len(service.requests) < 2 or service.running > 1:
            await asyncio.sleep(0.005)
        service.release.set()
        await socket.send_str("{}")
        assert [json.loads(frame)["header"]["request_id"] for frame in await frames_until_close(socket)] == expected

    connected(lambda socket, service: use(socket, service, ["2", "1"]))
    connected(lambda socket, service: use(socket, service, ["1", "2"]), headers={"__results_in_order__": "true"})
    connected(lambda socket, service: use(socket, service, ["1", "2"]), path="/?__results_in_order__=true")


def test_window():
    async def use(socket, service):
        for number in range(10):
            await socket.send_str(request_text("/slow", {"text": "wait"}, request_id=str(number)))
        while service.running < 2:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        service.release.set()
        await socket.send_str("{}")
        assert len(await frames_until_close(socket)) == 10
        assert service.most_running == 2

    connected(use, path="/?__prefetch__=2")


def test_client_that_leaves_cancels_the_work():
    async def use(socket, service):
        await socket.send_str(request_text("/slow", {"text": "wait"}))
        while not service.running:
            await asyncio.sleep(0.005)
        await socket.close()
        await asyncio.wait_for(service.cancelled.wait(), 20)
        assert service.running == 0

    connected(use)
    connected(use, path="/?__prefetch__=1")


def test_client_that_leaves_closes_the_stream():
    async def use(socket, service):
        await socket.send_str(request_text("/forever", {"text": "t"}))
        await socket.receive_str()
        await socket.close()
        await asyncio.wait_for(service.closed.wait(), 20)

    connected(use)


def test_pings_are_answered_while_a_handler_works():
    async def use(socket, service):
        await socket.send_str(request_text("/slow", {"text": "wait"}))
        while not service.running:
            await asyncio.sleep(0.005)
        await socket.ping(b"hello")
        received = await socket.receive(timeout=20)
        assert (received.type, received.data) == (aiohttp.WSMsgType.PONG, b"hello")

    async def main():
        service = SampleService()
        async with (
            served(service, "websocket") as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(url(server, "/"), autoping=False) as socket,
        ):
            await use(socket, service)

    run(main())


def test_frames_that_are_too_large_close_the_socket():
    async def use(socket, _service):
        await socket.send_str(request_text("/echo", {"text": "x" * 2000}))
        await socket.receive()
        assert socket.close_code == 1009

    connected(use, limits=Limits(1000))


def test_text_that_is_not_utf8_closes_the_socket_and_leaves_no_traceback(caplog):
    async def use(socket, _service):
        ping = b"\x89\x80\0\0\0\0"
        socket._writer.transport.write(b"\x81\x82\0\0\0\0\xff\xfe" + ping)
        await socket.receive()
        assert socket.close_code == 1007

    connected(use)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_client_that_sends_on_still_hears_that_a_frame_was_too_large():
    """Closing with bytes unread would reset the connection, and the reason be lost with it."""

    def send_on(address):
        with connect(address, proxy=None) as socket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(20):
                    socket.send("x" * 300_000)
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(timeout=10)
        return caught.value.rcvd and caught.value.rcvd.code

    async def main():
        async with served(SampleService(), "websocket", limits=Limits(1000)) as server:
            address = url(server, "/echo").replace("http://", "ws://")
            codes = [await asyncio.to_thread(send_on, address) for _ in range(10)]
            assert codes == [1009] * 10

    run(main())


def test_path_names_the_endpoint():
    async def use(socket, service):
        await socket.send_str('{"data": [{"text": "a"}]}')
        assert json.loads(await socket.receive_str())["data"][0]["text"] == "A"
        assert service.requests[0].endpoint == "/upper"

    connected(use, path="/upper")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        connected(use, path="/nothing")
    assert caught.value.status == 404


@pytest.mark.parametrize("ready", [True, False])
def test_dry_run(ready):
    async def in_json(socket, _service):
        assert (json.loads(await socket.receive_str())["code"] == 0) is ready

    async def in_bytes(socket, _service):
        assert (pb.StatusProto.FromString(await socket.receive_bytes()).code == 0) is ready

    service = SampleService()
    service.up = ready
    connected(in_json, path="/dry_run", service=service)
    connected(in_bytes, path="/dry_run", protocols=("bytes",), service=service)


def test_stop_answers_what_was_read():
    async def main():
        service = SampleService()
        async with (
            served(service, "websocket") as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(url(server, "/")) as socket,
            session.ws_connect(url(server, "/")) as idle,
        ):
            await socket.send_str(request_text("/slow", {"text": "wait"}))
            while not service.running:
                await asyncio.sleep(0.005)
            stopping = asyncio.create_task(server.stop(5.0))
            assert await frames_until_close(idle) == []
            service.release.set()
            [frame] = await frames_until_close(socket)
            assert json.loads(frame)["data"][0]["text"] == "wait"
            assert (socket.close_code, idle.close_code) == (1001, 1001)
            await stopping

    run(main())
