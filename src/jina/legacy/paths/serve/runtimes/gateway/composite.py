# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.composite` of Jina 3."""

from jina.gateway.custom import (
    CompositeGateway as CompositeGateway,
)

__all__ = [
    "CompositeGateway",
]
