# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.flow` of Jina 3."""

from jina.legacy.parsers import (
    mixin_flow_features_parser as mixin_flow_features_parser,
    set_flow_parser as set_flow_parser,
)

__all__ = [
    "mixin_flow_features_parser",
    "set_flow_parser",
]
