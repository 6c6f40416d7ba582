"""`Executor.serve` and `from_hub`, which need the orchestration: they are attached here, above the rooms they use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self, cast

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

    @classmethod
    def from_hub(
        cls,
        uri: str,
        *,
        force_update: bool = False,
        offline: bool = False,
        install_requirements: bool = False,
        **options: Any,
    ) -> Self:
        """The Executor of a package, fetched and constructed in this process.

        `uri` is what `uses` takes: `hub://HOST/REPOSITORY[:TAG|@DIGEST]`, `jinahub://NAME`, `jinaai://USER/NAME`,
        `git+https://...`. `options` are those of `load_config`. `force_update` fetches again what is in the cache,
        `offline` takes it from there. Nothing is installed into the environment of this process: with
        `install_requirements` a package that requires something raises `NotSupportedError`, which says what to do.
        """
        from jina.errors import ConfigError
        from jina.hub.fetch import is_reference
        from jina.orchestration.resolve import fetched
        from jina.supervisor.environments import Environment, refusal, requirement_files

        if not is_reference(uri):
            raise ConfigError(
                f"from_hub({uri!r}): this names no package", help="write jinahub://NAME, or use load_config"
            )
        config = fetched(uri, None, offline=offline, force=force_update)
        if install_requirements:
            files = requirement_files([os.path.dirname(config)])
            if files and not Environment.read(files).is_empty:
                raise refusal(files, "this process")
        return cast("Self", cast("Any", cls).load_config(config, **options))


attach(_Methods, Executor)

__all__ = ["BaseExecutor", "Executor"]
