# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.logging` of Jina 3."""

from jina.legacy.parsers import (
    mixin_suppress_root_logging_parser as mixin_suppress_root_logging_parser,
)

__all__ = [
    "mixin_suppress_root_logging_parser",
]
