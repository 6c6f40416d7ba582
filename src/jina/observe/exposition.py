"""Metrics as text: that of one process, and those of several as one.

OpenMetrics (https://prometheus.io/docs/specs/om/open_metrics_spec/) for all who do not ask for Prometheus's older
format alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

_LABEL = "runtime_name"
_END = "# EOF"


def wants_openmetrics(accept: str) -> bool:
    """Whether to answer in OpenMetrics to this Accept header: unless it names `text/plain` and not OpenMetrics."""
    named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "application/openmetrics-text" in named or "text/plain" not in named


def written(registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """All families of a registry."""
    generate: Any
    if openmetrics:
        from prometheus_client.openmetrics import exposition

        generate = exposition.generate_latest
    else:
        import prometheus_client

        generate = prometheus_client.generate_latest
    return cast("bytes", generate(registry))


def merged(texts: Iterable[tuple[str, bytes]], *, openmetrics: bool) -> bytes:
    """The text of several processes as one; each has its name before it, which samples without a name get."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for process, text in texts:
        current, head, lines = "", list[str](), list[str]()
        for line in text.decode().splitlines():
            if not line.startswith("# "):
                lines.append(_named(line, process))
            elif line != _END:
                family = line.split(" ", 3)[2]
                if family != current:
                    current, known = family, family in families
                    first, lines = families.setdefault(family, ([], []))
                    head = [] if known else first
                head.append(line)
    parts = [line for head, lines in families.values() for line in (*head, *lines)]
    return "".join(f"{line}\n" for line in [*parts, *([_END] if openmetrics else [])]).encode()


def _named(line: str, process: str) -> str:
    """The sample with the label `runtime_name`, which those of collectors of the user's own do not have."""
    name, brace, rest = line.partition("{")
    if not brace or " " in name:
        name, _, rest = line.partition(" ")
        return f'{name}{{{_LABEL}="{process}"}} {rest}'
    if f'{_LABEL}="' in rest or not name:
        return line
    return f'{name}{{{_LABEL}="{process}"{"" if rest.startswith("}") else ","}{rest}'
