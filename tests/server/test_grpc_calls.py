"""gRPC requests and replies on a real port."""

import asyncio
from urllib.parse import quote

import grpc
import pytest
from docarray import DocList

from jina.client.grpc import sent_error
from jina.codec import parameters, pb, status
from jina.codec.payloads import DocsPayload
from jina.config.types import digest_of
from jina.errors import ExecutorError, TooLarge, Unavailable, ValidationFailed
from jina.net.limits import Limits
from jina.plan.plans import AccessPlan, KeyPlan
from jina.server.grpc import status_bytes
from tests.server.sample_service import NOTES, Note, SampleService, authority, run, served

pytestmark = pytest.mark.usefixtures("engine")

PRINTED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What gRPC writes as it is in the message of a status."""
UNARY = "/jina.JinaSingleDataRequestRPC/process_single_data"
KEY = "a key of a caller"


def message_of(endpoint, *texts, request_id="r1", params=None):
    message = pb.DataRequestProto()
    message.header.request_id = request_id
    message.header.exec_endpoint = endpoint
    if params is not None:
        parameters.write(params, message)
    DocsPayload(DocList[Note](Note(text=text) for text in texts), NOTES).write_proto(message.data.docs)
    return message


def texts_of(message):
    return [doc.data["text"].text for doc in message.data.docs.docs]


def unary(channel, path=UNARY, request=pb.DataRequestProto, response=pb.DataRequestProto):
    return channel.unary_unary(
        path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


def stream(channel):
    return channel.stream_stream(
        "/jina.JinaRPC/Call",
        request_serializer=pb.DataRequestProto.SerializeToString,
        response_deserializer=pb.DataRequestProto.FromString,
    )


def stream_doc(channel):
    return channel.unary_stream(
        "/jina.JinaSingleDocumentRequestRPC/stream_doc",
        request_serializer=pb.SingleDocumentRequestProto.SerializeToString,
        response_deserializer=pb.SingleDocumentRequestProto.FromString,
    )


def document_message(endpoint, text, number=0):
    message = pb.SingleDocumentRequestProto()
    message.header.request_id = "s1"
    message.header.exec_endpoint = endpoint
    NOTES.encode_doc(Note(text=text, number=number), message.document)
    return message


def with_channel(use, service=None, **options):
    async def main():
        sample = service or SampleService()
        async with served(sample, "grpc", **options) as server, grpc.aio.insecure_channel(authority(server)) as channel:
            return await use(channel, sample)

    return run(main())


def test_unary():
    async def use(channel, service):
        answer = await unary(channel)(
            message_of("/upper", "a", "b", params={"k": 3, "big": 2**60 + 1}), metadata=(("x-trace", "t"),), timeout=5
        )
        assert texts_of(answer) == ["A", "B"]
        assert (answer.header.request_id, answer.header.exec_endpoint) == ("r1", "/upper")
        assert answer.header.status.code == 0
        assert parameters.read(answer) == {"k": 3, "big": 2**60 + 1}
        [route] = answer.routes
        assert route.executor == "sample/rep-0"
        assert 0 < route.start_time.ToNanoseconds() <= route.end_time.ToNanoseconds()
        request = service.requests[0]
        assert request.headers["x-trace"] == "t"
        assert request.parameters["big"] == 2**60 + 1
        assert request.deadline is not None

    with_channel(use)


def test_request_without_an_id_or_documents():
    async def use(channel, service):
        answer = await unary(channel)(message_of("/echo", request_id=""))
        assert len(answer.header.request_id) == 32
        assert texts_of(answer) == []
        assert service.requests[0].deadline is None

    with_channel(use)


def test_documents_sent_as_bytes():
    async def use(channel, _service):
        message = message_of("/upper", "a")
        serialised = message.data.docs.SerializeToString()
        message.data.docs_bytes = serialised
        assert texts_of(await unary(channel)(message)) == ["A"]

    with_channel(use)


def test_handler_exception_is_in_band():
    async def use(channel, _service):
        call = unary(channel)(message_of("/fail", "a"))
        answer = await call
        assert await call.code() == grpc.StatusCode.OK
        assert dict([*await call.trailing_metadata()])["is-error"] == "true"
        assert answer.header.status.code == 1
        assert answer.header.status.exception.name == "ValueError"
        assert answer.routes[0].status.code == 1
        error = status.read_error(answer.header.status)
        assert isinstance(error, ExecutorError)
        assert error.exception_args == ["boom", "3"]

    with_channel(use)


@pytest.mark.parametrize(
    ("endpoint", "code", "name"),
    [
        ("/nothing", grpc.StatusCode.NOT_FOUND, "EndpointNotFound"),
        ("/busy", grpc.StatusCode.RESOURCE_EXHAUSTED, "Overloaded"),
        ("/explode", grpc.StatusCode.INTERNAL, "InternalError"),
        ("/desert", grpc.StatusCode.INTERNAL, "InternalError"),
    ],
)
def test_errors_of_the_request_are_statuses(endpoint, code, name):
    async def use(channel, _service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message_of(endpoint, "a"))
        assert caught.value.code() == code
        trailing = dict([*caught.value.trailing_metadata()])
        error = status.read_error(pb.StatusProto.FromString(trailing["jina-status-bin"]))
        assert type(error).__name__ == name
        if name == "Overloaded":
            assert error.retry_after == 2.0
            assert trailing["grpc-retry-pushback-ms"] == "2000"

    with_channel(use)


def test_wrong_types_are_invalid_arguments():
    async def use(channel, _service):
        message = message_of("/upper", "a")
        message.data.docs.docs[0].data["number"].text = "many"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    with_channel(use)


@pytest.mark.parametrize("size", [1500, 50_000])
def test_too_large(size):
    async def use(channel, service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message_of("/echo", "x" * size))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert service.requests == []
        if size < 2000:
            assert "max_message_size is 1000" in caught.value.details()
            trailing = dict([*caught.value.trailing_metadata()])
            assert isinstance(status.read_error(pb.StatusProto.FromString(trailing["jina-status-bin"])), TooLarge)

    with_channel(use, limits=Limits(1000))


def test_garbled_message():
    async def use(channel, _service):
        raw = channel.unary_unary(UNARY)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff\xff\xff garbage")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    with_channel(use)


@pytest.mark.parametrize("letter", ["x", "ü", "\u65e5", "\0", '"'])
def test_long_error_fits_the_metadata(letter):
    """Class, help and Deployment outlast what is too long, whatever it takes in JSON and in percent encoding."""

    class Wordy(SampleService):
        async def _answer(self, request):
            wrong = [{"type": "t", "loc": ["a"], "msg": letter * 50_000, "input": None}]
            error = ValidationFailed(letter * 50_000, errors=wrong, help="say " + letter * 5_000)
            error.deployment = "twice"
            raise error

    async def use(channel, _service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message_of("/echo", "a"))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        error = sent_error(caught.value.trailing_metadata())
        assert type(error) is ValidationFailed
        assert error.message.startswith(letter * 100)
        assert error.help.startswith("say " + letter * 100)
        assert error.deployment == "twice"
        sent = sum(len(name) + 4 * len(value) // 3 for name, value in caught.value.trailing_metadata())
        assert sent + len(quote(caught.value.details(), safe=PRINTED)) < 7_800

    with_channel(use, Wordy())


def test_a_long_traceback_takes_nothing_from_an_error():
    """Tracebacks name files, so they are as long as the path of the installation."""
    error = Unavailable("gone", help="ask again")
    error.deployment = "twice"
    error.add_note("/a/long/path" * 1_000)
    result = pb.StatusProto.FromString(status_bytes(error))
    assert not result.exception.stacks
    read = status.read_error(result)
    assert (type(read), read.message, read.help, read.deployment) == (Unavailable, "gone", "ask again", "twice")


def test_client_that_leaves_cancels_the_work():
    async def use(channel, service):
        call = unary(channel)(message_of("/slow", "a"))
        while not service.running:
            await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.wait_for(service.cancelled.wait(), 20)

    with_channel(use)


def test_deadline_cancels_the_work():
    async def use(channel, service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message_of("/slow", "a"), timeout=1)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(service.cancelled.wait(), 20)

    with_channel(use)


def test_list_of_requests_is_one_request():
    async def use(channel, service):
        call = unary(channel, "/jina.JinaDataRequestRPC/process_data", pb.DataRequestListProto)
        several = pb.DataRequestListProto(requests=[message_of("/upper", "a"), message_of("/upper", "b", "c")])
        assert texts_of(await call(several)) == ["A", "B", "C"]
        assert texts_of(await call(pb.DataRequestListProto(requests=[message_of("/upper", "d")]))) == ["D"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(pb.DataRequestListProto())
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert len(service.requests) == 2

    with_channel(use)


def test_call_answers_as_requests_finish():
    async def use(channel, service):
        call = stream(channel)()
        await call.write(message_of("/slow", "first", request_id="1"))
        await call.write(message_of("/slow", "quick", request_id="2"))
        assert (await call.read()).header.request_id == "2"
        service.release.set()
        assert (await call.read()).header.request_id == "1"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    with_channel(use)


def test_call_in_order():
    async def use(channel, service):
        call = stream(channel)(metadata=(("__results_in_order__", "true"),))
        await call.write(message_of("/slow", "first", request_id="1"))
        for number in range(2, 6):
            await call.write(message_of("/slow", "quick", request_id=str(number)))
        await call.done_writing()
        while service.running > 1 or len(service.requests) < 5:
            await asyncio.sleep(0.005)
        service.release.set()
        assert [answer.header.request_id async for answer in call] == ["1", "2", "3", "4", "5"]

    with_channel(use)


def test_call_keeps_errors_in_band():
    async def use(channel, _service):
        call = stream(channel)()
        for number, endpoint in enumerate(("/nothing", "/fail", "/busy", "/explode", "/desert", "/upper")):
            await call.write(message_of(endpoint, "a", request_id=str(number)))
        await call.done_writing()
        answers = {answer.header.request_id: answer async for answer in call}
        names = {
            key: type(status.read_error(answer.header.status)).__name__
            for key, answer in answers.items()
            if answer.header.status.code
        }
        internal = {"3": "InternalError", "4": "InternalError"}
        assert names == {"0": "EndpointNotFound", "1": "ExecutorError", "2": "Overloaded", **internal}
        assert texts_of(answers["5"]) == ["A"]

    with_channel(use)


def test_call_reads_no_more_than_the_window():
    async def use(channel, service):
        call = stream(channel)(metadata=(("__prefetch__", "3"),))

        async def write():
            for number in range(20):
                await call.write(message_of("/slow", "wait", request_id=str(number)))
            await call.done_writing()

        writing = asyncio.create_task(write())
        while service.running < 3:
            await asyncio.sleep(0.005)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_until(lambda: service.running > 3), 0.2)
        service.release.set()
        answers = [answer async for answer in call]
        await writing
        assert len(answers) == 20
        assert service.most_running == 3

    with_channel(use)


def test_call_ends_its_requests_when_the_client_leaves():
    async def use(channel, service):
        call = stream(channel)()
        await call.write(message_of("/slow", "wait"))
        while not service.running:
            await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.wait_for(service.cancelled.wait(), 20)
        assert service.running == 0

    with_channel(use)


async def _until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_stream_doc():
    async def use(channel, service):
        answers = [answer async for answer in stream_doc(channel)(document_message("/tokens", "t", 4))]
        assert [answer.document.data["text"].text for answer in answers] == ["t0", "t1", "t2", "t3"]
        assert {answer.header.request_id for answer in answers} == {"s1"}
        assert service.closed.is_set()

    with_channel(use)


def test_stream_doc_that_breaks():
    async def use(channel, _service):
        call = stream_doc(channel)(document_message("/broken", "t"))
        first, last = [answer async for answer in call]
        assert first.document.data["text"].text == "t0"
        assert isinstance(status.read_error(last.header.status), ExecutorError)
        assert await call.code() == grpc.StatusCode.OK
        assert dict([*await call.trailing_metadata()])["is-error"] == "true"

    with_channel(use)


@pytest.mark.parametrize(
    ("endpoint", "code"), [("/echo", "INVALID_ARGUMENT"), ("/nothing", "NOT_FOUND"), ("/deserted", "INTERNAL")]
)
def test_stream_doc_that_never_begins(endpoint, code):
    async def use(channel, _service):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [answer async for answer in stream_doc(channel)(document_message(endpoint, "t"))]
        assert caught.value.code().name == code

    with_channel(use)


def test_stream_doc_is_closed_when_the_client_leaves():
    async def use(channel, service):
        call = stream_doc(channel)(document_message("/forever", "t"))
        for _ in range(3):
            await call.read()
        call.cancel()
        await asyncio.wait_for(service.closed.wait(), 20)

    with_channel(use)


def test_compressed_requests_and_replies():
    async def use(channel, _service):
        answer = await unary(channel)(message_of("/upper", "a" * 5000), compression=grpc.Compression.Gzip)
        assert texts_of(answer) == ["A" * 5000]

    with_channel(use, grpc_options={"grpc.default_compression_algorithm": 2})


def test_calls_with_equal_heads_on_one_connection_show_their_key_each():
    async def use(channel, service):
        metadata = (("x-api-key", KEY), ("trait", "kept"))
        for _ in range(3):
            reply = await unary(channel)(message_of("/echo", "a"), metadata=metadata)
            assert texts_of(reply) == ["a"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel)(message_of("/echo", "a"), metadata=(("x-api-key", "wrong"), ("trait", "kept")))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert [request.headers["trait"] for request in service.requests] == ["kept"] * 3
        assert not any("x-api-key" in request.headers for request in service.requests)

    with_channel(use, access=AccessPlan(keys=[KeyPlan(name="one", digest=digest_of(KEY))]))
