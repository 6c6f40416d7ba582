"""`jina.proto.jina_pb2_grpc`: services of Jina's protobuf on real servers, blocking and of asyncio."""

import asyncio
from concurrent import futures

import grpc
import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina.clients.request import request_generator
from jina.proto import jina_pb2, jina_pb2_grpc, serializer
from jina.serve.helper import get_default_grpc_options, get_server_side_grpc_options

SERVICES = [service.name for service in jina_pb2.DESCRIPTOR.services_by_name.values()]


class Echo(jina_pb2_grpc.JinaSingleDataRequestRPCServicer):
    def process_single_data(self, request, context):
        request.header.request_id += "!"
        return request


class Wrapped:
    """What Jina 3's code hands over: an object with the message in `proto`."""

    def __init__(self, name):
        self.proto = jina_pb2.DataRequestProto(header=jina_pb2.HeaderProto(request_id=name))


class Counting(jina_pb2_grpc.JinaDataRequestRPCServicer):
    async def process_data(self, request, context):
        return jina_pb2.DataRequestProto(header={"request_id": str(len(request))})


class Streaming(jina_pb2_grpc.JinaRPCServicer):
    async def Call(self, request_iterator, context):
        async for request in request_iterator:
            yield request


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_its_classes(name):
    servicer = getattr(jina_pb2_grpc, f"{name}Servicer")
    methods = jina_pb2.DESCRIPTOR.services_by_name[name].methods
    assert all(callable(getattr(servicer, method.name)) for method in methods)
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        stub = getattr(jina_pb2_grpc, f"{name}Stub")(channel)
        assert all(callable(getattr(stub, method.name)) for method in methods)
    assert callable(getattr(jina_pb2_grpc, f"add_{name}Servicer_to_server"))


def test_a_blocking_server_and_stub():
    server = grpc.server(futures.ThreadPoolExecutor(2))
    jina_pb2_grpc.add_JinaSingleDataRequestRPCServicer_to_server(Echo(), server)
    jina_pb2_grpc.add_JinaRPCServicer_to_server(jina_pb2_grpc.JinaRPCServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=get_default_grpc_options()) as channel:
            stub = jina_pb2_grpc.JinaSingleDataRequestRPCStub(channel)
            assert stub.process_single_data(Wrapped("a"), timeout=20).header.request_id == "a!"
            with pytest.raises(grpc.RpcError) as refused:
                list(jina_pb2_grpc.JinaRPCStub(channel).Call(iter([Wrapped("a").proto]), timeout=20))
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.stop(0).wait(20)


def test_a_server_and_stubs_of_asyncio():
    async def main():
        server = grpc.aio.server(options=get_server_side_grpc_options([("grpc.max_concurrent_streams", 5)]))
        jina_pb2_grpc.add_JinaDataRequestRPCServicer_to_server(Counting(), server)
        jina_pb2_grpc.add_JinaRPCServicer_to_server(Streaming(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = jina_pb2_grpc.JinaDataRequestRPCStub(channel)
            counted = await stub.process_data([Wrapped("a"), Wrapped("b").proto], timeout=20)
            calls = jina_pb2_grpc.JinaRPCStub(channel).Call(iter([Wrapped("x").proto, Wrapped("y").proto]), timeout=20)
            streamed = [one.header.request_id async for one in calls]
        await server.stop(0)
        return counted.header.request_id, streamed

    assert asyncio.run(main()) == ("2", ["x", "y"])


def test_the_requests_that_post_would_send():
    words = DocList[TextDoc]([TextDoc(text=f"w{number}") for number in range(5)])
    given = {"parameters": {"a": 1}, "target_executor": "x"}
    [whole] = request_generator("/go", words, **given)
    assert [len(one.docs) for one in request_generator("/go", words, request_size=2)] == [2, 2, 1]
    assert (whole.header.exec_endpoint, whole.header.target_executor, whole.parameters["a"]) == ("/go", "x", 1)
    whole.document_array_cls = DocList[TextDoc]
    assert whole.docs.text == words.text
    [empty] = request_generator("/go")
    assert not empty.docs


def test_options_given_win_over_the_defaults():
    found = dict(get_server_side_grpc_options({"grpc.keepalive_time_ms": 1}))
    assert (found["grpc.keepalive_time_ms"], found["grpc.max_send_message_length"]) == (1, -1)


def test_the_serializer_has_the_messages():
    data = serializer.DataRequestProto.SerializeToString(Wrapped("a").proto)
    assert serializer.DataRequestProto.FromString(data).header.request_id == "a"
