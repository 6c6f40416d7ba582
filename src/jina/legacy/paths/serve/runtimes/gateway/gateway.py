# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.gateway` of Jina 3."""

from jina.gateway.custom import (
    BaseGateway as BaseGateway,
    Gateway as Gateway,
)

__all__ = [
    "BaseGateway",
    "Gateway",
]
