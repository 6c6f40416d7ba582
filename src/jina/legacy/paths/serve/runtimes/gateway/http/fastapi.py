# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.http.fastapi` of Jina 3."""

from jina.gateway.custom import (
    FastAPIBaseGateway as FastAPIBaseGateway,
)

__all__ = [
    "FastAPIBaseGateway",
]
