# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway` of Jina 3."""

from jina.legacy.later import (
    BaseGateway as BaseGateway,
)

__all__ = [
    "BaseGateway",
]
