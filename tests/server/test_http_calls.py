"""HTTP requests and replies on a real port."""

import asyncio
import contextlib
import gzip
import http.client
import io
import json
import time

import aiohttp
import pytest
import uvloop
from docarray import DocList
from msgspec.structs import replace

from jina.codec import pb
from jina.codec.payloads import DocsPayload
from jina.net.limits import Limits
from jina.plan.plans import HttpPlan
from jina.server.http import DOCUMENTS
from tests.server.sample_service import NOTES, Note, SampleService, authority, run, served, url


async def post(server, path, body, **more):
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    async with (
        aiohttp.ClientSession() as session,
        session.post(url(server, path), data=data, headers=headers, **more) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


def exchange(path, body, service=None, plan=None, **more):
    async def main():
        options = {"http": plan} if plan else {}
        async with served(service or SampleService(), "http", **options) as server:
            status, headers, data = await post(server, path, body, **more)
            return status, headers, json.loads(data)

    return run(main())


def test_documents_go_in_and_come_back():
    service = SampleService()
    status, headers, body = exchange(
        "/upper",
        {
            "data": [{"id": "a", "text": "hi"}, {"id": "b", "text": "ho"}],
            "parameters": {"k": 3, "big": 2**70, "none": None},
        },
        service,
        headers={"X-Request-Id": "abc", "traceparent": "00-1-2-01"},
    )
    assert status == 200
    assert [(doc["id"], doc["text"]) for doc in body["data"]] == [("a", "HI"), ("b", "HO")]
    assert body["parameters"] == {"k": 3, "big": 2**70, "none": None}
    assert body["header"] == {"request_id": "abc", "target_executor": ""}
    assert headers["X-Request-Id"] == "abc"
    request = service.requests[0]
    assert request.headers["traceparent"] == "00-1-2-01"
    assert request.parameters["big"] == 2**70
    assert isinstance(request.parameters["k"], int)


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"data": {"text": "one"}}, ["ONE"]),
        ([{"text": "bare"}], ["BARE"]),
        ({"text": "one bare"}, ["ONE BARE"]),
        ({"data": {"docs": [{"text": "a"}, {"text": "b"}]}}, ["A", "B"]),
        ({"data": {"docs": []}}, []),
        (b'{"data": {"docs": [{"text": "a"}]}, "parameters": {"x": NaN}}', ["A"]),
        ({"data": None}, []),
        ({"data": []}, []),
        ({}, []),
        (b"", []),
        (b"  ", []),
        ({"parameters": {"a": 1}}, []),
    ],
)
def test_bodies_without_the_full_envelope(body, texts):
    status, _, answer = exchange("/upper", body)
    assert status == 200
    assert [doc["text"] for doc in answer["data"]] == texts


def test_a_field_docs_of_a_document_is_no_list_of_documents():
    service = SampleService()
    result = service.endpoints["/echo"]
    schema = {**result.input_schema, "properties": {**result.input_schema["properties"], "docs": {"type": "array"}}}
    service.endpoints = {**service.endpoints, "/echo": replace(result, input_schema=schema)}
    exchange("/echo", {"data": {"docs": [{"text": "a"}, {"text": "b"}]}}, service)
    exchange("/echo", {"data": {"docs": [{"text": "a"}], "text": "x"}}, service)
    assert [len(request.payload) for request in service.requests] == [1, 1]


def test_faults_in_such_a_list_are_placed():
    status, _, body = exchange("/upper", {"data": {"docs": [{"text": "a"}, {"text": []}]}})
    assert (status, body["errors"][0]["loc"][:4]) == (422, ["body", "data", "docs", 1])


def test_a_request_without_an_id_gets_one():
    _, headers, body = exchange("/echo", {"data": []})
    assert len(body["header"]["request_id"]) == 32
    assert headers["X-Request-Id"] == body["header"]["request_id"]


def test_header_of_the_body_names_request_and_target():
    service = SampleService()
    _, _, body = exchange("/echo", {"data": [], "header": {"request_id": "r1", "target_executor": "a.*"}}, service)
    assert body["header"] == {"request_id": "r1", "target_executor": "a.*"}
    assert service.requests[0].target_executor == "a.*"


def test_post_names_the_endpoint_in_the_body():
    service = SampleService()
    status, _, body = exchange(
        "/post", {"data": [{"text": "x"}], "execEndpoint": "/upper", "targetExecutor": "t"}, service
    )
    assert (status, body["data"][0]["text"]) == (200, "X")
    assert service.requests[0].target_executor == "t"
    assert exchange("/post", {"data": []})[0] == 400


