# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types.mixin` of Jina 3."""

from jina.legacy.requests import (
    ProtoMessage as ProtoTypeMixin,
)

__all__ = [
    "ProtoTypeMixin",
]
