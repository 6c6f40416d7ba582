# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.base` of Jina 3."""

from jina.legacy.parsers import (
    set_base_parser as set_base_parser,
)

__all__ = [
    "set_base_parser",
]
