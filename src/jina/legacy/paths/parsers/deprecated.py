# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.deprecated` of Jina 3."""

from jina.legacy.parsers import (
    get_deprecated_replacement as get_deprecated_replacement,
)

__all__ = [
    "get_deprecated_replacement",
]
