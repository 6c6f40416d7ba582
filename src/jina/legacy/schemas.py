"""`get_full_schema` of `jina.schemas`."""

from __future__ import annotations

from typing import Any


def get_full_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the YAML files."""
    from jina.config.schema import json_schema

    return json_schema()
