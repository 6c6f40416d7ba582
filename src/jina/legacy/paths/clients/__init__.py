# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients` of Jina 3."""

from jina.client import (
    Client as Client,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "Client",
]
