"""Where a value stands inside a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Path = tuple[str | int, ...]
"""Keys and positions from the outside in."""


MISSING: Final = object()
"""What `child` gives where there is nothing."""


def child(value: Any, step: str | int) -> Any:
    """What is in a mapping or list at `step`, else MISSING."""
    if isinstance(value, Mapping):
        return value.get(step, MISSING)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return MISSING


def step_of(key: Any) -> str | int:
    """The step of a path that a mapping's key is."""
    return key if isinstance(key, int) and not isinstance(key, bool) else str(key)


def dotted(path: Path) -> str:
    """`("with", "port", 0)` as `with.port[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
