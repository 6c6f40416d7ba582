# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.checker` of Jina 3."""

from jina.legacy.later import (
    NetworkChecker as NetworkChecker,
)

__all__ = [
    "NetworkChecker",
]
