"""A peer over gRPC as a gateway sees it, on real ports."""

import asyncio
import contextlib
import socket
import time

import grpc
import pytest
from msgspec.structs import replace

from jina.client.grpc import GrpcUpstream, read_endpoints
from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.errors import (
    BadRequest,
    BadServer,
    DeadlineExceeded,
    EndpointNotFound,
    ExecutorError,
    Overloaded,
    TooLarge,
    Unavailable,
)
from jina.net.limits import Limits
from jina.net.service import UpstreamUnavailable
from jina.plan.plans import ListenerPlan, NodePlan, UpstreamPlan
from jina.server.server import serve
from tests.client.forwarding import Forwarder, no_document_read
from tests.client.test_forwarding import doc_list
from tests.server.sample_service import NOTES, SampleService, authority, run, served
from tests.server.test_server_ports import authority_file, ca_file, certificate  # noqa: F401 - fixtures

LIMIT = 64 * 1024 * 1024


def hop_to(address, *, limit=LIMIT, tls=False, **node):
    name = "far/rep-0"
    plan = UpstreamPlan(kind="grpc", name=name, address=address, tls=tls)
    return GrpcUpstream(plan, NodePlan(name="far", needs=["gateway"], upstreams=[plan], **node), limit)


def with_hop(use, service=None, *, options=None, **node):
    async def main():
        service_ = service or SampleService()
        async with served(service_, "grpc", **(options or {})) as server:
            upstream = hop_to(authority(server), **node)
            try:
                return await use(upstream, service_)
            finally:
                await upstream.close()

    return run(main())


def request(endpoint, *texts, **more):
    return Request(endpoint, BytesPayload(doc_list(*texts)), request_id="r1", **more)


def texts_of(payload):
    return [doc.text for doc in payload.decode(NOTES)]


def test_call():
    async def use(upstream, service):
        reply = await upstream.call(request("/upper", "a", "b", parameters={"k": 2**60 + 1}, target_executor="f.*"))
        assert texts_of(reply.payload) == ["A", "B"]
        assert reply.parameters == {"k": 2**60 + 1}
        got = service.requests[0]
        assert (got.request_id, got.target_executor) == ("r1", "f.*")

    with_hop(use)


def test_json_request_and_reply():
    async def use(upstream, _service):
        raw = JsonPayload(b'[{"id": "1", "text": "a", "number": 3}]')
        reply = await upstream.call(Request("/upper", raw, request_id="r", json_reply=True))
        assert reply.payload.to_json() == b'[{"id":"1","number":3,"text":"A"}]'

    with_hop(use)


def test_metadata_and_deadline():
    async def use(upstream, service):
        headers = {"traceparent": "00-1-2-01", "cookie": "secret", "jina-consistency": "session"}
        await upstream.call(request("/echo", "a", headers=headers, deadline=time.monotonic() + 5))
        got = service.requests[0]
        assert (got.headers["endpoint"], got.headers["token"], got.headers["traceparent"]) == (
            "/echo",
            "t",
            "00-1-2-01",
        )
        assert "cookie" not in got.headers
        assert got.headers["jina-consistency"] == "session"
        assert 3 < got.deadline - time.monotonic() <= 5.5

    with_hop(use, grpc_metadata={"Token": "t"})


@pytest.mark.slow
def test_large_documents_are_not_parsed(monkeypatch):
    async def use(upstream, _service):
        documents = doc_list("x" * 16 * 1024 * 1024)
        with no_document_read(monkeypatch):
            reply = await upstream.call(Request("/echo", BytesPayload(documents), request_id="r"))
            assert reply.payload.to_bytes() == documents

    with_hop(use, Forwarder())


@contextlib.asynccontextmanager
async def between(port, *, delay=0.0, passed=None):
    """The port of a proxy that begins `delay` seconds late and notes how many bytes pass in either direction."""
    connections = []

    async def pipe(reader, writer):
        while data := await reader.read(65536):
            if passed is not None:
                passed.append(len(data))
            writer.write(data)
            await writer.drain()

    async def connected(reader, writer):
        connections.append((asyncio.current_task(), writer))
        await asyncio.sleep(delay)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        connections.append((asyncio.current_task(), far_writer))
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

    proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()
        for task, writer in connections:
            task.cancel()
            writer.close()
        await asyncio.gather(*(task for task, _ in connections), return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for _, writer in connections), return_exceptions=True)


