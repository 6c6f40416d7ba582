"""From a plan to an instance: find the class, check it, construct it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from jina.errors import ConfigError, ExecutorDefinitionError, ExecutorNotFound, nearest
from jina.executor import modules, registry
from jina.executor.base import Executor, is_initialised
from jina.executor.binding import check_overrides
from jina.executor.endpoints import check_types
from jina.executor.references import resolve_references
from jina.executor.signatures import check_init, describe, location
from jina.plan.plans import ExecutorPlan


def load_executor(
    plan: ExecutorPlan,
    runtime_args: Mapping[str, Any],
    executor_class: type[Executor] | None = None,
    with_extra: Mapping[str, Any] | None = None,
) -> Executor:
    """The instance that the plan describes.

    `executor_class` is the class where it cannot be named (a script, a notebook), `with_extra` the constructor
    arguments that are no JSON. Raises `ConfigError` or `ExecutorDefinitionError` for whatever is wrong with the
    class or the plan; what the constructor raises passes through unchanged. `runtime_args.name` derives from
    `metas.name` unless it is given.
    """
    cls = find_class(plan) if executor_class is None else executor_class
    check_init(cls)
    check_types(cls)
    arguments = {**plan.with_args, **(with_extra or {})}
    metas = resolve_references(plan.metas, with_args=arguments)
    name = _instance_name(str(metas.get("name") or cls.__name__), runtime_args)
    args = {"name": name, "py_modules": list(plan.py_modules), **runtime_args}
    check_arguments(cls, arguments, Executor)
    check_overrides(cls, plan.requests, plan.requests_at)
    injected: dict[str, Any] = {
        "metas": metas,
        "requests": dict(plan.requests),
        "runtime_args": args,
        "dynamic_batching": {key: dict(value) for key, value in plan.dynamic_batching.items()},
    }
    executor = cls(**arguments, **_taken(cls, injected))
    if not is_initialised(executor):
        raise ExecutorDefinitionError(f"{describe(cls.__init__)} has to call super().__init__(**kwargs)")
    return executor


def _instance_name(name: str, runtime_args: Mapping[str, Any]) -> str:
    """The name of this instance: that of the Executor, with the shard and the replica where there are several."""
    shard = f"/shard-{runtime_args.get('shard_id', 0)}" if runtime_args.get("shards", 1) > 1 else ""
    replica = f"/rep-{runtime_args.get('replica_id', 0)}" if runtime_args.get("replicas", 1) > 1 else ""
    return f"{name}{shard}{replica}"


def find_class(plan: ExecutorPlan) -> type[Executor]:
    """The class that the plan names, imported."""
    for entry in reversed(plan.sys_path):
        if entry not in sys.path:
            sys.path.append(entry)
    imported = [modules.import_source(source, plan.search_paths) for source in plan.py_modules]
    if plan.module:
        return _imported_class(plan.module, plan.qualname)
    if not plan.jtype or plan.jtype in registry.BASE_NAMES:
        return Executor
    for module in reversed(imported):
        found = vars(module).get(plan.jtype)
        if inspect.isclass(found) and issubclass(found, Executor):
            return found
    known = registry.find(plan.jtype)
    if known is None:
        raise registry.unknown(plan.jtype, among=_classes_in(imported) or registry.names())
    return known


def _classes_in(imported: list[Any]) -> list[str]:
    return [
        name
        for module in imported
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Executor) and value is not Executor
    ]


def _imported_class(module_name: str, qualname: str) -> type[Executor]:
    from jina.documents import repair_docarray

    repair_docarray()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise modules.failed(module_name, error) from error
        text = f"no module named {module_name!r}, which uses={module_name}.{qualname!r} names"
        raise ExecutorNotFound(text) from None
    except Exception as error:
        raise modules.failed(module_name, error) from error
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if inspect.isclass(found) and issubclass(found, Executor):
        return found
    near = nearest(qualname, _classes_in([module]))
    hint = f"; did you mean {near!r}?" if near else ""
    what = "nothing" if found is None else f"a {type(found).__name__} that is no Executor"
    raise ConfigError(f"{qualname!r} in {module_name!r} ({module.__file__}) is {what}{hint}")


def _taken(cls: type[Executor], injected: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return injected
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in injected.items() if name in names}


def check_arguments(cls: type[Any], arguments: Mapping[str, Any], base: type[Any]) -> None:
    """Raise `ConfigError` unless these are arguments for the constructor of `cls`, which is a subclass of `base`."""
    reserved = sorted(arguments.keys() & {"metas", "requests", "runtime_args", "dynamic_batching"})
    if reserved:
        raise ConfigError(
            f"`with` of {cls.__name__} holds {reserved[0]!r}, which is injected",
            help="give metas and requests beside `with`, or as uses_metas and uses_requests",
        )
    if cls.__init__ is base.__init__:
        return
    signature = inspect.signature(cls)
    parameters = [p for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    injected = {"metas", "requests", "runtime_args", "dynamic_batching"}
    missing = [p for p in parameters if p.default is p.empty and p.name not in arguments and p.name not in injected]
    unused = sorted(arguments.keys() - {p.name for p in parameters} - {"workspace"})
    if missing:
        near = nearest(missing[0].name, unused)
        hint = f"; {near!r} was given" if near else ""
        raise ConfigError(
            f"{cls.__name__} needs the argument {missing[0].name!r} ({location(cls.__init__)}){hint}",
            help=f"give it in `with`, or as uses_with={{{missing[0].name!r}: ...}}",
        )
