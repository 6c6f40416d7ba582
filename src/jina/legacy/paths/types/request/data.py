# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.types.request.data` of Jina 3."""

from jina.legacy.later import (
    DataRequest as DataRequest,
    Response as Response,
    SingleDocumentRequest as SingleDocumentRequest,
)

__all__ = [
    "DataRequest",
    "Response",
    "SingleDocumentRequest",
]
