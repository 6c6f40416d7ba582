"""The contract with user code: Executor, decorators, endpoint table, loading, workspace.

Takes: a class or an executor plan.
Gives: an instance and its endpoint table.
Never: knows protocols or processes.
"""

from jina.executor import configurable as configurable  # attaches methods to Executor
from jina.executor.base import Executor, ExecutorType
from jina.executor.decorators import continuous_batching, dynamic_batching, monitor, requests, write
from jina.executor.offers import prompt, resource
from jina.executor.slots import Slot

BaseExecutor = Executor

__all__ = [
    "BaseExecutor", "Executor", "ExecutorType", "Slot", "continuous_batching", "dynamic_batching", "monitor", "prompt",
    "requests", "resource", "write",
]  # fmt: skip
