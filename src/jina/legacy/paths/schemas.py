# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.schemas` of Jina 3."""

from jina.legacy.schemas import (
    get_full_schema as get_full_schema,
)

__all__ = [
    "get_full_schema",
]
