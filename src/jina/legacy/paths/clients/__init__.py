# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients` of Jina 3."""

from jina.client import (
    Client as Client,
)

__all__ = [
    "Client",
]
