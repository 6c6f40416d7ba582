"""One worker in this very process: what a container's entry point runs, so that signals reach it directly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jina.launch.failures import describe, rebuild
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from jina.executor import Executor


def serve_here(
    plan: WorkerPlan,
    executor_class: type[Executor] | None,
    arguments: Mapping[str, Any],
    on_ready: Callable[[], None],
) -> int:
    """Serve until SIGTERM, SIGINT or the Executor ends it; gives the exit code. Main thread only.

    `arguments` are the constructor arguments that are not in the plan. Raises what starting the same plan in a
    child raises: `RuntimeFailToStart`, `PortAlreadyUsed`.
    """
    from jina.launch.loading import construct, find
    from jina.runtime.worker import run_worker

    os.environ.update(plan.env)
    phase = "importing"

    def load() -> Executor:
        nonlocal phase
        cls = executor_class or find(plan)
        phase = "init"
        return construct(plan, cls, arguments)

    def report(told: dict[str, Any]) -> None:
        nonlocal phase
        phase = str(told["phase"])
        if phase == "ready":
            on_ready()

    try:
        return run_worker(plan, load, report)
    except Exception as error:
        if phase not in {"importing", "init"}:
            raise
        failure = rebuild(plan.deployment, describe(error, phase))
        raise failure from failure.__cause__