@pytest.mark.parametrize("compression", [None, "gzip", "Deflate", "NoCompression"])
def test_compression_of_requests_and_replies(compression):
    async def main():
        passed = []
        async with (
            served(SampleService(), "grpc") as server,
            between(int(authority(server).split(":")[1]), passed=passed) as port,
        ):
            upstream = hop_to(f"127.0.0.1:{port}", compression=compression)
            reply = await upstream.call(request("/upper", "a" * 400_000))
            assert texts_of(reply.payload) == ["A" * 400_000]
            replies = upstream.stream(request("/tokens", "a" * 400_000))
            assert texts_of((await anext(replies)).payload) == ["a" * 400_000 + "0"]
            await replies.aclose()
            await upstream.close()
        compressed = compression in {"gzip", "Deflate"}
        assert (sum(passed) < 100_000) == compressed, sum(passed)

    run(main())


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("/fail", ExecutorError), ("/nothing", EndpointNotFound), ("/busy", Overloaded), ("/tokens", BadRequest)],
)
def test_errors_keep_their_class(endpoint, kind):
    async def use(upstream, _service):
        with pytest.raises(kind) as caught:
            await upstream.call(request(endpoint, "a"))
        assert type(caught.value) is kind
        assert upstream.up

    with_hop(use)


def test_too_large_names_the_option():
    async def use(upstream, _service):
        with pytest.raises(TooLarge, match="max_message_size"):
            await upstream.call(request("/echo", "a" * 3000))

    with_hop(use, options={"limits": Limits(2000)})


def test_branches_travel_apart():
    async def use(upstream, service):
        branches = [("left", BytesPayload(doc_list("a"))), ("right", JsonPayload(b'[{"text": "b"}]'))]
        reply = await upstream.call(replace(request("/upper", "a"), branches=branches))
        assert texts_of(reply.payload) == ["A", "B"]
        assert [(name, texts_of(payload)) for name, payload in service.requests[0].branches] == [
            ("left", ["a"]),
            ("right", ["b"]),
        ]

    with_hop(use)


def test_stream():
    async def use(upstream, service):
        doc = b'[{"text": "t", "number": 3}]'
        texts = [texts_of(reply.payload) async for reply in upstream.stream(Request("/tokens", JsonPayload(doc)))]
        assert texts == [["t0"], ["t1"], ["t2"]]
        broken = upstream.stream(request("/broken", "b"))
        assert texts_of((await anext(broken)).payload) == ["b0"]
        with pytest.raises(ExecutorError, match="mid"):
            await anext(broken)
        with pytest.raises(BadRequest):
            await anext(upstream.stream(request("/echo", "b")))
        service.closed.clear()
        endless = upstream.stream(request("/forever", "f"))
        await anext(endless)
        await endless.aclose()
        await asyncio.wait_for(service.closed.wait(), 20)

    with_hop(use)


def test_cancelling_cancels_the_work():
    async def use(upstream, service):
        task = asyncio.create_task(upstream.call(request("/slow", "s")))
        while not service.running:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.cancelled.wait()

    with_hop(use)


def test_deadline():
    async def use(upstream, service):
        with pytest.raises(DeadlineExceeded, match="grpc://"):
            await upstream.call(request("/slow", "s", deadline=time.monotonic() + 1))
        await service.cancelled.wait()
        with pytest.raises(DeadlineExceeded):
            await upstream.call(request("/slow", "s", deadline=time.monotonic() - 0.1))

    with_hop(use)


def test_describe():
    async def use(upstream, service):
        service.endpoints["/default"] = replace(service.endpoints["/echo"], path="/default", is_passthrough=True)
        described = await upstream.describe()
        assert described == service.endpoints

    with_hop(use)


def test_a_peer_that_is_not_ready():
    service = SampleService()
    service.up = False

    async def use(upstream, _service):
        with pytest.raises(Unavailable):
            await upstream.ready()
        describing = asyncio.create_task(upstream.describe())
        await asyncio.sleep(0.05)
        assert not describing.done()
        service.up = True
        assert "/echo" in await describing

    with_hop(use, service)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_nobody_there():
    async def main():
        upstream = hop_to(f"127.0.0.1:{free_port()}")
        for use in (
            upstream.describe(),
            upstream.ready(),
            upstream.call(request("/echo", "a")),
            anext(upstream.stream(request("/t", "a"))),
        ):
            with pytest.raises(UpstreamUnavailable) as caught:
                await use
            assert not caught.value.started
        assert not upstream.up
        await upstream.close()
        assert not upstream.up
        with pytest.raises(UpstreamUnavailable):
            await upstream.call(request("/echo", "a"))

    run(main())


