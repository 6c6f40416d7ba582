"""`JAML` and `JAMLCompatible` of `jina.jaml`."""

from __future__ import annotations

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


__all__ = ["JAML", "JAMLCompatible"]
