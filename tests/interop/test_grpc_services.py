"""What both servers tell of themselves over gRPC."""

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from jina.codec import pb

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

SIDES = ("ours", "theirs")


@pytest.fixture(scope="module")
def channels(servers):
    urls = {
        name: servers[name].removeprefix("grpc://") for side in SIDES for name in (f"{side}.grpc", f"{side}.loose-grpc")
    }
    opened = {name: grpc.insecure_channel(url) for name, url in urls.items()}
    yield opened
    for channel in opened.values():
        channel.close()


def asked(channel, path, message=b"", timeout=10):
    return channel.unary_unary(path)(message, timeout=timeout)


def discovered(channel):
    return MessageToDict(
        pb.EndpointsProto.FromString(asked(channel, "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery"))
    )


def shape(schema):
    """What of a JSON Schema says which documents fit: texts, examples and the order of names do not count."""
    if isinstance(schema, list):
        return [shape(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"description", "example", "title", "$schema"}
    found = {key: shape(value) for key, value in schema.items() if key not in dropped}
    return (
        {**found, "properties": {key: shape(value) for key, value in schema["properties"].items()}}
        if "properties" in schema
        else found
    )


def test_discovery_gives_the_same_endpoints_and_schemas(channels):
    ours, theirs = (discovered(channels[f"{side}.grpc"]) for side in SIDES)
    assert set(ours["endpoints"]) == set(theirs["endpoints"])
    assert set(ours["schemas"]) == set(theirs["schemas"])
    for endpoint, schema in theirs["schemas"].items():
        if endpoint == "_jina_dry_run_":
            continue
        mine = ours["schemas"][endpoint]
        for part in ("input", "output"):
            if (endpoint, part) in {("/results", "output"), ("/wrong_return", "output")}:  # without a return annotation
                continue
            assert mine[part]["name"] == schema[part]["name"]
            assert shape(mine[part]["model"]) == shape(schema[part]["model"]), endpoint
        assert mine["is_generator"] == schema["is_generator"]
        assert mine["is_singleton_doc"] == schema["is_singleton_doc"]
        assert mine["parameters"]["name"] == schema["parameters"]["name"]
        assert shape(mine["parameters"]["model"]) == shape(schema["parameters"]["model"])


def test_discovery_of_schemaless_endpoints_has_the_same_fields(channels):
    ours, theirs = (discovered(channels[f"{side}.loose-grpc"])["schemas"]["/loose"]["input"]["model"] for side in SIDES)
    assert set(ours["properties"]) == set(theirs["$defs"]["LegacyDocumentJina"]["properties"])


@pytest.mark.parametrize("side", SIDES)
def test_health(channels, side):
    channel = channels[f"{side}.grpc"]
    for service in ("", "jina.JinaRPC", "jina.JinaSingleDataRequestRPC"):
        question = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        answer = health_pb2.HealthCheckResponse.FromString(asked(channel, "/grpc.health.v1.Health/Check", question))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def services_of(channel):
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    (answer,) = channel.stream_stream(path)(iter([question]), timeout=10)
    listed = reflection_pb2.ServerReflectionResponse.FromString(answer).list_services_response.service
    return {service.name for service in listed}


def test_reflection_lists_what_clients_of_jina_3_look_for(channels):
    ours, theirs = (services_of(channels[f"{side}.grpc"]) for side in SIDES)
    # Snapshots of Jina 3 belong to its RAFT; its health service is served by both, and listed by it alone.
    assert theirs - ours <= {
        "jina.JinaExecutorSnapshot",
        "jina.JinaExecutorSnapshotProgress",
        "jina.JinaExecutorRestore",
        "jina.JinaExecutorRestoreProgress",
        "grpc.health.v1.Health",
    }
    assert "jina.JinaSingleDocumentRequestRPC" in ours


def test_status_tells_versions(channels):
    path = "/jina.JinaInfoRPC/_status"
    ours, theirs = (pb.JinaInfoProto.FromString(asked(channels[f"{side}.grpc"], path)) for side in SIDES)
    content = {
        "jina",
        "jina-proto",
        "proto-backend",
        "platform-version",
        "docarray",
        "protobuf",
        "grpcio",
        "pyyaml",
        "python",
        "platform",
        "platform-release",
        "architecture",
        "uptime",
    }
    assert content <= set(ours.jina) & set(theirs.jina)
    assert ours.jina["python"] == theirs.jina["python"]
    assert {"uid", "session-id"} <= set(theirs.jina) - set(ours.jina)  # "status-members"


def test_dry_run(servers, channels):
    path = "/jina.JinaGatewayDryRunRPC/dry_run"
    with grpc.insecure_channel(servers["theirs.flow-grpc"].removeprefix("grpc://")) as gateway:
        for channel in (channels["ours.grpc"], gateway):
            assert pb.StatusProto.FromString(asked(channel, path)).code == pb.StatusProto.SUCCESS
    with pytest.raises(grpc.RpcError) as caught:  # "dry-run"
        asked(channels["theirs.grpc"], path)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
