# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.websocket` of Jina 3."""

from jina.gateway.custom import (
    WebSocketGateway as WebSocketGateway,
)

__all__ = [
    "WebSocketGateway",
]
