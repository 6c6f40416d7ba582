# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.client` of Jina 3."""

from jina.legacy.parsers import (
    mixin_client_features_parser as mixin_client_features_parser,
    mixin_client_protocol_parser as mixin_client_protocol_parser,
)

__all__ = [
    "mixin_client_features_parser",
    "mixin_client_protocol_parser",
]
