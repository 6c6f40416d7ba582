# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.executors` of Jina 3."""

from jina.executor import (
    ExecutorType as ExecutorType,
)

from jina.executor.endpoints import (
    FunctionWithSchema as _FunctionWithSchema,
)

from jina.executor_serve import (
    BaseExecutor as BaseExecutor,
    Executor as Executor,
)

from jina.legacy.constants import (
    __dry_run_endpoint__ as __dry_run_endpoint__,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "BaseExecutor",
    "Executor",
    "ExecutorType",
    "_FunctionWithSchema",
    "__dry_run_endpoint__",
]