def test_nan_is_read():
    service = SampleService()
    status, _, _ = exchange("/echo", b'{"data": [{"number": NaN}], "parameters": {"x": Infinity}}', service)
    assert status == 200
    assert service.requests[0].parameters["x"] == float("inf")
    assert exchange("/echo", b'[{"number": NaN}]')[0] == 200
    assert exchange("/echo", b'{"number": NaN}')[0] == 200
    assert exchange("/echo", b'{"data": 5, "x": NaN}')[0] == 422


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/nothing", {"data": []}, 404, "EndpointNotFound"),
        ("/uper", {"data": []}, 404, "EndpointNotFound"),
        ("/echo", b"{not json", 400, "BadRequest"),
        ("/echo", b'{"data": [1', 400, "BadRequest"),
        ("/echo", b"\xff\xfe", 400, "BadRequest"),
        ("/upper", {"data": 5}, 422, "ValidationFailed"),
        ("/upper", {"data": [{"number": "many"}]}, 422, "ValidationFailed"),
        ("/upper", b"7", 422, "ValidationFailed"),
        ("/upper", {"data": [], "parameters": [1]}, 422, "ValidationFailed"),
        ("/upper", {"data": [], "header": 3}, 422, "ValidationFailed"),
        ("/fail", {"data": []}, 500, "ExecutorError"),
        ("/busy", {"data": []}, 429, "Overloaded"),
        ("/explode", {"data": []}, 500, "InternalError"),
        ("/desert", {"data": []}, 500, "InternalError"),
    ],
)
def test_errors(path, body, status, code):
    got, headers, content = exchange(path, body)
    assert (got, content["code"], content["status"]) == (status, code, status)
    assert headers["content-type"] == "application/json"
    assert {"detail", "type", "title", "errors"} <= content.keys()
    if status == 429:
        assert headers["retry-after"] == "2"
    if path == "/uper":
        assert "/upper" in content["help"]


def test_error_of_a_handler_is_rebuildable():
    _, _, content = exchange("/fail", {"data": []})
    assert content["detail"] == "ValueError('boom', 3)"
    assert (content["name"], content["args"], content["stacks"], content["executor"]) == (
        "ValueError",
        ["boom", "3"],
        ["line\n"],
        "Sample",
    )


def test_problem_json_when_asked_for():
    status, headers, content = exchange("/upper", {"data": 5}, headers={"accept": "application/problem+json"})
    assert (status, headers["content-type"]) == (422, "application/problem+json")
    assert isinstance(content["detail"], str)


def test_wrong_method():
    async def main():
        async with served(SampleService(), "http") as server, aiohttp.ClientSession() as session:
            async with session.get(url(server, "/echo")) as answer:
                assert (answer.status, answer.headers["allow"]) == (405, "POST")
                assert (await answer.json())["code"] == "MethodNotAllowed"
            async with session.options(url(server, "/tokens")) as answer:
                assert (answer.status, answer.headers["allow"]) == (200, "GET, OPTIONS, POST")

    run(main())


def test_default_answers_any_path():
    service = SampleService(default=True)
    assert exchange("/some/where", {"data": []}, service)[0] == 200
    assert service.requests[0].endpoint == "/some/where"


def test_too_large_a_body():
    async def main():
        async with served(SampleService(), "http", limits=Limits(1000)) as server:
            big = {"data": [{"text": "x" * 2000}]}
            status, _, data = await post(server, "/echo", big)
            assert status == 413
            assert "max_message_size" in json.loads(data)["detail"]

            async def chunks():
                for _ in range(5):
                    yield b"x" * 500

            async with aiohttp.ClientSession() as session, session.post(url(server, "/echo"), data=chunks()) as answer:
                assert answer.status == 413
            packed = gzip.compress(b"[" + b" " * 100_000 + b"]")
            status, _, _ = await post(server, "/echo", packed, headers={"content-encoding": "gzip"})
            assert status == 413

    run(main())


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "headers", "status"), [("/echo", {}, 413), ("/nothing", {"Connection": "close"}, 404)]
)
def test_a_refusal_reaches_a_client_that_sends_all_first(path, headers, status, chunked):
    text = b" " * 8_000_000

    def ask(server):
        connection = http.client.HTTPConnection(authority(server), timeout=50)
        body = (text[at : at + 65536] for at in range(0, len(text), 65536)) if chunked else text
        connection.request("POST", path, body=body, headers=headers, encode_chunked=chunked)
        with contextlib.closing(connection), connection.getresponse() as answer:
            return answer.status, json.load(answer)["status"], answer.headers["connection"]

    async def main():
        async with served(SampleService(), "http", limits=Limits(1_000_000)) as server:
            assert await asyncio.to_thread(ask, server) == (status, status, "close")

    run(main())


