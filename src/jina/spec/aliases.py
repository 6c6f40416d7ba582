"""Every old or second name of an option, in one table."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

ALIASES: Final[dict[str, str]] = {
    "ports": "port",
    "port_expose": "port",
    "port_in": "port",
    "protocols": "protocol",
    "host_in": "host",
    "https": "tls",
    "disable_reduce": "no_reduce",
    "parallel": "replicas",
    "override_with": "uses_with",
    "override_metas": "uses_metas",
    "override_requests": "uses_requests",
}
"""Name of old -> the option. An alias counts for a spec that has the option and no field of the old name."""


def canonical(name: str, fields: Container[str]) -> str:
    """The option that `name` stands for among `fields`; `name` itself when it is no alias."""
    target = ALIASES.get(name)
    return target if target is not None and name not in fields and target in fields else name


def aliases_of(fields: Container[str]) -> dict[str, str]:
    """The aliases that count for a spec with these fields."""
    return {old: new for old, new in ALIASES.items() if new in fields and old not in fields}
