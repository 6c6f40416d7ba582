# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.proto.serializer` of Jina 3."""

from jina.codec.pb import (
    DataRequestListProto as DataRequestListProto,
    DataRequestProto as DataRequestProto,
    EndpointsProto as EndpointsProto,
    JinaInfoProto as JinaInfoProto,
    RestoreId as RestoreId,
    RestoreSnapshotCommand as RestoreSnapshotCommand,
    RestoreSnapshotStatusProto as RestoreSnapshotStatusProto,
    SingleDocumentRequestProto as SingleDocumentRequestProto,
    SnapshotId as SnapshotId,
    SnapshotStatusProto as SnapshotStatusProto,
    StatusProto as StatusProto,
)

__all__ = [
    "DataRequestListProto",
    "DataRequestProto",
    "EndpointsProto",
    "JinaInfoProto",
    "RestoreId",
    "RestoreSnapshotCommand",
    "RestoreSnapshotStatusProto",
    "SingleDocumentRequestProto",
    "SnapshotId",
    "SnapshotStatusProto",
    "StatusProto",
]
