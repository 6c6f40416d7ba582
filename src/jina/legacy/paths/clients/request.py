# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.request` of Jina 3."""

from jina.legacy.services import (
    request_generator as request_generator,
)

__all__ = [
    "request_generator",
]
