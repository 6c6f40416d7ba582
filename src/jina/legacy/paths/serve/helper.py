# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.helper` of Jina 3."""

from jina.legacy.services import (
    get_default_grpc_options as get_default_grpc_options,
    get_server_side_grpc_options as get_server_side_grpc_options,
)

__all__ = [
    "get_default_grpc_options",
    "get_server_side_grpc_options",
]
