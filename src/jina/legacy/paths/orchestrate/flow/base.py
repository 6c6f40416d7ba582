# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.orchestrate.flow.base` of Jina 3."""

from jina.orchestration import (
    Flow as Flow,
)

__all__ = [
    "Flow",
]
