# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.streamer` of Jina 3."""

from jina.gateway.streamer import (
    GatewayStreamer as GatewayStreamer,
)

__all__ = [
    "GatewayStreamer",
]
