# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.websocket` of Jina 3."""

from jina.client.async_client import (
    AsyncWebSocketClient as AsyncWebSocketClient,
)

from jina.client.sync_client import (
    WebSocketClient as WebSocketClient,
)

__all__ = [
    "AsyncWebSocketClient",
    "WebSocketClient",
]