def test_a_peer_that_goes_and_comes_back():
    async def main():
        service = SampleService()
        listener = ListenerPlan(protocol="grpc", host="127.0.0.1", port=0, share_port=True)
        server = serve([listener], service)
        await server.start()
        address = authority(server)
        upstream = hop_to(address)
        await upstream.ready()
        inside = asyncio.create_task(upstream.call(request("/slow", "s")))
        while not service.running:
            await asyncio.sleep(0)
        await server.stop(0)
        with pytest.raises(UpstreamUnavailable) as caught:
            await inside
        assert caught.value.started
        with pytest.raises(UpstreamUnavailable) as caught:
            while True:  # the connection may still be closing
                await upstream.call(request("/echo", "a"))
        assert not caught.value.started
        assert not upstream.up
        again = serve([replace_port(listener, address)], SampleService())
        await again.start()
        while not upstream.up:
            await asyncio.sleep(0.01)
        assert texts_of((await upstream.call(request("/echo", "a"))).payload) == ["a"]
        await upstream.close()
        await again.stop(0)

    run(main())


def replace_port(listener, address):
    return ListenerPlan(protocol="grpc", host=listener.host, port=int(address.rpartition(":")[2]), share_port=True)


def test_closing_fails_what_is_in_flight():
    async def use(upstream, service):
        call = asyncio.create_task(upstream.call(request("/slow", "s")))
        stream = upstream.stream(request("/late", "s"))
        item = asyncio.create_task(anext(stream))
        while service.running < 1 or len(service.requests) < 2:
            await asyncio.sleep(0)
        await upstream.close()
        for task in (call, item):
            with pytest.raises(UpstreamUnavailable):
                await task
        await upstream.close()

    with_hop(use)


def test_tls(certificate, ca_file, monkeypatch):  # noqa: F811 - fixtures
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)

    async def main():
        server = serve([ListenerPlan(protocol="grpc", host="127.0.0.1", port=0, tls=certificate)], SampleService())
        await server.start()
        upstream = hop_to(authority(server), tls=True)
        assert texts_of((await upstream.call(request("/upper", "a"))).payload) == ["A"]
        await upstream.close()
        await server.stop(0)

    run(main())


class Peer:
    """A gRPC server with a table of methods from bytes to bytes."""

    def __init__(self, unary=None, stream=None):
        self.unary, self.streams = unary or {}, stream or {}

    async def __aenter__(self):
        self.server = grpc.aio.server()
        handlers = {name: grpc.unary_unary_rpc_method_handler(one) for name, one in self.unary.items()}
        handlers |= {name: grpc.stream_stream_rpc_method_handler(one) for name, one in self.streams.items()}

        class Table(grpc.GenericRpcHandler):
            def service(self, details):
                return handlers.get(details.method)

        self.server.add_generic_rpc_handlers((Table(),))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        await self.server.stop(0)


HEALTH = "/grpc.health.v1.Health/Check"


def test_a_peer_without_the_unary_call_and_without_discovery():
    async def call(requests, _context):
        async for data in requests:
            yield data

    async def health(_data, _context):
        return b"\x08\x01"

    async def main():
        async with Peer({HEALTH: health}, {"/jina.JinaRPC/Call": call}) as peer:
            upstream = hop_to(peer.address)
            for _ in range(2):
                assert texts_of((await upstream.call(request("/any", "a"))).payload) == ["a"]
            await upstream.ready()
            assert list(await upstream.describe()) == ["/default"]
            branches = [("left", BytesPayload(doc_list("a"))), ("right", BytesPayload(doc_list("b")))]
            reply = await upstream.call(request("/any", "a", branches=branches))
            assert texts_of(reply.payload) == ["a", "b"]
            with pytest.raises(BadServer, match="is it a jina server"):
                await anext(upstream.stream(request("/any", "a")))
            await upstream.close()

    run(main())


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses |Gateway: Communication error", Unavailable),
        (grpc.StatusCode.NOT_FOUND, "no worker", Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded|Gateway: Connection", DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", Overloaded),
        (grpc.StatusCode.UNKNOWN, "what", BadServer),
    ],
)
def test_statuses_of_other_servers(code, details, kind):
    async def fail(_data, context):
        await context.abort(code, details)

    async def main():
        async with Peer({"/jina.JinaSingleDataRequestRPC/process_single_data": fail}) as peer:
            upstream = hop_to(peer.address)
            with pytest.raises(kind) as caught:
                await upstream.call(request("/any", "a"))
            assert type(caught.value) is kind
            await upstream.close()

    run(main())


