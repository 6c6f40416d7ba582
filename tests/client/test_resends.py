"""Calls that a server certainly did not begin, as HTTP/2 says, are sent again."""

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import msgspec
import pytest
from docarray import DocList

from jina import Client
from jina.codec import pb
from jina.errors import DeadlineExceeded, Unavailable
from jina.net.grpc_wire import seconds_of
from jina.net.http2 import REFUSED_STREAM, Settings
from jina.net.http2_library import connect
from jina.net.messages import version_info
from jina.plan.plans import ListenerPlan
from jina.server.server import serve
from tests.client.note_server import Note
from tests.server.sample_service import SampleService

UNARY = "/jina.JinaSingleDataRequestRPC/process_single_data"
STREAM = "/jina.JinaSingleDocumentRequestRPC/stream_doc"
SEVERAL = "/jina.JinaRPC/Call"
STATUS = "/jina.JinaInfoRPC/_status"
OURS, JINA_3 = version_info()["jina"], "3.34.0"


class Stopping(grpc.GenericRpcHandler):
    """Ends calls as a server does that stops: the next `cancels` of documents, and the next `unsaid` of its version.

    `context.cancel()` ends a call as gRPC does one that it did not give away. Without a version it does not know the
    question for it; the first `away` questions find no server. With `closes` calls end as those of a connection do.
    Calls end `late` (in seconds), those of streams after so many documents.
    """

    def __init__(self, version=OURS, cancels=0, unsaid=0, late=0.0, after=0, away=0, closes=False):
        self.version, self.cancels, self.unsaid, self.late, self.after = version, cancels, unsaid, late, after
        self.away, self.closes = away, closes
        self.seen, self.left = [], []

    def service(self, handler_call_details):
        method = handler_call_details.method
        if method == STATUS and self.version is not None:
            return grpc.unary_unary_rpc_method_handler(self.status, None, pb.JinaInfoProto.SerializeToString)
        if method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self.unary)
        if method == SEVERAL:
            return grpc.stream_stream_rpc_method_handler(self.several)
        return grpc.unary_stream_rpc_method_handler(self.stream) if method == STREAM else None

    def status(self, _request, context):
        self.seen.append(STATUS)
        if self.away:
            self.away -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
        if self.unsaid:
            self.unsaid -= 1
            context.cancel()
        return pb.JinaInfoProto(jina={"jina": self.version})

    def unary(self, request, context):
        self._pass(UNARY, context)
        return request

    def stream(self, request, context):
        for _ in range(self.after):
            yield request
        self._pass(STREAM, context)
        yield request

    def several(self, requests, context):
        first = next(requests)  # grpc.aio forgets how a call ended to which it writes
        self._pass(SEVERAL, context)
        yield first
        yield from requests

    def _pass(self, method, context):
        self.seen.append(method)
        self.left.append(context.time_remaining())
        if self.cancels:
            self.cancels -= 1
            time.sleep(self.late)
            if self.closes:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
            context.cancel()


@contextmanager
def serving(handler):
    """The port of a server of the handler."""
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait(10)


def post(port, **options):
    with Client(port=port) as client:
        return client.post("/echo", Note(text="a"), return_type=Note, **options).text


def post_several(port, **options):
    with Client(port=port) as client:
        notes = (Note(text=text) for text in ("a", "", ""))  # which gives each of them once
        return "".join(client.post("/echo", notes, request_size=1, return_type=DocList[Note], **options).text)


def post_several_async(port, **options):
    async def main():
        async def notes():
            for text in ("a", "", ""):
                yield Note(text=text)

        async with Client(port=port, asyncio=True) as client:
            # The next request goes out after the first answer.
            options.update(request_size=1, prefetch=1, return_type=DocList[Note])
            answers = client.post("/echo", notes(), **options)
            return "".join([text async for docs in answers for text in docs.text])

    return asyncio.run(main())


def stream(port, **options):
    with Client(port=port) as client:
        return "".join(note.text for note in client.stream_doc("/echo", Note(text="a"), return_type=Note, **options))


