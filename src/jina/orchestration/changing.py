"""Changes of what runs: more or fewer replicas, another Executor, without a pause."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jina.errors import ConfigError, NotSupportedError, nearest
from jina.plan.copies import AROUND, owner
from jina.plan.plans import WorkerPlan

if TYPE_CHECKING:
    from jina.launch.running import Running
    from jina.orchestration.resolving import Resolved
    from jina.plan.plans import FacePlan, ProcessPlan
    from jina.spec import DeploymentSpec

    S = TypeVar("S", bound=DeploymentSpec)

CHANGEABLE: Final = frozenset({
    "uses", "uses_before", "uses_after", "uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching",
    "py_modules", "extra_search_paths", "output_array_type", "exit_on_exceptions", "allow_concurrent", "env", "grace",
    "timeout_ready", "log_level", "log_format", "quiet_error", "restart_limit", "restart_backoff", "timeout_hang",
    "restart_hung",
})  # fmt: skip
"""Options of a Deployment that `roll_out` takes: those that its workers alone know."""


def scaled(spec: S, replicas: int) -> S:
    """The spec with so many replicas; raises `ConfigError` for a number that is none."""
    _check(spec)
    return with_options(spec, {"replicas": replicas})


def checked(spec: DeploymentSpec, replicas: int) -> int:
    """The number of replicas as the option is read; raises `ConfigError` for one that is none."""
    return int(with_options(spec, {"replicas": replicas}).replicas)


def changed(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options; raises `ConfigError` for one that cannot change while it runs."""
    _check(spec)
    from jina.spec.aliases import canonical

    given = {canonical(name, type(spec).model_fields): value for name, value in options.items()}
    for name in given.keys() - CHANGEABLE:
        if name in type(spec).model_fields:
            raise ConfigError(f"{spec.name}: {name} cannot be changed while it runs")
        near = nearest(name, CHANGEABLE)
        hint = f", did you mean '{near}'?" if near else f"; there are {', '.join(sorted(CHANGEABLE))}"
        raise ConfigError(f"{spec.name}: {name!r} is no option that can be changed{hint}")
    for name in AROUND:
        if name in given and (given[name] is None) != (getattr(spec, name) is None):
            raise ConfigError(f"{spec.name}: {name} can be replaced, but neither added nor taken away while it runs")
    return with_options(spec, given)


def _check(spec: DeploymentSpec) -> None:
    if spec.external:
        raise ConfigError(f"{spec.name} is external: whoever started it can change it")
    if spec.raft_peers:
        raise NotSupportedError(
            f"{spec.name}: a replica that was started by itself is changed by starting it again",
            help="close it, and start it with the new options",
        )


def with_options(spec: S, options: Mapping[str, Any]) -> S:
    """The spec with other options, checked as always."""
    from jina.spec import parse

    valid: Any = parse(type(spec), dict(options), spec.name)
    return spec.model_copy(update={name: getattr(valid, name) for name in options})


def reloaded(specs: Iterable[DeploymentSpec], found: Mapping[str, Resolved]) -> dict[str, set[str]]:
    """By name: those that follow changes of their files, with the YAML file of the Executor, if it has one.

    Raises `ConfigError` for a class that has no file of its own to be imported from again.
    """
    followed = [spec for spec in specs if spec.reload and spec.name in found]
    for spec in followed:
        cls = found[spec.name].by_value
        if cls is not None:
            raise ConfigError(
                f"{spec.name}: reload: {cls.__name__} is defined in the program itself, which cannot be loaded again",
                help="move the class to a module of its own, or give the path of its file as py_modules",
            )
    return {spec.name: set(_yaml_of(spec)) for spec in followed}


def _yaml_of(spec: DeploymentSpec) -> list[str]:
    if not isinstance(spec.uses, str) or not spec.uses.endswith((".yml", ".yaml")):
        return []
    folders = ["", *spec.extra_search_paths, *filter(None, [spec.folder])]
    paths = [os.path.abspath(os.path.join(folder, spec.uses)) for folder in folders]
    return [path for path in paths if os.path.isfile(path)][:1]


def kept(faces: list[FacePlan]) -> list[int]:
    """The ports that were chosen for these faces."""
    return [face.port for face in faces if face.share_port]


def change(
    running: Running,
    old: list[ProcessPlan],
    new: list[ProcessPlan],
    blobs: Mapping[str, bytes],
    *,
    renew: bool,
    within: float | None,
) -> None:
    """Have the processes changed and wait for it; raises what `Running.change` raises."""
    from jina.launch.rollout import stages_between
    from jina.launch.sharing import shared

    if not running.settled:
        raise ConfigError(f"{running.name} still starts: wait_start_success() waits until it can be changed")
    if any(isinstance(plan, WorkerPlan) and plan.consensus for plan in old):
        from jina.orchestration import renewing

        renewing.roll_out(running, [plan for plan in new if isinstance(plan, WorkerPlan)], blobs, within)
        return
    held = running.ports
    plans = {plan.name: (shared(plan, held), blobs.get(_executor_of(plan), b"")) for plan in new}
    running.change(stages_between(old, new, renew=renew), plans, within)


def _executor_of(plan: ProcessPlan) -> str:
    """The name by which the pickle of a process is found."""
    return owner(getattr(plan, "deployment", "gateway"), getattr(plan, "part", ""))
