# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.proto` of Jina 3."""

from jina.wire import (
    pb as jina_pb2,
)

__all__ = [
    "jina_pb2",
]
