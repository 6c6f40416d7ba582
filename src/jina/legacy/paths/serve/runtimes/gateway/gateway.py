# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.gateway` of Jina 3."""

from jina.legacy.later import (
    BaseGateway as BaseGateway,
)

from jina.orchestration import (
    Gateway as Gateway,
)

__all__ = [
    "BaseGateway",
    "Gateway",
]
