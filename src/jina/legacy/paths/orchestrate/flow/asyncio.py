# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.orchestrate.flow.asyncio` of Jina 3."""

from jina.orchestration import (
    AsyncFlow as AsyncFlow,
)

__all__ = [
    "AsyncFlow",
]
