# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.base` of Jina 3."""

from jina.client.base import (
    BaseClient as BaseClient,
)

__all__ = [
    "BaseClient",
]
