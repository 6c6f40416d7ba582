# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.remote` of Jina 3."""

from jina.legacy.parsers import (
    mixin_client_gateway_parser as mixin_client_gateway_parser,
    mixin_gateway_parser as mixin_gateway_parser,
    mixin_gateway_streamer_parser as mixin_gateway_streamer_parser,
    mixin_graphql_parser as mixin_graphql_parser,
    mixin_http_gateway_parser as mixin_http_gateway_parser,
    mixin_prefetch_parser as mixin_prefetch_parser,
    mixin_remote_runtime_parser as mixin_remote_runtime_parser,
)

__all__ = [
    "mixin_client_gateway_parser",
    "mixin_gateway_parser",
    "mixin_gateway_streamer_parser",
    "mixin_graphql_parser",
    "mixin_http_gateway_parser",
    "mixin_prefetch_parser",
    "mixin_remote_runtime_parser",
]
