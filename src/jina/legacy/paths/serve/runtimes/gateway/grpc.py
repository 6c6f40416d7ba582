# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.grpc` of Jina 3."""

from jina.gateway.custom import (
    GRPCGateway as GRPCGateway,
)

__all__ = [
    "GRPCGateway",
]
