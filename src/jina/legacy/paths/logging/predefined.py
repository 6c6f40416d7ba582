# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.logging.predefined` of Jina 3."""

from jina.legacy.logger import (
    default_logger as default_logger,
)

__all__ = [
    "default_logger",
]
