# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina._docarray` of Jina 3."""

from jina.documents import (
    Document as Document,
    DocumentArray as DocumentArray,
)

from jina.legacy.versions import (
    docarray_v2 as docarray_v2,
    is_pydantic_v2 as is_pydantic_v2,
)

__all__ = [
    "Document",
    "DocumentArray",
    "docarray_v2",
    "is_pydantic_v2",
]
