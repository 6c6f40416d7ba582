# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.executors` of Jina 3."""

from jina.executor import (
    BaseExecutor as BaseExecutor,
    Executor as Executor,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "BaseExecutor",
    "Executor",
]
