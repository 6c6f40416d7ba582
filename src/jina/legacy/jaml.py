"""YAML files: `JAML` of `jina.jaml`, `get_full_schema` of `jina.schemas`, exports of `jina.exporter`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from jina.executor.base import Configurable as JAMLCompatible


class JAML:
    """YAML with variables."""

    @staticmethod
    def load(stream: Any, substitute: bool = False, context: dict[str, Any] | None = None) -> Any:
        """The data of YAML text or of an open file; raises `BadConfigSource` with file and line."""
        from jina.config import yaml

        data, _ = yaml.load(stream, context=context, substitute=substitute)
        return data

    @staticmethod
    def dump(data: Any, stream: Any = None, **kwargs: Any) -> str | None:
        """The data as YAML text, or written to `stream`."""
        import yaml

        text: str | None = yaml.safe_dump(data, stream, sort_keys=False, allow_unicode=True, **kwargs)
        return text


def get_full_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the YAML files."""
    from jina.config.schema import json_schema

    return json_schema()


def export_flowchart(args: Namespace) -> None:
    """Draw the Flow of the YAML file `args.config_path` to `args.outpath`; `args.vertical_layout` from the top down."""
    from jina.orchestration import Flow

    vertical = bool(getattr(args, "vertical_layout", False))
    Flow.load_config(args.config_path).plot(args.outpath, vertical_layout=vertical)


def export_kubernetes(args: Namespace) -> None:
    """Write the Kubernetes files of the Flow or Deployment in `args.config_path` into the folder `args.outpath`."""
    _loaded(args).to_kubernetes_yaml(args.outpath, getattr(args, "k8s_namespace", None))


def export_docker_compose(args: Namespace) -> None:
    """Write the Compose file of the Flow or Deployment in `args.config_path` to `args.outpath`."""
    _loaded(args).to_docker_compose_yaml(args.outpath, getattr(args, "network_name", None))


def _loaded(args: Namespace) -> Any:
    from jina.orchestration.configuration import exported

    return exported(args.config_path)


__all__ = [
    "JAML", "JAMLCompatible", "export_docker_compose", "export_flowchart", "export_kubernetes", "get_full_schema",
]  # fmt: skip
