# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.servers.composite` of Jina 3."""

from jina.gateway.custom import (
    CompositeServer as CompositeServer,
)

__all__ = [
    "CompositeServer",
]
