"""Before document classes are defined: on Python 3.12 and later DocArray needs a repair for nested lists."""

from jina.documents.docarray_patches import ensure_nested_lists

ensure_nested_lists()
