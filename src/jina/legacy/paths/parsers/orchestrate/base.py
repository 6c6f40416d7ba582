# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.base` of Jina 3."""

from jina.legacy.parsers import (
    mixin_base_deployment_parser as mixin_base_deployment_parser,
    mixin_essential_parser as mixin_essential_parser,
    mixin_scalable_deployment_parser as mixin_scalable_deployment_parser,
)

__all__ = [
    "mixin_base_deployment_parser",
    "mixin_essential_parser",
    "mixin_scalable_deployment_parser",
]
