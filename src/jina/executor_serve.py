"""`Executor.serve`, which needs the orchestration: it is attached here, above the rooms that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jina.executor import BaseExecutor, Executor
from jina.executor.configurable import attach


class _Methods:
    @classmethod
    def serve(
        cls,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        stop_event: Any = None,
        uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        reload: bool = False,
        **options: Any,
    ) -> None:
        """Serve the class until `stop_event` is set or the process is interrupted.

        The same as `with Deployment(uses=cls, ...) as d: d.block()`, which is the way to write it.
        """
        from jina.orchestration import Deployment

        given = {
            "uses_with": uses_with,
            "uses_metas": uses_metas,
            "uses_requests": uses_requests,
            "uses_dynamic_batching": uses_dynamic_batching,
        }
        options.update({key: value for key, value in given.items() if value is not None})
        if reload:
            options["reload"] = True
        with Deployment(uses=cls, **options) as deployment:
            deployment.block(stop_event=stop_event)


attach(_Methods, Executor)

__all__ = ["BaseExecutor", "Executor"]
