"""What `Executor` has that needs the orchestration, attached here, above the rooms it uses: `serve`, exports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from jina.executor import BaseExecutor, Executor
from jina.executor.base import StandaloneExecutorType
from jina.executor.configurable import attach

if TYPE_CHECKING:
    from jina.orchestration import Flow


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

    @staticmethod
    def to_kubernetes_yaml(
        uses: str,
        output_base_path: str | os.PathLike[str],
        k8s_namespace: str | None = None,
        executor_type: Any = StandaloneExecutorType.EXTERNAL,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Write the Kubernetes files of a Flow of the image `docker://NAME`; see `Flow.to_kubernetes_yaml`.

        `options` are those of `Flow.add`. With `executor_type` `SHARED` there is no gateway: Flows elsewhere use it as
        an external Executor.
        """
        given = (uses_with, uses_metas, uses_requests, uses_dynamic_batching)
        flow, gateway = _alone(uses, executor_type, given, options)
        flow.to_kubernetes_yaml(output_base_path, k8s_namespace, include_gateway=gateway)

    to_k8s_yaml = to_kubernetes_yaml

    @staticmethod
    def to_docker_compose_yaml(
        uses: str,
        output_path: str | os.PathLike[str] | None = None,
        network_name: str | None = None,
        executor_type: Any = StandaloneExecutorType.EXTERNAL,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Write the Compose file of a Flow with this image alone; see `to_kubernetes_yaml`."""
        given = (uses_with, uses_metas, uses_requests, uses_dynamic_batching)
        flow, gateway = _alone(uses, executor_type, given, options)
        flow.to_docker_compose_yaml(output_path, network_name, include_gateway=gateway)


def _alone(uses: str, executor_type: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[Flow, bool]:
    """A Flow with one Executor, and whether a gateway is to be in front."""
    from jina.orchestration import Flow

    names = ("uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching")
    own = {name: value for name, value in zip(names, given, strict=True) if value is not None}
    flow: Any = Flow()
    return flow.add(uses=uses, **own, **options), executor_type == StandaloneExecutorType.EXTERNAL


attach(_Methods, Executor)

__all__ = ["BaseExecutor", "Executor"]