def test_compressed_bodies():
    plain = json.dumps({"data": [{"text": "zip"}]}).encode()
    body = gzip.compress(plain)
    assert exchange("/upper", body, headers={"content-encoding": "gzip"})[2]["data"][0]["text"] == "ZIP"
    half = len(body) // 2
    for whole in (
        gzip.compress(b" ") + body,
        body + gzip.compress(b" \n"),
        gzip.compress(plain[:9]) + gzip.compress(plain[9:]),
    ):
        status, _, answer = exchange("/upper", whole, headers={"content-encoding": "gzip"})
        assert (status, answer["data"][0]["text"]) == (200, "ZIP"), "a body of several members (RFC 1952) is read whole"
    assert exchange("/upper", body + body[:half], headers={"content-encoding": "gzip"})[0] == 400
    assert exchange("/upper", body + b"garbage", headers={"content-encoding": "gzip"})[0] == 400
    assert exchange("/upper", gzip.compress(b" ") * 2000 + body, headers={"content-encoding": "gzip"})[0] == 400
    assert exchange("/upper", body[:20], headers={"content-encoding": "gzip"})[0] == 400
    assert exchange("/upper", b"{}", headers={"content-encoding": "gzip"})[0] == 400
    assert exchange("/upper", b"{}", headers={"content-encoding": "br"})[0] == 400


def test_binary_bodies():
    async def main():
        service = SampleService()
        async with served(service, "http") as server:
            sent = DocsPayload(DocList[Note]([Note(id="1", text="a")]), NOTES).to_bytes()
            headers = {"content-type": DOCUMENTS, "accept": DOCUMENTS, "x-jina-parameters": '{"k": 1}'}
            status, got, data = await post(server, "/upper", sent, headers=headers)
            assert (status, got["content-type"]) == (200, DOCUMENTS)
            assert json.loads(got["x-jina-parameters"]) == {"k": 1}
            [doc] = pb.DocListProto.FromString(data).docs
            assert doc.data["text"].text == "A"
            status, _, data = await post(server, "/upper", b"\xff\xff garbage", headers=headers)
            assert (status, json.loads(data)["code"]) == (400, "BadRequest")
            async with aiohttp.ClientSession() as session, session.options(url(server, "/upper")) as answer:
                assert DOCUMENTS in answer.headers["accept-post"]

    run(main())


@pytest.mark.parametrize("value", ["\u00fc", "x" * 9000])
def test_parameters_that_fit_no_header_make_the_reply_json(value):
    headers = {"accept": f"{DOCUMENTS}, */*"}
    _, got, body = exchange("/echo", {"data": [], "parameters": {"k": value}}, headers=headers)
    assert got["content-type"] == "application/json"
    assert body["parameters"] == {"k": value}


def test_large_documents_pass():
    text = "x" * 3_000_000
    assert exchange("/echo", {"data": [{"text": text}]})[2]["data"][0]["text"] == text


def test_cors():
    async def main():
        plan = HttpPlan(cors=True)
        async with served(SampleService(), "http", http=plan) as server, aiohttp.ClientSession() as session:
            asked = {
                "origin": "http://x",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            }
            async with session.options(url(server, "/echo"), headers=asked) as answer:
                assert answer.headers["access-control-allow-origin"] == "*"
                assert "POST" in answer.headers["access-control-allow-methods"]
                assert answer.headers["access-control-allow-headers"] == "content-type"
            status, headers, _ = await post(server, "/nothing", {})
            assert (status, headers["access-control-allow-origin"]) == (404, "*")

    run(main())
    assert "access-control-allow-origin" not in exchange("/echo", {"data": []})[1]


def test_client_that_leaves_cancels_the_work():
    async def main():
        service = SampleService()
        async with served(service, "http") as server:
            with pytest.raises(asyncio.TimeoutError):
                await post(server, "/slow", {"data": []}, timeout=aiohttp.ClientTimeout(total=1))
            await asyncio.wait_for(service.cancelled.wait(), 20)

    run(main())


def test_timeout_of_the_client_is_a_deadline():
    async def main():
        service = SampleService()
        async with served(service, "http") as server:
            started = time.monotonic()
            status, _, data = await post(server, "/slow", {"data": []}, headers={"x-request-timeout": "1"})
            assert (status, json.loads(data)["code"]) == (504, "DeadlineExceeded")
            assert service.cancelled.is_set()
            assert service.requests[0].deadline == pytest.approx(started + 1, abs=10)
            status, _, _ = await post(server, "/slow", {"data": []}, headers={"x-request-timeout": "soon"})
            assert status == 400

    run(main())


def test_a_timer_that_runs_a_moment_early_is_a_deadline():
    """uvloop's timers count whole milliseconds."""

    async def main():
        async with served(SampleService(), "http") as server:
            headers = [{"x-request-timeout": f"{0.05 + number * 0.00037:.5f}"} for number in range(60)]
            answers = await asyncio.gather(*(post(server, "/slow", {"data": []}, headers=one) for one in headers))
            assert {status for status, _, _ in answers} == {504}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_requests_share_a_connection():
    async def main():
        async with served(SampleService(), "http") as server, aiohttp.ClientSession() as session:
            for number in range(3):
                async with session.post(url(server, "/upper"), json={"data": [{"text": f"n{number}"}]}) as answer:
                    assert (await answer.json())["data"][0]["text"] == f"N{number}"
            async with session.head(url(server, "/readyz")) as answer:
                assert (answer.status, await answer.read()) == (200, b"")

    run(main())
