"""One worker or gateway in this very process: what containers run, so that signals reach it directly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jina.plan.plans import GatewayPlan, WorkerPlan
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
) -> int:
    """Serve until SIGTERM, SIGINT or the Executor ends it; gives the exit code. Main thread only.

    `arguments` are the constructor arguments that are not in the plan. Raises what starting the same plan in a
    child raises: `RuntimeFailToStart`, `PortAlreadyUsed`.
    """
    from jina.supervisor.loading import construct, find
    from jina.worker.process import run_worker

    os.environ.update(plan.env)
    agents = Agents()
    served = agents.start([plan])[0]
    assert isinstance(served, WorkerPlan)
    phase = "importing"

    def load() -> Executor:
        nonlocal phase
        cls = executor_class or find(plan)
        phase = "init"
        return construct(served, cls, arguments)

    status_source = ForegroundStatus(plan)

    def report(entry: dict[str, Any]) -> None:
        nonlocal phase
        phase = str(entry["phase"])
        status_source.report(phase)
        if phase == "ready":
            on_ready()

    try:
        with serve_status(status_source.status):
            return run_worker(served, load, report, stats=status_source.stats)
    except Exception as error:
        if phase not in {"importing", "init", "joining"}:
            raise
        failure = rebuild(plan.deployment, describe(error, phase))
        raise failure from failure.__cause__
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
    from jina.errors import JinaError
    from jina.gateway.process import run_gateway
    from jina.supervisor.loading import find_named

    os.environ.update(plan.env)
    custom = plan.custom
    phase = "importing"

    def load() -> tuple[type, dict[str, Any]]:
        assert custom is not None
        return gateway_class or find_named(custom), {**custom.with_args, **arguments}

    status_source = ForegroundStatus(plan)

    def report(entry: dict[str, Any]) -> None:
        nonlocal phase
        phase = str(entry["phase"])
        status_source.report(phase)
        if phase == "ready":
            on_ready()

    try:
        with serve_status(status_source.status):
            return run_gateway(plan, report, custom=load if custom is not None else None, stats=status_source.stats)
    except JinaError:
        raise
    except Exception as error:
        if phase in {"ready", "draining"}:
            raise
        failure = rebuild(plan.name, describe(error, phase))
        raise failure from failure.__cause__
