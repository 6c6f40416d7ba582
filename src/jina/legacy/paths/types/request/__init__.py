# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types.request` of Jina 3."""

from jina.client.post import (
    Response as Response,
)

from jina.legacy.requests import (
    Request as Request,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "Request",
    "Response",
]
