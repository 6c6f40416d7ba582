# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.http` of Jina 3."""

from jina.runtime.custom_gateway import (
    HTTPGateway as HTTPGateway,
)

__all__ = [
    "HTTPGateway",
]
