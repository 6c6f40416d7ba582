# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.logging.logger` of Jina 3."""

from jina.legacy.logger import (
    JinaLogger as JinaLogger,
)

__all__ = [
    "JinaLogger",
]
