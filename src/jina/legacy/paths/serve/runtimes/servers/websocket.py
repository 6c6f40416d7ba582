# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.servers.websocket` of Jina 3."""

from jina.gateway.custom import (
    WebSocketGateway as WebSocketServer,
)

__all__ = [
    "WebSocketServer",
]
