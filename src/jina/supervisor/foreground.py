"""One worker or gateway in this very process: what containers run, so that signals reach it directly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jina.errors import JinaError
from jina.plan.plans import GatewayPlan, ProcessPlan, WorkerPlan
from jina.runtime.process import Parent, Stop, check_open_files
from jina.supervisor.agents import Agents
from jina.supervisor.process import describe, rebuild
from jina.supervisor.status import ForegroundStatus
from jina.supervisor.status_socket import serve_status

if TYPE_CHECKING:
    from jina.executor import Executor


def serve_here(
    plan: WorkerPlan,
    executor_class: type[Executor] | None,
    arguments: Mapping[str, Any],
    on_ready: Callable[[], None],
    stop: Stop | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT, `stop` or the Executor ends it; gives the exit code. Main thread only.

    `arguments` are the constructor arguments that are not in the plan. Raises what starting the same plan in a
    child raises: `RuntimeFailToStart`, `PortAlreadyUsed`.
    """
    from jina.supervisor.loading import load
    from jina.worker.process import run_worker

    check_open_files()
    os.environ.update(plan.env)
    agents = Agents()
    served = agents.start([plan])[0]
    assert isinstance(served, WorkerPlan)

    def run(parent: Parent) -> int:
        return run_worker(served, partial(load, served, executor_class, arguments, parent.report), parent)

    try:
        return _serve(plan, run, on_ready, stop)
    finally:
        agents.stop()


def serve_gateway_here(
    plan: GatewayPlan,
    gateway_class: type | None,
    arguments: Mapping[str, Any],
    on_ready: Callable[[], None],
) -> int:
    """Serve a graph until SIGTERM or SIGINT; gives the exit code. Main thread only.

    `gateway_class` is the one that the plan's `custom` names where it is at hand; `arguments` as in `serve_here`.
    Raises what starting the same plan in a child raises, `ConfigError` too.
    """
    from jina.gateway.process import run_gateway
    from jina.supervisor.loading import load_gateway

    check_open_files()
    os.environ.update(plan.env)
    load = None if plan.custom is None else partial(load_gateway, plan.custom, gateway_class, arguments)
    return _serve(plan, lambda parent: run_gateway(plan, parent, load), on_ready)


def _serve(
    plan: ProcessPlan, run: Callable[[Parent], int], on_ready: Callable[[], None], stop: Stop | None = None
) -> int:
    """Run it, seen by `jina status`; what ends its start is raised as that of a child is."""
    status, phase = ForegroundStatus(plan), "importing"

    def report(entry: dict[str, Any]) -> None:
        nonlocal phase
        phase = str(entry["phase"])
        status.report(phase, entry.get("versions", {}))
        if phase == "ready":
            on_ready()

    try:
        with serve_status(status.answer):
            parent = Parent(report, stop, stats=status.stats)
            parent.ask_service = status.answer
            return run(parent)
    except Exception as error:
        served = phase in {"ready", "draining"}
        if served or (isinstance(error, JinaError) and isinstance(plan, GatewayPlan)):
            raise
        failure = rebuild(plan.name if isinstance(plan, GatewayPlan) else plan.deployment, describe(error, phase))
        raise failure from failure.__cause__
