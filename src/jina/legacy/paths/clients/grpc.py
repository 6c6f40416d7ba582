# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.grpc` of Jina 3."""

from jina.client.async_client import (
    AsyncGRPCClient as AsyncGRPCClient,
)

from jina.client.sync_client import (
    GRPCClient as GRPCClient,
)

__all__ = [
    "AsyncGRPCClient",
    "GRPCClient",
]
