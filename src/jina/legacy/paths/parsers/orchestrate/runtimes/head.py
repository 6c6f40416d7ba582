# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.head` of Jina 3."""

from jina.legacy.parsers import (
    mixin_head_parser as mixin_head_parser,
)

__all__ = [
    "mixin_head_parser",
]
