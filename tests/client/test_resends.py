"""Calls that gRPC cancels before the server begins them are sent again, if the server is ours."""

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


def test_a_call_that_was_not_begun_is_sent_again(way):
    ask, method = way
    stopping = Stopping(cancels=1)
    with serving(stopping) as port:
        assert ask(port) == "a"
    assert stopping.seen == [method, STATUS, method]


def test_a_call_whose_connection_a_server_closed_before_it_began_is_sent_again(way):
    """So gRPC ends the calls of a connection that a server closes, once those that it began have ended."""
    ask, method = way
    closing = Stopping(cancels=1, closes=True)
    with serving(closing) as port:
        assert ask(port) == "a"
    assert closing.seen == [method, STATUS, method]


def test_the_question_can_meet_the_same_end(way):
    ask, method = way
    stopping = Stopping(cancels=2, unsaid=1)
    with serving(stopping) as port:
        assert ask(port) == "a"
    assert stopping.seen == [method, STATUS, STATUS, method, method]


def test_the_question_can_find_no_server(way):
    """It is asked while one server goes and the next one comes."""
    ask, method = way
    stopping = Stopping(cancels=1, away=2)
    with serving(stopping) as port:
        assert ask(port) == "a"
    assert stopping.seen == [method, STATUS, STATUS, STATUS, method]


def test_it_is_sent_again_nine_times_with_longer_and_longer_pauses(way):
    """All calls of a connection end so until the client has read that the server goes, which it may do late."""
    ask, method = way
    stopping = Stopping(cancels=9)
    with serving(stopping) as port:
        began = time.monotonic()
        assert ask(port) == "a"
        assert time.monotonic() - began > 0.5
    assert stopping.seen == [method, STATUS, *[method] * 9]
    stopping = Stopping(cancels=99)
    with serving(stopping) as port, pytest.raises(Unavailable, match="ended the call: CANCELLED"):
        ask(port)
    assert stopping.seen == [method, STATUS, *[method] * 9]


@pytest.mark.parametrize("version", [JINA_3, "unknown", None])
def test_calls_of_other_servers_may_have_been_begun(way, version):
    ask, method = way
    stopping = Stopping(version, cancels=1)
    with serving(stopping) as port, pytest.raises(Unavailable, match="ended the call: CANCELLED"):
        ask(port)
    assert stopping.seen == ([method, STATUS] if version else [method])


def test_what_a_server_is_is_asked_once():
    for version, expected in ((OURS, [UNARY, STATUS, UNARY, UNARY, UNARY]), (JINA_3, [UNARY, STATUS, UNARY])):
        stopping = Stopping(version, cancels=1)
        with serving(stopping) as port, Client(port=port) as client:
            for _ in range(2):
                stopping.cancels = 1
                try:
                    client.post("/echo", Note())
                except Unavailable:
                    assert version == JINA_3
        assert stopping.seen == expected


def test_repetitions_get_what_is_left_of_the_time(way):
    ask, _ = way
    stopping = Stopping(cancels=1, late=0.2)
    with serving(stopping) as port:
        assert ask(port, timeout=2) == "a"
        first, second = stopping.left
        assert second <= first - 0.15  # it travels with two digits or three
        stopping.cancels, stopping.late = 9, 0.1
        with pytest.raises(DeadlineExceeded):
            ask(port, timeout=0.25)


def test_a_repetition_is_no_attempt():
    stopping = Stopping(cancels=11)
    with serving(stopping) as port:
        assert post(port, max_attempts=2, initial_backoff=0.01) == "a"
    assert stopping.seen.count(UNARY) == 12


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
