"""The protobuf message classes, in a descriptor pool of their own.

`jina.desc` (written by `scripts/gen_proto.py` from `protos/`) is loaded into `POOL`, never into protobuf's
default pool: DocArray registers its own `docarray.proto` there, and a second one of that name is an error. So
these classes and DocArray's are unrelated, with the same wire format. Reflection serves `POOL`.

Loads neither docarray nor grpc; protobuf (and the pool) only when a name is asked for, as a worker that serves JSON
alone needs none of it.
"""

from __future__ import annotations

import functools
import pkgutil
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.struct_pb2 import ListValue, Struct, Value
    from google.protobuf.timestamp_pb2 import Timestamp

    from jina.codec import docarray_pb2, envelope_pb2, jina_pb2

    DenseNdArrayProto = docarray_pb2.DenseNdArrayProto
    DictOfAnyProto = docarray_pb2.DictOfAnyProto
    DocListProto = docarray_pb2.DocListProto
    DocProto = docarray_pb2.DocProto
    DocVecProto = docarray_pb2.DocVecProto
    ListOfAnyProto = docarray_pb2.ListOfAnyProto
    ListOfDocVecProto = docarray_pb2.ListOfDocVecProto
    NdArrayProto = docarray_pb2.NdArrayProto
    NodeProto = docarray_pb2.NodeProto
    ContentEnvelopeProto = envelope_pb2.ContentEnvelopeProto
    DocListEnvelopeProto = envelope_pb2.DocListEnvelopeProto
    EnvelopeProto = envelope_pb2.EnvelopeProto
    SingleDocumentEnvelopeProto = envelope_pb2.SingleDocumentEnvelopeProto
    DataRequestListProto = jina_pb2.DataRequestListProto
    DataRequestProto = jina_pb2.DataRequestProto
    DataRequestProtoWoData = jina_pb2.DataRequestProtoWoData
    EndpointsProto = jina_pb2.EndpointsProto
    HeaderProto = jina_pb2.HeaderProto
    JinaInfoProto = jina_pb2.JinaInfoProto
    RelatedEntity = jina_pb2.RelatedEntity
    RestoreId = jina_pb2.RestoreId
    RestoreSnapshotCommand = jina_pb2.RestoreSnapshotCommand
    RestoreSnapshotStatusProto = jina_pb2.RestoreSnapshotStatusProto
    RouteProto = jina_pb2.RouteProto
    SingleDocumentRequestProto = jina_pb2.SingleDocumentRequestProto
    SnapshotId = jina_pb2.SnapshotId
    SnapshotStatusProto = jina_pb2.SnapshotStatusProto
    StatusProto = jina_pb2.StatusProto

__all__ = [
    "DESCRIPTOR",
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

_lock = threading.RLock()
if TYPE_CHECKING:
    DESCRIPTOR: FileDescriptor
    """`jina.proto`, under the name that it has in modules that protoc generates."""
    POOL: DescriptorPool
    """Knows `docarray.proto`, `jina.proto` with its services, `envelope.proto` and what they import."""


def _pool() -> DescriptorPool:
    with _lock:
        return _load_pool()


@functools.cache
def _load_pool() -> DescriptorPool:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

    described = pkgutil.get_data(__name__, "jina.desc")
    assert described is not None
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(described).file:
        pool.Add(file)
    return pool


def message_class(full_name: str) -> Any:
    """The class of a message by its full name, such as `jina.HeaderProto`.

    Raises `KeyError` for a name that the pool lacks.
    """
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full_name))


def service(full_name: str) -> ServiceDescriptor:
    """The descriptor of a service, such as `jina.JinaRPC`.

    Raises `KeyError` for a name that the pool lacks.
    """
    return _pool().FindServiceByName(full_name)


def _load() -> dict[str, Any]:
    names: dict[str, Any] = {"POOL": _pool(), "DESCRIPTOR": _pool().FindFileByName("jina.proto")}
    for file, package in (
        ("google/protobuf/struct.proto", "google.protobuf"),
        ("google/protobuf/empty.proto", "google.protobuf"),
        ("google/protobuf/timestamp.proto", "google.protobuf"),
        ("docarray.proto", "docarray"),
        ("jina.proto", "jina"),
        ("envelope.proto", "jina"),
    ):
        for name in _pool().FindFileByName(file).message_types_by_name:
            names[name] = message_class(f"{package}.{name}")
    return names


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Any public name: all are loaded at once, and stand in the module from then on."""
        if name in __all__:
            with _lock:  # two threads must not get classes of two pools
                if name not in globals():
                    globals().update(_load())
            return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
