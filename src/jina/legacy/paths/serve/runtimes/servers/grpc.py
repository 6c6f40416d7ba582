# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.servers.grpc` of Jina 3."""

from jina.gateway.custom import (
    GRPCGateway as GRPCServer,
)

__all__ = [
    "GRPCServer",
]
