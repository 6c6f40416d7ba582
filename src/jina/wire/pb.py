"""The protobuf message classes, in a descriptor pool of their own.

`jina.desc` (written by `scripts/gen_proto.py` from `protos/`) is loaded into `POOL`, never into protobuf's
default pool: DocArray registers its own `docarray.proto` there, and a second one of that name is an error. So
these classes and DocArray's are strangers that speak the same bytes. Reflection serves `POOL`.

Loads neither docarray nor grpc.
"""

# ruff: noqa: TC004 - the loop at the end gives the names at run time
from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.struct_pb2 import ListValue, Struct, Value
    from google.protobuf.timestamp_pb2 import Timestamp

    from jina.wire.docarray_pb2 import (
        DenseNdArrayProto,
        DictOfAnyProto,
        DocListProto,
        DocProto,
        DocVecProto,
        ListOfAnyProto,
        ListOfDocVecProto,
        NdArrayProto,
        NodeProto,
    )
    from jina.wire.envelope_pb2 import (
        ContentEnvelopeProto,
        DocListEnvelopeProto,
        EnvelopeProto,
        SingleDocumentEnvelopeProto,
    )
    from jina.wire.jina_pb2 import (
        DataRequestListProto,
        DataRequestProto,
        DataRequestProtoWoData,
        EndpointsProto,
        HeaderProto,
        JinaInfoProto,
        RelatedEntity,
        RestoreId,
        RestoreSnapshotCommand,
        RestoreSnapshotStatusProto,
        RouteProto,
        SingleDocumentRequestProto,
        SnapshotId,
        SnapshotStatusProto,
        StatusProto,
    )

__all__ = [
    "POOL",
    "ContentEnvelopeProto",
    "DataRequestListProto",
    "DataRequestProto",
    "DataRequestProtoWoData",
    "DenseNdArrayProto",
    "DictOfAnyProto",
    "DocListEnvelopeProto",
    "DocListProto",
    "DocProto",
    "DocVecProto",
    "Empty",
    "EndpointsProto",
    "EnvelopeProto",
    "HeaderProto",
    "JinaInfoProto",
    "ListOfAnyProto",
    "ListOfDocVecProto",
    "ListValue",
    "NdArrayProto",
    "NodeProto",
    "RelatedEntity",
    "RestoreId",
    "RestoreSnapshotCommand",
    "RestoreSnapshotStatusProto",
    "RouteProto",
    "SingleDocumentEnvelopeProto",
    "SingleDocumentRequestProto",
    "SnapshotId",
    "SnapshotStatusProto",
    "StatusProto",
    "Struct",
    "Timestamp",
    "Value",
    "message_class",
    "service",
]


def _load_pool() -> DescriptorPool:
    described = pkgutil.get_data(__name__, "jina.desc")
    assert described is not None
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(described).file:
        pool.Add(file)
    return pool


POOL = _load_pool()
"""Knows `docarray.proto`, `jina.proto` with its services, `envelope.proto` and what they import."""


def message_class(full_name: str) -> Any:
    """The class of a message by its full name, such as `jina.HeaderProto`.

    Raises `KeyError` for a name that the pool lacks.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def service(full_name: str) -> ServiceDescriptor:
    """The descriptor of a service, such as `jina.JinaRPC`.

    Raises `KeyError` for a name that the pool lacks.
    """
    return POOL.FindServiceByName(full_name)


if not TYPE_CHECKING:
    _FULL_NAMES = {
        name: f"{package}.{name}"
        for file, package in (
            ("google/protobuf/struct.proto", "google.protobuf"),
            ("google/protobuf/empty.proto", "google.protobuf"),
            ("google/protobuf/timestamp.proto", "google.protobuf"),
            ("docarray.proto", "docarray"),
            ("jina.proto", "jina"),
            ("envelope.proto", "jina"),
        )
        for name in POOL.FindFileByName(file).message_types_by_name
    }
    for _name, _full_name in _FULL_NAMES.items():
        globals()[_name] = message_class(_full_name)
