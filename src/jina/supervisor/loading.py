"""From a plan to its Executor, or to a gateway's class; and what its package needs, installed before."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from jina.errors import ConfigError
from jina.executor import Executor
from jina.executor.loading import find_class, load_executor
from jina.plan.plans import ExecutorPlan, WorkerPlan
from jina.runtime.process import Report

_LINES = 5
"""Lines of the installer's output that an error repeats: the last ones say why it failed."""
_REMOVE = "remove it, or set TMPDIR to a folder of your own"


def install(path: str) -> None:
    """Install the requirements file `path` into the environment of this interpreter, with pip, else with uv.

    Replicas that start at the same time take turns, so that all but the first find everything there. Raises
    `ConfigError` with the last lines of the installer.
    """
    place = lock_file()
    # All users can write to the folder: a link that was put there is not followed.
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"install_requirements: {place}: {error.strerror}", help=_REMOVE) from None
    try:
        if os.fstat(lock).st_uid != os.getuid():  # who could keep it locked
            raise ConfigError(f"install_requirements: {place} belongs to another user", help=_REMOVE)
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(  # noqa: S603 - pip, with a file that the user named
            [*_installer(), "-r", path], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    finally:
        os.close(lock)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LINES:])
        raise ConfigError(
            f"install_requirements: {path} cannot be installed:\n{said}",
            help="install it by hand, or leave install_requirements out",
        )
    importlib.invalidate_caches()


def lock_file() -> str:
    """What installations into the environment of this interpreter lock while they last."""
    name = hashlib.sha256(os.path.realpath(sys.prefix).encode()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f"jina-{os.getuid()}-{name}.lock")


def _installer() -> list[str]:
    uv = shutil.which("uv")
    if uv is not None and importlib.util.find_spec("pip") is None:
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]


def find(plan: WorkerPlan) -> type[Executor]:
    """The class that the plan names, imported; raises what `jina.executor.loading.find_class` raises."""
    if plan.executor.requirements:
        install(plan.executor.requirements)
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
