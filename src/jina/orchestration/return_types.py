"""Which documents an endpoint gives, where its class is known in the calling process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jina.errors import ExecutorDefinitionError

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.plan.plans import ExecutorPlan


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
    from jina.documents import Document
    from jina.executor.annotations import types_of
    from jina.executor.binding import endpoints_of, marked
    from jina.executor.decorators import DEFAULT_ENDPOINT, Marks

    table = {**endpoints_of(executor_class), **overrides}
    method = table.get(on) or table.get(on.removeprefix("/")) or table.get(DEFAULT_ENDPOINT)
    function = getattr(executor_class, method, None) if method else None
    if function is None:
        return None
    try:
        found = types_of(function, marked(executor_class).get(str(method)) or Marks()).output_type
    except ExecutorDefinitionError:  # the worker has reported it
        return None
    return None if found is Document else found
