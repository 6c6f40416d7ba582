# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.grpc_channel` of Jina 3."""

from jina.legacy.parsers import (
    mixin_grpc_channel_options_parser as mixin_grpc_channel_options_parser,
)

__all__ = [
    "mixin_grpc_channel_options_parser",
]
