"""Other APIs beside our own routes: what an adapter is asked, and the routes of all adapters of a server."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from jina.errors import JinaError
from jina.net.auth import Access
from jina.net.limits import Gate
from jina.net.service import EndpointInfo
from jina.plan.plans import HttpPlan
from jina.server.http import Header

if TYPE_CHECKING:
    from jina.server.grpc_protocol import Method

Handler = Callable[..., Awaitable[None]]
"""Answers the exchange that it is called with; parts of its path come by name."""
Methods = Mapping[str, Handler]
ErrorForm = tuple[bytes, Sequence[Header]]
"""The body of an error, as JSON where the headers do not name another type, and the headers."""
_PART = re.compile(r"\{(\w+)(:path)?\}")


class Api:
    """The endpoints of a service as another API has them; made once for all listeners of a server.

    Requests go through the gate, so that limits, keys, metrics and traces are those of every request. `closed` says
    that callers need a key. Nothing is asked of the service before it is ready.
    """

    name: ClassVar[str] = ""
    access: Access | None = None
    """Who may call: for methods of gRPC, as HTTP listeners look at keys themselves."""

    def __init__(self, gate: Gate, plan: HttpPlan, *, closed: bool) -> None:
        self.gate = gate
        self.plan = plan
        self.closed = closed

    def routes(self) -> Mapping[str, Methods]:
        """The handlers by path and method. A path may have parts `{name}`, and `{name:path}` for all that follows."""
        return {}

    def grpc_methods(self) -> Mapping[str, Method]:
        """What gRPC listeners answer besides, by full method name."""
        return {}

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """An error at a path as clients of this API read it; None for the paths of others."""
        del path, error
        return None

    def openapi(self, endpoints: Mapping[str, EndpointInfo]) -> Mapping[str, Any]:
        """What `/openapi.json` says of the routes: `paths`, and `schemas` for its components."""
        del endpoints
        return {}


ApiClass = Callable[..., Api]


class ApiRoutes:
    """The routes of several adapters."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._apis = apis
        self.plain: dict[str, Methods] = {}
        """The paths without parts."""
        self._patterns: list[tuple[re.Pattern[str], Methods]] = []
        for api in apis:
            for path, methods in api.routes().items():
                if "{" in path:
                    self._patterns.append((_compiled(path), methods))
                else:
                    self.plain[path] = methods

    def find(self, path: str) -> Methods | None:
        """The handlers of a path with parts."""
        for pattern, methods in self._patterns:
            if (found := pattern.fullmatch(path)) is not None:
                return {method: partial(handler, **found.groupdict()) for method, handler in methods.items()}
        return None

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """See `Api`."""
        return next((form for api in self._apis if (form := api.error_form(path, error)) is not None), None)


def _compiled(path: str) -> re.Pattern[str]:
    pattern, at = "", 0
    for part in _PART.finditer(path):
        pattern += f"{re.escape(path[at : part.start()])}(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})"
        at = part.end()
    return re.compile(pattern + re.escape(path[at:]))
