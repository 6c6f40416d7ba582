"""Garbage on every protocol: no crash, no hang, no answer that blames the server, nothing left behind.

`JINA_FUZZ_REQUESTS` is the number of requests (1200), `JINA_FUZZ_SEED` what chance begins with.
"""

import asyncio
import contextlib
import errno
import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from jina.codec import pb
from tests.fuzz.mutations import REQUESTS, rng, worse, worse_json

pytestmark = pytest.mark.slow

ANSWERED = 20
"""Seconds in which each answer must come."""

UNSENDABLE = "the handler's documents cannot be sent"
"""Integers beyond 53 bits come in as JSON and cannot go on in protobuf; the method gave them back."""

THING = {
    "id": "1", "text": "a", "number": 3, "ratio": 0.5, "flags": {"x": True}, "vector": [1.0, 2.0],
    "parts": [{"id": "p", "label": "l", "weights": [1.0]}], "blob": "YWJj",
}  # fmt: skip
BODY = {
    "data": [THING, THING],
    "parameters": {"limit": 1, "words": ["w"], "a__k": 1},
    "header": {"request_id": "r", "target_executor": ""},
    "execEndpoint": "/typed",
    "targetExecutor": "",
}
HEADERS = ["", "x-request-timeout: 5\r\n", "accept: application/x-ndjson\r\n", "content-encoding: gzip\r\n",
           "x-request-timeout: nan\r\n", "x-jina-parameters: {\r\n"]  # fmt: skip
ENDPOINTS = ["/typed", "/wishes", "/loose", "/stream", "/nothing", "/", ""]


def share(part):
    """How many of all requests; each test runs for a worker and for a gateway."""
    return max(5, int(REQUESTS * part / 2))


def message_of(endpoint, count=2):
    from tests.fuzz.targets import Part, Thing

    message = pb.DataRequestProto()
    message.header.request_id = "r"
    message.header.exec_endpoint = endpoint
    if not count:
        return message
    if endpoint in {"/wishes", "/stream"}:
        docs = [Part(label="l", weights=[1.0, 2.0]) for _ in range(count)]
    else:
        docs = [Thing(text="a", flags={"x": True}, vector=[1.0, 2.0], blob=b"b", parts=[Part()]) for _ in range(count)]
    message.data.docs.ParseFromString(_serialised(docs))
    message.parameters.update({"limit": 1})
    return message


def _serialised(docs):
    from docarray import DocList

    return DocList[type(docs[0])](docs).to_protobuf().SerializeToString()


# --- HTTP ----------------------------------------------------------------------------------------------------


def answer_to(port, data):
    """Status and text of the answer to bytes on a connection of their own; 0 where it was only closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERED) as sock:
        heard = b""
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(65536):
                heard += part
        except (ConnectionError, BrokenPipeError):
            pass
    line = heard.split(b"\r\n")[0].split()
    return (int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/") else 0), heard.decode("utf-8", "replace")


def test_http_bodies(target):
    chance = rng(f"bodies {target.name}")

    def one(number):
        body, path = worse_json(BODY, chance), chance.choice([*ENDPOINTS, "/post"]) or "/post"
        kind = chance.choice(["application/json", "text/plain", "application/vnd.docarray.doclist+protobuf", ""])
        extra = chance.choice(HEADERS)
        query = chance.choice(["", "?parameters={}", "?parameters=[1]", "?text=%FF&number=x", "?%"])
        method = chance.choice(["POST", "POST", "GET", "PUT", "DELETE"])
        head = f"{method} {path}{query} HTTP/1.1\r\nhost: x\r\n{extra}"
        return f"{head}content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body

    refused(target, [one(number) for number in range(share(0.2))])


def test_http_heads(target):
    chance = rng(f"heads {target.name}")
    body = json.dumps(BODY).encode()
    whole = b"POST /typed?parameters={} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    fixed = whole + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunked = whole + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    refused(target, [worse(chance.choice([fixed, chunked]), chance) for _ in range(share(0.1))])


def refused(target, requests):
    port = target.ports["http"]
    with ThreadPoolExecutor(8) as pool:
        for data, (status, text) in zip(requests, pool.map(lambda data: answer_to(port, data), requests), strict=True):
            assert status < 500 or UNSENDABLE in text, (text, data)


def test_http_by_the_description(target):
    """Requests made from our OpenAPI by schemathesis, good ones and bad ones."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{target.ports['http']}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [one for one in operations if one.path not in {"/census", "/metrics"}]
    assert {"/typed", "/wishes", "/loose", "/stream"} <= {one.path for one in operations}
    each = max(2, share(0.2) // len(operations) // 2)
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case):
                response = case.call(timeout=ANSWERED)
                well = response.status_code < 500 or UNSENDABLE in response.text
                assert well, (case.as_curl_command(), response.text)

            with contextlib.suppress(Unsatisfiable):  # where nothing can be wrong
                check()


# --- gRPC ----------------------------------------------------------------------------------------------------

METHODS = {
    "/jina.JinaSingleDataRequestRPC/process_single_data": "unary_unary",
    "/jina.JinaDataRequestRPC/process_data": "unary_unary",
    "/jina.JinaSingleDocumentRequestRPC/stream_doc": "unary_stream",
    "/jina.JinaRPC/Call": "stream_stream",
    "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": "unary_unary",
    "/jina.JinaGatewayDryRunRPC/dry_run": "unary_unary",
}
OUR_FAULT = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"}