def test_garbled_answers():
    async def garbage(_data, _context):
        return b"\x22\x05abc"

    async def main():
        async with Peer({"/jina.JinaSingleDataRequestRPC/process_single_data": garbage}) as peer:
            upstream = hop_to(peer.address)
            with pytest.raises(BadServer, match="DataRequestProto"):
                await upstream.call(request("/any", "a"))
            await upstream.close()

    run(main())


def test_a_slow_network_is_no_dead_peer():
    """The handshake of HTTP/2 may take longer than the pause between two attempts to connect."""

    async def main():
        unary = {"/jina.JinaSingleDataRequestRPC/process_single_data": echo}
        async with Peer(unary) as peer, between(int(peer.address.split(":")[1]), delay=1.0) as port:
            upstream = hop_to(f"127.0.0.1:{port}")
            assert texts_of((await upstream.call(request("/any", "a"))).payload) == ["a"]
            await upstream.close()

    run(main())


async def echo(data, _context):
    return data


def test_a_peer_whose_dry_run_fails():
    """A gateway of Jina 3 names whatever exception its Executor gave."""

    async def dry_run(_data, _context):
        failed = pb.StatusProto(code=pb.StatusProto.ERROR, description="no worker")
        failed.exception.name = "AioRpcError"
        return failed.SerializeToString()

    async def main():
        async with Peer({"/jina.JinaGatewayDryRunRPC/dry_run": dry_run}) as peer:
            upstream = hop_to(peer.address)
            with pytest.raises(Unavailable, match="no worker"):
                await upstream.ready()
            await upstream.close()

    run(main())


def test_a_peer_that_fails_to_tell_its_endpoints():
    async def fine(_data, _context):
        return b""

    async def fail(_data, _context):
        raise KeyError("#/$defs/Part")

    async def main():
        unary = {"/jina.JinaGatewayDryRunRPC/dry_run": fine, "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": fail}
        async with Peer(unary) as peer:
            upstream = hop_to(peer.address)
            assert list(await upstream.describe()) == ["/default"]
            await upstream.close()

    run(main())


def test_discovery_of_gateways_and_older_releases():
    message = pb.EndpointsProto(
        endpoints=["/new", "/gate", "/old", "/bare", "_jina_dry_run_"], write_endpoints=["/old"]
    )
    fields = {"text": {"type": "string"}, "n": {"anyOf": [{"type": "integer"}, {"type": "null"}], "maximum": 3}}
    nested = {"title": "Old", "properties": {"sub": {"$ref": "#/definitions/Sub"}}, "definitions": {"Sub": {}}}
    message.schemas.update(
        {
            "/new": {
                "input": {"name": "In", "model": {"title": "In", "properties": fields}},
                "output": {"name": "Out", "model": {"title": "Out", "properties": {}}},
                "is_generator": True,
                "is_singleton_doc": True,
                "parameters": {"name": "P", "model": {"title": "P", "properties": fields}},
            },
            "/gate": {
                "input": {"model": {"title": "In", "properties": fields}},
                "output": {"title": "Out", "properties": fields},
                "is_generator": False,
                "parameters": {"name": None, "model": None},
            },
            "/old": {"input": {"name": "Old", "model": nested}, "output": {"name": "Old", "model": nested}},
        }
    )
    found = read_endpoints(message.SerializeToString())
    assert sorted(found) == ["/bare", "/gate", "/new", "/old"]
    new = found["/new"]
    assert (new.input_name, new.output_name, new.is_generator, new.is_single, new.parameters_name) == (
        "In",
        "Out",
        True,
        True,
        "P",
    )
    assert new.flat_fields == {"text": "string", "n": "integer"}
    assert type(new.input_schema["properties"]["n"]["maximum"]) is int
    gate = found["/gate"]
    assert (gate.input_name, gate.output_name, gate.parameters_schema) == ("In", "Out", None)
    assert gate.output_schema["properties"] == fields
    old = found["/old"]
    assert old.is_write
    assert old.input_schema == {"title": "Old", "properties": {"sub": {"$ref": "#/$defs/Sub"}}, "$defs": {"Sub": {}}}
    assert found["/bare"].input_schema["additionalProperties"] is True
    with pytest.raises(BadServer):
        read_endpoints(b"\x0a\x05ab")
