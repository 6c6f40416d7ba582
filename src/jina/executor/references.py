"""References inside metas: `{root.metas.name}`, `{this.name}`, `{root.with.model}`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\{(root|this)\.([^{}\s]+)\}")
_STEP = re.compile(r"[^.\[\]]+")
_DEPTH = 8


def resolve_references(metas: Mapping[str, Any], *, with_args: Mapping[str, Any]) -> dict[str, Any]:
    """The metas with references replaced; `this` is the metas, `root` holds `metas`, `with` and `env`.

    A reference to nothing stays as it is written. A value that is one reference alone keeps the type of what it
    refers to.
    """
    resolved = dict(metas)
    for _ in range(_DEPTH):
        root = {**resolved, "metas": resolved, "with": with_args, "env": os.environ}
        after = {key: _replace(value, {"root": root, "this": resolved}) for key, value in resolved.items()}
        if after == resolved:
            break
        resolved = after
    return resolved


def _replace(value: Any, scopes: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or "{" not in value:
        return value

    def lookup(match: re.Match[str]) -> Any:
        found: Any = scopes[match[1]]
        for step in _STEP.findall(match[2]):
            found = _step(found, step)
        return match[0] if found is None else found

    if whole := _REFERENCE.fullmatch(value):
        return lookup(whole)
    return _REFERENCE.sub(lambda match: str(lookup(match)), value)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list) and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return None
