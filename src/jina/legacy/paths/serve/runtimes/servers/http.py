# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.servers.http` of Jina 3."""

from jina.gateway.custom import (
    FastAPIBaseGateway as FastAPIBaseServer,
    HTTPGateway as HTTPServer,
)

__all__ = [
    "FastAPIBaseServer",
    "HTTPServer",
]
