# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.http` of Jina 3."""

from jina.client.async_client import (
    AsyncHTTPClient as AsyncHTTPClient,
)

from jina.client.sync_client import (
    HTTPClient as HTTPClient,
)

__all__ = [
    "AsyncHTTPClient",
    "HTTPClient",
]
