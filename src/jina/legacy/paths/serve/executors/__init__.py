# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.executors` of Jina 3."""

from jina.executor import (
    BaseExecutor as BaseExecutor,
    Executor as Executor,
)

__all__ = [
    "BaseExecutor",
    "Executor",
]
