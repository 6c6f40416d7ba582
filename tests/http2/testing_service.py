"""`grpc.testing.TestService`, which gRPC's own interoperability clients ask
(https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md), on our side of a connection.
"""

import asyncio
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from jina.net.grpc_wire import Code, headers_of, metadata_in
from jina.server import grpc_protocol
from jina.server.grpc_protocol import Aborted, Method

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def messages():
    """The classes of the messages by name."""
    file = Path(__file__).with_name("testing.proto")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "testing.desc")
        assert protoc.main(["protoc", f"-I{file.parent}", f"--descriptor_set_out={made}", str(file)]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.AddSerializedFile(one.SerializeToString())
    return message_factory.GetMessageClassesForFiles([one.name for one in files.file], pool)


class TestService:
    """The methods by their full names."""

    def __init__(self):
        self._kinds = {name.rpartition(".")[2]: kind for name, kind in messages().items()}
        self._methods = {
            f"/grpc.testing.TestService/{name}": method
            for name, method in {
                "EmptyCall": Method(self.empty),
                "UnaryCall": Method(self.unary),
                "StreamingInputCall": Method(self.taking, streams=True),
                "StreamingOutputCall": Method(self.giving, streams=True),
                "FullDuplexCall": Method(self.talking, streams=True),
            }.items()
        }

    def find(self, call):
        """The method of a call; None for others."""
        return self._methods.get(call.path)

    async def empty(self, _data, _call):
        return b""

    async def unary(self, data, call):
        request = self._kinds["SimpleRequest"].FromString(data)
        self._greet(call)
        self._refuse(request)
        if request.response_compressed.value:
            call.compress("gzip")
        return self._payload("SimpleResponse", request.response_size)

    async def taking(self, call):
        self._greet(call)
        total = 0
        while (data := await call.read()) is not None:
            total += len(self._kinds["StreamingInputCallRequest"].FromString(data).payload.body)
        kind = self._kinds["StreamingInputCallResponse"]
        await call.write(kind(aggregated_payload_size=total).SerializeToString())

    async def giving(self, call):
        self._greet(call)
        await self._give(await call.read(), call)

    async def talking(self, call):
        self._greet(call)
        while (data := await call.read()) is not None:
            await self._give(data, call)

    async def _give(self, data, call):
        request = self._kinds["StreamingOutputCallRequest"].FromString(data)
        self._refuse(request)
        for wanted in request.response_parameters:
            if wanted.interval_us:
                await asyncio.sleep(wanted.interval_us / 1e6)
            await call.write(self._payload("StreamingOutputCallResponse", wanted.size))

    def _payload(self, kind, size):
        return self._kinds[kind](payload={"body": bytes(size)}).SerializeToString()

    @staticmethod
    def _refuse(request):
        if request.response_status.code:
            raise Aborted(Code(request.response_status.code), request.response_status.message)

    @staticmethod
    def _greet(call):
        """Echo metadata, before the first message too, which no method of ours has reason to."""
        found = dict(metadata_in(call._head.headers))
        if INITIAL in found:
            head = (*grpc_protocol._HEADERS, *headers_of([(INITIAL, found[INITIAL])]))
            call._connection.engine.respond(call.stream, head)
            call._answered = True
        if TRAILING in found:
            call.trailing.append((TRAILING, found[TRAILING]))
