"""From what users give as `uses` to what a plan holds, and what travels beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jina.errors import ConfigError
from jina.orchestration.return_types import class_at_hand

if TYPE_CHECKING:
    from jina.plan.plans import ExecutorPlan
    from jina.spec import DeploymentSpec, GatewaySpec


@dataclass(frozen=True, slots=True)
class Resolved:
    """An Executor, found. `executor_class` is None where no module of this process holds it."""

    plan: ExecutorPlan
    executor_class: type[Any] | None = None
    by_value: type[Any] | None = None
    """The class where no import finds it, so that it travels by pickle."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that are no JSON."""

    def blob(self) -> bytes:
        """What travels beside the plan, pickled; empty for nothing. Raises `ConfigError` naming what cannot be sent."""
        if self.by_value is None and not self.arguments:
            return b""
        from jina.launch import pickling

        return pickling.dumps(self.by_value, self.arguments)


def resolve(spec: DeploymentSpec) -> Resolved:
    """Find the Executor of a spec; raises `ConfigError` naming what is wrong with `uses`."""
    import msgspec

    from jina.executor.reference import reference_of, split_with

    plan, by_value = reference_of(
        spec.uses,
        uses_with=spec.uses_with,
        uses_metas=spec.uses_metas,
        uses_requests=spec.uses_requests,
        uses_dynamic_batching=spec.uses_dynamic_batching,
        py_modules=spec.py_modules,
        search_paths=[*spec.extra_search_paths, *filter(None, [spec.folder])],
    )
    plain, other = split_with(plan.with_args)
    known = by_value or class_at_hand(plan)
    requirements = _requirements(plan) if spec.install_requirements else ""
    return Resolved(msgspec.structs.replace(plan, with_args=plain, requirements=requirements), known, by_value, other)


def _requirements(plan: ExecutorPlan) -> str:
    """The requirements file of the package that the Executor is in; empty where it has none, as in Jina 3."""
    from jina.executor.modules import find_spec

    files = [source for source in plan.py_modules if os.path.isabs(source)]
    spec = find_spec(plan.module) if plan.module and plan.module != "__main__" else None
    files += [spec.origin] if spec is not None and spec.origin else []
    folders = [*map(os.path.dirname, files), *plan.search_paths]
    found = (os.path.join(folder, "requirements.txt") for folder in folders)
    return next((path for path in found if os.path.isfile(path)), "")


def resolve_around(spec: DeploymentSpec) -> dict[str, Resolved]:
    """The Executors around the shards of a Deployment, by `plan.copies.owner`, and the user's own gateway class.

    Raises what `resolve` raises.
    """
    from jina.plan.copies import around, owner
    from jina.spec import DeploymentSpec

    shared = {"py_modules", "extra_search_paths", "install_requirements"} & spec.model_fields_set
    found = {}
    for part in around(spec):
        values = {name: getattr(spec, name) for name in shared}
        own = DeploymentSpec.model_construct({*shared, "uses"}, uses=getattr(spec, part), **values)
        try:
            found[owner(spec.name, part)] = resolve(own.in_folder(spec.folder))
        except ConfigError as error:
            error.message = f"{part}: {error.message}"
            error.args = (error.message,)
            raise
    if (gateway := _own_gateway(spec)) is not None:
        found["gateway"] = gateway
    return found


def _own_gateway(spec: DeploymentSpec) -> Resolved | None:
    """The user's own gateway class in front of a Deployment; the rules say where there may be one."""
    try:
        return None if spec.external or spec.raft_peers else resolve_gateway(spec.front)
    except ConfigError as error:
        error.message = f"gateway: {error.message}"
        error.args = (error.message,)
        raise


def resolve_gateway(spec: GatewaySpec) -> Resolved | None:
    """Find the user's own gateway class; None for the built-in gateway. Raises what `resolve` raises."""
    import msgspec

    uses: Any = spec.uses
    extension = None
    if uses is None and "http" in spec.protocols and "jina.helper" in sys.modules:
        from jina.runtime.custom_gateway import rest_extension

        extension = rest_extension()
    if uses is None and extension is None:
        return None
    from jina.executor.reference import reference_of, split_with
    from jina.runtime.custom_gateway import BaseGateway, Gateway, RestExtended
    from jina.runtime.custom_gateway_loading import gateways

    given = spec.uses_with if extension is None else {"extend": extension}
    plan, by_value = reference_of(
        RestExtended if extension is not None else uses,
        uses_with=given,
        uses_metas=spec.uses_metas,
        py_modules=spec.py_modules,
        search_paths=[*spec.extra_search_paths, *filter(None, [spec.folder])],
        kind=gateways(BaseGateway),
    )
    plain, other = split_with(plan.with_args)
    known = by_value or class_at_hand(plan)
    if known is Gateway or not (by_value or plan.module or plan.jtype):
        return None
    return Resolved(msgspec.structs.replace(plan, with_args=plain), known, by_value, other)


def protocol_of(resolved: Resolved | None) -> str | None:
    """The protocol that a gateway class at hand serves, where it is but one."""
    found: str | None = getattr(resolved and resolved.executor_class, "protocol_served", None)
    return found
