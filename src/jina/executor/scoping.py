"""Parameters that are meant for one Executor of several: `executor__key`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

SEPARATOR = "__"


def scope_parameters(parameters: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The parameters as the Executor called `names` sees them.

    A key `other__key` reaches only the Executor `other`, as `key`. A dictionary under the name of this Executor
    is merged, and stays visible under its name. The more specific value wins: `a__k`, then `{'a': {'k': ...}}`,
    then `k`.
    """
    general: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    specific: dict[str, Any] = {}
    for key, value in parameters.items():
        owner, separator, rest = key.partition(SEPARATOR)
        if owner and separator and rest:
            if owner in names:
                specific[rest] = value
            continue
        general[key] = value
        if key in names and isinstance(value, Mapping):
            merged.update(value)
    return {**general, **merged, **specific}
