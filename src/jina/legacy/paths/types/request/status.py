# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types.request.status` of Jina 3."""

from jina.legacy.requests import (
    StatusMessage as StatusMessage,
)

__all__ = [
    "StatusMessage",
]
