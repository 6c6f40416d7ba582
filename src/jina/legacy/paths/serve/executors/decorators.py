# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.executors.decorators` of Jina 3."""

from jina.executor import (
    dynamic_batching as dynamic_batching,
    monitor as monitor,
    requests as requests,
    write as write,
)

__all__ = [
    "dynamic_batching",
    "monitor",
    "requests",
    "write",
]
