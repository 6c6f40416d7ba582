"""From a plan to its Executor, or to a gateway's class, in whatever process the plan runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from jina.errors import ConfigError
from jina.executor import Executor, modules
from jina.executor.load import find_class, load_executor
from jina.plan.plans import ExecutorPlan, WorkerPlan


def find(plan: WorkerPlan) -> type[Executor]:
    """The class that the plan names, imported; raises what `jina.executor.load.find_class` raises."""
    return find_class(plan.executor)


def construct(plan: WorkerPlan, executor_class: type[Executor], arguments: Mapping[str, Any]) -> Executor:
    """The instance, with what the orchestration decided as its `runtime_args`.

    `arguments` are the constructor arguments that are not in the plan. What the constructor raises passes
    through.
    """
    runtime_args = {
        "workspace": plan.workspace,
        "shard_id": plan.shard_id,
        "shards": plan.shards,
        "replicas": plan.replicas,
        "replica_id": plan.replica_id,
        "allow_concurrent": plan.allow_concurrent,
    }
    return load_executor(plan.executor, runtime_args, executor_class, arguments)


def find_named(plan: ExecutorPlan) -> type:
    """The class that a plan names, whatever it is a subclass of; raises `ConfigError` where there is none."""
    imported = [modules.import_source(source, plan.search_paths) for source in plan.py_modules]
    name = plan.qualname or plan.jtype
    if plan.module:
        imported.append(importlib.import_module(plan.module))
    for module in reversed(imported):
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    raise ConfigError(f"there is no class {name!r} in {', '.join(m.__name__ for m in imported) or 'any module'}")
