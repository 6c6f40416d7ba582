"""DocArray's LegacyDocument, which is what Jina 3.34 sends; on Python 3.12+ its import needs the repair."""

from jina.documents import ensure_nested_lists

ensure_nested_lists()

from docarray.documents.legacy import LegacyDocument  # noqa: E402

__all__ = ["LegacyDocument"]
