# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.orchestrate.deployments` of Jina 3."""

from jina.orchestration import (
    Deployment as Deployment,
)

__all__ = [
    "Deployment",
]