def test_protobuf(target):
    chance = rng(f"protobuf {target.name}")
    with grpc.insecure_channel(f"127.0.0.1:{target.ports['grpc']}") as channel:

        def one(_):
            method = chance.choice([*METHODS][:4] * 5 + [*METHODS])
            message = message_of(chance.choice(ENDPOINTS), chance.choice([0, 1, 2]))
            if "Document" in method and message.data.docs.docs:
                data = pb.SingleDocumentRequestProto(header=message.header, document=message.data.docs.docs[0])
            elif "JinaDataRequestRPC" in method:
                data = pb.DataRequestListProto(requests=[message] * chance.randint(0, 3))
            else:
                data = message
            return method, worse(data.SerializeToString(), chance)

        requests = [one(number) for number in range(share(0.25))]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda request: code_of(channel, *request), requests))
        for code, request in zip(found, requests, strict=True):
            assert not code & OUR_FAULT, (code, request)
        assert any("OK" in code for code in found)
        assert any("INVALID_ARGUMENT" in code for code in found)


def code_of(channel, method, data):
    """The codes of an answer: that of the call, and those in band."""
    kind = METHODS[method]
    call = getattr(channel, kind)(method, lambda sent: sent, lambda got: got)
    try:
        answers = call(iter([data, data]) if kind == "stream_stream" else data, timeout=ANSWERED)
        answers = list(answers) if "stream" in kind.partition("_")[2] else [answers]
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.INTERNAL:
            pytest.fail(f"{error.details()} for {method} {data!r}")
        return {error.code().name}
    codes = {"OK"}
    if "DataRequest" in method or "Call" in method:
        for answer in answers:
            status = pb.DataRequestProto.FromString(answer).header.status
            if status.code and UNSENDABLE not in status.description:
                codes.add({code.value[0]: code.name for code in grpc.StatusCode}[status.grpc_code])
    return codes


def test_bytes_instead_of_http2(target):
    """Frames of HTTP/2 that are none: the connection ends, the server does not."""
    chance = rng(f"http2 {target.name}")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    frame = struct.pack("!BHBBI", 0, 8, 6, 0, 0) + b"12345678"
    for _ in range(share(0.02)):
        place = ("127.0.0.1", target.ports["grpc"])
        with may_be_cut(), socket.create_connection(place, timeout=ANSWERED) as sock:
            sock.sendall(worse(preface + frame * 3, chance))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass


# --- WebSocket -----------------------------------------------------------------------------------------------


def test_frames_of_json_and_protobuf(target):
    """Each frame is answered in kind and the socket stays open, or it is closed with a reason."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    chance = rng(f"frames {target.name}")
    left, answered, reasons = share(0.15), 0, []
    while left > 0:
        path = chance.choice(["/", "/typed", "/loose"])
        with connect(f"ws://127.0.0.1:{target.ports['websocket']}{path}", proxy=None) as sock:
            try:
                for _ in range(chance.randint(1, 20)):
                    left -= 1
                    if chance.random() < 0.5:
                        body = worse_json({**BODY, "execEndpoint": chance.choice(ENDPOINTS[:3])}, chance)
                        frame = body.decode("utf-8", "replace")
                    else:
                        frame = worse(message_of(chance.choice(ENDPOINTS[:3])).SerializeToString(), chance)
                    sock.send(frame)
                    heard = answer_on(sock, frame)
                    answered += 1
                    assert isinstance(heard, type(frame))
                    if isinstance(heard, str):
                        content = json.loads(heard)
                        assert content.get("status", 200) < 500 or UNSENDABLE in content["detail"], (frame, content)
                    else:
                        status = pb.DataRequestProto.FromString(heard).header.status
                        assert status.grpc_code not in {2, 13, 14, 15, 4} or UNSENDABLE in status.description, status
            except ConnectionClosed as closed:
                reasons.append(closed.rcvd.code if closed.rcvd is not None else None)
    assert answered > 5
    assert set(reasons) <= {None, 1000, 1007, 1009}


def answer_on(sock, frame):
    try:
        return sock.recv(timeout=ANSWERED)
    except TimeoutError:
        pytest.fail(f"no answer to {frame!r}")


@contextlib.contextmanager
def may_be_cut():
    """The server may end the connection whenever it has seen enough."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:  # which `shutdown` says
            raise


def test_raw_frames(target):
    chance = rng(f"raw {target.name}")
    upgrade = (
        b"GET /typed HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    text = json.dumps(BODY).encode()
    frames = b"".join(
        bytes([opcode, 0x80 | 126]) + struct.pack("!H", len(text)) + b"\0\0\0\0" + text for opcode in (0x81, 0x82, 0x01)
    )

    def one(number):
        data = worse(upgrade, chance) if number % 8 == 0 else upgrade
        place = ("127.0.0.1", target.ports["websocket"])
        with may_be_cut(), socket.create_connection(place, timeout=ANSWERED) as sock:
            sock.sendall(data)
            sock.sendall(worse(frames, chance))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(share(0.05))))


# --- sockets -------------------------------------------------------------------------------------------------


def test_half_open_and_slow_sockets(target):
    """Opened, begun and left; or fed a byte now and then. Others are served meanwhile."""
    chance = rng(f"sockets {target.name}")
    begun = [b"", b"POST /typed HTTP/1.1\r\nHost", b"POST /typed HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00"]  # fmt: skip

    async def slow():
        port = chance.choice([*target.ports.values()])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(chance.choice(begun))
            for _ in range(4):
                await asyncio.sleep(0.3)
                writer.write(b"x")
            async with asyncio.timeout(ANSWERED):
                while port != target.ports["grpc"] and await reader.read(65536):
                    pass
        except ConnectionError:
            pass
        finally:
            writer.transport.abort() if chance.random() < 0.5 else writer.close()

    async def main():
        crowd = asyncio.gather(*(slow() for _ in range(share(0.04))))
        while not crowd.done():
            assert await asyncio.to_thread(target.is_ready)
            await asyncio.sleep(0.05)
        await crowd

    asyncio.run(main())