def post_async(port, **options):
    async def main():
        async with Client(port=port, asyncio=True) as client:
            return (await client.post("/echo", Note(text="a"), return_type=Note, **options)).text

    return asyncio.run(main())


def stream_async(port, **options):
    async def main():
        async with Client(port=port, asyncio=True) as client:
            notes = client.stream_doc("/echo", Note(text="a"), return_type=Note, **options)
            return "".join([note.text async for note in notes])

    return asyncio.run(main())


WAYS = {"post": post, "stream_doc": stream, "post, async": post_async, "stream_doc, async": stream_async}
WAYS |= {"several": post_several, "several, async": post_several_async}


@pytest.fixture(params=WAYS)
def way(request):
    """A way to ask, and its method."""
    kinds = {"post": UNARY, "stream_doc": STREAM, "several": SEVERAL}
    return WAYS[request.param], kinds[request.param.partition(",")[0]]


class Refusing(asyncio.Protocol):
    """A server on one connection that refuses the next `refusals` calls, as one does that stops, and echoes others.

    With `goes` it says by GOAWAY which call was the last that it takes, else it resets those that it does not take.
    """

    def __init__(self, state):
        self.state = state
        self.engine = connect(self, Settings(), client=False)
        self.paths, self.bodies, self.refused = {}, {}, set()

    def connection_made(self, transport):
        self.transport = transport
        self.state.transports.append(transport)
        self.flush()

    def data_received(self, data):
        self.engine.receive(data)
        self.flush()

    def flush(self):
        while data := self.engine.output(65536):
            self.transport.write(data)

    def on_headers(self, stream, headers, *, ended):
        found = dict(headers)
        path = found[b":path"].decode()
        self.state.seen.append(path)
        self.state.left.append(found.get(b"grpc-timeout"))
        self.paths[stream], self.bodies[stream] = path, b""
        if self.state.refusals:
            self.state.refusals -= 1
            self.refused.add(stream)
            asyncio.get_running_loop().call_later(self.state.late, self.refuse, stream)

    def refuse(self, stream):
        if self.state.goes:
            payload = (stream - 2 if stream > 2 else 0).to_bytes(4, "big") + bytes(4)
            self.transport.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload)
            self.transport.close()
        else:
            self.engine.reset(stream, REFUSED_STREAM)
            self.flush()

    def on_data(self, stream, data, *, ended):
        if stream in self.refused:
            return
        self.bodies[stream] += data
        body = self.bodies[stream]
        if self.paths[stream] == SEVERAL:
            if body:
                self.answer(stream, body)
                self.bodies[stream] = b""
            if ended:
                self.engine.trailers(stream, [(b"grpc-status", b"0")])
        elif ended:
            self.answer(stream, body)
            self.engine.trailers(stream, [(b"grpc-status", b"0")])

    def answer(self, stream, body):
        if stream not in self.state.answered:
            self.state.answered.add(stream)
            self.engine.respond(stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])
        self.engine.send(stream, body)

    def on_closed(self, stream, code):
        self.state.answered.discard(stream)

    def on_window(self):
        pass

    on_settings = on_ping = on_pong = on_window

    def on_goaway(self, last, code, text):
        pass


class Refusals:
    def __init__(self, refusals, goes=False, late=0.0):
        self.refusals, self.goes, self.late = refusals, goes, late
        self.seen, self.left, self.answered, self.transports = [], [], set(), []


