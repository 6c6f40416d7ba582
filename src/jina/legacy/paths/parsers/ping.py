# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.ping` of Jina 3."""

from jina.legacy.parsers import (
    set_ping_parser as set_ping_parser,
)

__all__ = [
    "set_ping_parser",
]
