# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.worker` of Jina 3."""

from jina.legacy.parsers import (
    mixin_worker_runtime_parser as mixin_worker_runtime_parser,
)

__all__ = [
    "mixin_worker_runtime_parser",
]
