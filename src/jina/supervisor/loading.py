"""From a plan to its Executor, or to a gateway's class."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from jina.executor import Executor
from jina.executor.loading import find_class, load_executor
from jina.plan.plans import ExecutorPlan, WorkerPlan
from jina.runtime.process import Report


def find(plan: WorkerPlan) -> type[Executor]:
    """The class that the plan names, imported; raises what `jina.executor.loading.find_class` raises."""
    return find_class(plan.executor)


def load(
    plan: WorkerPlan, executor_class: type[Executor] | None, arguments: Mapping[str, Any], report: Report
) -> Executor:
    """Import and construct the Executor of a worker process, whose parent is told when the one follows the other."""
    executor_class = executor_class or find(plan)
    report({"phase": "init"})
    return construct(plan, executor_class, arguments)


def construct(plan: WorkerPlan, executor_class: type[Executor], arguments: Mapping[str, Any]) -> Executor:
    """The instance, with what the orchestration decided as its `runtime_args`.

    `arguments` are the constructor arguments that are not in the plan. What the constructor raises passes
    through. Unless the metas name the Executor, `runtime_args.name` is the name of the process in the logs, so that two
    steps of one class are told apart.
    """
    runtime_args = {
        **({} if plan.executor.metas.get("name") else {"name": plan.name}),
        "workspace": _workspace(plan),
        "shard_id": plan.shard_id,
        "shards": plan.shards,
        "replicas": plan.replicas,
        "replica_id": plan.replica_id,
        "allow_concurrent": plan.allow_concurrent,
        **_telemetry(plan),
        "provider": ["NONE"],
        "provider_endpoint": None,
    }
    return load_executor(plan.executor, runtime_args, executor_class, arguments)


def _telemetry(plan: WorkerPlan) -> dict[str, Any]:
    """Where an Executor records spans and numbers of its own: None for what is not on, as in Jina 3.

    The registry of Prometheus is there for classes whose module imports `prometheus_client`, too, as their metrics are
    served in any case.
    """
    from jina.observe import metrics
    from jina.observe.exporters import meter_provider, tracer_provider

    registry = plan.monitoring is not None or "prometheus_client" in sys.modules
    return {
        "metrics_registry": metrics.users_registry() if registry else None,
        "tracer_provider": tracer_provider() if plan.telemetry.tracing else None,
        "meter_provider": meter_provider() if plan.telemetry.metrics else None,
    }


def _workspace(plan: WorkerPlan) -> str | None:
    if plan.consensus is None:
        return plan.workspace
    from jina.replication.snapshots import fresh_workspace

    return fresh_workspace(plan.consensus.directory)


def load_gateway(
    plan: ExecutorPlan, gateway_class: type | None, arguments: Mapping[str, Any]
) -> tuple[type, dict[str, Any]]:
    """A gateway class, that which the plan names if need be, and all its arguments; `ConfigError` for none."""
    from jina.gateway.custom import BaseGateway, find_named

    return gateway_class or find_named(plan, BaseGateway), {**plan.with_args, **arguments}
