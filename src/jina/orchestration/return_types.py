"""Which documents an endpoint gives, where its class is known in the calling process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jina.errors import ExecutorDefinitionError

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.plan.plans import ExecutorPlan, FlowPlan


def class_at_hand(plan: ExecutorPlan) -> type[Executor] | None:
    """The class that the plan names if its module is imported already; nothing is imported for it."""
    found: Any = sys.modules.get(plan.module)
    for part in plan.qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def declared(executor_class: type, on: str, overrides: Mapping[str, str]) -> Any:
    """The document class that the endpoint `on` declares to give; None where nothing is declared.

    `overrides` is `uses_requests`: endpoint -> method name.
    """
    method = _method_for(executor_class, on, overrides)
    return None if method is None else _given_by(executor_class, method)


def declared_by_graph(plan: FlowPlan, classes: Mapping[str, type[Executor] | None], on: str) -> Any:
    """The document class that a Flow gives for the endpoint `on`; None where the last Executors are not known here.

    `classes` are those at hand, by the name of the step.
    """
    from jina.plan.copies import AFTER, owner

    nodes = {node.name: node for node in plan.gateway.graph.nodes}
    workers = {deployment.name: deployment.workers for deployment in plan.deployments}

    def given_by(name: str) -> Any:
        node = nodes.get(name)
        if node is None:
            return _NOTHING  # the request itself
        if node.hops:
            after = owner(name, AFTER)
            if after in classes:
                cls = classes[after]
                if cls is None:
                    return None
                if (method := _method_for(cls, on, {})) is not None:
                    return _given_by(cls, method)
            cls = classes.get(name)
            if cls is None or not workers.get(name):
                return None
            method = _method_for(cls, on, workers[name][0].executor.requests)
            if method is not None:
                return _given_by(cls, method)
        return _common([given_by(need) for need in node.needs])  # it passes documents through

    found = _common([given_by(name) for name in plan.gateway.graph.ends])
    return None if found is _NOTHING else found


_NOTHING = object()
"""No Executor knows the endpoint."""


def _common(types: list[Any]) -> Any:
    known = [found for found in types if found is not _NOTHING]
    if not known:
        return _NOTHING
    return known[0] if all(found is known[0] for found in known) else None


def _method_for(executor_class: type, on: str, overrides: Mapping[str, str]) -> str | None:
    from jina.executor.binding import endpoints_of
    from jina.executor.decorators import DEFAULT_ENDPOINT

    table = {**endpoints_of(executor_class), **overrides}
    return table.get(on) or table.get(on.removeprefix("/")) or table.get(DEFAULT_ENDPOINT)


def _given_by(executor_class: type, method: str) -> Any:
    from jina.documents import Document
    from jina.executor.annotations import types_of
    from jina.executor.binding import marked
    from jina.executor.decorators import Marks

    function = getattr(executor_class, method, None)
    if function is None:
        return None
    try:
        found = types_of(function, marked(executor_class).get(method) or Marks()).output_type
    except ExecutorDefinitionError:  # the worker has reported it
        return None
    return None if found is Document else found
