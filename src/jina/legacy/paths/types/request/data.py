# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types.request.data` of Jina 3."""

from jina.client.post import (
    Response as Response,
)

from jina.legacy.requests import (
    DataRequest as DataRequest,
    SingleDocumentRequest as SingleDocumentRequest,
)

__all__ = [
    "DataRequest",
    "Response",
    "SingleDocumentRequest",
]