@contextmanager
def refusing(state):
    """The port of such a server, on a loop of a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def stop():
        server.close()
        for transport in state.transports:
            transport.abort()

    started = asyncio.run_coroutine_threadsafe(loop.create_server(lambda: Refusing(state), "127.0.0.1", 0), loop)
    server = started.result(20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.mark.parametrize("goes", [False, True])
def test_a_call_that_was_not_begun_is_sent_again(way, goes):
    ask, method = way
    state = Refusals(1, goes)
    with refusing(state) as port:
        assert ask(port) == "a"
    assert state.seen == [method, method]


@pytest.mark.slow
@pytest.mark.parametrize("goes", [False, True])
def test_it_is_sent_again_nine_times_with_longer_and_longer_pauses(way, goes):
    """All calls of a connection end so until the client has read that the server goes, which it may do late."""
    ask, method = way
    state = Refusals(9, goes)
    with refusing(state) as port:
        began = time.monotonic()
        assert ask(port) == "a"
        assert time.monotonic() - began > 0.5
    assert state.seen == [method] * 10
    state = Refusals(99, goes)
    with refusing(state) as port, pytest.raises(Unavailable, match=r"did not begin|before it began"):
        ask(port)
    assert state.seen == [method] * 10


def test_calls_that_a_server_ended_may_have_been_begun(way):
    """The status CANCELLED, also with the words with which gRPC ends calls that it did not begin, says nothing."""
    ask, method = way
    for closes, said in ((False, "ended the call"), (True, "Cancelling all calls")):
        stopping = Stopping(None, cancels=1, closes=closes)
        with serving(stopping) as port, pytest.raises(Unavailable, match=said):
            ask(port)
        assert stopping.seen == [method]


def test_repetitions_get_what_is_left_of_the_time(way):
    ask, _ = way
    state = Refusals(1, late=0.2)
    with refusing(state) as port:
        assert ask(port, timeout=2) == "a"
        first, second = map(seconds_of, state.left)
        assert second <= first - 0.15
        state.refusals, state.late = 9, 0.1
        with pytest.raises(DeadlineExceeded):
            ask(port, timeout=0.25)


def test_a_repetition_is_no_attempt():
    state = Refusals(11)
    with refusing(state) as port:
        assert post(port, max_attempts=2, initial_backoff=0.01) == "a"
    assert state.seen == [UNARY] * 12


@pytest.mark.parametrize("ask", [stream, stream_async])
def test_a_stream_that_has_begun_is_not_begun_again(ask):
    stopping = Stopping(cancels=1, after=1)
    with serving(stopping) as port, pytest.raises(Unavailable, match="ended the call"):
        ask(port)
    assert stopping.seen == [STREAM]


def test_with_an_error_of_its_own_a_call_is_not_sent_again():
    class Saying(Stopping):
        def unary(self, request, context):
            self.seen.append(UNARY)
            context.set_trailing_metadata((("why", "because"),))
            context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")

    saying = Saying()
    with serving(saying) as port, pytest.raises(Unavailable, match="ended the call"):
        post(port)
    assert saying.seen == [UNARY]


@pytest.mark.slow
def test_clients_see_no_end_of_servers_that_are_replaced_under_load():
    """Each replacement cancels several calls that gRPC took on; some of them twice and more in a row."""
    ended, asked, address = threading.Event(), [0] * 8, queue.Queue()

    async def replace():
        listener = ListenerPlan(protocol="grpc", host="127.0.0.1", port=0, share_port=True)
        serving = serve([listener], SampleService())
        await serving.start()
        listener = msgspec.structs.replace(listener, port=int(serving.addresses[0].rpartition(":")[2]))
        address.put(listener.port)
        for _ in range(200):
            said, deadline = sum(asked), time.monotonic() + 30
            while sum(asked) < said + len(asked):
                assert time.monotonic() < deadline, "no client is answered"
                await asyncio.sleep(0.001)
            succeeding = serve([listener], SampleService())
            await succeeding.start()
            await serving.stop(30)
            serving = succeeding
        ended.set()
        await asyncio.to_thread(gone.wait, 30)
        await serving.stop(1)

    def ask(port, number):
        with Client(port=port) as client:
            while not ended.is_set():
                count = 1 + number % 2 * 2  # over a call for each request, and over one for several
                docs = client.post("/echo", [Note(text="a")] * count, request_size=1, return_type=DocList[Note])
                assert docs.text == ["a"] * count
                asked[number] += 1

    gone = threading.Event()
    with ThreadPoolExecutor(9) as pool:
        replacing = pool.submit(lambda: asyncio.run(replace()))
        port = address.get(timeout=30)
        asking = [pool.submit(ask, port, number) for number in range(len(asked))]
        try:
            for one in asking:
                one.result(300)
        finally:
            ended.set()
            gone.set()
        replacing.result(60)
