"""What must be mended in DocArray before code of the user is imported in a process of ours."""

from __future__ import annotations

from jina.documents.docvec import ensure_docvec
from jina.documents.nested_lists import ensure_nested_lists


def repair_docarray() -> None:
    """Let classes with nested lists be defined and tensors be stacked; imports docarray, safe to call often."""
    ensure_nested_lists()
    ensure_docvec()
