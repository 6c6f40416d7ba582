"""The schemaless Document and DocumentArray, and helpers on typed documents.

Takes: content.
Gives: documents.
Never: knows the wire. Imports docarray on first use only; `query` needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jina.documents.array import DocumentArray as DocumentArray
    from jina.documents.array import array_class_of as array_class_of
    from jina.documents.array import is_schemaless as is_schemaless
    from jina.documents.docarray_patches import ensure_docvec as ensure_docvec
    from jina.documents.docarray_patches import ensure_nested_lists as ensure_nested_lists
    from jina.documents.docarray_patches import repair_docarray as repair_docarray
    from jina.documents.document import FIELDS as FIELDS
    from jina.documents.document import Document as Document
    from jina.documents.document import NamedScore as NamedScore
    from jina.documents.document import make_document as make_document
    from jina.documents.query import Query as Query

_HOMES = {
    "Document": "jina.documents.document",
    "DocumentArray": "jina.documents.array",
    "FIELDS": "jina.documents.document",
    "NamedScore": "jina.documents.document",
    "Query": "jina.documents.query",
    "array_class_of": "jina.documents.array",
    "ensure_docvec": "jina.documents.docarray_patches",
    "ensure_nested_lists": "jina.documents.docarray_patches",
    "is_schemaless": "jina.documents.array",
    "make_document": "jina.documents.document",
    "repair_docarray": "jina.documents.docarray_patches",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one table of names  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'jina.documents' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
