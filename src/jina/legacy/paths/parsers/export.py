# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.export` of Jina 3."""

from jina.legacy.parsers import (
    set_export_flowchart_parser as set_export_flowchart_parser,
    set_export_parser as set_export_parser,
    set_export_schema_parser as set_export_schema_parser,
)

__all__ = [
    "set_export_flowchart_parser",
    "set_export_parser",
    "set_export_schema_parser",
]
