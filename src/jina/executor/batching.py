"""Options of dynamic batching, from the decorator and from configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from jina.errors import ConfigError, nearest
from jina.executor.signatures import location


@dataclass(frozen=True, slots=True)
class Batching:
    """How documents of several requests are gathered; `timeout` is in milliseconds.

    `isolate_errors`: a batch that failed is run again in halves; None for that except where the method is a `@write`.
    """

    preferred_batch_size: int = 4
    timeout: float = 10_000
    flush_all: bool = False
    custom_metric: Callable[[Any], float | int] | None = None
    use_custom_metric: bool = False
    isolate_errors: bool | None = None


_SWITCH = "use_dynamic_batching"
_NAMES = frozenset({*(field.name for field in fields(Batching)), _SWITCH})


def batching_for(options: Mapping[str, Mapping[str, Any]], path: str, method: str, where: str) -> Batching | None:
    """The options of an endpoint: those of its method, those of its path on top; None without batching."""
    if path not in options and method not in options:
        return None
    merged = {**options.get(method, {}), **options.get(path, {})}
    for name in merged.keys() - _NAMES:
        near = nearest(name, _NAMES)
        hint = f"; did you mean {near!r}?" if near else f"; known: {', '.join(sorted(_NAMES))}"
        raise ConfigError(f"dynamic_batching of {where}: unknown option {name!r}{hint}")
    if not merged.pop(_SWITCH, True):
        return None
    merged = {name: value for name, value in merged.items() if value is not None}
    _check(merged, where)
    return Batching(**merged)


def check_keys(options: Mapping[str, Any], paths: Iterable[str], methods: Iterable[str], cls: type) -> None:
    """Raise `ConfigError` for options of an endpoint or method that `cls` does not have."""
    known = {*paths, *methods}
    for key in options:
        if key not in known:
            near = nearest(key, known)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
            where = f"{cls.__name__} ({location(cls)})"
            raise ConfigError(f"dynamic_batching of {where}: no endpoint or method {key!r}{hint}")


def _check(options: Mapping[str, Any], where: str) -> None:
    size, timeout = options.get("preferred_batch_size", 1), options.get("timeout", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"dynamic_batching of {where}: preferred_batch_size is a number from 1 on, not {size!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
        raise ConfigError(f"dynamic_batching of {where}: timeout is in milliseconds, not {timeout!r}")
    for name in ("flush_all", "use_custom_metric", "isolate_errors"):
        if not isinstance(options.get(name, False), bool):
            raise ConfigError(f"dynamic_batching of {where}: {name} is true or false, not {options[name]!r}")
    metric = options.get("custom_metric")
    if metric is not None and not callable(metric):
        raise ConfigError(f"dynamic_batching of {where}: custom_metric is a function, not {metric!r}")
    if options.get("use_custom_metric") and metric is None:
        raise ConfigError(f"dynamic_batching of {where}: use_custom_metric needs a custom_metric in the decorator")
