# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.proto.jina_pb2` of Jina 3."""

from jina.codec.pb import (
    DESCRIPTOR as DESCRIPTOR,
    DataRequestListProto as DataRequestListProto,
    DataRequestProto as DataRequestProto,
    DataRequestProtoWoData as DataRequestProtoWoData,
    DocListProto as DocListProto,
    DocProto as DocProto,
    EndpointsProto as EndpointsProto,
    HeaderProto as HeaderProto,
    JinaInfoProto as JinaInfoProto,
    RelatedEntity as RelatedEntity,
    RestoreId as RestoreId,
    RestoreSnapshotCommand as RestoreSnapshotCommand,
    RestoreSnapshotStatusProto as RestoreSnapshotStatusProto,
    RouteProto as RouteProto,
    SingleDocumentRequestProto as SingleDocumentRequestProto,
    SnapshotId as SnapshotId,
    SnapshotStatusProto as SnapshotStatusProto,
    StatusProto as StatusProto,
)

__all__ = [
    "DESCRIPTOR",
    "DataRequestListProto",
    "DataRequestProto",
    "DataRequestProtoWoData",
    "DocListProto",
    "DocProto",
    "EndpointsProto",
    "HeaderProto",
    "JinaInfoProto",
    "RelatedEntity",
    "RestoreId",
    "RestoreSnapshotCommand",
    "RestoreSnapshotStatusProto",
    "RouteProto",
    "SingleDocumentRequestProto",
    "SnapshotId",
    "SnapshotStatusProto",
    "StatusProto",
]
