"""From what names a gateway class to the class. `base` is what all of them are subclasses of."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jina.errors import ConfigError, ExecutorNotFound
from jina.executor import modules
from jina.executor.reference import Kind, reference_of
from jina.plan.plans import ExecutorPlan
from jina.runtime import custom_gateway_registry as registry

if TYPE_CHECKING:
    from types import ModuleType


def gateways(base: type) -> Kind:
    """How `uses` of a gateway is read."""
    return Kind("Gateway", base, registry.BASE_NAMES, registry.find, registry.unknown)


def find_named(plan: ExecutorPlan, base: type) -> type:
    """The gateway class that a plan names, imported; raises `ConfigError` where there is none."""
    from jina.documents import repair_docarray

    imported = [modules.import_source(source, plan.search_paths) for source in plan.py_modules]
    if plan.module:
        repair_docarray()
        imported = [_import(plan)]
    name = plan.qualname or plan.jtype
    for module in reversed(imported):
        found = _inside(module, name)
        if isinstance(found, type) and issubclass(found, base):
            return found
        if found is not None:
            raise ConfigError(f"{name!r} in {module.__name__!r} ({module.__file__}) is no gateway class")
    known = registry.find(name)
    if known is None:
        raise registry.unknown(name, "uses")
    return known


def _inside(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _import(plan: ExecutorPlan) -> ModuleType:
    try:
        return importlib.import_module(plan.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{plan.module}.".startswith(f"{error.name}."):
            raise modules.failed(plan.module, error) from error
        raise ExecutorNotFound(f"no module named {plan.module!r}, which uses names") from None
    except ConfigError:
        raise
    except Exception as error:
        raise modules.failed(plan.module, error) from error


def read_config(source: Any, options: Mapping[str, Any], base: type) -> tuple[ExecutorPlan, type]:
    """What YAML says of a gateway, and its class; `options` are those of `Executor.load_config` that gateways have."""
    known = ("uses_with", "uses_metas", "py_modules")
    plan, found = reference_of(
        source,
        **{name: options[name] for name in known if options.get(name) is not None},
        search_paths=list(options.get("extra_search_paths") or ()),
        reading={name: options[name] for name in ("context", "substitute") if options.get(name) is not None},
        kind=gateways(base),
    )
    return plan, found or find_named(plan, base)
