"""The messages: what is generated, what they are called, and that they live in a pool of their own."""

import os
import subprocess
import sys
from pathlib import Path

import docarray.proto
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from jina.codec import pb

ROOT = Path(__file__).resolve().parents[2]
CODEC = ROOT / "src" / "jina" / "codec"


def test_generated_files_are_those_that_the_protos_give(tmp_path):
    pytest.importorskip("grpc_tools")
    subprocess.run([sys.executable, ROOT / "scripts" / "gen_proto.py", tmp_path], check=True, timeout=50)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["docarray_pb2.pyi", "envelope_pb2.pyi", "jina.desc", "jina_pb2.pyi"]
    for name in names:
        if name.endswith(".pyi"):
            assert (tmp_path / name).read_text() == (CODEC / name).read_text(), name
    ours, fresh = ((folder / "jina.desc").read_bytes() for folder in (CODEC, tmp_path))
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    assert FileDescriptorSet.FromString(ours) == FileDescriptorSet.FromString(fresh)


def test_names_in_all_are_message_classes():
    for name in pb.__all__:
        if name not in {"DESCRIPTOR", "POOL", "message_class", "service"}:
            assert getattr(pb, name).DESCRIPTOR.name == name


def test_docarray_messages_equal_docarrays():
    theirs = FileDescriptorProto()
    docarray.proto.DocProto.DESCRIPTOR.file.CopyToProto(theirs)
    ours = FileDescriptorProto()
    pb.DocProto.DESCRIPTOR.file.CopyToProto(ours)
    for message in ours.message_type:
        for part in (*message.field, *(field for nested in message.nested_type for field in nested.field)):
            part.ClearField("json_name")
    described = {message.name: message for message in ours.message_type}
    assert sorted(described) == sorted(message.name for message in theirs.message_type)
    for message in theirs.message_type:
        assert sorted(map(str, described[message.name].field)) == sorted(map(str, message.field)), message.name
        assert sorted(map(str, described[message.name].oneof_decl)) == sorted(map(str, message.oneof_decl))


def test_the_default_pool_is_left_alone():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName("jina.proto")
    assert pb.DocProto is not docarray.proto.DocProto


@pytest.mark.slow
@pytest.mark.parametrize("first", ["jina.codec.pb", "docarray.proto"])
def test_both_pools_live_in_one_process_in_any_order(first):
    second = {"jina.codec.pb": "docarray.proto", "docarray.proto": "jina.codec.pb"}[first]
    code = f"import {first}, {second}"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=50)


def test_messages_payloads_and_parameters_load_no_document_library():
    code = (
        "import sys, jina.codec.pb, jina.codec.payloads, jina.codec.parameters, jina.codec.status, jina.codec.messages,"
        "jina.codec.plain_json\n"
        "loaded = {'docarray', 'grpc', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50, env=environment)


def test_services_as_in_jina_3():
    kinds = {
        "jina.JinaDataRequestRPC/process_data": ("jina.DataRequestListProto", "jina.DataRequestProto", False, False),
        "jina.JinaSingleDataRequestRPC/process_single_data": (
            "jina.DataRequestProto", "jina.DataRequestProto", False, False,
        ),
        "jina.JinaSingleDocumentRequestRPC/stream_doc": (
            "jina.SingleDocumentRequestProto", "jina.SingleDocumentRequestProto", False, True,
        ),
        "jina.JinaRPC/Call": ("jina.DataRequestProto", "jina.DataRequestProto", True, True),
        "jina.JinaDiscoverEndpointsRPC/endpoint_discovery": (
            "google.protobuf.Empty", "jina.EndpointsProto", False, False,
        ),
        "jina.JinaGatewayDryRunRPC/dry_run": ("google.protobuf.Empty", "jina.StatusProto", False, False),
        "jina.JinaInfoRPC/_status": ("google.protobuf.Empty", "jina.JinaInfoProto", False, False),
    }  # fmt: skip
    for path, expected in kinds.items():
        name, method = path.split("/")
        found = pb.service(name).methods_by_name[method]
        streams = (found.client_streaming, found.server_streaming)
        assert (found.input_type.full_name, found.output_type.full_name, *streams) == expected


def full_request() -> pb.DataRequestProto:
    request = pb.DataRequestProto()
    request.header.request_id = "r"
    request.header.exec_endpoint = ""
    request.header.timeout = 5
    request.parameters.update({"a": 1})
    request.routes.add(executor="e").start_time.FromSeconds(3)
    request.data.docs.docs.add().data["text"].text = "hello"
    request.parameters_json = b"{}"
    return request


def test_an_envelope_is_a_request_with_its_documents_left_as_bytes():
    request = full_request()
    data = request.SerializeToString(deterministic=True)
    envelope = pb.EnvelopeProto.FromString(data)
    assert envelope.SerializeToString(deterministic=True) == data
    assert envelope.header.HasField("exec_endpoint")
    content = pb.ContentEnvelopeProto.FromString(envelope.data)
    assert content.WhichOneof("documents") == "docs"
    assert content.docs == request.data.docs.SerializeToString()
    assert pb.DocListEnvelopeProto.FromString(content.docs).docs == [request.data.docs.docs[0].SerializeToString()]


def test_a_single_document_envelope_likewise():
    request = pb.SingleDocumentRequestProto(parameters_json=b"1")
    request.document.data["text"].text = "hello"
    data = request.SerializeToString(deterministic=True)
    envelope = pb.SingleDocumentEnvelopeProto.FromString(data)
    assert envelope.document == request.document.SerializeToString()
    assert envelope.SerializeToString(deterministic=True) == data


def test_well_known_types_have_their_helpers():
    struct = pb.Struct()
    struct.update({"a": [1, None, {"b": True}]})
    assert struct["a"][0] == 1
    stamp = pb.Timestamp()
    stamp.FromMilliseconds(1500)
    assert (stamp.seconds, stamp.nanos) == (1, 500_000_000)
