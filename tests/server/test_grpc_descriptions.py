"""What a gRPC port tells about its service."""

import asyncio

import grpc
import pytest
from google.protobuf import descriptor_pb2, json_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from jina.codec import pb
from jina.net.limits import Gate
from jina.server.grpc_probes import Health
from tests.server.sample_service import NOTE_SCHEMA, SampleService, authority, run, served
from tests.server.test_grpc_calls import message_of, unary, with_channel

pytestmark = pytest.mark.usefixtures("engine")

LISTED = {
    "grpc.reflection.v1alpha.ServerReflection",
    "jina.JinaDataRequestRPC",
    "jina.JinaDiscoverEndpointsRPC",
    "jina.JinaGatewayDryRunRPC",
    "jina.JinaInfoRPC",
    "jina.JinaRPC",
    "jina.JinaSingleDataRequestRPC",
    "jina.JinaSingleDocumentRequestRPC",
}


def empty_call(channel, path, response):
    return unary(channel, path, pb.Empty, response)(pb.Empty())


def test_endpoint_discovery():
    async def use(channel, _service):
        found = await empty_call(channel, "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery", pb.EndpointsProto)
        assert {"/echo", "/tokens", "_jina_dry_run_"} <= set(found.endpoints)
        assert list(found.write_endpoints) == ["/write"]
        schemas = json_format.MessageToDict(found.schemas)
        assert schemas["/tokens"]["is_generator"] is True
        assert schemas["/tokens"]["is_singleton_doc"] is True
        assert schemas["/echo"] == {
            "input": {"name": "Note", "model": NOTE_SCHEMA},
            "output": {"name": "Note", "model": NOTE_SCHEMA},
            "is_generator": False,
            "is_singleton_doc": False,
            "parameters": {"name": None, "model": None},
        }

    with_channel(use)


def test_dry_run():
    async def use(channel, service):
        path = "/jina.JinaGatewayDryRunRPC/dry_run"
        assert (await empty_call(channel, path, pb.StatusProto)).code == 0
        assert (await unary(channel)(message_of("_jina_dry_run_"))).header.status.code == 0
        service.up = False
        status = await empty_call(channel, path, pb.StatusProto)
        assert (status.code, status.error) == (1, "Unavailable")

    with_channel(use)


def test_status_tells_versions_and_hides_secrets(monkeypatch):
    monkeypatch.setenv("JINA_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("JINA_AUTH_TOKEN", "do-not-tell")

    async def use(channel, _service):
        info = await empty_call(channel, "/jina.JinaInfoRPC/_status", pb.JinaInfoProto)
        assert {"jina", "docarray", "protobuf", "grpcio", "python", "uptime"} <= set(info.jina)
        assert info.envs["JINA_LOG_LEVEL"] == "DEBUG"
        assert "do-not-tell" not in info.envs.values()

    with_channel(use)


def health(channel, name):
    check = unary(
        channel, "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    )
    return check(health_pb2.HealthCheckRequest(service=name))


def test_health_follows_readiness():
    async def use(channel, service):
        for name in ("", *LISTED):
            assert (await health(channel, name)).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel, "no.Such")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        service.checks = {"first": True, "first/rep-0": False}
        assert (await health(channel, "first")).status == health_pb2.HealthCheckResponse.SERVING
        assert (await health(channel, "first/rep-0")).status == health_pb2.HealthCheckResponse.NOT_SERVING
        service.up = False
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await health(channel, "first")).status == health_pb2.HealthCheckResponse.SERVING
        assert (await health(channel, "")).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()

        # The messages are ours, as older releases of the library have none for this.
        question, response = (pb.message_class(f"grpc.health.v1.HealthList{kind}") for kind in ("Request", "Response"))
        listing = unary(channel, "/grpc.health.v1.Health/List", question, response)
        states = (await listing(question())).statuses
        assert states.keys() == {"", *LISTED, "first", "first/rep-0"}
        assert states["first"].status == health_pb2.HealthCheckResponse.SERVING
        assert states[""].status == health_pb2.HealthCheckResponse.NOT_SERVING

    with_channel(use)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("/grpc.health.v1.Health/Check", "unary_unary"),
        ("/grpc.health.v1.Health/Watch", "unary_stream"),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "stream_stream"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"),
    ],
)
def test_bytes_that_are_no_message_of_a_tool_are_an_invalid_argument(method, kind):
    async def use(channel, service):
        calling = getattr(channel, kind)(method)
        call = calling(iter([b"\xff" * 20]) if kind == "stream_stream" else b"\xff" * 20)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if kind == "unary_unary" else call.read())
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    with_channel(use)


