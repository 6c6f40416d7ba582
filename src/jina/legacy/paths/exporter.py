# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.exporter` of Jina 3."""

from jina.legacy.exporter import (
    export_flowchart as export_flowchart,
)

from jina.legacy.later import (
    export_docker_compose as export_docker_compose,
    export_kubernetes as export_kubernetes,
    export_schema as export_schema,
)

__all__ = [
    "export_docker_compose",
    "export_flowchart",
    "export_kubernetes",
    "export_schema",
]
