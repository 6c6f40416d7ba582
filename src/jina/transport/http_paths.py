"""The paths that a plan hides and adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jina.errors import ConfigError, nearest
from jina.plan.plans import HttpPlan

CRUD = {"/index": "POST", "/search": "POST", "/update": "PUT", "/delete": "DELETE"}
"""The methods by which Jina 3's gateways took these endpoints; POST works for all."""
DEBUG = frozenset({"/status", "/dry_run", "/post"})

_DETAILS = frozenset({"summary", "description", "tags", "deprecated", "operation_id", "include_in_schema"})
"""What `expose_endpoints` may say of a route in the documentation."""
_OPTIONS = _DETAILS | {"http_path", "exec_endpoint", "methods", "name", "response_model"}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class ExtraRoute:
    """A path and methods that serve an endpoint beside its own route; `details` are for the documentation."""

    path: str
    endpoint: str
    methods: Sequence[str]
    details: Mapping[str, Any] = field(default_factory=dict)


def http_path(endpoint: str) -> str:
    """The path of an endpoint; one bound without a leading slash gets it."""
    return endpoint if endpoint.startswith("/") else f"/{endpoint}"


def hidden_paths(plan: HttpPlan) -> frozenset[str]:
    """Paths that the plan leaves out."""
    return (DEBUG if plan.no_debug_endpoints else frozenset()) | (
        frozenset(CRUD) if plan.no_crud_endpoints else frozenset()
    )


def exposed_routes(plan: HttpPlan) -> list[ExtraRoute]:
    """What `expose_endpoints` asks for; raises `ConfigError` naming the entry."""
    return [_exposed(endpoint, dict(told or {})) for endpoint, told in plan.expose_endpoints.items()]


def _exposed(endpoint: str, told: dict[str, Any]) -> ExtraRoute:
    where = f"expose_endpoints: {endpoint!r}"
    for name in told:
        if name not in _OPTIONS:
            near = nearest(name, _OPTIONS)
            raise ConfigError(f"{where}: no option {name!r}", help=f"did you mean {near!r}?" if near else "")
    methods = told.get("methods") or ["POST"]
    if isinstance(methods, str):
        methods = [methods]
    wrong = [method for method in methods if str(method).upper() not in _METHODS]
    if wrong:
        raise ConfigError(f"{where}: methods: {wrong[0]!r} is none of {', '.join(sorted(_METHODS))}")
    return ExtraRoute(
        http_path(told.get("http_path") or endpoint),
        told.get("exec_endpoint") or endpoint,
        [str(method).upper() for method in methods],
        {name: value for name, value in told.items() if name in _DETAILS},
    )


def extra_routes(plan: HttpPlan, endpoints: Iterable[str]) -> list[ExtraRoute]:
    """All routes beside those at the paths of the endpoints."""
    hidden = hidden_paths(plan)
    known = {http_path(endpoint): endpoint for endpoint in endpoints}
    crud = [
        ExtraRoute(path, known[path], [method])
        for path, method in CRUD.items()
        if path in known and path not in hidden and method != "POST"
    ]
    return [*crud, *exposed_routes(plan)]