def test_health_turns_false_before_the_server_stops():
    async def main():
        service = SampleService()
        async with (
            served(service, "grpc", grace=2.0) as server,
            grpc.aio.insecure_channel(authority(server)) as channel,
        ):
            watch = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            stopping = asyncio.create_task(server.stop(10.0))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await watch.read() is grpc.aio.EOF
            await asyncio.wait_for(stopping, 2)

    run(main())


@pytest.mark.parametrize("ready", [True, False])
def test_who_watches_health_is_told_of_a_stop_during_the_answer_before(ready):
    """The server begins to stop after the state was read, before what sends it goes on."""

    async def main():
        gate = Gate(SampleService())
        gate.service.up = ready
        result = []

        class Watching:
            async def read(self):
                return health_pb2.HealthCheckRequest().SerializeToString()

            async def write(self, message):
                result.append(health_pb2.HealthCheckResponse.FromString(message).status)
                gate.draining = True

        await Health(gate).watch(Watching())
        return result

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert run(main()) == ([serving, not_serving] if ready else [not_serving])


async def reflect(channel, version, **request):
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await call.write(reflection_pb2.ServerReflectionRequest(**request))
    answer = await call.read()
    await call.done_writing()
    return answer


def test_reflection():
    async def use(channel, _service):
        for version in ("v1alpha", "v1"):
            answer = await reflect(channel, version, list_services="")
            assert {service.name for service in answer.list_services_response.service} == LISTED
        for symbol in sorted(LISTED):
            answer = await reflect(channel, "v1alpha", file_containing_symbol=symbol)
            files = [
                descriptor_pb2.FileDescriptorProto.FromString(data)
                for data in answer.file_descriptor_response.file_descriptor_proto
            ]
            package, _, name = symbol.rpartition(".")
            assert any(file.package == package and name in {s.name for s in file.service} for file in files)
        answer = await reflect(channel, "v1alpha", file_containing_symbol="no.Such")
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]

    with_channel(use)


def test_questions_of_reflection_of_every_kind():
    async def use(channel, _service):
        for version in ("v1alpha", "v1"):
            answer = await reflect(
                channel, version, file_containing_symbol=f"grpc.reflection.{version}.ServerReflection"
            )
            (file,) = map(
                descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto
            )
            assert file.package == f"grpc.reflection.{version}"
            answer = await reflect(channel, version, file_by_filename=file.name, host="here")
            assert answer.file_descriptor_response.file_descriptor_proto == [file.SerializeToString()]
            assert (answer.valid_host, answer.original_request.file_by_filename) == ("here", file.name)
            answer = await reflect(channel, version, all_extension_numbers_of_type="jina.HeaderProto")
            assert answer.all_extension_numbers_response.base_type_name == "jina.HeaderProto"
            asked = {"containing_type": "jina.HeaderProto", "extension_number": 7}
            answer = await reflect(channel, version, file_containing_extension=asked)
            assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
            answer = await reflect(channel, version, all_extension_numbers_of_type="no.Such")
            assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
            answer = await reflect(channel, version)
            assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]

    with_channel(use)


def test_our_messages_of_tools_are_those_of_the_libraries():
    for library, ours in (
        (health_pb2.DESCRIPTOR, "grpc/health/v1/health.proto"),
        (reflection_pb2.DESCRIPTOR, "grpc/reflection/v1alpha/reflection.proto"),
    ):
        wanted, found = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
        library.CopyToProto(wanted)
        pb.POOL.FindFileByName(ours).CopyToProto(found)
        for message in (*wanted.message_type, *found.message_type):
            for field in (*message.field, *(field for nested in message.nested_type for field in nested.field)):
                field.ClearField("json_name")
        assert found.package == wanted.package
        messages = {message.name: message for message in found.message_type}
        methods = {method.name: method for method in found.service[0].method}
        assert [message for message in wanted.message_type if messages[message.name] != message] == []
        assert [method for method in wanted.service[0].method if methods[method.name] != method] == []
