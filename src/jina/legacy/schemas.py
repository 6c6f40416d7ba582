"""`get_full_schema` of `jina.schemas`."""

from __future__ import annotations

from typing import Any


def get_full_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the YAML files."""
    from jina.spec import json_schema

    schema: dict[str, Any] = json_schema()
    return schema
