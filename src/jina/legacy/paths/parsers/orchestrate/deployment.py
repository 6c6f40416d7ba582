# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.deployment` of Jina 3."""

from jina.legacy.parsers import (
    _mixin_deployment_only as mixin_base_deployment_parser,
)

__all__ = [
    "mixin_base_deployment_parser",
]
