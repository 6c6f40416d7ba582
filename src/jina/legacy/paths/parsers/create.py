# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.create` of Jina 3."""

from jina.legacy.parsers import (
    set_new_project_parser as set_new_project_parser,
)

__all__ = [
    "set_new_project_parser",
]
