# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.logging.profile` of Jina 3."""

from jina.legacy.profile import (
    ProgressBar as ProgressBar,
    TimeContext as TimeContext,
)

__all__ = [
    "ProgressBar",
    "TimeContext",
]
